"""What was read in a message: all that is left of its text."""

from typing import Any, NamedTuple


class Reading(NamedTuple):
    """`features` are int32 indices into the hashed space, as bytes; `tone` is the lexicon's, -1..1.

    `probabilities` (negative, neutral, positive) are there for the customer's own words only, scored by `model`.
    """

    language: str
    features: bytes
    tone: float
    question: bool
    model: str | None = None
    probabilities: tuple[float, float, float] | None = None


Turn = tuple[float, str, Any, Reading | None]
"""Event time (POSIX seconds), ``"source id"``, event, and what was read in it."""
