"""Opening hours against an oracle, and their cost: ``python -m bench.calendars``.

The oracle marks every minute of three years as open or closed by its local time, as `zoneinfo` gives it, and counts
marks. Random calendars (zones, several hours a day, past midnight, holidays) are asked for random time spans in whole
seconds; both must agree exactly.
"""

import argparse
import datetime as dt
import random
import sys
import time
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from bench.arguments import whole
from operators.domain.time.calendars import DAY, WEEK, Calendar, CalendarParams, Holiday, parse_hours

SHOWN: Final = 10
"""Differences that are printed."""
ROUND_SHARE, OPEN_HOLIDAYS = 0.7, 0.4
"""Hours that begin and end at half hours; holidays with hours."""
YEARS: Final = (2025, 2028)
"""From the begin of the first to that of the last."""
ZONES: Final = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Santiago",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "Asia/Gaza",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Antarctica/Troll",
)
"""With half and quarter hours, changes of half an hour and of two hours, and four changes a year."""
MINUTE: Final = 60
BEGIN, END = (int(dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp()) for year in YEARS)


class LocalMinutes(NamedTuple):
    """The local time of each minute of three years."""

    day: np.ndarray
    """Ordinal of the date."""
    minute: np.ndarray
    """Of the day."""


@cache
def local_minutes(zone: str) -> LocalMinutes:
    """The minutes of three years in a zone, one by one."""
    info = ZoneInfo(zone)
    local = [dt.datetime.fromtimestamp(at, info) for at in range(BEGIN, END, MINUTE)]
    day = np.fromiter((at.toordinal() for at in local), np.int32, len(local))
    return LocalMinutes(day, np.fromiter((at.hour * 60 + at.minute for at in local), np.int32, len(local)))


class Oracle:
    """Counts marked minutes."""

    def __init__(self, params: CalendarParams) -> None:
        day, minute = local_minutes(params.zone)
        week = {number: hours for name, hours in params.hours.items() for number in _numbers(name)}
        dates = {date: holiday.hours for holiday in params.holidays for date in _dates(holiday)}
        ordinals = np.array(sorted(dates), np.int32)
        self.open = np.zeros(len(day), bool)
        for number, hours in week.items():
            self.open |= _marks(
                (day - 1) % len(WEEK) == number, (day - 2) % len(WEEK) == number, minute, hours, day, ordinals
            )
        self.open &= ~np.isin(day, ordinals)
        for ordinal, hours in dates.items():
            self.open |= _marks(day == ordinal, day == ordinal + 1, minute, hours, day, np.array([], np.int32))
        self._before = np.concatenate(([0], np.cumsum(self.open, dtype=np.int64))) * MINUTE

    def seconds(self, begin: int, end: int) -> int:
        """Open seconds of a span."""
        return self._until(end) - self._until(begin)

    def _until(self, at: int) -> int:
        number, rest = divmod(at - BEGIN, MINUTE)
        return int(self._before[number]) + rest * bool(self.open[number])


def _marks(
    today: np.ndarray,
    yesterday: np.ndarray,
    minute: np.ndarray,
    hours: tuple[str, ...],
    day: np.ndarray,
    holidays: np.ndarray,
) -> np.ndarray:
    """Minutes within hours of a day, and past its midnight; those of a holiday's regular hours count on neither day."""
    marks = np.zeros(len(minute), bool)
    for text in hours:
        begin, end = (seconds // MINUTE for seconds in parse_hours(text))
        marks |= today & (minute >= begin) & (minute < end)
        marks |= yesterday & (minute + DAY // MINUTE < end) & ~np.isin(day - 1, holidays)
    return marks


def _numbers(name: str) -> Iterator[int]:
    """Days that a name stands for, one by one."""
    first, _, last = name.partition("-")
    number = WEEK.index(first)
    yield number
    while WEEK[number] != (last or first):
        number = (number + 1) % len(WEEK)
        yield number


def _dates(holiday: Holiday) -> Iterator[int]:
    """Ordinals of a holiday within three years, and beside them."""
    for ordinal in range(dt.date(YEARS[0] - 1, 12, 1).toordinal(), dt.date(YEARS[1], 2, 1).toordinal()):
        date = dt.date.fromordinal(ordinal).isoformat()
        first, _, last = holiday.date.partition("/")
        if first <= date <= (last or first) or date[-5:] == holiday.date:
            yield ordinal


def random_calendar(chance: random.Random) -> CalendarParams:
    """A calendar of a shop, or of a stranger one."""
    zone = chance.choice(ZONES)
    names = chance.choice((["mon-fri", "sat"], ["mon-thu", "fri", "sat-sun"], list(WEEK), ["fri-mon"], ["sun"]))
    hours = {name: tuple(_random_hours(chance)) for name in names}
    hours[names[0]] = hours[names[0]] or ("09:00-17:00",)
    days = (
        dt.date.fromordinal(chance.randrange(BEGIN // DAY, END // DAY) + dt.date(1970, 1, 1).toordinal())
        for _ in range(40)
    )
    texts = [day.isoformat() for day in days]
    texts[::5] = [
        f"{text}/{dt.date.fromisoformat(text) + dt.timedelta(chance.randrange(1, 12))}" for text in texts[::5]
    ]
    texts[:4] = ["01-01", "12-25", "02-29", "12-31/01-02"][:3] + texts[3:4]
    holidays = tuple(
        Holiday(text, tuple(_random_hours(chance)) if chance.random() < OPEN_HOLIDAYS else ()) for text in texts
    )
    return CalendarParams(zone, hours, holidays[: chance.randrange(len(holidays))])


def _random_hours(chance: random.Random) -> Iterator[str]:
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3))):
        begin, end = chance.randrange(24 * 60), chance.randrange(1, 24 * 60 + 1)
        if begin != end and chance.random() < ROUND_SHARE:
            begin, end = begin - begin % 30, end - end % 30
        if begin != end and end:
            yield f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"


def differences(calendars: int, intervals: int, seed: int) -> Iterator[str]:
    """Each answer of a calendar that is not the oracle's."""
    chance = random.Random(seed)  # noqa: S311 - calendars, no secrets
    for number in range(calendars):
        params = random_calendar(chance)
        calendar, oracle = Calendar(params), Oracle(params)
        for _ in range(intervals):
            begin = chance.randrange(BEGIN, END - DAY)
            end = begin + int(chance.random() ** 3 * (END - DAY - begin))
            expected = oracle.seconds(begin, end)
            if (got := calendar.seconds(begin, end)) != expected:
                yield f"calendar {number} ({params}): {got} seconds from {begin} to {end}, expected {expected}"
            last = int(calendar.after(begin, expected))
            if last < END - DAY and not (oracle.seconds(begin, last) == expected < oracle.seconds(begin, last + 1)):
                yield f"calendar {number} ({params}): {expected} seconds after {begin} are over at {last}"
            if calendar.is_open(begin) != bool(oracle.open[(begin - BEGIN) // MINUTE]):
                yield f"calendar {number} ({params}): is_open({begin}) is {calendar.is_open(begin)}"


def cost(seed: int, questions: int = 200_000) -> float:
    """Microseconds of a question for the seconds of a span."""
    chance = random.Random(seed)  # noqa: S311 - as above
    calendar = Calendar(random_calendar(chance))
    spans = [(at := chance.uniform(BEGIN, END), at + chance.expovariate(1e-4)) for _ in range(questions)]
    calendar.seconds(BEGIN, END)
    began = time.perf_counter()
    for begin, end in spans:
        calendar.seconds(begin, end)
    return (time.perf_counter() - began) / questions * 1e6


def main(arguments: list[str] | None = None) -> int:
    """Compare; 1 if there is a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calendars", type=whole(), default=200)
    parser.add_argument("--intervals", type=whole(), default=5_000, help="of each calendar")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    count = 0
    for count, text in enumerate(differences(chosen.calendars, chosen.intervals, chosen.seed), 1):
        if count <= SHOWN:
            print(text)
    asked = chosen.calendars * chosen.intervals
    print(f"calendars {chosen.calendars}, intervals {asked:,}, zones {len(ZONES)}: differences {count}")
    print(f"{cost(chosen.seed):.2f} us per time span")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
