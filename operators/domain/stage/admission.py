"""Admission: decides which names get series of their own, in one place for all processes.

A name is admitted when `CONVERSATIONS` conversations (for a segment: customers) had it within `WINDOW_HOURS` of event
time, as long as its label has fewer names than its bound. The window moves in whole hours: it is the hour of an event
and the 23 before it. A conversation counts from its earliest event in the window. Per name and hour the stage keeps the
conversations whose earliest events come first, as many as admit a name: where an hour has more of them, these decide
already. Which they are depends neither on the order of sightings nor on how events were grouped into them, and a
sighting that comes twice changes nothing. When event time passes the last of these events the name is admitted. Where
names compete for the last places of a label, that event decides, by its time and trace.

Other lanes must know of an admission before they pass it. So time is cut into steps, a name holds from the end of the
step after the one in which it was admitted, and the stage hands out a *lease*: the moment up to which nothing can be
admitted any more. Lanes settle nothing beyond the lease, which is one to two steps ahead of the time that was reached,
so they do not wait for it.

Of more than `MOST_NAMES` names of a label those that came first are kept. Sightings older than the window are only
counted.
"""

import math
from collections.abc import Iterable
from typing import Any, get_args

from msgspec import Raw, Struct, msgpack

from operators.domain.stage import sightings
from operators.domain.stage.facts import Fact, Moment, NameSeen
from operators.domain.stage.labels import Admitted, Label, Labels
from operators.domain.stage.sightings import HourOfName, hour_of
from operators.domain.stage.stage import Handlers, Outbox, Port, Stage, check_version
from operators.domain.wire.personal import kind_of

KEY = "labels"
"""The one key of the stage."""
STEP_SECONDS = 60.0
MOST_NAMES = 1_000
"""Names of a label that are counted, and that may still be admitted."""
WINDOW_HOURS = 24


class NameCount(Struct, array_like=True):
    """A name that is measured as `other`."""

    last: float
    """Event time (POSIX seconds) of its last sighting."""
    events: int = 0


class StoredAdmission(Struct):
    """A snapshot as it is decoded."""

    admitted: list[Admitted]
    names: dict[str, dict[str, NameCount]]
    hours: dict[Label, dict[str, dict[float, HourOfName]]]
    reached: float


class Admission(Stage):
    """The one stage that admits names.

    >>> from operators.domain.stage.labels import LabelsParams
    >>> admission = Admission(Labels(LabelsParams()))
    >>> firsts = {f"c{n}": (float(n), f"e{n}") for n in range(20)}
    >>> admission.arrive([NameSeen(0.0, "e0", "queue", "returns", 20, firsts)], 0.0, [])
    >>> admission.advance(20.0)
    >>> dict(admission.drain())["admitted"], dict(admission.drain()).get("lease")
    ([Admitted(label='queue', value='returns', since=120.0)], None)
    """

    name = "labels"
    version = 3

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._admitted: list[Admitted] = []
        self._names: dict[str, dict[str, NameCount]] = {label: {} for label in labels.of}
        self._hours: dict[Label, dict[str, dict[float, HourOfName]]] = {label: {} for label in get_args(Label)}
        """Label -> name -> hour -> conversations; of names that may be admitted, for the hours of the window."""
        self._changed: set[tuple[Label, str]] = set()
        """Labels and names with sightings since their last event was looked for."""
        self._complete: dict[tuple[Label, str], Moment] = {}
        """Label and name -> the event that makes their conversations enough."""
        self._is_open = any(values.is_open for values in labels.of.values())
        self._reached = -math.inf
        self._handed_lease: float | None = None
        self._fresh: list[Admitted] = []
        self._has_news = False
        self._out = Outbox()
        self._handlers = Handlers(self.name, {NameSeen: self._name_seen})

    # ---- on arrival, in any order

    def arrive(self, items: Iterable[Fact], now: float, held: list[Fact]) -> None:
        """Take sightings; none is held back, as their order has no effect."""
        for fact in items:
            self._handlers[type(fact)](fact)

    def _name_seen(self, fact: NameSeen) -> None:
        values = self._labels.of[fact.label]
        if fact.value in values.since:  # it was admitted since the lane reported it
            return
        if kind_of(fact.value) is not None:  # personal data: neither a label nor kept
            return
        self._count(fact)
        hour = hour_of(fact.time)
        if not fact.firsts or hour <= hour_of(self._reached) - WINDOW_HOURS or not values.admits(fact.value):
            return
        names = self._hours[fact.label]
        of_hour = names.setdefault(fact.value, {}).setdefault(hour, HourOfName())
        for subject, moment in fact.firsts.items():
            of_hour.add(subject, moment)
        self._changed.add((fact.label, fact.value))
        if len(names) > MOST_NAMES:
            self._make_room(names, sorted(names, key=lambda value: _first(names[value]), reverse=True))

    def _count(self, fact: NameSeen) -> None:
        names = self._names[fact.label]
        count = names.get(fact.value)
        if count is None:
            count = names[fact.value] = NameCount(fact.time)
            if len(names) > MOST_NAMES:
                self._make_room(names, sorted(names, key=lambda value: (names[value].last, value)))
        count.events += fact.events
        count.last = max(count.last, fact.time)
        self._has_news = True

    def _make_room(self, records: dict[Any, Any], by_rank: list[Any]) -> None:
        """Drop an eighth of the records, the first ones of `by_rank`."""
        gone = by_rank[: MOST_NAMES // 8]
        for key in gone:
            del records[key]
        self._out.counted["csq_state_evicted_total", ("labels",)] += len(gone)

    # ---- time

    def advance(self, now: float) -> None:
        """Set event time to `now`: names whose conversations it has passed are admitted, the lease is extended.

        Nothing that happened until `now` can come any more.
        """
        is_new_hour = hour_of(now) > hour_of(self._reached)
        for label, value in self._changed:
            last = _last(self._hours[label].get(value, {}))
            if last is not None:
                self._complete[label, value] = last
        self._changed.clear()
        due = sorted((last, label, value) for (label, value), last in self._complete.items() if last[0] <= now)
        for (time, _), label, value in due:
            del self._complete[label, value]
            if self._labels.of[label].admits(value):
                self._admit(Admitted(label, value, max(_after(time), self._lease())))
        self._reached = max(self._reached, now)
        if due or is_new_hour:
            self._drop_decided()

    def _admit(self, admitted: Admitted) -> None:
        self._labels.admit((admitted,))
        self._admitted.append(admitted)
        self._fresh.append(admitted)
        self._names[admitted.label].pop(admitted.value, None)

    def _drop_decided(self) -> None:
        """Drop what cannot admit a name any more: hours before the window, names that are in or have no room."""
        first = hour_of(self._reached) - WINDOW_HOURS
        for label, names in self._hours.items():
            admits = self._labels.of[label].admits
            for value in list(names):
                names[value] = {hour: of_hour for hour, of_hour in names[value].items() if hour > first}
                if not names[value] or not admits(value):
                    del names[value]
                    self._complete.pop((label, value), None)

    def _lease(self) -> float:
        return _after(self._reached) if self._is_open else math.inf

    # ---- results, size

    def drain(self) -> list[Port]:
        """Return ports ``admitted`` (list), ``lease`` (POSIX seconds), ``seen`` (label -> name -> count), ``measured``.

        Admissions come before the lease that covers them.
        """
        out: list[Port] = []
        if self._fresh:
            out.append(("admitted", self._fresh))
            self._fresh = []
        lease = self._lease()
        if lease != self._handed_lease and lease > -math.inf:
            out.append(("lease", lease))
            self._handed_lease = lease
        if self._has_news:
            seen = {
                label: {value: each.events for value, each in names.items()} for label, names in self._names.items()
            }
            out.append(("seen", seen))
            self._has_news = False
        return out + self._out.drain()

    def entries(self) -> int:
        """Return how many names are admitted, counted, or may be admitted."""
        return len(self._admitted) + sum(map(len, self._names.values())) + sum(map(len, self._hours.values()))

    def limit(self) -> int:
        """Return how many these may be."""
        return sum(values.bound + 2 * MOST_NAMES for values in self._labels.of.values())

    # ---- snapshots

    def snapshot(self) -> dict[str, Any]:
        """Return the state as versioned plain data, to be encoded at once."""
        return {
            "v": self.version,
            "admitted": self._admitted,
            "names": self._names,
            "hours": self._hours,
            "reached": self._reached,
        }

    def restore(self, stored: Raw) -> None:
        """Continue from a snapshot: names are admitted again, unless the set of their label is closed now."""
        check_version(self.name, stored, self.version)
        state = msgpack.decode(stored, type=StoredAdmission)
        self._reached = state.reached
        self._names.update(state.names)
        self._hours.update(state.hours)
        self._changed.update((label, value) for label, names in state.hours.items() for value in names)
        for admitted in state.admitted:
            if self._labels.of[admitted.label].is_open and kind_of(admitted.value) is None:
                self._admit(admitted)
        self._drop_decided()
        self._has_news = True


def _first(hours: dict[float, HourOfName]) -> Moment:
    """The earliest event of a name."""
    return min(moment for of_hour in hours.values() for moment in of_hour.firsts.values())


def _last(hours: dict[float, HourOfName]) -> Moment | None:
    """The event that makes the conversations of a name enough; `None` while they are too few."""
    enough = sightings.CONVERSATIONS
    if sum(len(of_hour.firsts) for of_hour in hours.values()) < enough:
        return None
    for end in sorted(hours):
        firsts: dict[str, Moment] = {}
        for hour, of_hour in hours.items():
            if end - WINDOW_HOURS < hour <= end:
                for subject, moment in of_hour.firsts.items():
                    firsts[subject] = min(moment, firsts.get(subject, moment))
        if len(firsts) >= enough:
            return sorted(firsts.values())[enough - 1]
    return None


def _after(time: float) -> float:
    """The end of the step after that of `time`."""
    return (math.floor(time / STEP_SECONDS) + 2) * STEP_SECONDS if time > -math.inf else time
