"""Calendars in the settings, and those that come as an iCalendar file."""

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from flows.settings.calendars import calendars_of, read_icalendar
from flows.settings.load import load
from operators.documents.load import DocumentError
from operators.domain.time.calendars import CalendarParams

BERLIN = ZoneInfo("Europe/Berlin")


def ics(*events: str) -> bytes:
    body = "".join(f"BEGIN:VEVENT\nUID:{number}\n{event}\nEND:VEVENT\n" for number, event in enumerate(events))
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//shop//csq//EN\n{body}END:VCALENDAR\n".encode()


CHRISTMAS = "DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261227\nRRULE:FREQ=YEARLY"
OFFICE = (
    "DTSTART;TZID=Europe/Berlin:20260105T090000\nDTEND;TZID=Europe/Berlin:20260105T170000\n"
    "RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR\nEXDATE;TZID=Europe/Berlin:20261224T090000"
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_events_of_a_file_are_hours_and_all_day_events_holidays(tmp_path: Path) -> None:
    path = tmp_path / "office.ics"
    path.write_bytes(ics(CHRISTMAS, OFFICE))
    calendar = calendars_of({"office": CalendarParams("Europe/Berlin", file=str(path))})["office"]
    opened = [
        day
        for day in range(21, 32)
        if calendar.seconds(at(f"2026-12-{day}T00:00+01:00"), at(f"2026-12-{day}T23:59+01:00")) == 8 * 3600
    ]
    assert opened == [21, 22, 23, 28, 29, 30, 31]  # the 24th is an exception of the rule
    assert calendar.seconds(at("2026-07-01T00:00+02:00"), at("2026-07-01T09:30+02:00")) == 1800
    assert calendar.last_holiday(at("2026-11-01T00:00Z")) == date(2028, 12, 26)


def test_a_file_may_only_add_holidays_to_hours(tmp_path: Path) -> None:
    path = tmp_path / "holidays.ics"
    path.write_bytes(ics(CHRISTMAS))
    params = CalendarParams("UTC", {"mon-sun": ("00:00-24:00",)}, file=str(path))
    calendar = calendars_of({"all": params})["all"]
    assert calendar.seconds(at("2026-12-24T12:00Z"), at("2026-12-28T00:00Z")) == 1.5 * 86_400


@pytest.mark.parametrize(
    ("event", "opened"),
    [
        ("DTSTART:20260105T090000\nDTEND:20260105T100000", ["2026-01-05T08:00Z"]),  # without a zone: the calendar's
        ("DTSTART:20260105T090000Z\nDURATION:PT1H", ["2026-01-05T09:00Z"]),
        ("DTSTART:20260105T090000Z\nDURATION:PT1H\nSTATUS:CANCELLED", []),
    ],
)
def test_times_are_those_of_the_event(event: str, opened: list[str]) -> None:
    spans = read_icalendar(ics(event), BERLIN)(2026).open
    assert [begin for begin, _ in spans] == [at(text) for text in opened]
    assert all(end - begin == 3600.0 for begin, end in spans)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\xff\xfe\x00", ics("DTSTART:soon"), ics("DTSTART;VALUE=DATE:20261301"), ics(CHRISTMAS)[:-20]],
)
def test_a_file_that_is_no_calendar_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.ics"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=r"promises\.calendars\.office\.file: .*broken\.ics is no iCalendar file: "):
        calendars_of({"office": CalendarParams("UTC", file=str(path))})
    with pytest.raises(DocumentError, match=r"none\.ics cannot be read: No such file"):
        calendars_of({"office": CalendarParams("UTC", file=str(tmp_path / "none.ics"))})


def test_settings_name_the_line_of_what_is_no_calendar(tmp_path: Path) -> None:
    path = tmp_path / "csq.yaml"
    path.write_text(
        "promises:\n  calendar: ofice\n  queues:\n    orders: {calendar: nights}\n    billing: {calendar: always}\n"
        "  calendars:\n    office: {zone: UTC, hours: {mon: [09:00-17:00]}}\n    always: {zone: UTC, hours: {mon: [09:00-17:00]}}\n"
    )
    with pytest.raises(DocumentError) as refused:
        load(path, {})
    lines = str(refused.value).splitlines()
    assert [line.partition(": ")[0].rpartition(", ")[2] for line in lines] == ["line 8", "line 2", "line 4"]
    assert lines[1].endswith("got 'ofice', expected one of always, office, always (promises.calendars)")


def test_a_calendar_of_the_environment_is_read() -> None:
    value = "{office: {zone: Asia/Kolkata, hours: {mon-sat: [10:00-13:00, 14:00-19:00]}}}"
    settings = load(None, {"CSQ_PROMISES__CALENDARS": value, "CSQ_PROMISES__CALENDAR": "office"})
    calendar = calendars_of(settings.promises.calendars)[settings.promises.calendar]
    monday = datetime(2026, 11, 30, tzinfo=UTC).timestamp()
    assert calendar.seconds(monday, monday + 86_400) == 8 * 3600
