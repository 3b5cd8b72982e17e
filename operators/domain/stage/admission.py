"""Admission: decides which names get series of their own, in one place for all processes.

A name is admitted when `CONVERSATIONS` conversations (for a segment: customers) had it within `WINDOW_SECONDS` of event
time, as long as its label has fewer names than its bound. The decision depends on event time only: sightings
are settled in its order, and a name holds for what happens after a moment that follows from the sighting that
completed the number.

Other lanes must know of that moment before they pass it. So time is cut into steps, a name holds from the end of the
step after the one in which it was admitted, and the stage hands out a *lease*: the moment up to which nothing can be
admitted any more. Lanes settle nothing beyond the lease, which is one to two steps ahead of the time that was reached,
so they do not wait for it.
"""

import math
from collections.abc import Iterable
from typing import Any

from msgspec import Raw, Struct, msgpack

from operators.domain.stage.facts import Fact, NameSeen
from operators.domain.stage.labels import BOUNDS, MOST_CHARACTERS, Admitted, Labels
from operators.domain.stage.stage import Handlers, Outbox, Port, Stage, check_version
from operators.domain.wire.personal import kind_of

KEY = "labels"
"""The one key of the stage."""
CONVERSATIONS = 20
WINDOW_SECONDS = 86_400.0
STEP_SECONDS = 60.0
MOST_NAMES = 1_000
"""Names watched per label; those not seen for longest are forgotten."""


class Sighting(Struct, array_like=True):
    """What is known of a name that is not in."""

    last: float
    """Event time (POSIX seconds) at which it was last seen."""
    count: int = 0
    """Events that had it."""
    subjects: dict[str, float] = {}
    """Conversation or customer -> event time; those within the window, where names are admitted."""


class StoredAdmission(Struct):
    """A snapshot as it is decoded."""

    admitted: list[Admitted]
    names: dict[str, dict[str, Sighting]]
    lease: float


class Admission(Stage):
    """The one stage that admits names.

    >>> from operators.domain.stage.labels import LabelsParams
    >>> admission = Admission(Labels(LabelsParams()))
    >>> admission.settle([NameSeen(float(n), f"e{n}", "queue", "returns", f"c{n}") for n in range(20)])
    >>> admission.advance(20.0)
    >>> dict(admission.drain())["admitted"], dict(admission.drain()).get("lease")
    ([Admitted(label='queue', value='returns', since=120.0)], None)
    """

    name = "labels"
    version = 2

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._admitted: dict[tuple[str, str], Admitted] = {}
        self._names: dict[str, dict[str, Sighting]] = {label: {} for label in labels.of}
        self._lease = -math.inf if any(values.is_open for values in labels.of.values()) else math.inf
        self._told_lease: float | None = None
        self._fresh: list[Admitted] = []
        self._has_news = False
        self._out = Outbox()
        self._handlers = Handlers(self.name, {NameSeen: self._name_seen})

    def fact_types(self) -> tuple[type[Fact], ...]:
        """Return the classes of facts that `settle` takes."""
        return tuple(self._handlers)

    def settle(self, facts: Iterable[Fact]) -> None:
        """Apply facts in the order of event time."""
        for fact in facts:
            self._handlers[type(fact)](fact)

    def _name_seen(self, fact: NameSeen) -> None:
        if kind_of(fact.value) is not None:  # neither a label nor kept: somebody's address or number
            return
        if (fact.label, fact.value) not in self._admitted and fact.value not in self._labels.of[fact.label].fixed:
            self._see(fact.time, fact.label, fact.value, fact.subject)

    def _see(self, time: float, label: Any, value: str, subject: str) -> None:
        names = self._names[label]
        sighting = names.get(value)
        if sighting is None:
            sighting = names[value] = Sighting(time)
            if len(names) > MOST_NAMES:
                self._forget(names)
        sighting.count += 1
        sighting.last = max(sighting.last, time)
        self._has_news = True
        if not self._has_room(label) or not 0 < len(value) <= MOST_CHARACTERS:
            return
        subjects = sighting.subjects
        subjects[subject] = time
        if len(subjects) >= CONVERSATIONS:
            for late in [known for known, seen in subjects.items() if seen <= time - WINDOW_SECONDS]:
                del subjects[late]
            if len(subjects) >= CONVERSATIONS:
                self._admit(Admitted(label, value, max(_after(time), self._lease)))
                del names[value]

    def _has_room(self, label: str) -> bool:
        values = self._labels.of[label]
        taken = len(values.fixed) + sum(known == label for known, _ in self._admitted)
        return values.is_open and taken < BOUNDS[label]

    def _admit(self, admitted: Admitted) -> None:
        self._admitted[admitted.label, admitted.value] = admitted
        self._fresh.append(admitted)

    def _forget(self, names: dict[str, Sighting]) -> None:
        """Make room: an eighth of the names goes, those not seen for longest."""
        oldest = sorted(names, key=lambda value: (names[value].last, value))
        for value in oldest[: MOST_NAMES // 8]:
            del names[value]
        self._out.counted["csq_state_evicted_total", ("labels",)] += MOST_NAMES // 8

    def advance(self, now: float) -> None:
        """Set event time to `now`: nothing that happened until then can come any more, so the lease is extended."""
        self._lease = max(self._lease, _after(now))

    def drain(self) -> list[Port]:
        """Return ports ``admitted`` (list), ``lease`` (POSIX seconds), ``seen`` (label -> name -> count), ``measured``.

        Admissions come before the lease that covers them.
        """
        out: list[Port] = []
        if self._fresh:
            out.append(("admitted", self._fresh))
            self._fresh = []
        if self._lease != self._told_lease and self._lease > -math.inf:
            out.append(("lease", self._lease))
            self._told_lease = self._lease
        if self._has_news:
            seen = {label: {value: each.count for value, each in names.items()} for label, names in self._names.items()}
            out.append(("seen", seen))
            self._has_news = False
        return out + self._out.drain()

    def entries(self) -> int:
        """Return how many names are admitted or watched."""
        return len(self._admitted) + sum(map(len, self._names.values()))

    def limit(self) -> int:
        """Return how many names may be admitted or watched."""
        return sum(BOUNDS[label] + MOST_NAMES for label in self._names)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as versioned plain data, to be encoded at once."""
        return {
            "v": self.version,
            "admitted": list(self._admitted.values()),
            "names": self._names,
            "lease": self._lease,
        }

    def restore(self, stored: Raw) -> None:
        """Continue from a snapshot: names are admitted again, unless the set of their label is closed now."""
        check_version(self.name, stored, self.version)
        state = msgpack.decode(stored, type=StoredAdmission)
        for each in state.admitted:
            if self._labels.of[each.label].is_open and kind_of(each.value) is None:
                self._admit(each)
        self._names.update(state.names)
        if self._lease < math.inf > state.lease:
            self._lease = state.lease
        self._has_news = True


def _after(time: float) -> float:
    """The end of the step after that of `time`."""
    return (math.floor(time / STEP_SECONDS) + 2) * STEP_SECONDS
