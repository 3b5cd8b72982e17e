"""The simulator: the shop's events as they travel, some late, some twice, some broken, with the books beside them."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from math import inf
from random import Random
from typing import NamedTuple

import msgspec

from operators.domain.stage.promise import Promises, PromisesParams

from .aftermath import Aftermath
from .arrivals import Arrivals, talks_per_second
from .books import Books
from .browsing import Browsing
from .crowd import Crowd
from .desk import Desk
from .faults import Breaker
from .ledger import Ledger
from .params import Scenario, SimulatorParams
from .scribe import Scribe
from .words import Words
from .world import Data, Made, World

_AGAIN_WITHIN_MS = 3_000
_DEFAULT = PromisesParams()


class Delivery(NamedTuple):
    """A message as it arrives: `time` in POSIX seconds, not before the event's own; the Kafka key; the raw event."""

    time: float
    key: str
    raw: bytes


class _Parcel(NamedTuple):
    """Something on its way; sorted by when it is due. `event` is `None` for a repeat or a broken one."""

    due_ms: int
    number: int
    key: str
    raw: bytes
    event: Made | None
    reason: str | None
    """Why a broken one must be refused."""


class Simulator:
    """A shop whose events never end, in the order of their delivery, always the same for the same `SimulatorParams`.

    An event arrives at its event time, or up to `late_seconds` later. Repeats are the same bytes again within three
    seconds; broken ones are copies of true events, with ids of their own. The course of the shop does not depend on the
    shares of late, repeated and broken events. The books count missed rounds by `promises`.

    >>> simulator = Simulator(SimulatorParams(seed=7))
    >>> deliveries = list(simulator.take(1_000))
    >>> books = simulator.books
    >>> sum(books.events.values()) + books.duplicates + sum(books.dead_letters.values())
    1000
    """

    def __init__(
        self, params: SimulatorParams, promises: PromisesParams = _DEFAULT, *, keep_books: bool = True
    ) -> None:
        self._params = params
        self._ledger = Ledger(Promises(promises)) if keep_books else None
        self._world = World(params)
        # The way has its own chance, so that the shop's course stays the same however badly its events travel.
        self._rng = Random(f"way {params.seed}")  # noqa: S311 - a simulation, nothing secret
        self._breaker = Breaker(self._rng)
        self._encode = msgspec.json.Encoder().encode
        self._way: list[_Parcel] = []
        self._numbered = 0
        self._events_made = 0
        self._true_on_way = 0
        self._last_ms = 0
        self._open_shop()

    def __iter__(self) -> Iterator[Delivery]:
        """Deliver for ever. Stopped anywhere, up to `late_seconds` of late events may still be on their way."""
        while self._is_next_known(inf):
            yield self._deliver(heappop(self._way))

    def take(self, count: int) -> Iterator[Delivery]:
        """Deliver exactly `count`, repeats and broken ones included, so that no true event is left on its way.

        Near the end the shop stops, and the last deliveries are the true events still on their way (the oldest of them,
        where the very last happening made more than there is room for). Repeats on their way wait for the next call.
        """
        for left in range(count, 0, -1):
            if not self._is_next_known(left):
                yield from self._clear(left)
                return
            yield self._deliver(heappop(self._way))

    def change(self, scenario: Scenario) -> None:
        """Let a scenario begin now, whatever the params say, or with `normal` the present one end."""
        self._world.change(scenario)
        self._send_made()

    @property
    def books(self) -> Books:
        """The truth about exactly the deliveries taken so far, added up anew at each reading."""
        if self._ledger is None:
            message = "The simulator has no books: got keep_books=False. Make it with keep_books=True to read them."
            raise RuntimeError(message)
        return self._ledger.read()

    def _open_shop(self) -> None:
        world = self._world
        words = Words(world.rng, self._params)
        crowd = Crowd(world, words)
        scribe = Scribe(world, words)
        aftermath = Aftermath(world, crowd, scribe, words)
        desk = Desk(world, scribe, talks_per_second(self._params), aftermath.said, aftermath.closed)
        for part in (desk, Arrivals(world, crowd, desk.welcome), Browsing(world, crowd), aftermath):
            part.begin()
        params = self._params
        if params.scenario != "normal" and params.scenario_start_seconds < params.scenario_end_seconds:
            world.after(params.scenario_start_seconds, world.change, params.scenario)
            world.after(params.scenario_end_seconds, world.change, "normal")
        self._send_made()

    def _is_next_known(self, left: float) -> bool:
        """Let the shop run until it is known what arrives next; false when the `left` places are all spoken for."""
        way, world = self._way, self._world
        while self._true_on_way < left:
            # What is still to be made is due when it happens or later.
            if way and way[0].due_ms <= world.next_ms:
                return True
            world.run_next()
            if world.made:
                self._send_made()
        return False

    def _clear(self, count: int) -> Iterator[Delivery]:
        oldest = sorted((p for p in self._way if p.event is not None), key=_event_order)[:count]
        taken = {parcel.number for parcel in oldest}
        self._way = [parcel for parcel in self._way if parcel.number not in taken]
        heapify(self._way)
        for parcel in sorted(oldest):
            yield self._deliver(parcel)

    def _deliver(self, parcel: _Parcel) -> Delivery:
        self._last_ms = max(self._last_ms, parcel.due_ms)
        event, ledger = parcel.event, self._ledger
        if event is not None:
            self._true_on_way -= 1
            if ledger is not None:
                ledger.delivered(event.kind, event.ms / 1000, event.note)
        elif ledger is not None:
            if parcel.reason is None:
                ledger.repeated()
            else:
                ledger.refused(parcel.reason)
        return Delivery(self._last_ms / 1000, parcel.key, parcel.raw)

    def _send_made(self) -> None:
        for event in self._world.made:
            self._send(event)
        self._world.made.clear()

    def _send(self, event: Made) -> None:
        params, rng, world = self._params, self._rng, self._world
        self._events_made += 1
        envelope: Data = {
            "specversion": "1.0",
            "id": f"e{self._events_made}",
            "source": world.source,
            "type": event.kind,
            "time": world.stamp(event.ms),
            "data": event.data,
        }
        raw = self._encode(envelope)
        due = event.ms
        if rng.random() < params.late_share:
            due += int(rng.random() * params.late_seconds * 1000)
        self._true_on_way += 1
        self._put(due, event.key, raw, event, None)
        if rng.random() < params.duplicate_share:
            self._put(
                due + 1 + int(rng.random() * _AGAIN_WITHIN_MS),
                event.key,
                raw,
                None,
                None,
            )
        if rng.random() < params.broken_share:
            reason, broken = self._breaker.break_one(envelope, f"b{self._events_made}")
            self._put(due, event.key, broken, None, reason)
        if world.scenario == "broken_producer":
            reason, broken = self._breaker.spoil_one(envelope, f"s{self._events_made}")
            self._put(due, event.key, broken, None, reason)

    def _put(self, due: int, key: str, raw: bytes, event: Made | None, reason: str | None) -> None:
        heappush(self._way, _Parcel(due, self._numbered, key, raw, event, reason))
        self._numbered += 1


def _event_order(parcel: _Parcel) -> tuple[int, int]:
    return (parcel.event.ms if parcel.event is not None else 0, parcel.number)


def simulate(params: SimulatorParams, count: int, promises: PromisesParams = _DEFAULT) -> tuple[list[Delivery], Books]:
    """Return `count` deliveries and the books about them, with missed rounds counted by `promises`.

    >>> deliveries, books = simulate(SimulatorParams(broken_share=0.0, duplicate_share=0.0), 500)
    >>> sum(books.events.values())
    500
    """
    simulator = Simulator(params, promises)
    return list(simulator.take(count)), simulator.books
