"""Lexicon: how good or bad English words, emoticons and emoji sound, before any label has been seen.

Valences are those of VADER (Hutto and Gilbert, 2014), -4 to 4, read as data from the `vaderSentiment` package; the
rules around them (negation, boosters, capitals, `tones`) are VADER's, simplified. The Chinese words are in
`features_zh.py`.
"""

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from vaderSentiment.vaderSentiment import BOOSTER_DICT, NEGATE

MATTERS = frozenset(
    {
        "sorry",
        "apologies",
        "apologize",
        "apologise",
        "apology",
        "unfortunately",
        "problem",
        "problems",
        "issue",
        "issues",
        "trouble",
        "troubles",
        "inconvenience",
        "inconveniences",
        "delay",
        "delays",
        "delayed",
        "lost",
        "missing",
        "wrong",
        "broken",
        "damaged",
        "defective",
        "fault",
        "error",
        "complaint",
        "complaints",
        "refund",
        "cancel",
        "cancelled",
        "canceled",
        "wait",
        "waiting",
        "worry",
        "worries",
        "worried",
        "frustrating",
        "frustration",
        "upset",
    }
)
"""Faults in a shop, and regret about them: words about the topic, not about the mood."""
NEGATORS = frozenset(word.replace("'", "") for word in NEGATE) | {
    "no",
    "cannot",
    "without",
    "unable",
}
"""Words that turn what follows; without apostrophes."""
BOOSTERS: dict[str, float] = {word: value for word, value in BOOSTER_DICT.items() if " " not in word}
"""Words that strengthen (0.293) or weaken (-0.293) the next one."""
NEGATED = -0.74
"""A negated valence is multiplied by this (VADER's N_SCALAR)."""
CAPITALS = 0.733
"""What capitals add to the size of a valence (VADER's C_INCR)."""
NORMAL = 15.0
"""VADER's alpha: the sum of squares at which a tone is about 0.7."""
_EMOJI_OURS = {
    "😡": -2.5,
    "🤬": -3.0,
    "😤": -1.5,
    "😒": -1.5,
    "😔": -1.2,
    "😑": -0.8,
    "🙄": -1.5,
    "👎": -2.0,
    "👍": 2.0,
}
_EMOJI_OURS |= {
    "👏": 2.0,
    "🙏": 1.0,
    "💩": -1.5,
    "😷": -0.5,
    "🙌": 2.0,
    "😉": 1.0,
    "💯": 1.5,
    "🔥": 1.0,
    "💔": -2.5,
}


def tones(totals: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of valences, in thousandths, brought to -1..1 as VADER's compound score.

    >>> tones(np.array([3_000, 0])).round(3).tolist()
    [0.612, 0.0]
    """
    sums = totals / 1_000
    compound: NDArray[np.float64] = sums / np.sqrt(sums * sums + NORMAL)
    return compound


@cache
def words() -> dict[str, float]:
    """Valences of words and emoticons.

    >>> words()["great"], words()["awful"], words()[":("]
    (3.1, -2.0, -1.9)
    """
    table = {}
    for line in _lines("vader_lexicon.txt"):
        word, valence, *_ = line.split("\t")
        table[word] = float(valence)
    return table


@cache
def emoji() -> dict[str, float]:
    """Valences of single emoji: the sum over the words of their names, at most 3 to either side; some are our own.

    >>> emoji()["😡"] < 0 < emoji()["😍"]
    True
    """
    table = {}
    valences = words()
    for line in _lines("emoji_utf8_lexicon.txt"):
        sign, name = line.split("\t")
        if len(sign) == 1:
            table[sign] = max(-3.0, min(3.0, sum(valences.get(word, 0.0) for word in name.split())))
    return table | _EMOJI_OURS


def _lines(name: str) -> list[str]:
    return [line for line in files("vaderSentiment").joinpath(name).read_text("utf-8").splitlines() if "\t" in line]
