"""One drill: healthy, cause, the right notice and nothing of what follows, the cause ends, resolved."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.drills.cases import Drill
from tests.drills.ground import Ground, go_on
from tests.drills.pager import Notice
from tests.drills.watch import Labels, Watch

PAST_SECONDS = 30.0
"""The past before each cause; at sixty times the speed half an hour, after which every record is there."""
HEALTHY_SECONDS = 60.0
"""How much longer it is waited until nothing fires any more."""
HELD_SECONDS = 120.0
RESOLVED_SECONDS = 180.0
LOOK_SECONDS = 0.5
LATE_SECONDS = 1.0


class DrillError(Exception):
    """What was expected, and what happened."""


@dataclass
class Row:
    """The result of a drill; times are wall seconds, `None` if there was no notification."""

    drill: Drill
    labels: list[Labels] = field(default_factory=list)
    said: str = ""
    """The summary of the first notice."""
    to_alert: float | None = None
    to_resolved: float | None = None
    held: list[str] = field(default_factory=list)
    age_p99: float = float("nan")
    """Event to metric before the cause, in seconds."""
    behind_seconds: float = 0.0
    """How late the shop was at most."""
    missed_scrapes: int = 0
    failed: str = ""

    @property
    def was_held_back(self) -> bool:
        """Whether the machine was too busy for what was measured to mean anything."""
        return self.behind_seconds > LATE_SECONDS or self.age_p99 > LATE_SECONDS or self.missed_scrapes > 0


def held_drill(drill: Drill, ground: Ground, folder: Path) -> Row:
    """Run one drill with a healthy csq."""
    row = Row(drill)
    try:
        with Watch(ground.target, folder, drill.by, drill.long_by or drill.by) as watch:
            begun, ground.shop.behind_seconds = time.monotonic(), 0.0
            try:
                _Run(drill, ground, watch, row).hold()
            finally:
                row.behind_seconds = ground.shop.behind_seconds
                row.missed_scrapes = watch.missed_scrapes(time.monotonic() - begun)
    except (DrillError, AssertionError, RuntimeError, httpx.HTTPError) as error:
        row.failed = str(error) or repr(error)
    return row


class _Run:
    def __init__(self, drill: Drill, ground: Ground, watch: Watch, row: Row) -> None:
        self._drill = drill
        self._ground = ground
        self._watch = watch
        self._row = row

    def hold(self) -> None:
        self._wait_until_healthy()
        since = time.monotonic()
        self._drill.begin(self._ground)
        try:
            self._wait_for_alert(since)
            self._wait_for_held()
            self._check_still_firing(since)
        finally:
            ended = time.monotonic()
            self._drill.end(self._ground)
        self._wait_for_resolved(since, ended)
        self._check_others(since)

    def _wait_until_healthy(self) -> None:
        watch, pager = self._watch, self._watch.pager
        begun = time.monotonic()
        self._until(lambda: time.monotonic() - begun >= PAST_SECONDS, PAST_SECONDS + 1)
        if not self._until(lambda: not watch.firing(), HEALTHY_SECONDS):
            raise DrillError(f"expected a healthy csq before the drill, got {described(watch.firing())}")
        if not any(notice.name == "CsqWatchdog" for notice in pager.notices()):
            raise DrillError("expected CsqWatchdog at the pager before the drill, got nothing: no alert can arrive")
        self._row.age_p99 = watch.age_p99(PAST_SECONDS / 2)

    def _wait_for_alert(self, since: float) -> None:
        drill, pager = self._drill, self._watch.pager
        if not self._until(lambda: bool(self._right(since)), drill.within_seconds):
            expected = described(
                [{"alertname": drill.alert, **{name: "|".join(sorted(of)) for name, of in drill.labels.items()}}]
            )
            received = described([notice.labels for notice in pager.notices(since) if notice.name != "CsqWatchdog"])
            firing = described(self._watch.firing())
            raise DrillError(
                f"expected {expected} at {drill.receiver} within {drill.within_seconds:g} s; came {received}; firing {firing}"
            )
        first = self._right(since)[0]
        self._row.to_alert, self._row.said = first.at - since, first.summary
        aim = drill.objective_seconds
        if aim is not None and self._row.to_alert * drill.by > aim:
            took = self._row.to_alert * drill.by
            raise DrillError(f"expected {drill.alert} within {aim:g} s of objective time, it took {took:.0f} s")

    def _wait_for_held(self) -> None:
        """Wait until a follow-up is kept back."""
        drill = self._drill
        if drill.held and not self._until(lambda: bool(self._held_names() & drill.held), HELD_SECONDS):
            names = ", ".join(sorted(drill.held))
            raise DrillError(f"expected one of {names} to be inhibited, got {described(self._watch.firing())} firing")

    def _check_still_firing(self, since: float) -> None:
        """The alert must not resolve while the fault lasts."""
        if "firing" not in self._last_statuses(since).values():
            raise DrillError(f"expected {self._drill.alert} to fire as long as the cause lasts, it was resolved before")

    def _last_statuses(self, since: float) -> dict[tuple[tuple[str, str], ...], str]:
        return {notice.identity: notice.status for notice in self._expected(since)}

    def _wait_for_resolved(self, since: float, ended: float) -> None:
        def over() -> bool:
            return set(self._last_statuses(since).values()) == {"resolved"}

        if not self._until(over, RESOLVED_SECONDS):
            remaining = described(self._watch.firing())
            raise DrillError(
                f"expected {self._drill.alert} resolved within {RESOLVED_SECONDS:g} s, still firing: {remaining}"
            )
        last = max(notice.at for notice in self._expected(since) if notice.status == "resolved")
        self._row.to_resolved = last - ended
        self._row.labels = [dict(one) for one in dict.fromkeys(notice.identity for notice in self._expected(since))]
        self._row.held = sorted(f"{dict(one)['alertname']} {dict(one)['severity']}" for one in self._watch.held)

    def _check_others(self, since: float) -> None:
        drill, watch = self._drill, self._watch
        expected = {notice.identity for notice in self._expected(since)}
        notices = [notice for notice in watch.pager.notices(since) if notice.name != "CsqWatchdog"]
        wrong = [
            one for one in notices if one.identity not in expected and one.name not in {*drill.beside, drill.alert}
        ]
        if wrong:
            raise DrillError(f"expected nothing beside {drill.alert}, came {described([one.labels for one in wrong])}")
        for one in notices:
            times = watch.held.get(one.identity, ())
            # A notification that was being sent when the alert was first inhibited may still arrive.
            if one.status == "firing" and any(held.since + 2 * LOOK_SECONDS < one.at < held.until for held in times):
                raise DrillError(f"expected {described([one.labels])} to be inhibited, but it notified")

    def _expected(self, since: float) -> list[Notice]:
        """Notices of the alert with the right labels at the right receiver."""
        drill = self._drill
        return [
            notice
            for notice in self._watch.pager.notices(since)
            if notice.name == drill.alert
            and notice.receiver == drill.receiver
            and all(notice.labels.get(name) in values for name, values in drill.labels.items())
        ]

    def _right(self, since: float) -> list[Notice]:
        return [notice for notice in self._expected(since) if notice.status == "firing"]

    def _held_names(self) -> set[str]:
        return {dict(identity)["alertname"] for identity in self._watch.held}

    def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Poll the inhibited alerts until `holds`."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                return False
            go_on()
            self._watch.look()
            self._watch.pager.wait(holds, LOOK_SECONDS)
            if self._ground.csq.process.poll() is not None:
                raise DrillError(f"csq has ended:\n{self._ground.csq.log()[-3000:]}")
        return True


def described(alerts: list[Labels]) -> str:
    """Alerts on a line.

    >>> described([{"alertname": "CsqStalled", "severity": "page", "job": "csq"}]), described([])
    ('CsqStalled{job=csq,severity=page}', 'nothing')
    """
    texts = []
    for labels in alerts:
        rest = ",".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "alertname")
        texts.append(f"{labels['alertname']}{{{rest}}}")
    return " ".join(dict.fromkeys(texts)) or "nothing"
