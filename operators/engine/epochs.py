"""Epochs: the inputs of all processes end their epochs together.

Bytewax ends an epoch for each input by itself, at the first look at it after the interval, and counts the next interval
from that look. An input that has gone into the next epoch hands on nothing until all others have: what one is late by,
all others wait. And it adds up: a second input that is looked at four times a second is an eighth of a second later
with each epoch, and after some hours the flow would do nothing else than wait for it.

So no input is looked at between the end of its own epoch and the end of the last of this process, and all are looked at
then. Among processes none knows when the others end, but each sees how long it stood still: those that ended early
stood still for longer, and make their next epoch longer by a share of it.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from time import CLOCK_REALTIME, clock_gettime
from typing import Final

SHARE: Final = 0.25
"""Of the time a process stood still: what lies between processes shrinks by so much with each epoch."""
SOON_SECONDS: Final = 0.01
"""The look that ended an epoch began up to so long before we hear of it."""
SURE_SECONDS: Final = 0.001
"""So much later an epoch is surely over, however times were rounded."""
LONGEST_SECONDS: Final = 0.5
"""The most that an epoch is made longer by: what stood still longer waited for something else, brokers perhaps."""
LEAST_SECONDS: Final = 0.1
"""Below it epochs are left to themselves: there is nothing to wait for, in tests."""


def wall() -> float:
    """POSIX seconds of the clock that Bytewax goes by."""
    return clock_gettime(CLOCK_REALTIME)


class Epochs:
    """When the inputs of one process, each by its name, end their epochs.

    Args:
        seconds: Bytewax's epoch interval.
        processes: how many there are.
        clock: POSIX seconds.

    >>> at = [100.0]
    >>> epochs = Epochs(30.0, clock=lambda: at[0])
    >>> epochs.begin("kafka")
    >>> at[0] = 100.2
    >>> epochs.begin("pulse")
    >>> [epochs.awake("kafka", datetime.fromtimestamp(wanted, UTC)).timestamp() for wanted in (129.9, 130.0, 131.0)]
    [129.9, 130.201, 130.201]
    """

    def __init__(self, seconds: float, processes: int = 1, clock: Callable[[], float] = wall) -> None:
        self._seconds = seconds if seconds >= LEAST_SECONDS else math.inf
        self._share = SHARE if processes > 1 else 0.0
        self._clock = clock
        self._ends: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._stood: dict[str, float] = {}

    def begin(self, name: str) -> None:
        """An input begins its first epoch."""
        self._ends[name] = self._clock() + self._seconds

    def ended(self, name: str) -> None:
        """An input has ended its epoch, and begins the next."""
        self.begin(name)
        self._ended[name] = self._clock()

    def looked(self, name: str) -> None:
        """An input is asked for what it has; the first time in an epoch is when the one before it was over for all."""
        since = self._ended.pop(name, None)
        if since is not None:
            self._stood[name] = self._clock() - since

    def is_over(self, name: str) -> bool:
        """Whether a look at an input now ends its epoch; for those that Bytewax does not tell."""
        return self._clock() >= self._ends[name]

    def awake(self, name: str, wanted: datetime | None) -> datetime | None:
        """When to look at an input that wants to be looked at `wanted`, which may be `None`, for at once."""
        # Some inputs are not asked at once when the epoch before is over for all: the least is how long it took.
        more = min(self._share * min(self._stood.values(), default=0.0), LONGEST_SECONDS)
        own = self._ends[name]
        # What ends half an epoch later is in the next one already.
        end = max(end for end in self._ends.values() if end <= own + self._seconds / 2) + more + SURE_SECONDS
        now = self._clock()
        at = now if wanted is None else wanted.timestamp()
        if now >= end or at < own - SOON_SECONDS:
            return wanted
        return datetime.fromtimestamp(end, UTC)
