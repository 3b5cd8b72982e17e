"""Calendars that change while csq runs: a thread that looks for changes of the settings file and of iCalendar files."""

import datetime as dt
import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import msgspec

from flows.settings.calendars import calendars_of
from flows.settings.load import load
from flows.settings.model import Settings
from operators.documents.load import DocumentError, Stamp, stamp
from operators.documents.secret import Secret
from operators.domain.stage.promise import Promises, PromisesParams
from operators.domain.stage.stage import Measurement
from operators.domain.time.calendars import Calendar, zone_of

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 3.0
"""A change is taken at the second look that finds it: at the first one the file may not be complete."""
END_SECONDS: Final = 1.0
"""How long the end of the process waits for a look."""
LAST_HOLIDAY: Final = "csq_calendar_last_holiday_timestamp_seconds"

Calendars = Mapping[str, Calendar]


class CalendarWatch:
    """Puts changed calendars into the promises of this process, from its own thread between `start` and `end`.

    Of other settings that have changed it only says that they take effect at the next start.

    Args:
        path: settings file; `None`: only the iCalendar files that the environment names can change.
        settings: those of the start, from the same file and environment.
        promises: of this process.
        queues: names with series of their own.
        record: takes measurements.
    """

    def __init__(
        self,
        path: Path | None,
        settings: Settings,
        promises: Promises,
        queues: Collection[str],
        record: Callable[[list[Measurement]], None],
    ) -> None:
        self._path = path
        self._at_start = settings
        self._promises = promises
        self._queues = queues
        self._record = record
        self._files = self._files_of(settings)
        self._seen: dict[Path, Stamp | None] = {}
        """At the last look."""
        self._taken: dict[Path, Stamp | None] = {}
        """When they were last read."""
        self._refused: list[str] = []
        """What was refused last: why, and the contents of the files."""
        self._reported: list[str] = []
        """Changed settings that the log has named."""
        self._ending = Event()
        self._thread = Thread(target=self._run, name="csq-calendars", daemon=True)

    def start(self) -> None:
        """Begin, where there is a file to look at."""
        if self._files:
            self._thread.start()

    def end(self) -> None:
        """Stop looking."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)

    def look(self) -> None:
        """Look once, and take a change that is complete."""
        stamps = {file: stamp(file) for file in self._files}
        is_complete, self._seen = stamps == self._seen, stamps
        if stamps == self._taken or not is_complete:
            return
        self._taken = stamps
        try:
            settings = load(self._path, os.environ)
            self._files = self._files_of(settings)
            calendars = calendars_of(settings.promises.calendars)
        except DocumentError as error:
            self._refuse(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a file contains, the next change has to be seen
            self._refuse(f"{type(error).__name__}: {error}")
        else:
            self._refused = []
            self._take(settings.promises, calendars)
            self._tell(settings)

    def _run(self) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            self.look()

    def _files_of(self, settings: Settings) -> list[Path]:
        named = [Path(each.file) for each in settings.promises.calendars.values() if each.file is not None]
        return named if self._path is None else [self._path, *named]

    def _take(self, params: PromisesParams, calendars: Calendars) -> None:
        """Use these calendars if they differ from those in use."""
        changed = list(_changes(self._promises, params, calendars))
        if not changed:
            return
        gone = self._promises.calendars.keys() - calendars.keys()
        measured = last_holidays(calendars, time.time())
        self._promises.replace(calendars, params)
        self._record([*measured, *((LAST_HOLIDAY, (name,), math.nan) for name in sorted(gone))])
        log.info(
            "opening hours have changed, and are in use: %s",
            ", ".join(changed),
            extra={"event": "calendars_changed", "changed": changed},
        )

    def _refuse(self, why: str) -> None:
        """Log why files are refused, once for the same contents."""
        refused = [why, *map(_contents, self._files)]
        if refused != self._refused:
            self._refused = refused
            log.error("refused, the calendars in use stay: %s", why, extra={"event": "calendars_refused"})

    def _tell(self, settings: Settings) -> None:
        """Log which other settings have changed, once for the same ones."""
        known = list(self._queues)
        changed = list(_differing(_others(self._at_start, known), _others(settings, known), ""))
        if changed and changed != self._reported:
            log.warning(
                "changed settings that take effect at the next start: %s",
                ", ".join(changed),
                extra={"event": "settings_changed", "changed": changed},
            )
        self._reported = changed


def last_holidays(calendars: Calendars, now: float) -> list[Measurement]:
    """Return the measurements of the last holidays that calendars know at a time (POSIX seconds)."""
    return [(LAST_HOLIDAY, (name,), _end(calendar, now)) for name, calendar in calendars.items()]


def _end(calendar: Calendar, now: float) -> float:
    """The end of the last holiday in POSIX seconds; NaN without one."""
    day = calendar.last_holiday(now)
    if day is None:
        return math.nan
    return dt.datetime.combine(day + dt.timedelta(1), dt.time(), zone_of(calendar.params.zone)).timestamp()


def _changes(used: Promises, params: PromisesParams, calendars: Calendars) -> Iterator[str]:
    """The settings of opening hours in which others differ from those in use."""
    if params.calendar != used.params.calendar:
        yield "promises.calendar"
    for name in sorted({*params.queues, *used.params.queues}):
        if params.calendar_name(name) != used.params.calendar_name(name):
            yield f"promises.queues.{name}.calendar"
    for name in sorted({*calendars, *used.calendars}):
        if _says(calendars.get(name)) != _says(used.calendars.get(name)):
            yield f"promises.calendars.{name}"


def _says(calendar: Calendar | None) -> object:
    return None if calendar is None else (calendar.params, calendar.digest)


def _others(settings: Settings, queues: Iterable[str]) -> dict[str, Any]:
    """All settings but those of opening hours, as plain data with secrets.

    A queue that has series of its own, one of `queues`, is there even if it is not named.
    """
    data: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=Secret.reveal)
    promises = data["promises"]
    del promises["calendar"], promises["calendars"]
    for queue in promises["queues"].values():
        queue.pop("calendar", None)
    promises["queues"] = {**{name: {} for name in queues}, **promises["queues"]}
    return data


def _differing(old: object, new: object, path: str) -> Iterator[str]:
    """The paths of the settings that differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}, key=str):
            yield from _differing(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield path


def _contents(file: Path) -> str:
    """A digest of what a file contains; empty if it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""
