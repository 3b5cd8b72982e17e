"""Admission: decides which names get series of their own, in one place for all processes.

A name is admitted when `CONVERSATIONS` conversations (for a segment: customers) had it on one day (UTC) of event time,
as long as its label has fewer names than its bound. A conversation counts from its earliest event of that day. So per
name and day the stage keeps those conversations whose earliest events come first, as many as admit the name. Which they
are depends neither on the order of sightings nor on how events were grouped into them, and a sighting that comes twice
changes nothing. When event time passes the last of these events the name is admitted. Where names compete for the last
places of a label, that event decides, by its time and name.

Other lanes must know of an admission before they pass it. So time is cut into steps, a name holds from the end of the
step after the one in which it was admitted, and the stage hands out a *lease*: the moment up to which nothing can be
admitted any more. Lanes settle nothing beyond the lease, which is one to two steps ahead of the time that was reached,
so they do not wait for it.

With more than `MOST_NAMES` names of a label and day, the first of them are kept. Sightings of a day that is over are
counted only.
"""

import math
from collections.abc import Iterable
from typing import Any

from msgspec import Raw, Struct, msgpack

from operators.domain.stage.facts import Fact, NameSeen
from operators.domain.stage.labels import Admitted, Labels
from operators.domain.stage.sightings import NameOnDay, day_of
from operators.domain.stage.stage import Handlers, Outbox, Port, Stage, check_version

KEY = "labels"
"""The one key of the stage."""
STEP_SECONDS = 60.0
MOST_NAMES = 1_000
"""Names of a label that are counted, and names and days that may still be admitted."""


class NameCount(Struct, array_like=True):
    """A name that is measured as `other`."""

    last: float
    """Event time (POSIX seconds) of its last sighting."""
    events: int = 0


class StoredAdmission(Struct):
    """A snapshot as it is decoded."""

    admitted: list[Admitted]
    names: dict[str, dict[str, NameCount]]
    days: list[NameOnDay]
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
        self._days: dict[str, dict[tuple[str, float], NameOnDay]] = {label: {} for label in labels.of}
        self._is_open = any(values.is_open for values in labels.of.values())
        self._reached = -math.inf
        self._told_lease: float | None = None
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
        self._count(fact)
        day, days = day_of(fact.time), self._days[fact.label]
        if fact.firsts and day >= day_of(self._reached) and values.admits(fact.value):
            each = days.get((fact.value, day))
            if each is None:
                each = days[fact.value, day] = NameOnDay(fact.label, fact.value, day)
            for subject, moment in fact.firsts.items():
                each.add(subject, moment)
            if len(days) > MOST_NAMES:
                self._make_room(days, sorted(days, key=lambda key: min(days[key].firsts.values()), reverse=True))

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
        is_new_day = day_of(now) > day_of(self._reached)
        complete = [
            (each.complete, each)
            for days in self._days.values()
            for each in days.values()
            if each.complete is not None and each.complete[0] <= now
        ]
        complete.sort(key=lambda pair: pair[0])
        for (time, _), each in complete:
            if self._labels.of[each.label].admits(each.value):
                self._admit(Admitted(each.label, each.value, max(_after(time), self._lease())))
        self._reached = max(self._reached, now)
        if complete or is_new_day:
            self._drop_decided()

    def _admit(self, admitted: Admitted) -> None:
        self._labels.admit((admitted,))
        self._admitted.append(admitted)
        self._fresh.append(admitted)
        self._names[admitted.label].pop(admitted.value, None)

    def _drop_decided(self) -> None:
        """Drop what cannot admit a name any more: the day is over, the name is admitted, the label has no room."""
        today = day_of(self._reached)
        for label, days in self._days.items():
            values = self._labels.of[label]
            self._days[label] = {
                key: each for key, each in days.items() if each.day >= today and values.admits(each.value)
            }

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
        if lease != self._told_lease and lease > -math.inf:
            out.append(("lease", lease))
            self._told_lease = lease
        if self._has_news:
            seen = {
                label: {value: each.events for value, each in names.items()} for label, names in self._names.items()
            }
            out.append(("seen", seen))
            self._has_news = False
        return out + self._out.drain()

    def entries(self) -> int:
        """Return how many names are admitted, counted, or may be admitted on a day."""
        return len(self._admitted) + sum(map(len, self._names.values())) + sum(map(len, self._days.values()))

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
            "days": [each for days in self._days.values() for each in days.values()],
            "reached": self._reached,
        }

    def restore(self, stored: Raw) -> None:
        """Continue from a snapshot: names are admitted again, unless the set of their label is closed now."""
        check_version(self.name, stored, self.version)
        state = msgpack.decode(stored, type=StoredAdmission)
        self._reached = state.reached
        self._names.update(state.names)
        for each in state.days:
            self._days[each.label][each.value, each.day] = each
        for admitted in state.admitted:
            if self._labels.of[admitted.label].is_open:
                self._admit(admitted)
        self._drop_decided()
        self._has_news = True


def _after(time: float) -> float:
    """The end of the step after that of `time`."""
    return (math.floor(time / STEP_SECONDS) + 2) * STEP_SECONDS if time > -math.inf else time
