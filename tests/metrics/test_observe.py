"""Measurements become series: exactly, in bounds, and without ever stopping the flow."""

import logging
from bisect import bisect_left
from functools import reduce
from itertools import accumulate
from operator import add
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource, run_main
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import DuplicateTimeseries

from operators.metrics.catalogue import CATALOGUE, ClosedSets
from operators.metrics.journal import pack, unpack
from operators.metrics.observe import GROWTH_LIMIT, OPEN_LIMIT, Observer, ObserveSink, build_info, exposition, read

SETS = ClosedSets(
    queue=("orders", "returns"),
    channel=("chat",),
    segment=("vip",),
    model=("churn",),
    stage=("intake",),
    source=("events",),
)
NOW = 1_700_000_000.0


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def observer(registry: CollectorRegistry) -> Observer:
    return Observer(registry, SETS, clock=lambda: NOW, strict=True)


@pytest.fixture
def running(registry: CollectorRegistry) -> Observer:
    """As in production: nothing raises."""
    return Observer(registry, SETS, clock=lambda: NOW)


def test_a_counter_adds_up(observer: Observer, registry: CollectorRegistry) -> None:
    observer.record([("csq_duplicates_total", (), 2), ("csq_duplicates_total", (), 0.5)])
    assert read(registry)["csq_duplicates_total"] == {(): 2.5}


def test_a_gauge_keeps_the_last_value(observer: Observer, registry: CollectorRegistry) -> None:
    observer.record([("csq_model_loss", ("churn",), 0.7), ("csq_model_loss", ("churn",), 0.4)])
    assert read(registry)["csq_model_loss"] == {("churn",): 0.4}


def test_while_event_time_is_held_the_oldest_wait_goes_on(observer: Observer, registry: CollectorRegistry) -> None:
    name = "csq_oldest_open_wait_seconds"
    observer.record([(name, ("orders",), 40.0), (name, ("returns",), 0.0)])
    observer.held_seconds = 12.0
    shown = read(registry)[name]
    assert (shown["orders",], shown["returns",]) == (52.0, 0.0)
    observer.held_seconds = 0.0
    assert read(registry)[name]["orders",] == 40.0


def test_a_summed_gauge_shows_the_sum_of_what_each_part_last_reported(
    observer: Observer, registry: CollectorRegistry
) -> None:
    observer.record(
        [("csq_customers_at_risk", ("vip",), (lane, number)) for lane, number in (("a", 3), ("b", 4), ("a", 1))]
    )
    assert read(registry)["csq_customers_at_risk"] == {("vip",): 5}


@given(st.lists(st.floats(min_value=-10, max_value=1e6)))
def test_a_histogram_counts_every_value_in_its_bucket(values: list[float]) -> None:
    registry = CollectorRegistry()
    Observer(registry, SETS, strict=True).record(("csq_handle_seconds", ("orders", "chat"), value) for value in values)
    bounds = CATALOGUE["csq_handle_seconds"].buckets
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    seen = read(registry)
    buckets = [count for labels, count in seen["csq_handle_seconds_bucket"].items() if labels[0] == "orders"]
    assert buckets == list(accumulate(counts))
    assert seen["csq_handle_seconds_count"]["orders", "chat"] == len(values)
    assert seen["csq_handle_seconds_sum"]["orders", "chat"] == reduce(add, values, 0.0)  # sum() of 3.12 compensates


def test_a_value_at_a_bound_is_within_it(observer: Observer, registry: CollectorRegistry) -> None:
    observer.record([("csq_reply_seconds", ("orders", "chat", "human"), 180)])
    buckets = read(registry)["csq_reply_seconds_bucket"]
    assert buckets["orders", "chat", "human", "180.0"] == 1
    assert buckets["orders", "chat", "human", "120.0"] == 0


def test_known_series_exist_at_zero_and_measures_are_absent(observer: Observer, registry: CollectorRegistry) -> None:
    seen = read(registry)
    assert seen["csq_open_waits"] == {("orders",): 0, ("returns",): 0}
    assert seen["csq_event_age_seconds_count"] == {(): 0}
    assert "csq_model_accuracy" not in seen
    assert "csq_newest_event_timestamp_seconds" not in seen


def test_ages_are_taken_when_events_are_counted(observer: Observer, registry: CollectorRegistry) -> None:
    observer.record([("csq_event_age_seconds", (), [NOW - 0.25, NOW - 4]), ("csq_event_age_seconds", (), [NOW + 60])])
    seen = read(registry)
    assert seen["csq_event_age_seconds_count"] == {(): 3}
    assert seen["csq_event_age_seconds_sum"] == {(): 4.25}  # the one from the future is 0 old
    assert seen["csq_event_age_seconds_bucket"]["0.25",] == 2
    assert seen["csq_newest_event_timestamp_seconds"] == {(): NOW + 60}


@given(st.lists(st.lists(st.integers(min_value=0, max_value=20_000), max_size=5), max_size=5))
def test_ages_are_counted_as_one_by_one(batches: list[list[int]]) -> None:
    registry = CollectorRegistry()
    observer = Observer(registry, SETS, clock=lambda: NOW, strict=True)
    for batch in batches:
        observer.record([("csq_event_age_seconds", (), [NOW - age / 4 for age in batch])])
    ages = [age / 4 for batch in batches for age in batch]
    seen = read(registry)
    for (bound,), count in seen["csq_event_age_seconds_bucket"].items():
        assert count == sum(age <= float(bound) for age in ages)
    assert seen["csq_event_age_seconds_sum"] == {(): sum(ages)}


def test_in_replay_there_are_no_ages_but_a_newest_event(registry: CollectorRegistry) -> None:
    Observer(registry, SETS, strict=True).record(
        [("csq_event_age_seconds", (), [5.0, 7.0]), ("csq_event_age_seconds", (), [6.0])]
    )
    assert read(registry)["csq_event_age_seconds_count"] == {(): 0}
    assert read(registry)["csq_newest_event_timestamp_seconds"] == {(): 7.0}


@given(st.lists(st.text(max_size=5)))
def test_no_label_value_from_outside_makes_a_series(queues: list[str]) -> None:
    registry = CollectorRegistry()
    observer = Observer(registry, SETS, strict=True)
    observer.record(("csq_open_waits", (queue,), 1) for queue in queues)
    assert set(read(registry)["csq_open_waits"]) <= {("orders",), ("returns",), ("other",)}


def test_what_other_stands_for_is_added_up(observer: Observer, registry: CollectorRegistry) -> None:
    observer.record(("csq_orders_total", (outcome,), 1) for outcome in ("lost", "stolen", "other", "completed"))
    assert read(registry)["csq_orders_total"]["other",] == 3
    assert read(registry)["csq_orders_total"]["completed",] == 1


def test_an_open_label_is_bounded(observer: Observer, registry: CollectorRegistry) -> None:
    observer.record(("csq_source_lag_messages", ("events", str(number)), number) for number in range(OPEN_LIMIT + 50))
    seen = read(registry)["csq_source_lag_messages"]
    assert len(seen) == OPEN_LIMIT + 1
    assert seen["events", "other"] == OPEN_LIMIT + 49


BAD = [
    (("csq_typo_total", (), 1), "unknown_metric"),
    (("csq_open_waits", (), 1), "wrong_labels"),
    (("csq_open_waits", "orders", 1), "wrong_labels"),
    (("csq_open_waits", None, 1), "wrong_labels"),
    (("csq_open_waits", ["orders"], 1), "wrong_value"),
    (("csq_open_waits", ("orders",), None), "wrong_value"),
    (("csq_open_waits", ("orders",), float("-inf")), "wrong_value"),
    (("csq_open_waits", ("orders",), "many"), "wrong_value"),
    (("csq_open_waits", ("elsewhere",), float("inf")), "wrong_value"),
    (("csq_duplicates_total", (), -1), "wrong_value"),
    (("csq_handle_seconds", ("orders", "chat"), float("nan")), "wrong_value"),
    (("csq_customers_at_risk", ("vip",), 3), "wrong_value"),
    (("csq_customers_at_risk", ("vip",), ("lane", float("nan"))), "wrong_value"),
    (("csq_event_age_seconds", (), 3.0), "wrong_value"),
    (("csq_event_age_seconds", (), [None]), "wrong_value"),
    (("csq_event_age_seconds", (), [float("nan")]), "wrong_value"),
    (("csq_open_waits", ("orders",)), "wrong_value"),
    (None, "wrong_value"),
]


@pytest.mark.parametrize(("measurement", "reason"), BAD)
def test_a_measurement_that_does_not_fit_is_counted_and_the_rest_goes_on(
    running: Observer, registry: CollectorRegistry, measurement: Any, reason: str
) -> None:
    running.record([measurement, ("csq_duplicates_total", (), 1)])
    seen = read(registry)
    assert seen["csq_refused_measurements_total"][reason,] == 1
    assert seen["csq_duplicates_total"] == {(): 1}
    assert seen["csq_open_waits"]["orders",] == 0


def test_a_gauge_without_a_value_has_no_series(observer: Observer, registry: CollectorRegistry) -> None:
    observer.record([("csq_model_auc", ("churn",), 0.8), ("csq_model_auc", ("churn",), float("nan"))])
    assert "csq_model_auc" not in read(registry)
    observer.record([("csq_model_auc", ("churn",), 0.9)])
    assert read(registry)["csq_model_auc"] == {("churn",): 0.9}


def test_a_measure_that_is_refused_does_not_become_zero(running: Observer, registry: CollectorRegistry) -> None:
    running.record([("csq_model_accuracy", ("churn",), float("inf"))])
    assert "csq_model_accuracy" not in read(registry)


@pytest.mark.parametrize(("measurement", "reason"), BAD)
def test_a_strict_observer_raises(observer: Observer, measurement: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}: measurement of "):
        observer.record([measurement])


def test_a_defect_is_logged_once_and_without_label_values(running: Observer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        running.record([("csq_orders_total", ("secret", "secret"), 1)] * 3)
    assert [record.getMessage() for record in caplog.records] == [
        "wrong_labels: measurement of 'csq_orders_total': expected a tuple of 1 label values"
    ]


def test_a_bad_list_of_times_does_not_stay_for_the_next_call(running: Observer, registry: CollectorRegistry) -> None:
    running.record([("csq_event_age_seconds", (), [None])])
    running.record([("csq_event_age_seconds", (), [NOW])])
    assert read(registry)["csq_event_age_seconds_count"] == {(): 1}


def test_a_registry_takes_one_observer(observer: Observer, registry: CollectorRegistry) -> None:
    with pytest.raises(DuplicateTimeseries):
        Observer(registry, SETS)


def test_the_text_is_in_the_order_of_the_catalogue_and_has_no_creation_times(
    observer: Observer, registry: CollectorRegistry
) -> None:
    text = exposition(registry).decode()
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert names == list(CATALOGUE)
    assert "_created" not in text


@given(st.permutations([("csq_orders_total", (what,), 1) for what in ("completed", "cancelled", "x", "refunded")]))
def test_the_text_does_not_depend_on_the_order_of_the_measurements(measurements: list[Any]) -> None:
    texts = []
    for order in (measurements, sorted(measurements)):
        registry = CollectorRegistry()
        Observer(registry, SETS, strict=True).record(order)
        texts.append(exposition(registry))
    assert texts[0] == texts[1]


def test_both_formats_can_be_parsed(observer: Observer, registry: CollectorRegistry) -> None:
    observer.record(
        [
            build_info(),
            ("csq_reply_seconds", ("orders", "chat", "human"), 42),
            ("csq_model_accuracy", ("churn",), 0.5),
            ("csq_event_age_seconds", (), [NOW]),
        ]
    )
    text = {family.name for family in parse_text(exposition(registry).decode())}
    in_open = openmetrics(registry).decode()  # type: ignore[no-untyped-call] # prometheus-client's
    open_text = {family.name for family in parse_openmetrics(in_open)}  # type: ignore[no-untyped-call] # prometheus-client's
    assert text == open_text == {name.removesuffix("_total") for name in CATALOGUE}


def test_build_info_names_the_versions(observer: Observer, registry: CollectorRegistry) -> None:
    observer.record([build_info()])
    ((_, python, bytewax, river),) = read(registry)["csq_build_info"]
    assert all(part[0].isdigit() for part in (python, bytewax, river))


def test_reading_can_be_limited_to_some_names(observer: Observer, registry: CollectorRegistry) -> None:
    assert set(read(registry, {"csq_open_waits", "csq_unknown"})) == {"csq_open_waits"}


def test_the_sink_records_what_flows_into_it(observer: Observer, registry: CollectorRegistry) -> None:
    flow = Dataflow("observed")
    items: list[list[Any]] = [
        [("csq_duplicates_total", (), 1)] * 3,
        [],
        [("csq_event_age_seconds", (), [NOW - 1])],
    ]
    op.output("observe", op.input("items", flow, TestingSource(items)), ObserveSink(observer))
    run_main(flow)  # type: ignore[no-untyped-call] # native
    assert read(registry)["csq_duplicates_total"] == {(): 3}
    assert read(registry)["csq_event_age_seconds_sum"] == {(): 1}


def test_a_growing_label_takes_new_values_with_all_their_series_at_zero_and_no_more_than_its_limit() -> None:
    registry = CollectorRegistry()
    sets = ClosedSets(queue=("orders",), channel=("chat",), growing=frozenset({"queue"}))
    observer = Observer(registry, sets, strict=True)

    observer.record([("csq_reply_rounds_total", ("returns", "chat", "met", "human"), 1)])
    values = read(registry)
    assert values["csq_reply_rounds_total"]["returns", "chat", "met", "human"] == 1
    assert values["csq_reply_rounds_total"]["returns", "chat", "missed", "human"] == 0
    assert values["csq_open_waits"]["returns",] == 0

    observer.record([("csq_reply_rounds_total", ("returns", "fax", "met", "human"), 1)])
    assert (
        read(registry)["csq_reply_rounds_total"]["returns", "other", "met", "human"] == 1
    )  # the set of channels is closed

    observer.record([("csq_open_waits", (f"q{number}",), 1) for number in range(3 * GROWTH_LIMIT)])
    assert len(read(registry)["csq_open_waits"]) == GROWTH_LIMIT + 1  # and `other`


def test_a_promised_limit_is_a_bound_and_a_change_resets_only_those_histograms() -> None:
    def observed(limits: tuple[float, ...]) -> tuple[CollectorRegistry, Observer]:
        registry = CollectorRegistry()
        return registry, Observer(
            registry, ClosedSets(queue=("orders",), channel=("chat",), limits=limits), strict=True
        )

    registry, observer = observed((45.0,))
    replies, handled = (
        ("csq_reply_seconds", ("orders", "chat", "human"), 45.0),
        ("csq_handle_seconds", ("orders", "chat"), 45.0),
    )
    observer.record([replies, handled])
    assert read(registry)["csq_reply_seconds_bucket"]["orders", "chat", "human", "45.0"] == 1
    packed = pack(observer.totals(), 1, observer.limits)

    for limits, kept in (((45.0,), 1), ((90.0,), 0)):
        registry, again = observed(limits)
        again.resume(unpack(packed, "counters", 1, again.limits))
        assert read(registry)["csq_reply_seconds_count"]["orders", "chat", "human"] == kept
        assert read(registry)["csq_handle_seconds_count"]["orders", "chat"] == 1
