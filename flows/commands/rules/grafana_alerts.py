"""The alerts in the format of Grafana's provisioning, for installations in which Grafana evaluates them.

The conditions are those of Grafana's own conversion of Prometheus rules: each series that the query returns fires, with
any value.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flows.commands.rules.burns import span
from flows.commands.rules.declaration import Declaration
from flows.commands.rules.rule import AlertRule, RuleGroup
from flows.commands.rules.rule_files import dumped, laid_out

FOLDER = "csq"
QUERY, NUMBER, FIRES = "query", "number", "fires"
LOOK_BACK_SECONDS = 600
EXPRESSIONS = "__expr__"
"""The uid of Grafana's own data source for expressions."""
ANY_VALUE = " || ".join(f"{test}(${QUERY})" for test in ("is_number", "is_nan", "is_inf"))
UID_LENGTH = 16


def managed(parts: Mapping[str, Sequence[RuleGroup]], declaration: Declaration) -> str:
    """`grafana/provisioning/alerting/rules.yaml`."""
    groups = [
        {
            "orgId": 1,
            "name": group.name,
            "folder": FOLDER,
            "interval": span(_interval(group)),
            "rules": [_rule(alert, declaration) for alert in group.alerts()],
        }
        for groups in parts.values()
        for group in groups
        if group.alerts()
    ]
    return dumped(_escaped({"apiVersion": 1, "groups": groups}))


def _interval(group: RuleGroup) -> int:
    """Grafana evaluates every 10 seconds or a multiple of it."""
    return -(-group.seconds // 10) * 10


def uid_of(alert: AlertRule) -> str:
    """A uid that depends on the alert only: Grafana keeps history and silences by it."""
    key = "/".join([alert.name, alert.severity, *(f"{name}={value}" for name, value in alert.labels.items())])
    return f"csq-{hashlib.sha256(key.encode()).hexdigest()[:UID_LENGTH]}"


def _rule(alert: AlertRule, declaration: Declaration) -> dict[str, Any]:
    which = [alert.labels[name] for name in ("class",) if name in alert.labels]
    return {
        "uid": uid_of(alert),
        "title": " ".join([alert.name, *which, alert.severity]),
        "condition": FIRES,
        "data": [
            _query(alert, declaration),
            _expression(NUMBER, {"type": "math", "expression": ANY_VALUE}),
            _expression(FIRES, {"type": "threshold", "expression": NUMBER, "conditions": [_above_zero()]}),
        ],
        "noDataState": "OK",
        "execErrState": "Error",
        "for": span(alert.for_seconds) if alert.for_seconds else "0s",
        "labels": alert.all_labels(),
        "annotations": {
            **{name: _templated(text) for name, text in alert.annotations(declaration).items()},
            "__dashboardUid__": declaration.links.dashboards[alert.board],
        },
        "isPaused": False,
    }


def _query(alert: AlertRule, declaration: Declaration) -> dict[str, Any]:
    return {
        "refId": QUERY,
        "relativeTimeRange": {"from": LOOK_BACK_SECONDS, "to": 0},
        "datasourceUid": declaration.links.datasource,
        "model": {"refId": QUERY, "expr": laid_out(alert.condition()), "instant": True, "range": False},
    }


def _expression(name: str, model: dict[str, Any]) -> dict[str, Any]:
    return {
        "refId": name,
        "relativeTimeRange": {"from": LOOK_BACK_SECONDS, "to": 0},
        "datasourceUid": EXPRESSIONS,
        "model": {"refId": name, "datasource": {"type": EXPRESSIONS, "uid": EXPRESSIONS}, **model},
    }


def _above_zero() -> dict[str, Any]:
    return {"type": "query", "evaluator": {"type": "gt", "params": [0]}}


def _templated(text: str) -> str:
    """What is `$value` to Prometheus is the value of the query to Grafana."""
    return re.sub(r"\$value\b", f"$values.{QUERY}.Value", text)


def _escaped(data: Any) -> Any:  # noqa: ANN401 - any plain data
    """Escape `$`, which Grafana expands in provisioning files."""
    if isinstance(data, dict):
        return {key: _escaped(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_escaped(item) for item in data]
    return data.replace("$", "$$") if isinstance(data, str) else data
