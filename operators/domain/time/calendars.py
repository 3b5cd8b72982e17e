"""Calendars: the opening hours of a queue, and how many seconds of a time span lie in them.

A calendar is compiled to the sorted intervals (POSIX seconds) in which it is open, with the open seconds before each. A
question is then a binary search. The intervals of a year are made when a time in it is first asked for.
"""

import datetime as dt
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from operators.domain.mistakes import Mistake, MistakesError

Span = tuple[float, float]
"""From the first to the second, which is not part of it."""

DAY: Final = 86_400
WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FIRST_YEAR, END_YEAR = 2000, 2100
"""Before and after these every second is open: no calendar says anything of them."""
_EPOCH: Final = dt.date(1970, 1, 1).toordinal()
_PROBE_SECONDS: Final = 6 * 3600
"""Between two looks at the offset of a zone; no zone has changed twice within it since `FIRST_YEAR`."""
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_DATES: Final = re.compile(r"\d{4}-\d\d-\d\d(/\d{4}-\d\d-\d\d)?|\d\d-\d\d(/\d\d-\d\d)?")

Hours = Annotated[str, Meta(description="`09:00-17:30`; an end at or before its begin is one of the next day.")]


class Holiday(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Dates with hours of their own. Regular hours do not count on them, nor do those of the evening before."""

    date: Annotated[
        str,
        Meta(
            description="`2026-12-25`, a range with its last day `2026-12-24/2027-01-01`, or `12-25` and `12-24/01-01` "
            "of every year."
        ),
    ]
    hours: Annotated[tuple[Hours, ...], Meta(description="Hours on each of the dates; none: closed.")] = ()
    name: Annotated[str, Meta(description="For people.")] = ""

    def __post_init__(self) -> None:
        """Refuse what is no date."""
        self.first_and_last()
        for text in self.hours:
            parse_hours(text)

    @property
    def is_yearly(self) -> bool:
        """Whether its dates are those of every year."""
        return len(self.date.partition("/")[0]) == len("12-25")

    def days(self, year: int) -> Iterator[dt.date]:
        """Yield its days in a year; those of every year may go on beyond its end, as 12-24/01-01 does."""
        first, last = self.first_and_last()
        begin, end = dt.date(year, 1, 1), dt.date(year, 12, 31)
        if not self.is_yearly:
            begin, end = max(first, begin), min(last, end)
        for day in map(dt.date.fromordinal, range(begin.toordinal(), end.toordinal() + 1)):
            at, low, high = (day.month, day.day), (first.month, first.day), (last.month, last.day)
            if not self.is_yearly or low <= at <= high or (high < low and not high < at < low):
                yield day

    def first_and_last(self) -> tuple[dt.date, dt.date]:
        """Return the first and the last day; those of every year as days of 2000.

        Raises:
            ValueError: there is no such date, or the range is reversed.

        >>> Holiday("2026-12-24/2027-01-01").first_and_last()
        (datetime.date(2026, 12, 24), datetime.date(2027, 1, 1))
        """
        wrong = f"got {self.date!r}, expected a date 2026-12-25, a range 2026-12-24/2027-01-01, or 12-25 of every year"
        if not _DATES.fullmatch(self.date):
            raise ValueError(wrong)
        try:
            days = [dt.date.fromisoformat(f"2000-{text}"[-10:]) for text in self.date.split("/")]
        except ValueError as error:
            raise ValueError(f"{wrong}: {error}") from None
        if days[0] > days[-1] and not self.is_yearly:
            raise ValueError(f"{wrong}: the range ends before it begins")
        return days[0], days[-1]


class CalendarParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Opening hours: of a week, of holidays, and from a file."""

    zone: Annotated[str, Meta(description="IANA time zone, such as `Europe/Berlin`.")]
    hours: Annotated[
        dict[str, tuple[Hours, ...]],
        Meta(description="Day or days (`mon`, `mon-fri`) to its hours; days that are not named are closed."),
    ] = {}
    holidays: Annotated[tuple[Holiday, ...], Meta(description="Dates with hours of their own, or none.")] = ()
    file: Annotated[
        str | None,
        Meta(
            description="iCalendar file (.ics): its all-day events are holidays, its other events opening hours in "
            "addition to `hours`; recurring events too."
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse an unknown zone, and days and hours that cannot be read."""
        found: list[Mistake] = []

        def check(read: Callable[[], object], *place: str | int) -> None:
            try:
                read()
            except ValueError as error:
                found.append(Mistake(place, str(error)))

        check(partial(zone_of, self.zone), "zone")
        days: dict[int, str] = {}
        for name, hours in self.hours.items():
            check(partial(days_of, name), "hours", name)
            for number, text in enumerate(hours):
                check(partial(parse_hours, text), "hours", name, number)
        if found:
            raise MistakesError(*found)
        for name in self.hours:
            for day in days_of(name):
                if days.setdefault(day, name) != name:
                    text = (
                        f"hours: {WEEK[day]} is in `{days[day]}` and in `{name}`; give all hours of a day in one list"
                    )
                    raise MistakesError(Mistake(("hours", name), text))
        if not (self.file or any(self.hours.values()) or any(holiday.hours for holiday in self.holidays)):
            raise ValueError("it is never open; give it hours such as `mon-fri: [09:00-17:00]`, or a file")

    def week(self) -> list[list[Span]]:
        """Return the hours of each day from Monday, in seconds from its midnight."""
        week: list[list[Span]] = [[] for _ in WEEK]
        for name, hours in self.hours.items():
            for day in days_of(name):
                week[day] = [parse_hours(text) for text in hours]
        return week


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ValueError: no zone has this name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # a folder of the database is an OSError
        raise ValueError(f"zone: got {name!r}, expected an IANA time zone such as Europe/Berlin") from None


def parse_hours(text: str) -> Span:
    """Read hours as seconds from midnight; those past it end after 86,400.

    Raises:
        ValueError: they are no hours.

    >>> parse_hours("09:00-17:30"), parse_hours("22:00-06:00"), parse_hours("00:00-24:00")
    ((32400, 63000), (79200, 108000), (0, 86400))
    """
    wrong = f"got {text!r}, expected hours such as 09:00-17:30, 22:00-06:00 or 00:00-24:00"
    match = _HOURS.fullmatch(text)
    if match is None:
        raise ValueError(wrong)
    from_hour, from_minute, to_hour, to_minute = map(int, match.groups())
    begin, end = (from_hour * 60 + from_minute) * 60, (to_hour * 60 + to_minute) * 60
    if begin == end:
        raise ValueError(f"{wrong}: they are empty")
    if end > DAY:
        raise ValueError(wrong)
    return begin, end if end > begin else end + DAY


def days_of(name: str) -> list[int]:
    """Return the days that a name stands for, 0 for Monday.

    Raises:
        ValueError: it stands for none.

    >>> days_of("sat"), days_of("fri-mon")
    ([5], [4, 5, 6, 0])
    """
    days = name.split("-")
    if len(days) > 2 or not set(days) <= set(WEEK):  # noqa: PLR2004 - first and last
        raise ValueError(f"hours: got {name!r}, expected a day ({', '.join(WEEK)}) or days such as mon-fri")
    begin, end = WEEK.index(days[0]), WEEK.index(days[-1])
    return [day % len(WEEK) for day in range(begin, (end if end >= begin else end + len(WEEK)) + 1)]


class Dated(Struct, frozen=True):
    """What a file says of a year."""

    holidays: frozenset[dt.date] = frozenset()
    """Closed days."""
    open: tuple[Span, ...] = ()
    """POSIX seconds."""


def _nothing(_year: int) -> Dated:
    return Dated()


class Calendar:
    """The opening hours of some queues.

    Args:
        params: hours and holidays.
        dated: what the file of `params` says of a year.
        digest: of what the file says of the years around the time when it was read; empty without a file.

    >>> calendar = Calendar(CalendarParams("Europe/Berlin", {"mon-fri": ("08:00-17:00",)}))
    >>> moments = [dt.datetime.fromisoformat(f"2026-11-{at}+01:00") for at in ("27T16:58", "30T08:05")]
    >>> friday, monday = (moment.timestamp() for moment in moments)
    >>> calendar.seconds(friday, monday), monday - friday
    (420.0, 227220.0)
    >>> dt.datetime.fromtimestamp(calendar.after(friday, 180.0), dt.UTC).isoformat()
    '2026-11-30T07:01:00+00:00'
    """

    def __init__(self, params: CalendarParams, dated: Callable[[int], Dated] = _nothing, digest: str = "") -> None:
        self.params = params
        self.digest = digest
        self._zone = zone_of(params.zone)
        self._week = params.week()
        self._dated = dated
        self._years = range(0)
        """Compiled; `_low` and `_high` are their first and last POSIX second, the latter not part of them."""
        self._low = self._high = 0.0
        self._begins: list[float] = []
        self._ends: list[float] = []
        self._before: list[float] = [0.0]
        """Open seconds from `_low` to the begin of each interval, and at last to the end of all."""

    def seconds(self, begin: float, end: float) -> float:
        """Return how many seconds of a time span (POSIX seconds) are open; negative if it is reversed."""
        number = bisect_right(self._begins, begin) - 1
        if number >= 0 and begin <= end <= self._ends[number]:  # both within the same hours, as nearly always
            return end - begin
        self._cover(min(begin, end), max(begin, end))
        return self._open_until(end) - self._open_until(begin)

    def after(self, begin: float, seconds: float) -> float:
        """Return the last moment (POSIX seconds) at which no more than `seconds` have been open since `begin`.

        If they are over at closing time, that is the next opening: a reply then is still in time.
        """
        number = bisect_right(self._begins, begin) - 1
        if number >= 0 and begin + seconds < self._ends[number]:
            return begin + seconds
        self._cover(begin, begin)
        while self._open_until(begin) + seconds >= self._before[-1] and self._years.stop < END_YEAR:
            self._cover(begin, 2 * self._high - self._low)
        target = self._open_until(begin) + seconds
        if target < 0.0:
            return self._low + target
        if target >= self._before[-1]:
            return self._high + target - self._before[-1]
        number = bisect_right(self._before, target) - 1
        return self._begins[number] + target - self._before[number]

    def is_open(self, time: float) -> bool:
        """Return whether it is open at a time (POSIX seconds)."""
        number = bisect_right(self._begins, time) - 1
        if number >= 0 and time < self._ends[number]:
            return True
        self._cover(time, time)
        if not self._low <= time < self._high:
            return True
        number = bisect_right(self._begins, time) - 1
        return number >= 0 and time < self._ends[number]

    def next_change(self, time: float) -> float | None:
        """Return when (POSIX seconds) it opens or closes next after a time; `None`: not before the end of next year."""
        self._cover(time, time)
        number = bisect_right(self._begins, time)
        if number and time < self._ends[number - 1]:
            change = self._ends[number - 1]
        else:
            change = self._begins[number] if number < len(self._begins) else self._high
        return change if time < change < self._high else None

    def prepare(self, time: float) -> None:
        """Compile the years around a time (POSIX seconds), so that no question has to."""
        self._cover(time, time)

    def last_holiday(self, time: float) -> dt.date | None:
        """Return the last holiday that is known, up to the end of the year after next; `None` without holidays."""
        year = _year(time)
        days = (day for each in range(year, year + 3) for day in self._holidays(each))
        return max(days, default=None)

    def _open_until(self, time: float) -> float:
        """Open seconds from `_low` to a time; where nothing is compiled every second is open."""
        number = bisect_right(self._begins, time) - 1
        if time >= self._high:
            return self._before[-1] + time - self._high
        if number < 0:
            return min(time - self._low, 0.0)
        return self._before[number] + min(time, self._ends[number]) - self._begins[number]

    # ---- compiling

    def _cover(self, low: float, high: float) -> None:
        """Compile the years of two times, and those beside them."""
        if self._low <= low and high < self._high:
            return
        first, stop = max(_year(low) - 1, FIRST_YEAR), min(_year(high) + 2, END_YEAR)
        if self._years:
            first, stop = min(first, self._years.start), max(stop, self._years.stop)
        if first < stop and range(first, stop) != self._years:
            self._compile(range(first, stop))

    def _compile(self, years: range) -> None:
        first, stop = (dt.date(year, 1, 1) for year in (years.start, years.stop))
        low, high = (dt.datetime(day.year, 1, 1, tzinfo=self._zone).timestamp() for day in (first, stop))
        zone = _Offsets(self._zone, low - 3 * DAY, high + 3 * DAY)
        holidays = {
            day: hours for year in range(first.year - 1, stop.year + 1) for day, hours in self._holidays(year).items()
        }
        regular = [span for year in range(first.year - 1, stop.year + 1) for span in self._dated(year).open]
        closed: list[Span] = []
        special: list[Span] = []
        for number in range(first.toordinal() - 2, stop.toordinal() + 2):
            day = dt.date.fromordinal(number)
            if day in holidays:
                closed += zone.spans(number, [(0, DAY)])
                special += zone.spans(number, holidays[day])
            else:
                regular += zone.spans(number, self._week[day.weekday()])
        spans = merge([*subtract(merge(regular), merge(closed)), *special])
        spans = [(max(begin, low), min(end, high)) for begin, end in spans if begin < high and end > low]
        self._years, self._low, self._high = years, low, high
        self._begins, self._ends = [begin for begin, _ in spans], [end for _, end in spans]
        self._before = [0.0, *accumulate(end - begin for begin, end in spans)]

    def _holidays(self, year: int) -> dict[dt.date, list[Span]]:
        """Holidays of a year and their hours; where two name a date the later one counts."""
        found: dict[dt.date, list[Span]] = {day: [] for day in self._dated(year).holidays}
        for holiday in self.params.holidays:
            hours = [parse_hours(text) for text in holiday.hours]
            found |= dict.fromkeys(holiday.days(year), hours)
        return found


class _Offsets:
    """Times in a zone as POSIX seconds. A local time that occurs twice gives two, one that is skipped gives nothing."""

    def __init__(self, zone: ZoneInfo, low: float, high: float) -> None:
        self._begins, self._offsets = [low], [_offset(zone, low)]
        for at in range(int(low), int(high), _PROBE_SECONDS):
            begin, end = at, at + _PROBE_SECONDS
            if (offset := _offset(zone, end)) == self._offsets[-1]:
                continue
            while end - begin > 1:
                middle = (begin + end) // 2
                begin, end = (middle, end) if _offset(zone, middle) == self._offsets[-1] else (begin, middle)
            self._begins.append(end)
            self._offsets.append(offset)
        self._ends = [*self._begins[1:], high + _PROBE_SECONDS]

    def spans(self, day: int, hours: Iterable[Span]) -> Iterator[Span]:
        """Yield hours of a day (an ordinal), in seconds from its midnight, as POSIX seconds."""
        midnight = (day - _EPOCH) * DAY
        first = max(bisect_right(self._begins, midnight - DAY) - 1, 0)
        for begin, end in hours:
            for number in range(first, len(self._begins)):
                offset = self._offsets[number]
                if self._begins[number] > midnight + 3 * DAY:
                    break
                low = max(midnight + begin - offset, self._begins[number])
                high = min(midnight + end - offset, self._ends[number])
                if low < high:
                    yield float(low), float(high)


def _offset(zone: ZoneInfo, time: float) -> float:
    offset = dt.datetime.fromtimestamp(time, zone).utcoffset()
    return 0.0 if offset is None else offset.total_seconds()


def _year(time: float) -> int:
    """The year of a time, within what a calendar can say; a day more or less does not matter."""
    return min(max(int(1970 + time // (365.2425 * DAY)), FIRST_YEAR - 1), END_YEAR)


def merge(spans: Iterable[Span]) -> list[Span]:
    """Sort time spans, and join those that touch.

    >>> merge([(5, 6), (1, 3), (3, 4), (2, 3)])
    [(1, 4), (5, 6)]
    """
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged


def subtract(spans: Iterable[Span], closed: Sequence[Span]) -> Iterator[Span]:
    """Yield what is left of time spans without others; both are sorted and do not overlap.

    >>> list(subtract([(0, 10), (20, 30)], [(2, 3), (8, 22)]))
    [(0, 2), (3, 8), (22, 30)]
    """
    first = 0
    for begin, end in spans:
        while first < len(closed) and closed[first][1] <= begin:
            first += 1
        at = begin
        for number in range(first, len(closed)):
            if closed[number][0] >= end:
                break
            if at < closed[number][0]:
                yield at, closed[number][0]
            at = max(at, closed[number][1])
        if at < end:
            yield at, end
