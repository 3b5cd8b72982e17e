"""Every query of the dashboards as promql-parser reads it: valid, over the right windows, of metrics that csq has."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import promql_parser
import pytest

from flows.commands.rules.build import names
from flows.commands.rules.load import load
from flows.settings.model import Settings
from operators.metrics.catalogue import CATALOGUE
from tests.grafana.boards import ROOT, Asked, annotation_queries, filled, panel_queries, variable_queries

RATE_INTERVAL, RANGE = "7m", "11m"
"""Two unusual windows."""
COUNTING = {"rate": {timedelta(minutes=7)}, "increase": {timedelta(minutes=7), timedelta(minutes=11)}}
"""Functions of counters, with their window."""
RECORDED = names(load(ROOT / "config" / "slo.yaml", Settings()))
TARGET = {"job", "instance"}
PROCESS = {
    "process_start_time_seconds": "gauge",
    "process_resident_memory_bytes": "gauge",
    "process_cpu_seconds_total": "counter",
}
"""Metrics of every process, from the Prometheus client."""

ALL = [*panel_queries(), *annotation_queries(), *variable_queries()]
every_query = pytest.mark.parametrize("asked", [pytest.param(asked, id=asked.name) for asked in ALL])


class Seen(NamedTuple):
    """A selector, the function it is an argument of, and the window."""

    name: str
    labels: tuple[tuple[str, str], ...]
    function: str | None
    window: timedelta | None


def parsed(asked: Asked) -> Any:
    return promql_parser.parse(filled(asked.expr, rate_interval=RATE_INTERVAL, time_range=RANGE))


def selectors(node: Any, function: str | None = None, window: timedelta | None = None) -> Iterator[Seen]:
    kind = type(node).__name__
    if kind == "VectorSelector":
        assert node.name is not None, node
        yield Seen(node.name, tuple((each.name, each.value) for each in node.matchers.matchers), function, window)
    elif kind == "MatrixSelector":
        yield from selectors(node.vector_selector, function, node.range)
    elif kind == "Call":
        for argument in node.args:
            yield from selectors(argument, node.func.name)
    else:
        for child in children(node):
            yield from selectors(child)


def children(node: Any) -> list[Any]:
    known = {
        "AggregateExpr": ("expr", "param"),
        "BinaryExpr": ("lhs", "rhs"),
        "ParenExpr": ("expr",),
        "UnaryExpr": ("expr",),
        "SubqueryExpr": ("expr",),
        "NumberLiteral": (),
        "StringLiteral": (),
    }
    return [child for name in known[type(node).__name__] if (child := getattr(node, name)) is not None]


def aggregates(node: Any) -> Iterator[Any]:
    if type(node).__name__ == "AggregateExpr":
        yield node
    inner = node.args if type(node).__name__ == "Call" else []
    if type(node).__name__ not in {"Call", "VectorSelector", "MatrixSelector"}:
        inner = children(node)
    for child in inner:
        yield from aggregates(child)


def kind_and_labels(name: str) -> tuple[str, set[str]]:
    """What a series is, and the labels it can have."""
    if name in PROCESS:
        return PROCESS[name], TARGET
    if name in RECORDED:
        return "recorded", {"job", "instance", "slo", "class", "queue", "model", "reason", "segment", "stage"}
    if name == "ALERTS":
        return "alerts", {"alertname", "alertstate", "severity", "team", "queue", "job"}
    metric = CATALOGUE.get(name)
    more = set()
    if metric is None:
        base, _, part = name.rpartition("_")
        metric = CATALOGUE[base]
        assert metric.kind == "histogram"
        assert part in {"bucket", "sum", "count"}
        more = {"le"} if part == "bucket" else set()
    kind = "counter" if metric.kind == "histogram" else metric.kind
    return kind, {label.name for label in metric.labels} | TARGET | more


@every_query
def test_it_is_valid_and_knows_no_variable_but_ours(asked):
    assert "$" not in filled(asked.expr, rate_interval=RATE_INTERVAL, time_range=RANGE)
    parsed(asked)


@every_query
def test_metrics_and_labels_are_those_of_the_catalogue_or_the_recording_rules(asked):
    for seen in selectors(parsed(asked)):
        assert seen.name in {"ALERTS", *PROCESS, *RECORDED} or kind_and_labels(seen.name)
        _, labels = kind_and_labels(seen.name)
        assert {label for label, _ in seen.labels} <= labels, seen


@every_query
def test_values_asked_for_by_name_can_occur(asked):
    for seen in selectors(parsed(asked)):
        metric = CATALOGUE.get(seen.name) or CATALOGUE.get(seen.name.rpartition("_")[0])
        fixed = {label.name: label.values for label in metric.labels} if metric is not None else {}
        for label, value in seen.labels:
            if label in fixed and fixed[label] and not set(value) & set(".+[]"):
                assert set(value.split("|")) <= set(fixed[label]), seen


@every_query
def test_counters_stand_under_rate_or_increase_only_and_nothing_else_does(asked):
    for seen in selectors(parsed(asked)):
        kind, _ = kind_and_labels(seen.name)
        if asked.title.startswith("$"):
            continue  # a variable lists label values and asks for no number
        assert (seen.function in COUNTING) == (kind == "counter"), seen


@every_query
def test_windows_are_those_of_the_panel_never_typed(asked):
    for seen in selectors(parsed(asked)):
        if seen.window is not None:
            allowed = COUNTING.get(str(seen.function), {timedelta(minutes=11)})
            assert seen.window in allowed, seen


@every_query
def test_the_installation_can_be_chosen(asked):
    for seen in selectors(parsed(asked)):
        without = seen.name in {"ALERTS", "slo:csq_objective:ratio"} or (asked.title == "$job")
        assert ("job" in dict(seen.labels)) != without, seen


@every_query
def test_labels_that_are_grouped_by_exist(asked):
    tree = parsed(asked)
    for aggregate in aggregates(tree):
        grouped = set(aggregate.modifier.labels) if aggregate.modifier is not None else set()
        known = set().union(*(kind_and_labels(seen.name)[1] for seen in selectors(aggregate)))
        assert grouped <= known, aggregate


@every_query
def test_legends_name_labels_that_are_left(asked):
    """A legend with a label that the query sums away would show as nothing."""
    from tests.grafana.boards import BOARDS, panels  # noqa: PLC0415 - of this test alone

    for panel in panels(BOARDS[asked.board]):
        for target in panel["targets"]:
            if (panel["title"], target["refId"]) == (asked.title, asked.letter):
                for part in target["legendFormat"].split("{{")[1:]:
                    label = part.partition("}}")[0]
                    assert label in asked.expr, target


def test_gauges_that_are_the_same_in_all_processes_are_not_summed():
    """Models are published by every process, ages and ratios are no amounts: max, min or avg, never sum."""
    same_everywhere = {
        name
        for name, metric in CATALOGUE.items()
        if metric.kind == "gauge" and (name.startswith("csq_model_") or metric.unit in {"seconds", "0..1", "0 or 1"})
    }
    assert "csq_model_accuracy" in same_everywhere
    for asked in ALL:
        for aggregate in aggregates(parsed(asked)):
            if str(aggregate.op) == "sum":
                direct = [seen for seen in selectors(aggregate.expr) if seen.function is None]
                assert not {seen.name for seen in direct} & same_everywhere, asked.name


def test_quantiles_keep_the_bound_of_the_bucket():
    found = [asked for asked in ALL if "histogram_quantile" in asked.expr]

    assert len(found) > 10
    for asked in found:
        assert "by (le" in asked.expr, asked.name
