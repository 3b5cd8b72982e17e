"""Readings: the numbers that replace the text of a message."""

from typing import Any, NamedTuple

from msgspec import Struct

from operators.domain.models.vectors import Vectors


class Reading(Struct, frozen=True, gc=False):
    """The reading of one message.

    `features` are int32 indices into the hashed space, as bytes; `tone` is the lexicon's, -1..1. `probabilities`
    (negative, neutral, positive) exist for a customer's messages only: the score of `model` after `version` examples.
    """

    language: str
    features: bytes
    tone: float
    question: bool
    model: str | None = None
    probabilities: tuple[float, float, float] | None = None
    version: int = 0


class Vectored(NamedTuple):
    """The events of a lane ((time, name, event)) with the vectors of their public messages, not yet scored."""

    events: list[tuple[float, str, Any]]
    said: list[int]
    """Indices in `events` of the customers' messages."""
    vectors: Vectors
    """Of all lanes of a batch: to cut them would cost more than to make them."""
    first: int
    """Index of this lane's first vector; it has `len(said)` of them."""
    replied: list[int]
    """Indices in `events` of the agents' messages."""
    tones: list[float]
    """The tone of each agent message, -1..1."""


Turn = tuple[float, str, Any, Reading | None]
"""Event time (POSIX seconds), ``"source id"``, event, and its reading. A tuple: one is made per event."""
