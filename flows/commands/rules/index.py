"""Index: `docs/alerts.md`, a page of all objectives and alerts, made from the same builders as the rules."""

from collections.abc import Iterator, Mapping, Sequence

from flows.commands.rules.burn_alerts import name_of
from flows.commands.rules.burns import Derived, span
from flows.commands.rules.declaration import Declaration
from flows.commands.rules.rule import AlertRule, RuleGroup, percent
from flows.commands.rules.slo_records import derived
from operators.domain.wire.decode import REASONS

_INTRODUCTION = """# Alerts

Generated from [`config/slo.yaml`](../config/slo.yaml) by `csq rules build`; do not edit. How it is made and
changed is in [objectives](slo.md).

A page needs an answer now, a ticket waits for the morning. Every alert has a runbook: click its name.
Alerts on the waiting customers of a queue do not fire while its calendar calls it closed
([opening hours](monitoring.md#opening-hours)).
"""
_TITLES = {
    "slo-alerts": "Objectives",
    "pipeline-alerts": "The pipeline",
    "service-alerts": "Customer service",
    "model-alerts": "Models",
}


def index(parts: Mapping[str, Sequence[RuleGroup]], declaration: Declaration) -> str:
    """The page."""
    pieces = [_INTRODUCTION, _objectives(declaration)]
    for name, title in _TITLES.items():
        if name != "slo-alerts":
            alerts = [alert for group in parts[name] for alert in group.alerts()]
            pieces.append(f"## {title}\n\n{_alerts(alerts)}")
    pieces.append(_reasons())
    return "\n".join(pieces)


def _objectives(declaration: Declaration) -> str:
    head = (
        "## Objectives\n\n"
        "Share of good events over the window, and the share of bad ones in how long from which an alert fires. In\n"
        "brackets: the burn rate, and the events that must lie in the window.\n\n"
        "| alert | promise | class | owner | page | ticket |\n| --- | --- | --- | --- | --- | --- |\n"
    )
    return head + "\n".join(_objective_rows(declaration)) + "\n"


def _objective_rows(declaration: Declaration) -> Iterator[str]:
    for name, slo in declaration.slos.items():
        alert = name_of(name)
        for queue_class, objective in slo.promised.items():
            burns = derived(declaration, slo, objective)
            promise = f"{slo.title}: {percent(objective)} over {slo.window}"
            cells = [
                _link(alert),
                promise,
                queue_class or "",
                slo.owner,
                *(_conditions(burns, severity) for severity in ("page", "ticket")),
            ]
            yield f"| {' | '.join(cells)} |"


def _conditions(burns: list[Derived], severity: str) -> str:
    return ", ".join(
        f"{percent(burn.threshold)} in {burn.long} ({burn.factor:g}; {burn.minimum})"
        for burn in burns
        if burn.severity == severity
    )


def _alerts(alerts: Sequence[AlertRule]) -> str:
    rows = {}
    for alert in alerts:
        severities = dict.fromkeys(other.severity for other in alerts if other.name == alert.name)
        wait = span(alert.for_seconds) if alert.for_seconds else ""
        summary = alert.says("*{}*")
        rows[alert.name] = f"| {_link(alert.name)} | {summary} | {', '.join(severities)} | {alert.team} | {wait} |"
    head = "| alert | says | severity | team | after |\n| --- | --- | --- | --- | --- |"
    return "\n".join([head, *rows.values(), ""])


def _reasons() -> str:
    links = "\n".join(f"- [{reason}](runbooks/dead-letter-{reason}.md)" for reason in REASONS)
    return f"## Dead letters\n\nWhat to do about each reason of a dead letter:\n\n{links}\n"


def _link(name: str) -> str:
    return f"[{name}](runbooks/{name}.md)"
