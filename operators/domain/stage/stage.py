"""The contract of lane stages, in plain Python; ``operators/engine/lanes.py`` adapts them to Bytewax.

A stage holds the records of one lane. Items *arrive* in any order. Facts that depend on the order of event time are put
into `held` by `arrive` and handed to `settle`, sorted, once the watermark has passed them (``time/watermark.py``); then
`advance` sets the time. No stage deals with disorder, batches or clocks.

Failures are contained. An exception that leaves `arrive` or `settle` is about the item taken last: the adapter writes
that item to the dead letters and hands in the rest. Everything else that a stage does - timers, evictions, scores of
records that earlier items changed, gauges - is work on one record at a time, and goes through `Stage.attempt_each`: a
failure there is logged and counted, all other records are served, and no item becomes a dead letter for it.
"""

import logging
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import compress, count, islice
from operator import attrgetter, eq
from typing import Any

from msgspec import Raw, Struct, msgpack

from operators.domain.stage.facts import Fact
from operators.domain.wire.outgoing import Outgoing

log = logging.getLogger(__name__)

Measurement = tuple[str, tuple[str, ...], Any]
"""Name in the catalogue of metrics, label values, value: what ``operators/metrics/observe.py`` takes.

A tuple, because ten of them are made per event: a named tuple costs four times as much.
"""

Port = tuple[str, Any]
"""Port (`events`, `measured`, `published`, `customers`, `queues`, `examples`) and item."""

_TIME, _RANK_AND_NAME, _SEQUENCE = attrgetter("time"), attrgetter("rank", "name"), attrgetter("sequence")


def take_due(held: list[Fact], until: float) -> list[Fact]:
    """Remove from `held` the facts up to and including `until`, and return them in the order of (time, rank, name).

    Facts of one event keep their order of arrival.

    >>> held = [Fact(3.0, "e3"), Fact(2.0, "e2"), Fact(2.0, "e1")]
    >>> take_due(held, 2.5), held
    ([Fact(time=2.0, name='e1'), Fact(time=2.0, name='e2')], [Fact(time=3.0, name='e3')])
    """
    due = [fact for fact in held if fact.time <= until]
    if len(due) == len(held):
        held.clear()
    elif due:
        held[:] = [fact for fact in held if fact.time > until]
    # Few happen at the same moment: sorting by (time, name) at once would make, and compare, a pair for every fact.
    due.sort(key=_TIME)
    times = list(map(_TIME, due))
    done = 0
    for first in compress(count(), map(eq, times, islice(times, 1, None))):
        if first >= done:
            done = first + 2
            while done < len(times) and times[done] == times[first]:
                done += 1
            due[first:done] = _in_sequence(sorted(due[first:done], key=_RANK_AND_NAME))
    return due


def _in_sequence(facts: list[Fact]) -> list[Fact]:
    """Let the facts that one source has numbered change places among themselves until they are in its order."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, fact in enumerate(facts):
        if getattr(fact, "sequence", None) is not None:
            places[fact.name.partition(" ")[0]].append(place)
    for numbered in places.values():
        ordered = sorted((facts[place] for place in numbered), key=_SEQUENCE)
        for place, fact in zip(numbered, ordered, strict=True):
            facts[place] = fact
    return facts


class UnknownFactError(Exception):
    """A stage was handed a fact that it has no handler for."""


class Handlers(dict[type, Any]):
    """The handler for each class of fact of one stage.

    >>> Handlers("queues", {Fact: print})[int]
    Traceback (most recent call last):
    operators.domain.stage.stage.UnknownFactError: stage queues has no handler for facts of type int; it takes: Fact

    Raises:
        UnknownFactError: on access, if there is no handler for the class.
    """

    def __init__(self, stage: str, handlers: Mapping[type, Any]) -> None:
        super().__init__(handlers)
        self._stage = stage

    def __missing__(self, kind: type) -> Any:
        names = ", ".join(sorted(known.__name__ for known in self))
        raise UnknownFactError(
            f"stage {self._stage} has no handler for facts of type {kind.__name__}; it takes: {names}"
        )


class StateVersionError(Exception):
    """A snapshot has a version that this release does not support."""


class Stage(ABC):
    """One lane of a stateful stage."""

    name = ""
    """As in the label `stage` of metrics."""
    failures = 0
    """Work that failed (`attempt`) since the adapter last counted it."""

    def arrive(self, items: Iterable[Any], now: float, held: list[Fact]) -> None:
        """Take items in the order of arrival; put facts that depend on the order of time into `held`.

        Args:
            items: output of the step before this one; the adapter notes which one was taken last.
            now: the wall clock, POSIX seconds.
            held: facts that wait for `settle`.
        """
        held.extend(items)

    def settle(self, facts: Iterable[Any]) -> None:  # noqa: B027  a stage may need no order at all
        """Apply facts in the order of (time, name)."""

    @abstractmethod
    def advance(self, now: float) -> None:
        """Set event time to `now` (POSIX seconds; it never decreases): fire timers, drop old records."""

    def finish(self) -> None:  # noqa: B027  most stages hold nothing back
        """Hand out what was held back by a limit on how often it is measured; the input has ended."""

    @abstractmethod
    def drain(self) -> list[Port]:
        """Return what was produced since the last call."""

    @abstractmethod
    def entries(self) -> int:
        """Return how many records are held."""

    @abstractmethod
    def limit(self) -> int:
        """Return how many records may be held."""

    @abstractmethod
    def snapshot(self) -> dict[str, Any]:
        """Return the state as versioned plain data (``{"v": 1, ...}``) to be encoded before anything else happens."""

    @abstractmethod
    def restore(self, stored: Raw) -> None:
        """Continue from a snapshot, given as msgpack, under the settings of this start.

        Raises:
            StateVersionError: the snapshot's version is not supported.
        """

    def fact_types(self) -> tuple[type[Fact], ...]:
        """Return the classes of facts that `settle` takes."""
        return ()

    def is_valid(self, fact: Fact) -> bool:
        """Return whether a fact of a snapshot still applies under the settings of this start."""
        return True

    def attempt(self, work: Callable[..., object], *args: Any) -> None:
        """Call `work` with `args`: work on one record, on which no item and no other record depends."""
        self.attempt_each(work, (args,))

    def attempt_each(self, work: Callable[..., object], items: Iterable[tuple[Any, ...]]) -> None:
        """Call `work` with each of `items`; an exception is logged and counted, and the others go on."""
        rest = iter(items)
        while True:
            try:
                for args in rest:
                    work(*args)
            except Exception:  # any error: the other records are served
                self.failures += 1
                log.exception(
                    "stage %s failed on one record; it continues with the others",
                    self.name,
                    extra={"event": "stage_work_failed"},
                )
            else:
                return


class _Versioned(Struct):
    """The version of a snapshot."""

    v: Any = None


def check_version(stage: str, state: dict[str, Any] | Raw, expected: int) -> None:
    """Check the version of a snapshot.

    Raises:
        StateVersionError: the snapshot's version is not supported.
    """
    found: Any = msgpack.decode(state, type=_Versioned).v if isinstance(state, Raw) else state.get("v")
    if found != expected:
        raise StateVersionError(
            f"recovery state of stage {stage}: version {found!r} found, {expected} expected; "
            "start with the release that wrote it, or with an empty recovery directory"
        )


class Outbox:
    """What a stage produced: counts, measurements, published records (dead letters too), lists for other keys.

    >>> out = Outbox()
    >>> out.counted["csq_duplicates_total", ()] += 2
    >>> out.to["customers"]["07"].append(Fact(0.0, "e1"))
    >>> out.drain()[0]
    ('customers', {'07': [Fact(time=0.0, name='e1')]})
    >>> out.drain()
    []
    """

    def __init__(self) -> None:
        self.counted: defaultdict[tuple[str, tuple[str, ...]], int] = defaultdict(int)
        """(Counter, label values) -> increase."""
        self.measured: list[Measurement] = []
        self.published: list[Outgoing] = []
        self.to: defaultdict[str, defaultdict[str, list[Any]]] = defaultdict(_lists)
        """Port -> key (lane, model) -> items. The dict of a port stays the same object."""

    def drain(self) -> list[Port]:
        """Return everything since the last call; keyed ports first, so that their order is that of the events."""
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
