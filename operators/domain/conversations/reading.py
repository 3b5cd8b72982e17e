"""What was read in a message: all that is left of its text."""

from typing import Any, NamedTuple

from msgspec import Struct

from operators.domain.models.vectors import Vectors


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


class Vectored(NamedTuple):
    """A lane's events ((time, name, event)), and what was read in the public messages among them; not yet scored."""

    events: list[tuple[float, str, Any]]
    said: list[int]
    """Places in `events` of what customers said."""
    vectors: Vectors
    """Those of all lanes that were read at once: cutting them would cost more than making them."""
    first: int
    """Of `vectors` this lane has `len(said)`, from here on."""
    replied: list[int]
    """Places in `events` of what agents said."""
    tones: list[float]
    """One for each of these."""


Turn = tuple[float, str, Any, Reading | None]
"""Event time (POSIX seconds), ``"source id"``, event, and what was read in it."""
