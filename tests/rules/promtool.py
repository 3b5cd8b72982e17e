"""Unit tests for rules: input series, and when an alert is silent and when it fires, for the real promtool.

A `Case` is tested against the committed rule files, cut down to one alert and the records it is made from, in the order
in which they depend on one another: so that a case sees nothing but its own alert, and takes a second.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import yaml

from tests.servers.prometheus import promtool

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "config/prometheus").glob("*.rules.yaml"))
NAME = re.compile(r"[a-z]+:[a-z0-9_]+:[a-z0-9_]+")
"""level:metric:operations"""

Rule = dict[str, Any]


@dataclass(frozen=True)
class Firing:
    """An alert that fires: its labels beside those of the rule, and its value as text."""

    labels: Mapping[str, str]
    value: str
    since_3: str | None = None
    """The value that Prometheus 3 shows, where a window has just begun to fill: the two extrapolate from other samples."""


@dataclass(frozen=True)
class Case:
    """Input every `step` (series to values), and expectations by time; times are seconds."""

    name: str
    step: int
    series: Mapping[str, str]
    silent: Sequence[float] = ()
    firing: Mapping[float, Sequence[Firing]] = field(default_factory=dict)
    since: Mapping[float, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    """Moments at which it fires, with any value: the labels beside those of the rule."""


@cache
def beginning_counts() -> bool:
    """Whether a sample at the very beginning of a window lies in it: since Prometheus 3 it does not."""
    printed = promtool("--version")
    found = re.search(r"version (\d+)", printed)
    assert found, f"promtool --version: {printed}"
    return int(found[1]) < 3


@cache
def rules() -> list[Rule]:
    """Every rule of the committed files."""
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def needed(rule: Rule, everything: Sequence[Rule]) -> list[Rule]:
    """The records that a rule is made from, what they need before them, and the rule itself."""
    found: list[Rule] = []

    def add(one: Rule) -> None:
        for name in NAME.findall(one["expr"]):
            for record in everything:
                if record.get("record") == name and record not in found and _may_match(one, record):
                    add(record)
        found.append(one)

    add(rule)
    return found


def _may_match(rule: Rule, record: Rule) -> bool:
    """Whether a rule may select what a record makes: of an objective only its own records."""
    chosen = dict(re.findall(r'(slo|class)="([^"]*)"', rule["expr"]))
    labels = record.get("labels", {})
    return all(labels.get(name, value) == value for name, value in chosen.items())


def rendered(text: str, labels: Mapping[str, str], value: str) -> str:
    """What Prometheus is to make of the template of an annotation."""
    text = re.sub(r"{{ \$labels\.(\w+) \| urlquery }}", lambda found: quote_plus(labels[found[1]]), text)
    text = re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], text)
    return re.sub(r"{{ \$value[^}]*}}", value, text)


def check_alert(rule: Rule, cases: Iterable[Case], folder: Path) -> None:
    """Test an alert against its cases with promtool; `ToolError` has the difference.

    An alert that asks whether the customers are invented sees that they are not. Its shortest case in which it fires is
    tested again with invented ones, of which it is silent, and with a second process that has real ones, so that it fires.
    An alert that ignores closed queues is silent in that case if its queue closes before, and fires if another one closes.
    """
    if ignores_simulated(rule):
        real = [_simulated(case, 0) for case in cases]
        shortest = min((case for case in real if case.firing or case.since), key=_steps)
        cases = [*real, _silent(_simulated(shortest, 1)), _simulated(shortest, 1, 0)]
        if ignores_closed(rule):
            [queue] = {labels["queue"] for labels in _labels(shortest)}
            cases += [_silent(_closing(shortest, queue)), _closing(shortest, "another")]
    run(needed(rule, rules()), [_tested(rule, case) for case in cases], folder)


def ignores_simulated(rule: Rule) -> bool:
    """Whether an alert does not fire on invented customers."""
    return str(rule["expr"]).endswith("unless on (job)\n(min by (job) (csq_simulated) == 1)")


def ignores_closed(rule: Rule) -> bool:
    """Whether an alert does not fire for a queue that its calendar calls closed."""
    return "unless on (job, queue)\n  (queue:csq_queue_open:min == 0)" in str(rule["expr"])


def _closing(case: Case, queue: str) -> Case:
    """The case, with a queue that closes at the moment at which the alert is seen to fire."""
    first = round(min([*case.firing, *case.since]) / case.step)
    values = " ".join(["1"] * first + ["0"] * (_steps(case) + 1 - first))
    opened = {f'csq_queue_open{{job="csq",instance="a:1",queue="{queue}"}}': values}
    return replace(case, name=f"{case.name}, {queue} closes", series={**case.series, **opened})


def _labels(case: Case) -> Iterator[Mapping[str, str]]:
    """The labels of all alerts of the case."""
    for alerts in case.firing.values():
        yield from (alert.labels for alert in alerts)
    for labels in case.since.values():
        yield from labels


def _simulated(case: Case, *processes: int) -> Case:
    """The case, with `csq_simulated` of each process."""
    tested = {
        f'csq_simulated{{job="csq",instance="{name}:1"}}': f"{value}x{_steps(case) + 1}"
        for name, value in zip("ab", processes, strict=False)
    }
    return replace(case, series={**case.series, **tested})


def _steps(case: Case) -> int:
    """How many steps it lasts."""
    return math.ceil(max([*case.silent, *case.firing, *case.since]) / case.step)


def _silent(case: Case) -> Case:
    """The case, silent throughout."""
    silent, since = [*case.silent, *case.firing], dict.fromkeys(case.since, ())
    return replace(case, name=f"{case.name}, silent", silent=silent, firing={}, since=since)


def run(chosen: Sequence[Rule], tests: Sequence[dict[str, Any]], folder: Path) -> None:
    """Let promtool evaluate some rules, one after the other, against tests in its own form (as JSON, which is YAML)."""
    for step in sorted({test["interval"] for test in tests}):
        group = {"name": "chosen", "interval": step, "rules": list(chosen)}
        (folder / "rules.yaml").write_text(json.dumps({"groups": [group]}), encoding="utf-8")
        tested = {
            "rule_files": ["rules.yaml"],
            "evaluation_interval": step,
            "tests": [test for test in tests if test["interval"] == step],
        }
        (folder / "test.yaml").write_text(json.dumps(tested, indent=1), encoding="utf-8")
        promtool("test", "rules", folder / "test.yaml")


def _tested(rule: Rule, case: Case) -> dict[str, Any]:
    moments: dict[float, Sequence[Firing]] = {**dict.fromkeys(case.silent, ()), **case.firing}
    return {
        "name": case.name,
        "interval": f"{case.step}s",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            {
                "alertname": rule["alert"],
                "eval_time": f"{round(at)}s",
                "exp_alerts": [_expected(rule, firing) for firing in alerts],
            }
            for at, alerts in sorted(moments.items())
        ],
        "promql_expr_test": [
            {
                "expr": 'ALERTS{alertstate="firing"}',
                "eval_time": f"{round(at)}s",
                "exp_samples": [{"labels": _series("ALERTS", rule, labels), "value": 1} for labels in alerts],
            }
            for at, alerts in sorted(case.since.items())
        ],
    }


def _series(name: str, rule: Rule, labels: Mapping[str, str]) -> str:
    all_labels = {**labels, **rule["labels"], "alertname": rule["alert"], "alertstate": "firing"}
    return f"{name}{{{', '.join(f'{label}={json.dumps(value)}' for label, value in all_labels.items())}}}"


def _expected(rule: Rule, firing: Firing) -> dict[str, Any]:
    labels = {**firing.labels, **rule["labels"]}
    value = firing.value if firing.since_3 is None or beginning_counts() else firing.since_3
    annotations = {name: rendered(text, labels, value) for name, text in rule["annotations"].items()}
    return {"exp_labels": labels, "exp_annotations": annotations}
