"""Epochs and rests: the inputs of a process end their epochs together, and rest together.

Bytewax ends the epoch of each input separately, at the first look at the input after the interval, and counts the next
interval from that look. An input in the next epoch hands on nothing until all other inputs are there too: if one is
late, all others wait. The delays add up: after some hours the flow would only wait for the input that is looked at
least often.

So the process rests from shortly before the end of the first epoch until the end of the last one, and then all end. A
process does not know when the other processes end their epochs, but it measures how long it stood still: a process that
ended early stood still for longer, and makes its next epoch longer by a share of that time.

Bytewax compares `next_awake` of an input with the wall clock. A moment in the future is reached late, by the length of
the step, when that clock is set back, and the flow stands still until then. So every input returns `ALWAYS_DUE`, and
one input of the process rests for all: Kafka's reader, or the heartbeat where no partition is read here. It rests by
monotonic time, once per round of looks, and only when the graph has nothing left to do: an item needs a round for each
step that it passes.

The ends of epochs stay wall times, as in Bytewax: after a step back all inputs end their epoch late by the same time.
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
ALWAYS_DUE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""`next_awake` of all inputs. Not `None`: after an empty batch Bytewax replaces it by a moment in the future."""
QUIET_ROUNDS: Final = 10
"""Rounds without work after which the graph has nothing left to do: more than there are steps between two stages."""


def wall_time() -> float:
    """POSIX seconds of the clock that Bytewax measures epochs with."""
    return clock_gettime(CLOCK_REALTIME)


class Epochs:
    """When the inputs of one process, each with a name, end their epochs and rest.

    Args:
        seconds: Bytewax's epoch interval.
        processes: number of processes.
        clock: POSIX seconds.
        work: a number that changes whenever a stage works.

    >>> at = [100.0]
    >>> epochs = Epochs(30.0, clock=lambda: at[0])
    >>> epochs.begin("kafka")
    >>> at[0] = 100.25
    >>> epochs.begin("pulse")
    >>> for _ in range(20): epochs.looked("kafka")
    >>> epochs.rest_seconds(0.005), epochs.rest_seconds(0.005)
    (0.005, 0.0)
    >>> at[0] = 129.995
    >>> epochs.looked("kafka")
    >>> round(epochs.rest_seconds(0.005), 3)
    0.256
    """

    def __init__(
        self,
        seconds: float,
        processes: int = 1,
        clock: Callable[[], float] = wall_time,
        work: Callable[[], int] = lambda: 0,
    ) -> None:
        self.rests_elsewhere = False
        """Whether Kafka's reader rests for this process, and the heartbeat does not."""
        self._seconds = seconds if seconds >= MIN_EPOCH_SECONDS else math.inf
        self._share = SHARE if processes > 1 else 0.0
        self._clock = clock
        self._work = work
        self._ends: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._stood: dict[str, float] = {}
        self._looked: set[str] = set()
        self._round = 0
        self._rested = 0
        self._worked = 0
        self._quiet_from = QUIET_ROUNDS

    def begin(self, name: str) -> None:
        """An input begins its first epoch."""
        self._ends[name] = self._clock() + self._seconds

    def ended(self, name: str) -> None:
        """An input has ended its epoch, and begins the next."""
        self.begin(name)
        self._ended[name] = self._clock()

    def left(self, name: str) -> None:
        """An input has ended."""
        self._ends.pop(name, None)

    def looked(self, name: str) -> None:
        """An input is asked for a batch; the first time in an epoch is when the last epoch was over for all inputs."""
        if name in self._looked:
            self._round += 1
            self._looked.clear()
        self._looked.add(name)
        since = self._ended.pop(name, None)
        if since is not None:
            self._stood[name] = self._clock() - since

    def handed_on(self) -> None:
        """An input hands something on: the process does not rest before the graph is done with it."""
        self._quiet_from = self._round + QUIET_ROUNDS

    def is_over(self, name: str) -> bool:
        """Whether a look at an input now ends its epoch; for inputs without state, whose `snapshot` is not called."""
        return self._clock() >= self._ends[name]

    def rest_seconds(self, wanted: float) -> float:
        """How long the process rests now, if its inputs have nothing to do for `wanted` seconds.

        Shortly before epochs end it is until they do; else 0 while the graph works, and for the rest of a round.
        """
        if (worked := self._work()) != self._worked:
            self._worked = worked
            self._quiet_from = self._round + QUIET_ROUNDS
        if self._rested == self._round:
            return 0.0
        wanted = wanted if self._round >= self._quiet_from else 0.0
        now = self._clock()
        first = min(self._ends.values(), default=math.inf)
        if now + wanted >= first - LOOK_SECONDS:
            wanted = max(self._last_end(first) - now, wanted)
        if wanted > 0:
            self._rested = self._round
        return wanted

    def _last_end(self, first: float) -> float:
        """When the last input ends the epoch that the first one ends at `first`."""
        # Some inputs are not asked at once when the last epoch is over for all: the shortest time is the true one.
        more = min(self._share * min(self._stood.values(), default=0.0), MAX_EXTENSION_SECONDS)
        # An input whose epoch ends half an epoch later is in the next epoch already.
        return max(end for end in self._ends.values() if end <= first + self._seconds / 2) + more + MARGIN_SECONDS
