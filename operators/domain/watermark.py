"""Event time as data: how far the input has come travels through the stages as ticks, in line with the events.

A stage may settle what happened up to a moment once every origin that feeds it has come past that moment. Origins are
the processes that read (for the conversation lanes) and the processes that hold conversation lanes (for the lanes
behind them); a tick says which share it speaks for, of all partitions that are read or of all lanes. Until the whole
has spoken, time has not begun: a stage that has heard of one process out of two does not know what the other still
holds. Origins are heard anew after each start, so a process that is no longer there holds nobody back.

The idea is the watermark of the Dataflow Model (Akidau et al., VLDB 2015). Bytewax has none between steps, and the
clock of its windows runs with wall time: after an outage it takes the whole backlog for late.
"""

from typing import NamedTuple

TURNS = 8
"""Lanes hear the time in so many turns, one after the other: what waits for it is not settled by all of them at once,
while new events wait behind it."""


class Tick(NamedTuple):
    """`origin` has handed on everything up to `time` (POSIX seconds); it speaks for `covers` of `of` parts."""

    origin: str
    time: float
    covers: int
    of: int


class Watermark:
    """The least of what all origins have reached.

    >>> mark = Watermark()
    >>> mark.hear(Tick("p0", 10.0, 1, 2)), mark.reached
    (False, None)
    >>> mark.hear(Tick("p1", 7.0, 1, 2)), mark.reached
    (True, 7.0)
    >>> mark.hear(Tick("p0", 12.0, 1, 2)), mark.reached
    (False, 7.0)
    """

    def __init__(self) -> None:
        self.reached: float | None = None
        self._ticks: dict[str, Tick] = {}

    def hear(self, tick: Tick) -> bool:
        """Take a tick; whether time went on by it. It never goes back."""
        self._ticks[tick.origin] = tick
        if len(self._ticks) > 1 or tick.covers < tick.of:
            if sum(known.covers for known in self._ticks.values()) < tick.of:
                return False
            time = min(known.time for known in self._ticks.values())
        else:
            time = tick.time
        if self.reached is not None and time <= self.reached:
            return False
        self.reached = time
        return True


class LaneTicks:
    """Ticks of the lanes of one process, put together into ticks for `targets`, the lanes of the stage behind them.

    Every lane would else tick to every lane: 64 x 64 items each time. `lanes` is the number of lanes in the whole
    cluster.
    """

    def __init__(self, origin: str, lanes: int, targets: tuple[str, ...]) -> None:
        self.origin = origin
        self._lanes = lanes
        self._targets = targets
        self._turns = min(TURNS, lanes)
        self._turn = 0
        self._times: dict[str, float] = {}
        self._said: Tick | None = None

    def targets(self, ticks: int) -> list[str]:
        """Who hears the last of so many ticks: all where all lanes have come equally far, else those whose turn it is.

        Each tick stands for a turn, however many come at once: no target hears less often than a lane.
        """
        turns, first = self._turns, self._turn
        if ticks >= turns or len(set(self._times.values())) == 1:
            return list(self._targets)
        self._turn = (first + ticks) % turns
        return [target for turn in range(first, first + ticks) for target in self._targets[turn % turns :: turns]]

    def hear(self, lane: str, time: float) -> Tick | None:
        """The tick to hand on, if this lane's time moved the least of them (or is the first we hear of the lane)."""
        is_new = lane not in self._times
        self._times[lane] = time
        if self._said is not None and not is_new and time <= self._said.time:
            return None
        tick = Tick(self.origin, min(self._times.values()), len(self._times), self._lanes)
        if tick == self._said:
            return None
        self._said = tick
        return tick
