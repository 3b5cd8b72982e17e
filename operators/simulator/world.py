"""The clock, the chance and the agenda of the simulated shop, and the way out for its events.

Time inside is whole milliseconds since 1970, so nothing depends on rounding.
"""

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import exp
from random import Random
from time import gmtime, strftime
from typing import NamedTuple, TypeVar

from .books import Note
from .params import Scenario, SimulatorParams

T = TypeVar("T")

Data = dict[str, object]
"""An event's data: names to text, number, boolean, list or mapping of them."""


class Made(NamedTuple):
    """A true event as the shop made it."""

    ms: int
    kind: str
    key: str
    data: Data
    note: Note


class World:
    """What every part of the shop shares. `run_next` runs the next thing on the agenda; events come out in `made`."""

    def __init__(self, params: SimulatorParams) -> None:
        self.params = params
        self.rng = Random(params.seed)  # noqa: S311 - a simulation, nothing secret
        self.start = round(params.start * 1000)
        self.now = self.start
        self.made: list[Made] = []
        # Ids of another start or seed must not look like repeats to a csq that has seen this one.
        self._prefix = f"{params.seed}-{self.start // 1000:x}"
        self.source = f"simulator/{self._prefix}"
        self.scenario: Scenario = "normal"
        """What is going on just now."""
        self._on_scenario: list[Callable[[Scenario], None]] = []
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._planned = 0
        self._second = -1
        self._second_text = ""
        self._named = 0

    def after(self, seconds: float, act: Callable[..., None], *given: object) -> None:
        """Put `act` on the agenda, `seconds` from now."""
        self._planned += 1
        heappush(self._agenda, (self.now + int(seconds * 1000), self._planned, act, given))

    @property
    def next_ms(self) -> int:
        """When the next thing happens; no event made from now on is earlier."""
        return self._agenda[0][0]

    def run_next(self) -> None:
        """Let the next thing happen."""
        self.now, _, act, given = heappop(self._agenda)
        act(*given)

    def emit(self, kind: str, key: str, data: Data, note: Note = None, ms: int | None = None) -> None:
        """Let an event out, now or at `ms` (not before now)."""
        self.made.append(Made(self.now if ms is None else ms, kind, key, data, note))

    def new_id(self, what: str) -> str:
        """Return a new name, such as `c1-695b7c00-12` with `what` = `c`."""
        self._named += 1
        return f"{what}{self._prefix}-{self._named}"

    def stamp(self, ms: int) -> str:
        """Write a time as RFC 3339 in UTC with milliseconds; the text of the newest second is kept."""
        second, milli = divmod(ms, 1000)
        if second != self._second:
            self._second = second
            self._second_text = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        return f"{self._second_text}.{milli:03d}Z"

    def elapsed(self) -> float:
        """Seconds since the start."""
        return (self.now - self.start) / 1000

    def on_scenario(self, callback: Callable[[Scenario], None]) -> None:
        """Call `callback` with each scenario that begins, and with `normal` when it ends."""
        self._on_scenario.append(callback)

    def change(self, scenario: Scenario) -> None:
        """Let a scenario begin at once, or with `normal` the present one end."""
        self.scenario = scenario
        for callback in self._on_scenario:
            callback(scenario)

    def chance(self, share: float) -> bool:
        """Be true with this probability."""
        return self.rng.random() < share

    def pick(self, choices: Sequence[T]) -> T:
        """Draw one of them, all alike."""
        return choices[int(self.rng.random() * len(choices))]

    def between(self, low: float, high: float) -> float:
        """Draw a number evenly."""
        return low + (high - low) * self.rng.random()

    def around(self, median: float, spread: float = 0.6) -> float:
        """Draw a positive number, log-normal: half of them below the median, `spread` of the logarithm."""
        return median * exp(spread * self.rng.gauss(0.0, 1.0))
