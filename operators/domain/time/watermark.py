"""Watermarks: the progress of event time, as ticks that travel through the stages in line with the events.

A stage may settle what happened up to a moment once every origin that feeds it has passed that moment. Origins are the
processes that read (for the lanes of conversations) and the processes that hold lanes of conversations (for the lanes
behind them). A tick states which share it covers, of all partitions that are read or of all lanes. Before the shares
are complete there is no watermark: what a silent process still holds is not known. Origins are collected anew after
each start, so that a process that has left the cluster does not hold the watermark back.

This is the watermark of the Dataflow Model (Akidau et al., VLDB 2015). Bytewax has none between steps, and the clock of
its windows runs with wall time: after an outage it treats the whole backlog as late.
"""

from typing import NamedTuple

GROUPS = 8


class LaneGroups:
    """Names that get their ticks in turns, so that not all lanes settle at once while new events wait.

    >>> turns = LaneGroups(("0", "1", "2"), 2)
    >>> turns.next(1), turns.next(1), turns.next(2)
    (['0', '2'], ['1'], ['0', '1', '2'])
    """

    def __init__(self, names: tuple[str, ...], lanes: int) -> None:
        """Distribute `names` over `GROUPS` turns, or over as many as there are `lanes` or names."""
        self.count = min(GROUPS, lanes, len(names))
        self._names = names
        self._turn = 0

    def next(self, turns: int) -> list[str]:
        """Return the names of the next `turns` turns; no name twice."""
        if turns >= self.count:
            return list(self._names)
        numbers = [(self._turn + n) % self.count for n in range(turns)]
        self._turn = (self._turn + turns) % self.count
        return [name for number in numbers for name in self._names[number :: self.count]]


class Tick(NamedTuple):
    """`origin` has handed on everything up to `time` (POSIX seconds); it covers `covers` of `of` parts."""

    origin: str
    time: float
    covers: int
    of: int


class Watermark:
    """The least time that all origins have reached.

    >>> mark = Watermark()
    >>> mark.observe(Tick("p0", 10.0, 1, 2)), mark.reached
    (False, None)
    >>> mark.observe(Tick("p1", 7.0, 1, 2)), mark.reached
    (True, 7.0)
    >>> mark.observe(Tick("p0", 12.0, 1, 2)), mark.reached
    (False, 7.0)
    """

    def __init__(self) -> None:
        self.reached: float | None = None
        self._ticks: dict[str, Tick] = {}

    def observe(self, tick: Tick) -> bool:
        """Take a tick; return whether it moved the watermark, which never goes back."""
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
    """Merges the ticks of the lanes of one process into ticks for `targets`, the lanes of the stage behind them.

    Without it every lane ticks to every lane: 64 x 64 items each time.

    Args:
        origin: name of this process.
        lanes: number of lanes in the whole cluster.
        targets: names of the lanes that get the ticks.
    """

    def __init__(self, origin: str, lanes: int, targets: tuple[str, ...]) -> None:
        self.origin = origin
        self._lanes = lanes
        self._turns = LaneGroups(targets, lanes)
        self._times: dict[str, float] = {}
        self._last: Tick | None = None

    def targets(self, ticks: int) -> list[str]:
        """Return the targets of the last of so many ticks: all if all lanes have reached the same time, else turns.

        Each tick stands for a turn, however many come at once: no target gets fewer ticks than a lane.
        """
        level = len(set(self._times.values())) == 1
        return self._turns.next(self._turns.count if level else ticks)

    def observe(self, lane: str, time: float) -> Tick | None:
        """Take the time of a lane; return the tick to hand on, if it moved the least time or is the lane's first."""
        is_new = lane not in self._times
        self._times[lane] = time
        if self._last is not None and not is_new and time <= self._last.time:
            return None
        tick = Tick(self.origin, min(self._times.values()), len(self._times), self._lanes)
        if tick == self._last:
            return None
        self._last = tick
        return tick
