"""Recording rules, alerts and their groups."""

import re
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from flows.commands.rules.burns import span
from flows.commands.rules.declaration import Board, Declaration

Team = Literal["platform", "service", "data"]
QUEUE_OPEN = "queue:csq_queue_open:min"
"""Record that is 0 while a calendar calls a queue closed; a queue without it counts as open."""
WATCHED = "none"
"""Severity of the alert that always fires, for those who watch over Alertmanager itself."""


class RecordingRule(Struct, frozen=True):
    """A recording rule, named `level:metric:operations`."""

    record: str
    expr: str
    labels: dict[str, str] = {}


class AlertRule(Struct, frozen=True, kw_only=True):
    """An alert; `board` and `hours` are the dashboard and the time range of its link."""

    name: str
    expr: str
    severity: str
    team: str
    summary: str
    description: str
    board: Board
    hours: int
    for_seconds: float = 0
    by_queue: bool = False
    """Whether the dashboard is opened on the alert's queue."""
    labels: dict[str, str] = {}
    of_simulated: bool = False
    """Whether it may fire though the customers are invented."""
    of_closed: bool = True
    """Whether it may fire for a queue that its calendar calls closed."""

    def condition(self) -> str:
        """The expression as it is evaluated: without closed queues, and jobs that only serve simulated shops."""
        expr = self.expr
        if not self.of_closed:
            expr = f"(\n{expr}\n)\nunless on (job, queue)\n({QUEUE_OPEN} == 0)"
        if not self.of_simulated:
            expr = f"(\n{expr}\n)\nunless on (job)\n(min by (job) (csq_simulated) == 1)"
        return expr

    def says(self, label: str) -> str:
        """The summary for documentation: `label` is the format of a label, such as ``<{}>``."""
        return re.sub(r"{{ \$labels\.(\w+) }}", lambda found: label.format(found[1]), self.summary)

    def all_labels(self) -> dict[str, str]:
        """The labels of the alert, severity and team first."""
        return {"severity": self.severity, "team": self.team, **self.labels}

    def annotations(self, declaration: Declaration) -> dict[str, str]:
        """Texts and links of the alert."""
        links = declaration.links
        queue = "&var-queue={{ $labels.queue | urlquery }}" if self.by_queue else ""
        return {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": f"{links.runbooks}/{self.name}.md",
            "dashboard_url": f"{links.grafana}/d/{links.dashboards[self.board]}?from=now-{self.hours}h&to=now{queue}",
        }


class RuleGroup(Struct, frozen=True):
    """Rules that are evaluated one after the other, every `seconds`."""

    name: str
    seconds: int
    rules: Sequence[RecordingRule | AlertRule]

    def records(self) -> list[RecordingRule]:
        """The recording rules of the group."""
        return [rule for rule in self.rules if isinstance(rule, RecordingRule)]

    def alerts(self) -> list[AlertRule]:
        """The alerts of the group."""
        return [rule for rule in self.rules if isinstance(rule, AlertRule)]


def percent(share: float) -> str:
    """A share in per cent.

    >>> percent(0.05), percent(0.144), percent(1)
    ('5 %', '14.4 %', '100 %')
    """
    return f"{share * 100:.4g} %"


def words(seconds: float) -> str:
    """A duration in a sentence.

    >>> words(300), words(3600), words(259200), words(90)
    ('5 minutes', '1 hour', '3 days', '90 seconds')
    """
    short = span(seconds)
    number, unit = int(short[:-1]), {"d": "day", "h": "hour", "m": "minute", "s": "second"}[short[-1]]
    return f"{number} {unit}{'' if number == 1 else 's'}"
