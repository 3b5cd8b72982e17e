"""The promise made to customers: how long they may wait for a reply, and in which hours, by queue and channel.

Declared once.

Missed rounds, the service level, satisfaction, the bounds of the histograms and the thresholds of rules and dashboards
follow from it.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from operators.domain.mistakes import Mistake, MistakesError
from operators.domain.stage.labels import OTHER
from operators.domain.time.calendars import Calendar, CalendarParams

Limit = Annotated[float, Meta(gt=0, le=31_536_000)]
Grace = Annotated[float, Meta(ge=0)]
ALWAYS: Final = "always"
"""The calendar of a queue that never closes."""


class ChannelPromise(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What differs in a channel; `None`: nothing."""

    limit_seconds: Limit | None = None
    grace_seconds: Grace | None = None


class QueuePromise(ChannelPromise, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What differs in a queue; `None`: nothing."""

    channels: dict[str, ChannelPromise] = {}
    calendar: str | None = None


class Promise(Struct, frozen=True):
    """What customers of one queue and channel are promised."""

    limit_seconds: float
    """Longest reply time that is met, inclusive."""
    grace_seconds: float
    """An abandonment after a shorter wait does not count against the service level."""


class PromisesParams(Struct, frozen=True, forbid_unknown_fields=True):
    """How long customers may wait for a reply. Missed rounds, service level, buckets and rules follow from it."""

    limit_seconds: Annotated[
        Limit, Meta(description="Seconds a customer may wait for a reply. Marketplaces require 180 or 300.")
    ] = 180.0
    grace_seconds: Annotated[
        Grace,
        Meta(description="Seconds; a customer who leaves sooner does not count as abandoned in the service level."),
    ] = 10.0
    channels: Annotated[
        dict[str, ChannelPromise],
        Meta(description="Channel to its own values, such as `email: {limit_seconds: 14400}`."),
    ] = {}
    queues: Annotated[
        dict[str, QueuePromise],
        Meta(
            description="Queue to its own values, such as `billing: {limit_seconds: 60}`; its `channels` have the "
            "values by channel. A channel of a queue has precedence over the queue, the queue over the channel. "
            "`calendar` names the opening hours of the queue, one of `calendars`."
        ),
    ] = {}
    calendar: Annotated[
        str,
        Meta(description="The opening hours of queues that name none: one of `calendars`, or `always`."),
    ] = ALWAYS
    calendars: Annotated[
        dict[str, CalendarParams],
        Meta(
            description="Opening hours by a name of yours, such as `office: {zone: Europe/Berlin, hours: {mon-fri: "
            "[09:00-17:00]}}` (docs/definitions.md#opening-hours)."
        ),
    ] = {}

    def __post_init__(self) -> None:
        """Refuse `other`: it is no queue, and what is measured as `other` keeps the promise of its own name."""
        places: list[tuple[str, ...]] = [("queues",)] if OTHER in self.queues else []
        places += [("channels",)] if OTHER in self.channels else []
        places += [("queues", name, "channels") for name, queue in self.queues.items() if OTHER in queue.channels]
        text = f"`{OTHER}` stands for names that have no series of their own; set promises.limit_seconds"
        found = [Mistake((*place, OTHER), text) for place in places]
        if ALWAYS in self.calendars:
            found.append(Mistake(("calendars", ALWAYS), f"`{ALWAYS}` is the calendar of queues that never close"))
        named: list[tuple[tuple[str | int, ...], str]] = [(("calendar",), self.calendar)]
        named += [(("queues", name, "calendar"), queue.calendar or ALWAYS) for name, queue in self.queues.items()]
        known = [ALWAYS, *self.calendars]
        found += [
            Mistake(place, f"got {name!r}, expected one of {', '.join(known)} (promises.calendars)")
            for place, name in named
            if name not in known
        ]
        if found:
            raise MistakesError(*found)

    @property
    def named_channels(self) -> tuple[str, ...]:
        """Channels with a promise of their own."""
        own = (name for queue in self.queues.values() for name in queue.channels)
        return tuple(dict.fromkeys((*self.channels, *own)))

    def with_calendars_of(self, other: "PromisesParams") -> "PromisesParams":
        """Return these promises with the opening hours of others, of all queues.

        >>> office = {"office": CalendarParams("UTC", {"mon": ("09:00-17:00",)})}
        >>> other = PromisesParams(60.0, queues={"orders": QueuePromise(60.0, calendar="office")}, calendars=office)
        >>> params = PromisesParams().with_calendars_of(other)
        >>> params.calendar_name("orders"), params.queues["orders"].limit_seconds, params.limit_seconds
        ('office', None, 180.0)
        """
        named = {name: QueuePromise(calendar=queue.calendar) for name, queue in other.queues.items() if queue.calendar}
        own = {name: replace(queue, calendar=other.calendar_name(name)) for name, queue in self.queues.items()}
        return replace(self, queues=named | own, calendar=other.calendar, calendars=other.calendars)

    def calendar_name(self, queue: str) -> str | None:
        """Return the calendar that a queue names."""
        return self.queues.get(queue, _SAME).calendar


class Promises:
    """Gives the promise for a queue and a channel, by their names in the events.

    Queues and channels that the settings name here always have series of their own, so a name that was mapped to
    `other` has the same promise as before.

    >>> promises = Promises(PromisesParams(queues={"billing": QueuePromise(limit_seconds=60.0)}))
    >>> promises.of("billing", "chat"), promises.of("orders", "chat")
    (Promise(limit_seconds=60.0, grace_seconds=10.0), Promise(limit_seconds=180.0, grace_seconds=10.0))
    """

    def __init__(self, params: PromisesParams, calendars: Mapping[str, Calendar] | None = None) -> None:
        self.params = params
        self.of = lru_cache(maxsize=4096)(self._of)
        self.calendars = calendars or {}
        """By name."""
        self.changes = 0
        """How often `calendars` were replaced."""
        self.calendar_of = self._calendars_by_queue()

    def replace(self, calendars: Mapping[str, Calendar], params: PromisesParams | None = None) -> None:
        """Take other calendars, and from `params` which queue has which; limits stay.

        Waits that are open count by them from now on. May be called from another thread than the one that asks.
        """
        self.calendars = calendars
        self.params = self.params if params is None else self.params.with_calendars_of(params)
        self.calendar_of = self._calendars_by_queue()
        self.changes += 1  # last: what sees the change also sees the calendars

    def seconds(self, queue: str, begin: float, end: float) -> float:
        """Return how many seconds of a time span (POSIX seconds) a queue was open."""
        calendar = self.calendar_of(queue)
        return end - begin if calendar is None else calendar.seconds(begin, end)

    def due(self, queue: str, channel: str, since: float) -> float:
        """Return the last moment (POSIX seconds) at which a reply to a wait that began at `since` is in time."""
        limit, calendar = self.of(queue, channel).limit_seconds, self.calendar_of(queue)
        return since + limit if calendar is None else calendar.after(since, limit)

    def _calendars_by_queue(self) -> Callable[[str], Calendar | None]:
        """What gives the calendar of a queue, `None` if it is always open.

        Each change makes a new one: an answer by the calendars of before cannot get into its cache.
        """
        params, calendars = self.params, self.calendars

        @lru_cache(maxsize=4096)
        def calendar_of(queue: str) -> Calendar | None:
            return calendars.get(params.calendar_name(queue) or params.calendar)

        return calendar_of

    def _of(self, queue: str, channel: str) -> Promise:
        params = self.params
        of_queue = params.queues.get(queue, _SAME)
        found = (of_queue.channels.get(channel, _SAME), of_queue, params.channels.get(channel, _SAME), params)
        limits = (each.limit_seconds for each in found)
        graces = (each.grace_seconds for each in found)
        return Promise(
            next(limit for limit in limits if limit is not None), next(grace for grace in graces if grace is not None)
        )

    def limits(self) -> tuple[float, ...]:
        """Every limit that some queue and channel has, in ascending order.

        >>> Promises(PromisesParams(channels={"email": ChannelPromise(limit_seconds=14400.0)})).limits()
        (180.0, 14400.0)
        """
        queues, channels = (*self.params.queues, OTHER), (*self.params.named_channels, OTHER)
        return tuple(sorted({self.of(queue, channel).limit_seconds for queue in queues for channel in channels}))


_SAME = QueuePromise()
