"""Vectorize: cleaned text to a hashed sparse vector, a language, a tone, and whether it asks something.

English: words, word pairs, negated words apart from plain ones, what the lexicon says, form. Chinese: characters and
pairs of neighbours, lexicon. Other languages: words and pairs, emoji. All into one space (`vectors.SPACE`), the same in
every process. A whole batch is done at once: the hottest code of the product costs what numpy costs. The result
depends on the text and its declared language alone, not on the batch or on what was seen before.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from operators.domain.models.vectors import LANGUAGES, SPACE, TONES, Vectors
from operators.domain.text import features_words, features_zh, lexicon
from operators.domain.text.arrays import SHIFT
from operators.domain.text.clean import runs
from operators.domain.text.language import UNDECLARED, Tags, by_script, identifier
from operators.domain.text.words import Pieces

_AT_ONCE = 4_096  # messages: the number of the message and the feature share 32 bits, and arrays stay in the cache
_STEPS = TONES // 2  # of tone, on either side of none
_LOWEST = np.uint32(SPACE - 1)


class VectorizeParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the stage."""

    memo_entries: Annotated[
        int,
        Meta(
            description="pieces of text kept in the memo before it is cleared; about 150 bytes each; "
            "200,000 hold the vocabulary of a busy day; lower it to save memory (takes more time, changes no result)",
            ge=1_000,
            le=5_000_000,
        ),
    ] = 200_000


class Vectorizer:
    """Texts to vectors.

    >>> texts = ["Great service, thanks!", "很难吃", "Wo ist mein Paket?"]
    >>> batch = Vectorizer(VectorizeParams()).vectorize_many(texts, [None, "zh", None])
    >>> batch.languages, [tone > 0 for tone in batch.tones], batch.questions
    (['en', 'zh', 'other'], [True, False, False], [False, False, True])
    """

    def __init__(self, params: VectorizeParams) -> None:
        self._pieces = Pieces(params.memo_entries)
        self._tags = Tags()
        features_zh.extract(["。"])  # makes its tables: the first Chinese message need not wait for them
        identifier()

    def vectorize_many(self, texts: Sequence[str], languages: Sequence[str | None]) -> Vectors:
        """The vectors of cleaned texts; `languages` are declared BCP 47 tags or None."""
        return self.read_many(texts, languages, len(texts))[0]

    def read_many(
        self, texts: Sequence[str], languages: Sequence[str | None], customer_count: int
    ) -> tuple[Vectors, list[float]]:
        """The vectors of the first `customer_count` texts, and of the others only the tones, -1..1.

        The others are an agent's words, of which nothing else is asked: together they cost as many calls of numpy as
        the first alone.

        >>> vectorizer = Vectorizer(VectorizeParams())
        >>> vectors, tones = vectorizer.read_many(["Late!", "Happy to help!", "Whatever."], ["en"] * 3, 1)
        >>> len(vectors), [tone > 0 for tone in tones]
        (1, [True, False])
        """
        if len(texts) != len(languages):
            raise ValueError(
                f"vectorize: {len(texts)} texts with {len(languages)} languages: give one (or None) for each text"
            )
        if not texts:
            return Vectors.of([]), []
        parts = [
            self._some(texts[run], languages[run], min(max(customer_count - run.start, 0), run.stop - run.start))
            for run in runs(texts, _AT_ONCE)
        ]
        return Vectors.joined([vectors for vectors, _ in parts]), [tone for _, tones in parts for tone in tones]

    def _codes(self, texts: Sequence[str], languages: Sequence[str | None]) -> NDArray[np.int64]:
        """The number of each text's language, from its tag and its script."""
        tags = self._tags
        codes = [tags[tag] for tag in languages]
        if UNDECLARED in codes:
            codes = [
                code if code != UNDECLARED or text.isascii() else by_script(text)
                for code, text in zip(codes, texts, strict=True)
            ]
        return np.array(codes, np.int64)

    def _some(
        self, texts: Sequence[str], languages: Sequence[str | None], customer_count: int
    ) -> tuple[Vectors, list[float]]:
        count = len(texts)
        codes = self._codes(texts, languages)
        totals = np.zeros(count, np.int64)
        questions = np.zeros(customer_count, np.bool_)
        keys: list[NDArray[np.uint32]] = []
        chinese = codes == 1
        if not chinese.any():
            words = features_words.extract(self._pieces, texts, codes, customer_count)
            codes = np.where(words.english, 0, 2)
            totals, questions, keys = words.totals, words.questions, words.keys
        else:
            at = np.flatnonzero(~chinese)
            if len(at):
                here = int(np.searchsorted(at, customer_count))
                words = features_words.extract(self._pieces, [texts[i] for i in at.tolist()], codes[at], here)
                codes[at] = np.where(words.english, 0, 2)
                totals[at], questions[at[:here]] = words.totals, words.questions
                keys += _renumbered(words.keys, at)
            at = np.flatnonzero(chinese)
            here = int(np.searchsorted(at, customer_count))
            zh = features_zh.extract([texts[i] for i in at.tolist()])
            totals[at], questions[at[:here]] = zh.totals, zh.questions[:here]
            keys += [key[key >> SHIFT < customer_count] for key in _renumbered(zh.keys, at)]
        tones = lexicon.tones(totals)
        values: list[float] = tones.tolist()
        if not customer_count:
            return Vectors.of([]), values
        bins = np.rint(tones[:customer_count] * _STEPS).astype(np.int64) + _STEPS
        keys.append(np.arange(customer_count, dtype=np.uint32) << SHIFT | bins.astype(np.uint32))
        features, starts = _rows(np.concatenate(keys), customer_count)
        names = [LANGUAGES[i] for i in codes[:customer_count].tolist()]
        return Vectors(features, starts, names, values[:customer_count], questions.tolist()), values[customer_count:]


def _renumbered(keys: list[NDArray[np.uint32]], at: NDArray[np.int64]) -> list[NDArray[np.uint32]]:
    """Keys of some messages as those of the whole batch, in which they stand `at` these places."""
    tops = at.astype(np.uint32) << SHIFT
    return [tops[key >> SHIFT] | key & _LOWEST for key in keys]


def _rows(keys: NDArray[np.uint32], count: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Keys sorted, each once; the features, and where each message begins."""
    keys.sort()
    fresh = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
    keys = keys[fresh]
    starts = np.searchsorted(keys, np.arange(count, dtype=np.uint32) << SHIFT)
    return (keys & _LOWEST).astype(np.int32), np.append(starts, len(keys))
