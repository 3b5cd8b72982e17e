"""Sightings: names without series of their own, collected from the events of one lane and one batch.

Per name and day (UTC) of event time a sighting has the number of events and the conversations with the earliest ones,
as many as decide on an admission (``admission.py``). Later conversations of the day cannot change it, so their events
are only counted. Nothing is remembered from one batch to the next: a conversation may be reported again.
"""

import math
from typing import Any

from msgspec import Struct

from operators.domain.stage.facts import Moment, NameSeen
from operators.domain.stage.labels import Label, LabelValues

CONVERSATIONS = 20
"""Conversations (customers) of one day that admit a name."""
DAY_SECONDS = 86_400.0


class NameOnDay(Struct, array_like=True):
    """The conversations (customers) that had a name on a day: those with the earliest events, as many as admit it.

    Which these are depends neither on the order of `add` nor on how often the same event is added.

    >>> orders = NameOnDay("queue", "orders", 0.0)
    >>> for number in range(30, 0, -1):
    ...     orders.add(f"c{number}", (float(number), "e"))
    >>> len(orders.firsts), orders.complete
    (20, (20.0, 'e'))
    """

    label: Label
    value: str
    day: float
    """Whole days since 1970."""
    firsts: dict[str, Moment] = {}
    """Conversation -> its earliest event."""
    complete: Moment | None = None
    """The last of these events, once they are as many as admit the name."""

    def add(self, subject: str, moment: Moment) -> None:
        """Add an event of a conversation."""
        if self.complete is not None and moment > self.complete:
            return
        firsts = self.firsts
        known = firsts.get(subject)
        if known is not None and known <= moment:
            return
        firsts[subject] = moment
        if len(firsts) > CONVERSATIONS:
            del firsts[max(firsts, key=firsts.__getitem__)]
        if len(firsts) == CONVERSATIONS:
            self.complete = max(firsts.values())


def day_of(time: float) -> float:
    """Return the day of `time` (POSIX seconds) as whole days since 1970."""
    return time // DAY_SECONDS if time > -math.inf else time


class NameSighting(Struct):
    """A name in one batch. Events between `after` and `before` (POSIX seconds) decide nothing and are only counted."""

    first: Moment
    on_day: NameOnDay
    after: float = math.inf
    """Time of the last event that decides; that of a name that cannot be admitted is before all others."""
    before: float = math.inf
    """The end of the day."""
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
        self._subject = subject
        self._names: dict[str, NameSighting] = {}
        self._other_days: list[NameSighting] = []

    def of(self, batch: list[tuple[float, str, Any]]) -> list[NameSeen]:
        """Return the sightings in a batch of (time, name, event), in any order."""
        known, names, label = self._values.since, self._names, self._label
        for time, name, event in batch:
            value = getattr(event.data, label)
            seen = names.get(value)
            if seen is not None and seen.after < time < seen.before:  # as most are: no call for these
                seen.events += 1
            elif value not in known:
                self._see(value, getattr(event.data, self._subject), (time, name))
        found = [*self._other_days, *names.values()]
        self._other_days.clear()
        names.clear()
        return [NameSeen(*one.first, label, one.on_day.value, one.events, one.on_day.firsts) for one in found]

    def _see(self, value: str, subject: str, moment: Moment) -> None:
        """Take an event that may be among those that decide."""
        seen, day = self._names.get(value), day_of(moment[0])
        if seen is None or seen.on_day.day != day:
            if seen is not None:
                self._other_days.append(seen)
            seen = self._names[value] = NameSighting(moment, NameOnDay(self._label, value, day))
            if self._values.admits(value):
                seen.before = (day + 1) * DAY_SECONDS
            else:
                seen.after = -math.inf
        seen.events += 1
        if seen.after > -math.inf:
            seen.first = min(seen.first, moment)
            seen.on_day.add(subject, moment)
            if seen.on_day.complete is not None:
                seen.after = seen.on_day.complete[0]
