"""Features of languages that put spaces between words: words, word pairs, negation, lexicon, form.

`pieces.Pieces` turns text into rows of numbers; all that depends on neighbours (pairs, negation, boosters, sums) is a
handful of numpy calls over the whole batch. Every sum is one of integers, so that no result depends on the batch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.domain.text import language, words
from operators.domain.text.arrays import SHIFT, fold, form, mix, per_message, sums_before
from operators.domain.text.language import UNDECLARED
from operators.domain.text.lexicon import NEGATED
from operators.domain.text.words import UNIT, Pieces

_TURNED = round(NEGATED * UNIT)


class TextPart(NamedTuple):
    """Features of the words of some messages. `keys` are message << 18 | feature, in any order, with repeats."""

    keys: list[NDArray[np.uint32]]
    english: NDArray[np.bool_]
    totals: NDArray[np.int64]
    questions: NDArray[np.bool_]


class _WordRun(NamedTuple):
    """The words of some messages behind each other, with what their neighbours do to them."""

    words: NDArray[np.uint32]
    bounds: NDArray[np.int64]
    first: NDArray[np.bool_]
    flags: NDArray[np.uint32]
    valence: NDArray[np.int32]
    scope: NDArray[np.bool_]
    english: NDArray[np.bool_]


def extract(pieces: Pieces, texts: Sequence[str], codes: NDArray[np.int64], customer_count: int) -> TextPart:
    """The features of cleaned texts; `codes` says of each whether it is English, other or not declared.

    Of those after the first `customer_count` only `totals` and whether they are English. They are messages of agents,
    who mention problems and apologise without being unfriendly, so such words do not count.
    """
    read = _read(pieces, texts, codes)
    end = int(read.bounds[customer_count])
    valence = read.valence
    valence[end:][read.flags[end:] & words.MATTER != 0] = 0
    totals = per_message(valence, read.bounds)
    if not customer_count:
        return TextPart([], read.english, totals, np.zeros(0, np.bool_))
    rows, first, flags, bounds = read.words[:end], read.first[:end], read.flags[:end], read.bounds[: customer_count + 1]
    message = np.repeat(np.arange(customer_count, dtype=np.uint32), np.diff(bounds))
    hashes = np.where(read.scope[:end], rows[:, words.NEGATED], rows[:, words.PLAIN])
    tops = message << SHIFT
    pairs = (tops[1:] | fold(mix(hashes[:-1], hashes[1:])))[~first[1:]]
    asks, exclaims = flags & words.QUESTION != 0, flags & words.EXCLAIM != 0
    keys, questions = form(valence[:end], asks, exclaims, bounds)
    return TextPart([tops | fold(hashes), pairs, *keys], read.english, totals, questions)


def _read(pieces: Pieces, texts: Sequence[str], codes: NDArray[np.int64]) -> _WordRun:
    at, bounds = _look_up(pieces, texts)
    rows = pieces.memo.words().take(at, axis=0)
    signed = rows.view(np.int32)
    first = np.zeros(len(at) + 1, np.bool_)
    first[bounds] = True
    first = first[:-1]
    flags = rows[:, words.FLAGS]
    valence = signed[:, words.VALENCE]
    english = codes == 0
    unsure = codes == UNDECLARED
    if unsure.any():
        english |= language.english(texts, unsure, per_message(signed[:, words.FOREIGN], bounds))
    if not english.all():
        here = np.repeat(english, np.diff(bounds))
        flags = np.where(here, flags, flags & ~np.uint32(words.NEGATOR))
        valence = np.where(here, valence, signed[:, words.ELSEWHERE])
    scope = _scope(flags, first)
    valence = _weighed(valence, signed[:, words.BOOST], scope, first)
    return _WordRun(rows, bounds, first, flags, valence, scope, english)


def _look_up(pieces: Pieces, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the words of all texts in the memo, and the first of each text."""
    rows, bounds = pieces.rows(texts)
    known = pieces.memo.bounds()
    begins = known.take(rows)
    sizes = known.take(rows + 1) - begins
    behind = sums_before(sizes)
    at = np.repeat(begins - behind[:-1], sizes) + np.arange(behind[-1])
    return at, behind[bounds]


def _scope(flags: NDArray[np.uint32], first: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which words follow a negator, before the end of the clause or of the message."""
    negator: NDArray[np.bool_] = flags & words.NEGATOR != 0
    if not negator.any():
        return negator
    # Places times two, plus one for a negator: the running maximum is the last event, its lowest bit says which.
    place = np.arange(0, 2 * len(flags), 2)
    event = np.where((flags & words.CLAUSE_END != 0) | first | negator, place + negator, 0)
    last = np.maximum.accumulate(event)
    scope: NDArray[np.bool_] = (last & 1 != 0) & ~negator & (flags & words.WORD != 0)
    return scope


def _weighed(
    valence: NDArray[np.int32], boost: NDArray[np.int32], scope: NDArray[np.bool_], first: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Valences after the booster before them and the negation around them."""
    weighed = valence.copy()
    weighed[1:] += np.sign(valence[1:]) * boost[:-1] * ~first[1:]
    np.floor_divide(weighed * _TURNED, UNIT, out=weighed, where=scope)
    return weighed
