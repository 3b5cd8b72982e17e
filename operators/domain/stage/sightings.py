"""Sightings: names without series of their own, collected from the events of one lane and one batch.

Per name and hour of event time a sighting has the number of events and the conversations with the earliest ones, as
many as admit a name (``admission.py``). Later conversations of the hour cannot change the admission, so their events
are only counted. Nothing is kept from one batch to the next: a conversation may be reported again.

Sightings are kept for a day, so they have traces of the ids of conversations and events and not the ids.
"""

import math
from operator import attrgetter
from typing import Any

from msgspec import Struct

from operators.domain.stage.facts import Moment, NameSeen
from operators.domain.stage.labels import Label, LabelValues
from operators.domain.wire.forgotten import trace

CONVERSATIONS = 20
"""Conversations (customers) within 24 hours that admit a name."""
HOUR_SECONDS = 3_600.0


class HourOfName(Struct, array_like=True):
    """The conversations (customers) that had a name in one hour: those with the earliest events, as many as admit it.

    Which these are depends neither on the order of `add` nor on how often the same event is added.

    >>> orders = HourOfName()
    >>> for number in range(30, 0, -1):
    ...     orders.add(f"c{number}", (float(number), "e"))
    >>> len(orders.firsts), orders.last
    (20, (20.0, 'e'))
    """

    firsts: dict[str, Moment] = {}
    """Conversation -> its earliest event."""
    last: Moment | None = None
    """The last of these events, once they are as many as admit a name."""

    def add(self, subject: str, moment: Moment) -> None:
        """Add an event of a conversation."""
        if self.last is not None and moment > self.last:
            return
        firsts = self.firsts
        known = firsts.get(subject)
        if known is not None and known <= moment:
            return
        firsts[subject] = moment
        if len(firsts) > CONVERSATIONS:
            del firsts[max(firsts, key=firsts.__getitem__)]
        if len(firsts) == CONVERSATIONS:
            self.last = max(firsts.values())


def hour_of(time: float) -> float:
    """Return the hour of `time` (POSIX seconds) as whole hours since 1970."""
    return time // HOUR_SECONDS if time > -math.inf else time


class NameSighting(Struct):
    """A name in one batch and hour, `begin` to `end` (POSIX seconds). Events after `last` are only counted."""

    first: Moment
    begin: float
    end: float
    last: float
    """Time of the last event that decides on an admission; before all events for a name that cannot be admitted."""
    of_hour: HourOfName
    events: int = 0


class LabelSightings:
    """Finds the sightings of one label in the events of a batch.

    Args:
        label: the label; the field of an event's data that holds the name is called alike.
        values: the names that are in.
        subject: the field of an event's data that names the conversation (customer).
    """

    def __init__(self, label: Label, values: LabelValues, subject: str) -> None:
        self._label: Label = label
        self._values = values
        self._name_of, self._subject_of = attrgetter(f"data.{label}"), attrgetter(f"data.{subject}")
        self._names: dict[str, NameSighting] = {}
        """Name -> its sighting in the hour of its last event."""
        self._others: dict[tuple[str, float], NameSighting] = {}
        """Name and begin of an hour -> its sightings in other hours."""

    def of(self, batch: list[tuple[float, str, Any]]) -> list[NameSeen]:
        """Return the sightings in a batch of (time, name, event), in any order."""
        known, names, others = self._values.since, self._names, self._others
        name_of, subject_of = self._name_of, self._subject_of
        for time, name, event in batch:
            value = name_of(event)
            seen = names.get(value)
            if seen is None or not seen.begin <= time < seen.end:
                if value in known:
                    continue
                seen = self._sighting(value, seen, (time, trace(name)))
            seen.events += 1
            if time <= seen.last:
                subject = subject_of(event)
                first = seen.of_hour.firsts.get(subject)
                if first is None or time <= first[0]:
                    self._add(seen, subject, (time, trace(name)))
        found = [*((value, seen) for (value, _), seen in others.items()), *names.items()]
        others.clear()
        names.clear()
        return [
            NameSeen(
                *seen.first,
                self._label,
                value,
                seen.events,
                {trace(subject): moment for subject, moment in seen.of_hour.firsts.items()},
            )
            for value, seen in found
        ]

    def _sighting(self, value: str, current: NameSighting | None, moment: Moment) -> NameSighting:
        """Make the sighting of a name in the hour of an event the current one."""
        if not self._values.admits(value):
            found = NameSighting(moment, -math.inf, math.inf, -math.inf, HourOfName())
        else:
            begin = hour_of(moment[0]) * HOUR_SECONDS
            other = self._others.pop((value, begin), None)
            found = (
                other
                if other is not None
                else NameSighting(moment, begin, begin + HOUR_SECONDS, math.inf, HourOfName())
            )
        if current is not None:
            self._others[value, current.begin] = current
        self._names[value] = found
        return found

    @staticmethod
    def _add(seen: NameSighting, subject: str, moment: Moment) -> None:
        """Add an event that may be among those that decide."""
        seen.first = min(seen.first, moment)
        of_hour = seen.of_hour
        of_hour.add(subject, moment)
        if of_hour.last is not None:
            seen.last = of_hour.last[0]
