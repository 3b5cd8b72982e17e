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


class Turns:
    """Lanes that hear the time in turns, over and over: not all of them settle at once, while new events wait behind.

    >>> turns = Turns(("0", "1", "2"), 2)
    >>> turns.next(1), turns.next(1), turns.next(2)
    (['0', '2'], ['1'], ['0', '1', '2'])
    """

    def __init__(self, names: tuple[str, ...], lanes: int) -> None:
        """`lanes` that tell the time, or hear it: there are no more turns than lanes or names."""
        self.count = min(TURNS, lanes, len(names))
        self._names = names
        self._turn = 0

    def next(self, turns: int) -> list[str]:
        """The names whose turns come next; at most all of them, once."""
        if turns >= self.count:
            return list(self._names)
        numbers = [(self._turn + n) % self.count for n in range(turns)]
        self._turn = (self._turn + turns) % self.count
        return [name for number in numbers for name in self._names[number :: self.count]]


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
        self._turns = Turns(targets, lanes)
        self._times: dict[str, float] = {}
        self._said: Tick | None = None

    def targets(self, ticks: int) -> list[str]:
        """Who hears the last of so many ticks: all where all lanes have come equally far, else those whose turn it is.

        Each tick stands for a turn, however many come at once: no target hears less often than a lane.
        """
        level = len(set(self._times.values())) == 1
        return self._turns.next(self._turns.count if level else ticks)

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
