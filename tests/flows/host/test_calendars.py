"""Calendars that change while csq runs, without a restart; files that are wrong change nothing."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from flows.host import calendars
from flows.host.calendars import CalendarWatch, last_holidays
from flows.live import Live
from flows.settings.calendars import calendars_of
from flows.settings.load import load
from operators.connectors.embedded import EmbeddedBroker
from operators.domain.stage.promise import Promises
from operators.domain.time.calendars import WEEK
from operators.metrics.catalogue import ClosedSets
from operators.metrics.observe import Observer, Values, read
from tests.builders import raw
from tests.live import run_beside

LAST = "csq_calendar_last_holiday_timestamp_seconds"
TODAY = datetime.now(UTC).date()
MONDAY = TODAY + timedelta(14 - TODAY.weekday())
"""Not of today: a file is compared by what it says of the years around now."""
THURSDAY, FRIDAY = MONDAY + timedelta(10), MONDAY + timedelta(18)
DAYS, NIGHTS = {"mon-fri": ["08:00-17:00"]}, {"mon-sun": ["22:00-06:00"]}


def at(day: date, hour: int = 0, minute: int = 0) -> float:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC).timestamp()


NOON, NIGHT = at(MONDAY, 12), at(MONDAY, 3)


def document(hours: Any = DAYS, *, zone: str = "UTC", more: Any = None, **other: Any) -> str:
    """A settings file in which the calendar of queue `orders` has these hours."""
    office = {"zone": zone, "hours": hours, **(more or {})}
    promises = {"queues": {"orders": {"calendar": "office"}}, "calendars": {"office": office}}
    return yaml.safe_dump({"promises": promises, **other})


def ics(*days: date) -> str:
    """An iCalendar file with these days as holidays, as it would be exported at this moment."""
    stamp = time.monotonic_ns()
    events = "".join(
        f"BEGIN:VEVENT\nUID:{stamp}-{day}\nDTSTART;VALUE=DATE:{day:%Y%m%d}\nSUMMARY:at {stamp}\nEND:VEVENT\n"
        for day in days
    )
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//shop//csq//EN\n{events}END:VCALENDAR\n"


class Watched:
    """The promises of a process that was started with this file, and what the log says of its changes."""

    def __init__(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        settings = load(path, os.environ)
        self.promises = Promises(settings.promises, calendars_of(settings.promises.calendars))
        self.registry = CollectorRegistry()
        observer = Observer(self.registry, ClosedSets(), strict=True)
        observer.record(last_holidays(self.promises.calendars, NOON))
        self.watch = CalendarWatch(path, settings, self.promises, ("orders", "billing"), observer.record)
        self._log = caplog
        caplog.set_level(logging.INFO)

    def look(self) -> list[tuple[str, Any]]:
        """Look until a change is taken; the events of the log with what has changed, or why not."""
        self._log.clear()
        for _ in range(4):
            self.watch.look()
        return [
            (vars(line)["event"], vars(line).get("changed", line.getMessage().partition(": ")[2]))
            for line in self._log.records
        ]

    def is_open(self, queue: str, time_: float) -> bool:
        calendar = self.promises.calendar_of(queue)
        return calendar is None or calendar.is_open(time_)

    def last(self) -> dict[tuple[str, ...], float]:
        return read(self.registry).get(LAST, {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "csq.yaml"
    path.write_text(document())
    return path


CHANGED = ("calendars_changed", ["promises.calendars.office"])


def test_changed_hours_are_taken_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(path, caplog)
    assert watched.look() == []
    assert watched.promises.changes == 0
    path.write_text(document(NIGHTS))
    assert watched.look() == [CHANGED]
    assert (watched.is_open("orders", NOON), watched.is_open("orders", NIGHT)) == (False, True)
    assert watched.look() == []
    path.touch()
    assert watched.look() == []
    assert watched.promises.changes == 1


def test_a_change_between_the_start_and_the_first_look_is_taken(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(path, caplog)
    path.write_text(document(NIGHTS))
    assert watched.look() == [CHANGED]


def test_a_file_that_is_being_written_is_not_read(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(path, caplog)
    watched.look()
    for part in ("", "promises: {}\n", "promises:\n  queues:", document(NIGHTS)):
        path.write_text(part)
        watched.watch.look()
        assert caplog.records == []
    watched.watch.look()
    assert [vars(line)["event"] for line in caplog.records] == ["calendars_changed"]


def test_a_file_that_is_replaced_is_taken_also_where_it_is_as_long_and_as_old(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(path, caplog)
    watched.look()
    other = path.with_name("next.yaml")
    other.write_text(document({"mon-fri": ["09:00-18:00"]}))
    assert other.stat().st_size == path.stat().st_size
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)
    assert watched.look() == [CHANGED]


def test_a_config_map_whose_link_is_switched_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, hours in (("..1", DAYS), ("..2", NIGHTS)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "csq.yaml").write_text(document(hours))
    data, path = tmp_path / "..data", tmp_path / "csq.yaml"
    data.symlink_to("..1")
    path.symlink_to("..data/csq.yaml")
    watched = Watched(path, caplog)
    assert watched.look() == []
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(data)
    assert watched.look() == [CHANGED]


def test_a_wrong_file_is_refused_once_for_each_content_and_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(path, caplog)
    good = path.read_text()
    seen = []
    for content in (document({"mon": ["9-17"]}), "promises: [", document(zone="Mars/Phobos")):
        path.write_text(content)
        ((event, why),) = watched.look()
        seen.append((event, why.replace(f"{path}, ", "").partition(" got")[0]))
        path.touch()
        assert watched.look() == []
    assert [event for event, _ in seen] == ["calendars_refused"] * 3
    assert seen[0][1] == "line 6: promises.calendars.office:"
    assert "zone:" in seen[2][1]
    path.unlink()
    ((event, why),) = watched.look()
    assert (event, "csq.yaml: cannot be read: No such file" in why) == ("calendars_refused", True)
    assert (watched.promises.changes, watched.is_open("orders", NOON)) == (0, True)
    path.write_text(good)
    assert watched.look() == []
    path.write_text("promises: [")
    assert [event for event, _ in watched.look()] == ["calendars_refused"]
    path.write_text(document(NIGHTS))
    assert watched.look() == [CHANGED]


def test_an_error_that_nobody_expected_does_not_end_the_watch(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(path, caplog)
    with monkeypatch.context() as broken:
        broken.setattr(calendars, "load", lambda *_: {}["gone"])
        assert watched.look() == [("calendars_refused", "KeyError: 'gone'")]
    path.write_text(document(NIGHTS))
    assert watched.look() == [CHANGED]


def test_a_queue_may_change_its_calendar(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(path, caplog)
    own = {"nights": {"zone": "UTC", "hours": NIGHTS}, "office": {"zone": "UTC", "hours": DAYS}}
    queues = {"orders": {"calendar": "nights"}, "billing": {"calendar": "office"}}
    path.write_text(yaml.safe_dump({"promises": {"calendars": own, "queues": queues, "calendar": "nights"}}))
    (change,) = watched.look()
    assert change == (
        "calendars_changed",
        [
            "promises.calendar",
            "promises.queues.billing.calendar",
            "promises.queues.orders.calendar",
            "promises.calendars.nights",
        ],
    )
    assert [watched.is_open(queue, NOON) for queue in ("orders", "billing", "returns")] == [False, True, False]
    path.write_text(yaml.safe_dump({"promises": {}}))
    assert [event for event, _ in watched.look()] == ["calendars_changed"]
    assert all(watched.is_open(queue, NIGHT) and watched.is_open(queue, NOON) for queue in ("orders", "billing"))


def test_other_settings_are_named_once_and_do_not_change(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(path, caplog)
    settings = yaml.safe_load(document(NIGHTS, http={"port": 9000}))
    settings["promises"]["limit_seconds"] = 60
    settings["promises"]["queues"]["orders"]["limit_seconds"] = 30
    settings["promises"]["queues"]["returns"] = {"calendar": "office"}
    path.write_text(yaml.safe_dump(settings))
    later = ["http.port", "promises.limit_seconds", "promises.queues.orders.limit_seconds", "promises.queues.returns"]
    assert watched.look() == [
        ("calendars_changed", ["promises.queues.returns.calendar", "promises.calendars.office"]),
        ("settings_changed", later),
    ]
    assert watched.promises.of("orders", "chat").limit_seconds == 180.0
    assert watched.promises.params.queues["orders"].limit_seconds is None
    path.write_text(yaml.safe_dump(settings | {"log": {"level": "info"}}))
    assert watched.look() == []
    path.write_text(document(NIGHTS))
    assert watched.look() == [("calendars_changed", ["promises.queues.returns.calendar"])]


def test_the_environment_has_precedence_as_at_the_start(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSQ_PROMISES__CALENDAR", "office")
    monkeypatch.setenv("CSQ_HTTP__PORT", "9000")
    watched = Watched(path, caplog)
    path.write_text(document(NIGHTS, http={"port": 9001}))
    assert watched.look() == [CHANGED]
    assert not watched.is_open("returns", NOON)


def test_what_an_icalendar_file_says_is_taken_and_its_next_export_is_no_change(
    tmp_path: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holidays = tmp_path / "holidays.ics"
    holidays.write_text(ics(THURSDAY))
    path.write_text(document(more={"file": str(holidays)}))
    watched = Watched(path, caplog)
    assert watched.last() == {("office",): at(THURSDAY + timedelta(1))}
    assert watched.look() == []
    holidays.write_text(ics(THURSDAY))
    assert watched.look() == []
    holidays.write_text(ics(MONDAY, FRIDAY))
    assert watched.look() == [CHANGED]
    assert not watched.is_open("orders", NOON)
    assert watched.last() == {("office",): at(FRIDAY + timedelta(1))}
    holidays.write_text("BEGIN:VCALENDAR")
    ((event, why),) = watched.look()
    assert (event, why.replace(f"{tmp_path}/", "").partition(" is no")[0]) == (
        "calendars_refused",
        "promises.calendars.office.file: holidays.ics",
    )
    holidays.unlink()
    assert [event for event, _ in watched.look()] == ["calendars_refused"]
    assert not watched.is_open("orders", NOON)
    holidays.write_text(ics())
    assert watched.look() == [CHANGED]
    assert watched.is_open("orders", NOON)
    assert watched.last() == {}


def test_an_icalendar_file_that_comes_after_the_settings_that_name_it_is_taken(
    tmp_path: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(path, caplog)
    path.write_text(document(more={"file": str(tmp_path / "late.ics")}))
    assert [event for event, _ in watched.look()] == ["calendars_refused"]
    (tmp_path / "late.ics").write_text(ics(MONDAY))
    assert watched.look() == [CHANGED]
    assert not watched.is_open("orders", NOON)


def test_the_last_holiday_of_a_calendar_ends_at_midnight_of_its_zone_and_goes_with_it(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(document(zone="Asia/Kolkata", more={"holidays": [{"date": f"{THURSDAY}/{FRIDAY}"}]}))
    watched = Watched(path, caplog)
    assert watched.last() == {("office",): at(FRIDAY, 18, 30)}
    path.write_text(yaml.safe_dump({"promises": {}}))
    watched.look()
    assert watched.last() == {}


def test_without_files_nothing_is_watched() -> None:
    settings = load(None, {})
    watch = CalendarWatch(None, settings, Promises(settings.promises), (), lambda _: None)
    watch.start()
    assert not watch._thread.is_alive()
    watch.end()


# Live.

ALWAYS_OPEN = {"mon-sun": ["00:00-24:00"]}


def closed_now() -> dict[str, list[str]]:
    """Hours of a day that is neither today nor tomorrow, in no zone."""
    return {WEEK[(TODAY.weekday() + 3) % 7]: ["12:00-13:00"]}


class Running:
    """A live process on a settings file, seen from the thread beside it."""

    def __init__(self, path: Path, broker: EmbeddedBroker, limit_seconds: float) -> None:
        self._path = path
        self._kafka = {"brokers": [broker.bootstrap_servers], "librdkafka": {"fetch.wait.max.ms": 10}}
        self._limit_seconds = limit_seconds
        self._producer = Producer({"bootstrap.servers": broker.bootstrap_servers})

    def write(self, hours: Any) -> None:
        content = yaml.safe_load(document(hours, kafka=self._kafka, http={"port": 0}))
        content["promises"]["limit_seconds"] = self._limit_seconds
        content["order"] = {"out_of_order_seconds": 0.2}
        self._path.write_text(yaml.safe_dump(content))

    def start(self) -> Live:
        settings = load(self._path, {})
        self.live = Live(settings)
        self.live.watch_calendars(self._path, settings)
        return self.live

    def end(self) -> None:
        assert self.live.calendars is not None
        self.live.calendars.end()

    def ask(self) -> None:
        self._producer.produce("csq.events", raw("csq.message.created", time.time()), key="c1")
        assert self._producer.flush(10) == 0

    def values(self) -> Values:
        return read(self.live.registry)

    def missed(self) -> float:
        return sum(n for labels, n in self.values().get("csq_reply_rounds_total", {}).items() if "missed" in labels)

    def until(self, metric: str, value: float, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while self.values().get(metric, {}).get(("orders",)) != value:
            assert time.monotonic() < deadline, f"{metric} is not {value}: {self.values().get(metric)}"
            time.sleep(0.05)


@contextmanager
def running(path: Path, limit_seconds: float) -> Iterator[Running]:
    with EmbeddedBroker(["csq.events"]) as broker:
        yield Running(path, broker, limit_seconds)


def test_an_open_wait_is_missed_when_the_calendar_opens_without_a_restart(path: Path) -> None:
    with running(path, limit_seconds=1.0) as csq:
        csq.write(closed_now())

        def watch() -> None:
            csq.ask()
            csq.until("csq_open_waits", 1)
            csq.until("csq_queue_open", 0)
            time.sleep(2.0)
            assert csq.missed() == 0
            csq.write(ALWAYS_OPEN)
            changed = time.monotonic()
            csq.until("csq_queue_open", 1, seconds=10.0)
            while csq.missed() == 0:
                assert time.monotonic() < changed + 20.0
                time.sleep(0.05)

        run_beside(csq.start(), watch)
        csq.end()


def test_an_open_wait_is_not_missed_where_the_calendar_closes_in_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendars, "LOOK_SECONDS", 0.2)
    with running(path, limit_seconds=6.0) as csq:
        csq.write(ALWAYS_OPEN)

        def watch() -> None:
            csq.ask()
            asked = time.monotonic()
            csq.until("csq_open_waits", 1)
            csq.write(closed_now())
            csq.until("csq_queue_open", 0, seconds=5.0)
            time.sleep(asked + 8.0 - time.monotonic())
            assert csq.missed() == 0

        run_beside(csq.start(), watch)
        csq.end()
