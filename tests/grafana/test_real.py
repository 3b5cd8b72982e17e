"""Every query of the dashboards and alerts on a real Prometheus that scraped a real csq: none fails, none is empty.

Queries that may be empty in a healthy system are listed with the metrics that fill them; a second run has these
metrics.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import promql_parser
import pytest
import yaml

from operators.domain.stage.stage import Measurement
from tests.grafana.boards import ROOT, Asked, annotation_queries, filled, panel_queries, variable_queries
from tests.grafana.processes import remember, running_csq, scraping, telling
from tests.servers.prometheus import Prometheus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

T = TypeVar("T")
RATE_INTERVAL, RANGE, STEP_SECONDS = "20s", "40s", 2.0
READY_SECONDS, FILL_SECONDS = 120.0, 90.0
AHEAD_SECONDS = 900
"""What the panel of the forecast looks back by."""

LOST = "customers-and-models / Lost labels and rollbacks"
FORECAST = "queues / Forecast and reply time"
CAN_BE_EMPTY = {
    f"{LOST} / A": "a label whose message never came",
    f"{LOST} / B": "weights that were not finite",
    f"{LOST} / C": "features that were not finite",
    f"{FORECAST} / A": "forecasts of a quarter of an hour ago",
    f"{FORECAST} / B": "forecasts of a quarter of an hour ago",
    f"{FORECAST} / C": "forecasts of a quarter of an hour ago",
    "queues / Handling and resolution / C": "a conversation that can no longer be reopened: two weeks after its end",
    "queues / First-contact resolution / A": "a conversation whose window of seven days is over",
    "overview / Alerts firing / A": "an alert that fires: the brokers are lost",
    "overview / Objectives / C": "a full hour behind us",
    "overview / Error budget left / A": "a full hour behind us",
    "pipeline / Lag by topic / B": "a partition that came after the start",
    "pipeline / Lag by topic / C": "a transaction that a producer leaves open",
    "customers-and-models / Promoters and effort / A": "an NPS answer in this minute",
    "customers-and-models / Promoters and effort / B": "a CES answer in this minute",
}
"""Query, and what a healthy system has to meet before it shows something."""

ONCE: list[Measurement] = [
    ("csq_source_connected", (), 0),
    ("csq_source_partitions_unread", ("csq.events",), 1),
    ("csq_time_held_seconds", ("open_transaction",), 5.0),
]
AGAIN: list[Measurement] = [
    ("csq_labels_unmatched_total", ("churn",), 1),
    ("csq_model_rollbacks_total", ("churn",), 1),
    ("csq_refused_features_total", ("churn",), 1),
    ("csq_last_resolution_seconds", ("orders", "chat"), 4_000.0),
    ("csq_first_contact_resolutions_total", ("orders", "resolved"), 1),
    ("csq_feedback_total", ("nps", "orders", "9"), 1),
    ("csq_feedback_total", ("ces", "orders", "5"), 1),
]


def past(now: float) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Forecasts of the last half hour, and an objective's hours of half a day."""
    minutes = [now - 60 * minute for minute in range(30, 0, -1)]
    for bound, value in (("lower", 60.0), ("median", 90.0), ("upper", 150.0)):
        labels = f'job="csq",instance="a",queue="orders",horizon="{AHEAD_SECONDS}",bound="{bound}"'
        yield f"csq_reply_forecast_seconds{{{labels}}}", [(at, value) for at in minutes]
    hours = [now // 3600 * 3600 - 3600 * hour for hour in range(12, -1, -1)]
    labels = 'job="csq",queue="orders",slo="reply",class="standard"'
    yield f"slo:csq_errors:ratio_rate1h{{{labels}}}", [(at, 0.05) for at in hours]
    yield f"slo:csq_events:increase1h{{{labels}}}", [(at, 100.0) for at in hours]


@pytest.fixture(scope="module")
def real(prometheus_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus over `csq run`, once its shop has reached the present."""
    folder = tmp_path_factory.mktemp("real")
    with running_csq(folder / "csq.log") as port, scraping(port, folder) as prometheus:
        prometheus.wait_for("time() - csq_newest_event_timestamp_seconds < 5", READY_SECONDS)
        yield prometheus


@pytest.fixture(scope="module")
def reported(prometheus_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus over a process with metrics that a healthy one does not have, and their past."""
    folder = tmp_path_factory.mktemp("reported")
    remember(folder, past(time.time()))
    with telling(ONCE, AGAIN) as port, scraping(port, folder, at_once=True) as prometheus:
        yield prometheus


def values(prometheus: Prometheus, asked: Asked) -> list[float]:
    """What Grafana would draw: the numbers of the last minute, or of now."""
    expr = filled(asked.expr, rate_interval=RATE_INTERVAL, time_range=RANGE)
    now = time.time()
    if asked.instant:
        found = [sample.value for sample in prometheus.query(expr, now)]
    else:
        series = prometheus.query_range(expr, now - 40, now, STEP_SECONDS)
        found = [value for each in series for _, value in each.points]
    return [value for value in found if math.isfinite(value)]


def wait_until_filled(prometheus: Prometheus, queries: list[Asked], seconds: float) -> list[str]:
    """Names of the queries that are still empty after `seconds`."""
    deadline = time.monotonic() + seconds
    empty = queries
    while empty and time.monotonic() < deadline:
        empty = [asked for asked in empty if not values(prometheus, asked)]
        time.sleep(2)
    return [asked.name for asked in empty]


def test_what_can_be_empty_are_queries_that_there_are():
    assert set(CAN_BE_EMPTY) <= {asked.name for asked in panel_queries()}


def test_no_query_of_a_panel_is_empty_in_a_real_run(real: Prometheus):
    queries = [asked for asked in panel_queries() if asked.name not in CAN_BE_EMPTY]

    empty = wait_until_filled(real, queries, FILL_SECONDS)

    print(f"queries of panels {len(queries)}, empty {len(empty)}, apart {len(CAN_BE_EMPTY)}")  # noqa: T201 - the figures
    assert not empty


def test_what_can_be_empty_is_valid_in_a_real_run_too(real: Prometheus):
    for asked in panel_queries():
        if asked.name in CAN_BE_EMPTY:
            values(real, asked)  # raises where Prometheus refuses it


def test_what_is_empty_in_a_healthy_system_is_filled_when_it_happens(reported: Prometheus):
    queries = [asked for asked in panel_queries() if asked.name in CAN_BE_EMPTY]

    assert not wait_until_filled(reported, queries, FILL_SECONDS)


def once_scraped(ask: Callable[[], set[T]]) -> set[T]:
    """What is answered, once something is: a scrape that a busy machine misses leaves nothing until the next."""
    deadline = time.monotonic() + FILL_SECONDS
    while not (found := ask()) and time.monotonic() < deadline:
        time.sleep(2)
    return found


def test_annotations_mark_the_start_of_the_process_in_a_real_run(real: Prometheus):
    for asked in annotation_queries():
        starts = once_scraped(lambda: {round(value / 1000) for value in values(real, asked)})  # noqa: B023 - called at once
        assert starts, asked.name
        assert all(0 <= time.time() - start < 600 for start in starts), asked.name


def test_variables_have_values_in_a_real_run(real: Prometheus):
    for asked in variable_queries():
        expr = filled(asked.expr, rate_interval=RATE_INTERVAL, time_range=RANGE)
        found = once_scraped(lambda: {sample.labels.get(asked.letter) for sample in real.query(expr)})  # noqa: B023 - called at once
        assert found, asked.name
        assert None not in found, asked.name


# ---- the rules, on the same Prometheus


def rules(key: str) -> dict[str, str]:
    """Alert or record to its expression."""
    found = {}
    for path in sorted((ROOT / "config" / "prometheus").glob("*.rules.yaml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            found |= {rule[key]: rule["expr"] for rule in group["rules"] if key in rule}
    return found


def managed() -> dict[str, str]:
    """Title of a Grafana-managed alert to its query, as Grafana reads it: `$$` is one dollar."""
    path = ROOT / "grafana" / "provisioning" / "alerting" / "rules.yaml"
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return {
        rule["title"]: data["model"]["expr"].replace("$$", "$")
        for group in groups
        for rule in group["rules"]
        for data in rule["data"]
        if data["datasourceUid"] != "__expr__"
    }


@pytest.mark.parametrize("expressions", [lambda: rules("alert"), managed], ids=["prometheus", "grafana"])
def test_expressions_of_alerts_run_in_a_real_run(real: Prometheus, expressions: Callable[[], dict[str, str]]):
    found = expressions()

    assert len(found) > 20
    for expr in found.values():
        promql_parser.parse(expr)
        real.query(expr)  # raises where Prometheus refuses it


def test_every_rule_is_loaded_and_evaluated_without_error(real: Prometheus):
    found = real.rules()

    assert {rule["name"] for rule in found} == set(rules("alert")) | set(rules("record"))
    assert not [f"{rule['name']}: {rule['lastError']}" for rule in found if rule["health"] == "err"]
