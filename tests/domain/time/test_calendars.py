"""Opening hours: exact by an oracle that marks minutes, and clear about what is no calendar."""

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.calendars import differences
from operators.domain.time.calendars import (
    Calendar,
    CalendarParams,
    Dated,
    Holiday,
    days_of,
    merge,
    parse_hours,
    subtract,
    zone_of,
)

OFFICE = CalendarParams("Europe/Berlin", {"mon-fri": ("08:00-17:00",)})


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def test_twenty_thousand_time_spans_are_what_marked_minutes_say() -> None:
    assert list(differences(calendars=8, intervals=2_500, seed=7)) == []


def test_the_oracle_finds_an_hour_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.domain.time.calendars._offset", lambda zone, _: 3600.0 if zone.key != "UTC" else 0.0)
    assert any(True for _ in differences(calendars=8, intervals=20, seed=7))


def test_a_weekend_is_not_waited() -> None:
    office = Calendar(OFFICE)
    assert office.seconds(at("2026-11-27T17:02+01:00"), at("2026-11-30T08:05+01:00")) == 300.0
    assert not office.is_open(at("2026-11-27T17:00+01:00"))
    assert office.is_open(at("2026-11-30T08:00+01:00"))


@pytest.mark.parametrize(
    ("since", "limit", "due"),
    [
        ("2026-11-27T16:58:00+01:00", 60.0, "2026-11-27T16:59:00+01:00"),
        ("2026-11-27T16:58:00+01:00", 120.0, "2026-11-30T08:00:00+01:00"),  # over at closing time: the next opening
        ("2026-11-27T16:58:00+01:00", 180.0, "2026-11-30T08:01:00+01:00"),
        ("2026-11-28T12:00:00+01:00", 0.0, "2026-11-30T08:00:00+01:00"),
    ],
)
def test_a_limit_runs_in_opening_hours(since: str, limit: float, due: str) -> None:
    assert Calendar(OFFICE).after(at(since), limit) == at(due)


@pytest.mark.parametrize(
    ("now", "change"),
    [
        ("2026-11-27T16:59:59+01:00", "2026-11-27T17:00+01:00"),
        ("2026-11-27T17:00+01:00", "2026-11-30T08:00+01:00"),
        ("2026-11-30T08:00+01:00", "2026-11-30T17:00+01:00"),
        ("2026-03-28T12:00+01:00", "2026-03-30T08:00+02:00"),
    ],
)
def test_the_next_opening_or_closing_is_known(now: str, change: str) -> None:
    assert Calendar(OFFICE).next_change(at(now)) == at(change)


@pytest.mark.parametrize(
    "params",
    [
        CalendarParams("UTC", {"mon-sun": ("00:00-24:00",)}),
        CalendarParams("UTC", holidays=(Holiday("2020-01-01", ("09:00-10:00",)),)),
    ],
)
def test_a_calendar_that_never_changes_has_no_next_change(params: CalendarParams) -> None:
    assert Calendar(params).next_change(at("2026-11-27T12:00Z")) is None


def test_a_calendar_that_is_prepared_compiles_nothing_more_around_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, office = at("2026-11-27T12:00Z"), Calendar(OFFICE)
    office.prepare(now)
    monkeypatch.setattr(office, "_compile", lambda _: pytest.fail("compiled"))
    assert office.seconds(now - 300 * 86_400, now + 300 * 86_400) > 0
    assert office.after(now, 3_600.0) > now


def test_a_night_shift_belongs_to_the_day_on_which_it_begins() -> None:
    nights = Calendar(CalendarParams("UTC", {"fri": ("22:00-06:00",)}))
    assert nights.seconds(at("2026-11-27T00:00Z"), at("2026-11-30T00:00Z")) == 8 * 3600
    assert nights.is_open(at("2026-11-28T05:59Z"))


def test_a_holiday_closes_its_date_and_what_reaches_into_it() -> None:
    hours = {"mon-sun": ("22:00-06:00",)}
    shop = Calendar(CalendarParams("UTC", hours, (Holiday("12-25"), Holiday("2026-12-24", ("10:00-12:00",)))))
    assert [shop.is_open(at(f"2026-12-{moment}Z")) for moment in ("24T05:00", "24T11:00", "24T23:00", "25T01:00")] == [
        False, True, False, False,
    ]  # fmt: skip
    assert [shop.is_open(at(f"2026-12-{moment}Z")) for moment in ("25T23:00", "26T01:00", "26T23:00")] == [
        False, False, True,
    ]  # fmt: skip


def test_the_later_of_two_holidays_counts_for_a_date() -> None:
    shop = Calendar(
        CalendarParams("UTC", {}, (Holiday("2026-12-24/2027-01-01"), Holiday("2026-12-28", ("09:00-10:00",))))
    )
    assert shop.seconds(at("2026-12-01T00:00Z"), at("2027-02-01T00:00Z")) == 3600.0


def test_dates_of_every_year_may_go_on_beyond_its_end() -> None:
    days = [day.isoformat() for day in Holiday("12-30/01-02").days(2026)]
    assert days == ["2026-01-01", "2026-01-02", "2026-12-30", "2026-12-31"]
    assert [len(list(Holiday("02-29").days(year))) for year in (2027, 2028)] == [0, 1]
    assert list(Holiday("2026-12-30/2027-01-02").days(2028)) == []


def test_an_hour_that_occurs_twice_is_two_and_one_that_is_left_out_is_none() -> None:
    shop = Calendar(CalendarParams("Europe/Berlin", {"sun": ("02:00-03:00",)}))
    assert shop.seconds(at("2026-10-25T00:00+02:00"), at("2026-10-26T00:00+01:00")) == 7200.0
    assert shop.seconds(at("2026-03-29T00:00+01:00"), at("2026-03-30T00:00+02:00")) == 0.0


def test_where_no_calendar_reaches_every_second_counts() -> None:
    office = Calendar(OFFICE)
    for year in (1950, 2150):
        moment = dt.datetime(year, 6, 5, tzinfo=dt.UTC).timestamp()
        assert office.seconds(moment, moment + 86_400.0) == 86_400.0
        assert office.after(moment, 60.0) == moment + 60.0
        assert office.is_open(moment)
    assert office.seconds(-1e11, 1e11) > 0.0


def test_one_that_never_opens_again_is_due_at_the_end() -> None:
    once = Calendar(CalendarParams("UTC", {}, (Holiday("2026-01-01", ("09:00-10:00",)),)))
    due = once.after(at("2026-11-27T00:00Z"), 60.0)
    assert due == dt.datetime(2100, 1, 1, tzinfo=dt.UTC).timestamp() + 60.0
    assert math.isfinite(due)


@given(st.floats(9.5e8, 4e9), st.floats(0, 1e7))
def test_the_last_moment_in_time_is_the_last(begin: float, seconds: float) -> None:
    office = CALENDAR
    last = office.after(begin, seconds)
    assert office.seconds(begin, last) == pytest.approx(seconds, abs=1e-5)
    assert office.seconds(begin, last + 1.0) > seconds


CALENDAR = Calendar(
    CalendarParams("America/New_York", {"mon-thu": ("09:00-12:00", "13:00-24:00"), "fri": ("22:00-06:00",)})
)


def test_the_last_holiday_is_that_of_any_source() -> None:
    now = at("2026-11-01T00:00Z")
    assert Calendar(OFFICE).last_holiday(now) is None
    listed = CalendarParams("UTC", {"mon": ("09:00-10:00",)}, (Holiday("2026-12-24/2027-01-01"), Holiday("2026-05-01")))
    assert Calendar(listed).last_holiday(now) == dt.date(2027, 1, 1)
    yearly = CalendarParams("UTC", {"mon": ("09:00-10:00",)}, (Holiday("12-25"),))
    assert Calendar(yearly).last_holiday(now) == dt.date(2028, 12, 25)
    of_file = Calendar(OFFICE, lambda year: Dated(frozenset({dt.date(year, 1, 1)} if year < 2028 else ())))
    assert of_file.last_holiday(now) == dt.date(2027, 1, 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9:00-17:00", "expected hours such as"),
        ("09:00-24:30", "expected hours such as"),
        ("24:00-06:00", "expected hours such as"),
        ("09:00-09:00", "they are empty"),
        ("09:00 - 17:00", "expected hours such as"),
        ("", "expected hours such as"),
    ],
)
def test_hours_that_are_none_are_named(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        parse_hours(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["2026-13-01", "2026-02-30", "25.12.", "12-32", "2027-01-01/2026-12-24", "", "2026-12-24/", "12-24/2027-01-01"],
)
def test_dates_that_are_none_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="expected a date 2026-12-25") as refused:
        Holiday(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize("name", ["Europe/Belrin", "", "Europe", "../etc/passwd", "/etc/localtime"])
def test_a_zone_that_is_none_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="expected an IANA time zone"):
        zone_of(name)


def test_days_that_are_none_are_named() -> None:
    for name in ("monday", "mon-", "-fri", "mon-fry", ""):
        with pytest.raises(ValueError, match="expected a day"):
            days_of(name)


def test_a_calendar_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match="never open"):
        CalendarParams("UTC")
    with pytest.raises(ValueError, match="never open"):
        CalendarParams("UTC", {"mon": ()}, (Holiday("12-25"),))
    with pytest.raises(ValueError, match="fri is in `mon-fri` and in `fri`"):
        CalendarParams("UTC", {"mon-fri": ("09:00-17:00",), "fri": ("09:00-15:00",)})


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda pair: (pair[0], sum(pair))), max_size=12)


@given(SPANS, SPANS)
def test_merged_and_subtracted_spans_are_those_of_sets(
    opened: list[tuple[int, int]], closed: list[tuple[int, int]]
) -> None:
    spans = list(subtract(merge(opened), merge(closed)))
    seconds = {second for begin, end in spans for second in range(int(begin), int(end))}
    assert seconds == {s for b, e in opened for s in range(b, e)} - {s for b, e in closed for s in range(b, e)}
    assert all(begin < end for begin, end in spans)
    assert spans == merge(spans)
