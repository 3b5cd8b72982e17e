"""The contract of lane stages, in plain Python; ``operators/engine/lanes.py`` adapts them to Bytewax.

A stage holds the records of one lane. Things *arrive* in any order; facts that must be taken in the order of event time
are given to `held` by `arrive` and handed to `settle`, sorted, once time has come past them (``watermark.py``); then
`advance` says how far time has come. So no stage need know about disorder, batches or clocks.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from itertools import compress, count, islice
from operator import eq, itemgetter
from typing import Any

from msgspec import Raw, Struct, msgpack

from operators.domain.wire.outgoing import Outgoing

Measurement = tuple[str, tuple[str, ...], Any]
"""Name in the catalogue of metrics, label values, value: what ``operators/metrics/observe.py`` takes."""

Port = tuple[str, Any]
"""Where something goes (`events`, `measured`, `published`, `customers`, `queues`, `examples`), and what."""

Fact = tuple[Any, ...]
"""``(event time, name of the causing event, ...)``: flat and plain, for it is pickled on its way to another process."""


_TIME, _NAME = itemgetter(0), itemgetter(1)


def take_due(held: list[Fact], until: float) -> list[Fact]:
    """Take out of `held` what happened up to and including `until`, in the order of (event time, name).

    Facts of one event stay in the order in which they came.

    >>> held = [(3.0, "e3"), (2.0, "e2", "b"), (2.0, "e2", "a"), (2.0, "e1")]
    >>> take_due(held, 2.5), held
    ([(2.0, 'e1'), (2.0, 'e2', 'b'), (2.0, 'e2', 'a')], [(3.0, 'e3')])
    """
    due = [fact for fact in held if fact[0] <= until]
    if len(due) == len(held):
        held.clear()
    elif due:
        held[:] = [fact for fact in held if fact[0] > until]
    # Few happen at the same moment: sorting by (time, name) at once would make, and compare, a pair for every fact.
    due.sort(key=_TIME)
    times = list(map(_TIME, due))
    done = 0
    for first in compress(count(), map(eq, times, islice(times, 1, None))):
        if first >= done:
            done = first + 2
            while done < len(times) and times[done] == times[first]:
                done += 1
            due[first:done] = sorted(due[first:done], key=_NAME)
    return due


class StateVersionError(Exception):
    """A snapshot was written by a release whose state this one cannot read."""


class Stage(ABC):
    """One lane's share of a stateful stage."""

    def arrive(self, items: Iterable[Any], now: float, held: list[Fact]) -> None:
        """Take what came, as it came; `now` is the wall clock. What needs the order of time is added to `held`."""
        held.extend(items)

    def settle(self, facts: Iterable[Fact]) -> None:  # noqa: B027  a stage may need no order at all
        """Take facts in the order of (event time, name)."""

    @abstractmethod
    def advance(self, now: float) -> None:
        """Event time has come to `now` and never goes back: timers fire, old records go."""

    def finish(self) -> None:  # noqa: B027  most stages hold nothing back
        """The input has ended: hand out what was held back only to hand it out less often."""

    @abstractmethod
    def drain(self) -> list[Port]:
        """What came out since last asked."""

    @abstractmethod
    def entries(self) -> int:
        """How many records are held."""

    @abstractmethod
    def limit(self) -> int:
        """How many records may be held."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """A copy as versioned plain data: ``{"v": 1, ...}``."""

    def view(self) -> dict[str, Any]:
        """What `state` gives, but not a copy: for whoever encodes it at once. A stage with many records has one."""
        return self.state()

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave, exactly."""

    def resume(self, stored: Raw) -> None:
        """The same from what `view` gave, as msgpack. A stage with many records decodes no more of it than it must."""
        self.restore(msgpack.decode(stored))


class Versioned(Struct):
    """Of a state as msgpack the part that says whether the rest can be read."""

    v: Any = None


def check_version(stage: str, state: dict[str, Any] | Raw, *versions: int) -> int:
    """The version of a state, of `versions`, which this release reads; it writes the last of them.

    Raises:
        StateVersionError: the version is none of them.
    """
    found: Any = msgpack.decode(state, type=Versioned).v if isinstance(state, Raw) else state.get("v")
    if found not in versions:
        raise StateVersionError(
            f"recovery state of stage {stage}: version {found!r} found, {versions[-1]} expected; "
            "start with the release that wrote it, or with an empty recovery directory"
        )
    return int(found)


class Outbox:
    """Counted and measured things, published records (dead letters too), and lists for other keys (lanes, models).

    >>> out = Outbox()
    >>> out.counted["csq_duplicates_total", ()] += 2
    >>> out.to["customers"]["07"].append((0.0, "e1", "u1", "missed", None, None))
    >>> out.drain()[0]
    ('customers', {'07': [(0.0, 'e1', 'u1', 'missed', None, None)]})
    >>> out.drain()
    []
    """

    def __init__(self) -> None:
        self.counted: defaultdict[tuple[str, tuple[str, ...]], int] = defaultdict(int)
        """Counter and its label values -> how many."""
        self.measured: list[Measurement] = []
        self.published: list[Outgoing] = []
        self.to: defaultdict[str, defaultdict[str, list[Any]]] = defaultdict(_lists)
        """Port -> key -> what is for it; a port's dict stays the same, for whoever has much to say there."""

    def drain(self) -> list[Port]:
        """Everything since last asked: keyed ports first, so that their order is that of the events."""
        out: list[Port] = []
        for port, keyed in self.to.items():
            if keyed:
                out.append((port, dict(keyed)))
                keyed.clear()
        if self.counted:
            self.measured += [(name, labels, count) for (name, labels), count in self.counted.items()]
            self.counted.clear()
        if self.measured:
            out.append(("measured", self.measured))
            self.measured = []
        if self.published:
            out.append(("published", self.published))
            self.published = []
        return out


def _lists() -> defaultdict[str, list[Any]]:
    return defaultdict(list)
