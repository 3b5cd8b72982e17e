"""The calendars of an installation: from the settings, and from the iCalendar files that they name."""

import datetime as dt
import hashlib
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from operators.documents.load import DocumentError
from operators.domain.time.calendars import Calendar, CalendarParams, Dated, Span, zone_of


def calendars_of(calendars: dict[str, CalendarParams]) -> dict[str, Calendar]:
    """Return the calendars by name, compiled for the years around now.

    Raises:
        DocumentError: an iCalendar file cannot be read.
    """
    return {name: _calendar(name, params) for name, params in calendars.items()}


def _calendar(name: str, params: CalendarParams) -> Calendar:
    now = time.time()
    if params.file is None:
        calendar = Calendar(params)
        calendar.prepare(now)
        return calendar
    try:
        dated = read_icalendar(Path(params.file).read_bytes(), zone_of(params.zone))
        calendar = Calendar(params, dated, _digest(dated, now))
        calendar.prepare(now)
    except OSError as error:
        raise DocumentError(f"promises.calendars.{name}.file: {params.file} cannot be read: {error.strerror}") from None
    except Exception as error:  # noqa: BLE001 - the library documents no errors, and a file may be anything
        raise DocumentError(f"promises.calendars.{name}.file: {params.file} is no iCalendar file: {error}") from None
    return calendar


def _digest(dated: Callable[[int], Dated], now: float) -> str:
    """Of what a file says of the years around now; when it was exported and by what does not count."""
    this = dt.datetime.fromtimestamp(now, dt.UTC).year
    says = [(sorted(each.holidays), sorted(each.open)) for each in map(dated, range(this - 2, this + 3))]
    return hashlib.sha256(repr(says).encode()).hexdigest()[:12]


def read_icalendar(text: bytes, zone: ZoneInfo) -> Callable[[int], Dated]:
    """Return what the events of an iCalendar file (RFC 5545) say of a year, recurring ones too.

    All-day events are holidays, others opening hours; cancelled ones do not count. Times without a zone are in `zone`.

    Raises:
        ValueError: it is not an iCalendar file. Events that cannot be expanded raise when a year is asked for.
    """
    # Half a second to import, which an installation without such a file need not wait for.
    import recurring_ical_events  # noqa: PLC0415 - as above
    from icalendar import Calendar as ICalendar  # noqa: PLC0415 - as above

    query = recurring_ical_events.of(ICalendar.from_ical(text))

    @cache
    def dated(year: int) -> Dated:
        holidays: set[dt.date] = set()
        spans: list[Span] = []
        for event in query.between(dt.date(year, 1, 1), dt.date(year + 1, 1, 1)):
            begin, end = event.start, event.end
            if event.get("STATUS") == "CANCELLED":
                continue
            if isinstance(begin, dt.datetime):
                spans.append((_posix(begin, zone), _posix(end, zone)))
            else:
                days = range(begin.toordinal(), max(end.toordinal(), begin.toordinal() + 1))
                holidays |= {day for day in map(dt.date.fromordinal, days) if day.year == year}
        return Dated(frozenset(holidays), tuple(spans))

    return dated


def _posix(time: dt.datetime, zone: ZoneInfo) -> float:
    return time.replace(tzinfo=time.tzinfo or zone).timestamp()
