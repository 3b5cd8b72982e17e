"""What was read in a message: all that is left of its text."""

from typing import Any

from msgspec import Struct


class Reading(Struct, frozen=True, gc=False):
    """`features` are int32 indices into the hashed space, as bytes; `tone` is the lexicon's, -1..1.

    `probabilities` (negative, neutral, positive) are there for the customer's own words only, scored by `model`
    when it had learned from `version` examples.
    """

    language: str
    features: bytes
    tone: float
    question: bool
    model: str | None = None
    probabilities: tuple[float, float, float] | None = None
    version: int = 0


Turn = tuple[float, str, Any, Reading | None]
"""Event time (POSIX seconds), ``"source id"``, event, and what was read in it."""
