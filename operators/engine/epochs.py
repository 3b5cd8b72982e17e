"""Epochs: the inputs of all processes end their epochs together.

Bytewax ends the epoch of each input separately, at the first look at the input after the interval, and counts the next
interval from that look. An input in the next epoch hands on nothing until all other inputs are there too: if one is
late, all others wait. The delays add up: an input that is looked at four times a second ends each epoch an eighth of a
second later on average, and after some hours the flow would only wait for it.

So no input is looked at between the end of its own epoch and the end of the last epoch of this process, and then all
are. A process does not know when the other processes end their epochs, but it measures how long it stood still: a
process that ended early stood still for longer, and makes its next epoch longer by a share of that time.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from time import CLOCK_REALTIME, clock_gettime
from typing import Final

SHARE: Final = 0.25
"""Share of the time a process was stopped by which its next epoch is longer; the difference shrinks by it each time."""
LOOK_SECONDS: Final = 0.01
"""A look may have begun this long before its input is asked."""
MARGIN_SECONDS: Final = 0.001
"""Added to the end of an epoch against rounding."""
MAX_EXTENSION_SECONDS: Final = 0.5
"""Upper bound of an extension: a process that was stopped for longer waited for something else, such as brokers."""
MIN_EPOCH_SECONDS: Final = 0.1
"""Shorter epochs, as in tests, are not aligned."""


def wall_time() -> float:
    """POSIX seconds of the clock that Bytewax compares `next_awake` with."""
    return clock_gettime(CLOCK_REALTIME)


class Epochs:
    """When the inputs of one process, each with a name, end their epochs.

    Args:
        seconds: Bytewax's epoch interval.
        processes: number of processes.
        clock: POSIX seconds.

    >>> at = [100.0]
    >>> epochs = Epochs(30.0, clock=lambda: at[0])
    >>> epochs.begin("kafka")
    >>> at[0] = 100.2
    >>> epochs.begin("pulse")
    >>> [epochs.awake("kafka", rest).timestamp() for rest in (29.75, 29.8, 31.0)]
    [129.95, 130.201, 130.201]
    """

    def __init__(self, seconds: float, processes: int = 1, clock: Callable[[], float] = wall_time) -> None:
        self._seconds = seconds if seconds >= MIN_EPOCH_SECONDS else math.inf
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
        """An input is asked for a batch; the first time in an epoch is when the last epoch was over for all inputs."""
        since = self._ended.pop(name, None)
        if since is not None:
            self._stood[name] = self._clock() - since

    def is_over(self, name: str) -> bool:
        """Whether a look at an input now ends its epoch; for inputs without state, whose `snapshot` is not called."""
        return self._clock() >= self._ends[name]

    def awake(self, name: str, rest_seconds: float) -> datetime | None:
        """When Bytewax shall look at an input that has nothing to do for `rest_seconds`; `None` is at once."""
        # Some inputs are not asked at once when the last epoch is over for all: the shortest time is the true one.
        more = min(self._share * min(self._stood.values(), default=0.0), MAX_EXTENSION_SECONDS)
        own = self._ends[name]
        # An input whose epoch ends half an epoch later is in the next epoch already.
        end = max(end for end in self._ends.values() if end <= own + self._seconds / 2) + more + MARGIN_SECONDS
        now = self._clock()
        wanted = now + rest_seconds
        if now < end and wanted >= own - LOOK_SECONDS:
            return datetime.fromtimestamp(end, UTC)
        return datetime.fromtimestamp(wanted, UTC) if rest_seconds > 0 else None
