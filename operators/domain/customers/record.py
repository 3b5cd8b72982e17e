"""The record of one customer: fading sums, running means, and the numbers a churn score is made from."""

import math
from typing import Any

from msgspec import Raw, Struct

from operators.domain.stage.facts import Resolver

DAY = 86_400.0
SUMS = (
    "missed",
    "questions",
    "conversations",
    "resolved",
    "unresolved",
    "complaints",
    "severity",
    "browsed",
    "empty_searches",
    "orders",
    "cancellations",
    "refunds",
)
(
    MISSED,
    QUESTIONS,
    CONVERSATIONS,
    RESOLVED,
    UNRESOLVED,
    COMPLAINTS,
    SEVERITY,
    BROWSED,
    EMPTY_SEARCHES,
    ORDERS,
    CANCELLATIONS,
    REFUNDS,
) = range(len(SUMS))
FADE_EVERY = 3600.0
LONG_AGO_DAYS = 365.0


Score = tuple[float, float, tuple[tuple[float, ...], tuple[str, ...]]]
"""Time of a score, the score as published, and its inputs (numbers, categories)."""


class ContactTime(Struct, array_like=True):
    """The first field of a stored contact."""

    time: float


class Contact(Struct, array_like=True, frozen=True, gc=False):
    """A resolution in whose window the customer may come back."""

    time: float
    queue: str
    by: Resolver
    is_first: bool
    is_solved: bool


class CustomerRecord(Struct, array_like=True, gc=False):
    """The record of a customer. Times are POSIX seconds.

    `sums` fade together with the half-life; they are recalculated at most every `FADE_EVERY` seconds.
    """

    last_at: float
    sums: list[float]
    faded_at: float
    segment: str = "other"
    at_risk: bool = False
    contacts: dict[str, Contact] = {}
    """Resolved conversations whose contact window is open -> (time of the resolution, queue)."""
    pending: Score | None = None
    """The first score since the last label, where labels come from orders."""
    reply: float | None = None
    """Running mean of log(1 + reply seconds)."""
    mood: float | None = None
    rating: float | None = None
    """Running mean of ratings as a share of their scale."""
    ordered_at: float | None = None
    attributes: dict[str, Any] = {}
    published: float | None = None
    """The churn probability published last."""
    scored_at: float | None = None
    """Time of the newest score. Its inputs are not kept: no fact changes the record between a score and a label."""

    def fade(self, time: float, half_life_seconds: float) -> None:
        """Fade the sums up to `time`."""
        factor = 0.5 ** ((time - self.faded_at) / half_life_seconds)
        self.sums = [value * factor for value in self.sums]
        self.faded_at = time

    def numbers(self, time: float) -> tuple[float, ...]:
        """Return the inputs of a churn score in the order of ``churn.INPUTS``; an unknown one has its neutral value.

        >>> from operators.domain.models.churn import INPUTS
        >>> len(CustomerRecord(0.0, [0.0] * len(SUMS), 0.0).numbers(0.0)) == len(INPUTS)
        True
        """
        sums = self.sums
        ended = sums[RESOLVED] + sums[UNRESOLVED]
        since = None if self.ordered_at is None else max(time - self.ordered_at, 0.0) / DAY
        return (
            self.reply if self.reply is not None else 0.0,
            sums[MISSED],
            self.mood if self.mood is not None else 0.0,
            self.rating if self.rating is not None else 0.5,
            0.0 if self.rating is None else 1.0,
            sums[QUESTIONS],
            sums[CONVERSATIONS],
            sums[UNRESOLVED] / ended if ended > 0 else 0.0,
            sums[COMPLAINTS],
            sums[SEVERITY],
            sums[BROWSED],
            sums[EMPTY_SEARCHES],
            sums[ORDERS],
            math.log1p(LONG_AGO_DAYS if since is None else since),
            1.0 if since is None else 0.0,
            sums[CANCELLATIONS],
            sums[REFUNDS],
        )


class CustomerTimes(Struct, array_like=True):
    """The first fields of a stored record: enough for its timers and for the number of customers at risk."""

    last_at: float
    sums: Raw
    faded_at: Raw
    segment: str
    at_risk: bool
    contacts: dict[str, ContactTime]
    pending: tuple[float, Raw, Raw] | None


def packed(record: CustomerRecord) -> CustomerRecord:
    """Write the zeros of a record as integers, a byte instead of nine each; they are decoded as floats."""
    record.sums = [value or 0 for value in record.sums]
    if record.pending is not None:
        time, p, (numbers, categories) = record.pending
        record.pending = time, p, (tuple(value or 0 for value in numbers), categories)
    return record


def smoothed(mean: float | None, value: float, weight: float) -> float:
    """Return a running mean after another value, which counts with `weight`.

    >>> smoothed(None, 4.0, 0.3), smoothed(4.0, 8.0, 0.25)
    (4.0, 5.0)
    """
    return value if mean is None else mean + weight * (value - mean)
