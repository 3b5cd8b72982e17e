"""Whether NLTK's Snowball stems would serve sentiment better than words: ``python -m bench.stems DATA_DIR``.

The model learns from English tweets in order of time, each message scored before its label is learned. Stemming was
judged on the fourth fifth, where the features were chosen, and on the third; the last fifth is not read. `won` and
`lost` are messages of that part that only the variant, or only the words, classified correctly.
"""

import re
import sys
from functools import cache
from pathlib import Path

import numpy as np
from nltk.stem.snowball import EnglishStemmer

from bench.sentiment import judge, prequential, tweets
from operators.domain.models.sentiment import CLASSES
from operators.domain.models.vectors import RESERVED, Vector, Vectors
from operators.domain.text.clean import clean_many
from operators.domain.text.lexicon import BOOSTERS, NEGATORS
from operators.domain.text.vectorize import VectorizeParams, Vectorizer

_WORD = re.compile(r"(?<![\w@#<'])[A-Za-z]{3,}(?![\w'>])")
_KEPT = frozenset(BOOSTERS) | NEGATORS
"""Words whose form has a meaning to the vectorizer."""


@cache
def stem(word: str) -> str:
    """The stem of a word in lower case, or the word where the vectorizer knows it by its form.

    >>> stem("delays"), stem("Cancelled"), stem("very")
    ('delay', 'cancel', 'very')
    """
    low = word.lower()
    return low if low in _KEPT else str(EnglishStemmer().stem(low))


def stemmed(text: str) -> str:
    """The text with each plain English word replaced by its stem; names, numbers and signs stay.

    >>> stemmed("@united my flights were delayed, I'm not pleased!")
    "@united my flight were delay, I'm not pleas!"
    """
    return _WORD.sub(lambda match: stem(match[0]), text)


def features_of(words: Vector, stems: Vector, *, keep_words: bool) -> Vector:
    """The form and tone of `words` with the hashed features of `stems`, beside those of `words` or in their place."""
    read, added = words.indices(), stems.indices()
    kept = read if keep_words else read[read < RESERVED]
    return words._replace(features=np.union1d(kept, added[added >= RESERVED]).astype("<i4").tobytes())


def variants(texts: list[str]) -> dict[str, list[Vector]]:
    """The vectors of each variant."""
    vectorizer, languages = Vectorizer(VectorizeParams()), ["en"] * len(texts)
    words = vectorizer.vectorize_many(texts, languages).tolist()
    stems = vectorizer.vectorize_many([stemmed(text) for text in texts], languages).tolist()

    def each(*, keep_words: bool) -> list[Vector]:
        return [features_of(*pair, keep_words=keep_words) for pair in zip(words, stems, strict=True)]

    return {"words": words, "stems": each(keep_words=False), "words and stems": each(keep_words=True)}


def main(folder: Path) -> None:
    """Print the figures of each variant."""
    texts, labels, _ = tweets(folder)
    fifth = len(labels) // 5
    texts, labels = clean_many(texts[:-fifth]), labels[:-fifth]
    truth = np.array([CLASSES.index(label) for label in labels])
    begin = len(labels) - 2 * fifth
    parts = {"third fifth": slice(begin, begin + fifth), "fourth fifth": slice(begin + fifth, None)}
    by_words = None
    for name, vectors in variants(texts).items():
        scored = prequential(Vectors.of(vectors), labels)
        right = scored.argmax(axis=1) == truth
        by_words = right if by_words is None else by_words
        for part, chosen in parts.items():
            accuracy, macro_f1, loss = judge(scored[chosen], labels[chosen])
            won, lost = np.sum((right & ~by_words)[chosen]), np.sum((by_words & ~right)[chosen])
            figures = f"accuracy {accuracy:.3f}  macro-F1 {macro_f1:.3f}  log loss {loss:.3f}"
            print(f"{name:16} {part:13} {figures}  won {won:3}  lost {lost:3}")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and the folder
        sys.exit("usage: python -m bench.stems DATA_DIR: the folder with the public data sets")
    main(Path(sys.argv[1]))
