"""Survey scores: scales, labels, and their polarity."""

from math import floor

SCALES = {"csat": (1, 5), "nps": (0, 10), "ces": (1, 7), "review": (1, 5), "suggestion": (1, 5)}
"""Kind of survey -> the scale (lowest, highest) on which it is counted."""
SATISFACTION_KINDS = frozenset({"csat", "review", "nps"})
"""Kinds that measure satisfaction; an effort score does not."""
SENTIMENT_KINDS = frozenset({"csat", "review"})
"""Kinds that serve as weak labels of the last messages."""


def share_of(score: float, scale_min: float, scale_max: float) -> float:
    """Return a score as a share of its scale, 0..1.

    >>> share_of(4, 1, 5)
    0.75
    """
    return (score - scale_min) / (scale_max - scale_min)


def label_of(kind: str, share: float) -> str:
    """Return the score on the scale of its kind, rounded half up, as a label value.

    >>> label_of("csat", 0.75), label_of("nps", 0.94), label_of("ces", 0.0)
    ('4', '9', '1')
    """
    low, high = SCALES[kind]
    return str(floor(low + share * (high - low) + 0.5))


def mood_of(share: float) -> str:
    """Return the mood of a rating: negative below 2/5 of the scale, neutral below 3/5, else positive.

    >>> mood_of(0.25), mood_of(0.5), mood_of(1.0)
    ('negative', 'neutral', 'positive')
    """
    return "negative" if share < 0.4 else "neutral" if share < 0.6 else "positive"  # noqa: PLR2004  fifths
