"""What `csq check` says of opening hours: who uses a calendar, whether it is open, and how far its holidays reach."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from flows.commands.check.finding import Finding
from flows.settings.calendars import calendars_of
from operators.documents.load import DocumentError
from operators.domain.stage.promise import PromisesParams
from operators.domain.time.calendars import DAY, Calendar, zone_of

OPEN_DAYS: Final = 30
"""A warning is given for a queue that does not open for so long."""


def check_calendars(promises: PromisesParams, now: float) -> Iterator[Finding]:
    """Yield a finding for each calendar, at a time (POSIX seconds)."""
    for name, params in promises.calendars.items():
        try:
            calendar = calendars_of({name: params})[name]
        except DocumentError as error:
            says = f"{str(error).removesuffix('.')}."
            yield Finding.fail("calendar", says, "Correct the file, or its path.")
        else:
            yield _finding(name, calendar, _users(name, promises), now)


def _users(name: str, promises: PromisesParams) -> list[str]:
    """The queues that a calendar is the opening hours of."""
    users = [queue for queue, own in promises.queues.items() if own.calendar == name]
    return [*users, "queues that name no calendar"] if promises.calendar == name else users


def _finding(name: str, calendar: Calendar, users: list[str], now: float) -> Finding:
    says = f"{name}: {_hours(calendar, now)}; {_holidays(calendar, now)}; {_used(users)}"
    if not users:
        todo = "Name it in promises.calendar, or in promises.queues, or remove it."
        return Finding.warn("calendar", f"{says}.", todo)
    if calendar.seconds(now, now + OPEN_DAYS * DAY) <= 0:
        todo = f"It does not open within {OPEN_DAYS} days: correct its hours, holidays or file."
        return Finding.warn("calendar", f"{says}.", todo)
    return Finding.ok("calendar", says)


def _hours(calendar: Calendar, now: float) -> str:
    change, zone = calendar.next_change(now), calendar.params.zone
    when = "" if change is None else f" {datetime.fromtimestamp(change, zone_of(zone)):%Y-%m-%d %H:%M} ({zone})"
    if calendar.is_open(now):
        return f"open, closes{when}" if when else "open, does not close before the end of next year"
    return f"closed, opens{when}" if when else "closed, does not open before the end of next year"


def _holidays(calendar: Calendar, now: float) -> str:
    last = calendar.last_holiday(now)
    return "no holidays" if last is None else f"last holiday {last}"


def _used(users: list[str]) -> str:
    return f"used by {', '.join(users)}" if users else "no queue uses it"
