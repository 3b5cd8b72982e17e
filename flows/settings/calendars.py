"""The calendars of an installation: from the settings, and from the iCalendar files that they name."""

import datetime as dt
from collections.abc import Callable
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from operators.documents.load import DocumentError
from operators.domain.time.calendars import Calendar, CalendarParams, Dated, Span, zone_of


def calendars_of(calendars: dict[str, CalendarParams]) -> dict[str, Calendar]:
    """Return the calendars by name.

    Raises:
        DocumentError: an iCalendar file cannot be read.
    """
    return {name: _calendar(name, params) for name, params in calendars.items()}


def _calendar(name: str, params: CalendarParams) -> Calendar:
    if params.file is None:
        return Calendar(params)
    try:
        return Calendar(params, read_icalendar(Path(params.file).read_bytes(), zone_of(params.zone)))
    except OSError as error:
        raise DocumentError(f"promises.calendars.{name}.file: {params.file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DocumentError(f"promises.calendars.{name}.file: {params.file} is no iCalendar file: {error}") from None


def read_icalendar(text: bytes, zone: ZoneInfo) -> Callable[[int], Dated]:
    """Return what the events of an iCalendar file (RFC 5545) say of a year, recurring ones too.

    All-day events are holidays, others opening hours; cancelled ones do not count. Times without a zone are in `zone`.

    Raises:
        ValueError: it is none.
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

    dated(dt.datetime.now(zone).year)  # what cannot be expanded fails here, and not while csq runs
    return dated


def _posix(time: dt.datetime, zone: ZoneInfo) -> float:
    return time.replace(tzinfo=time.tzinfo or zone).timestamp()
