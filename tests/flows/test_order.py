"""Neither disorder within the bound, nor batches, nor partitions change what is measured.

What models learn depends on the order in which labels come, and on which of them were learned before a message is
scored: it is equal where batches and partitions are, and else close. With no labels in the stream everything is equal.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from operators.domain.wire.outgoing import DEADLETTERS
from operators.simulator import Delivery, SimulatorParams, simulate
from tests.streams import (
    NOW,
    ORIGIN,
    SERVICE,
    SETTINGS,
    SMOOTHED,
    Result,
    deal,
    differences,
    event_time,
    family,
    raws,
    run,
    shuffled,
)

BOUND = SETTINGS.order.out_of_order_seconds
DELIVERIES = 4_000
SHOP = SimulatorParams(events_per_second=4.0, label_share=0.5, broken_share=0.02, duplicate_share=0.02, late_share=0.05)
FORECAST = ("csq_reply_forecast_seconds",)
ONCE_A_BATCH = ("csq_churn_probability", "csq_customers_at_risk")
"""A customer is scored once for all that a batch brought."""
LEARNS = (b"csq.label.sentiment", b"csq.churn.labelled", b"csq.feedback.submitted")
ACCURACY_TOLERANCE = 0.05
"""Of the sentiment model over some 160 labels: scored before or after some of them were learned."""


def last_event(time: float) -> Delivery:
    """An event that changes nothing but the time."""
    stamp = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
    raw = (
        '{"specversion": "1.0", "id": "last", "source": "test", "type": "csq.behavior.page_viewed", '
        f'"time": "{stamp}", "data": {{"customer_id": "nobody"}}}}'
    )
    return Delivery(time, "nobody", raw.encode())


def one(deliveries: Sequence[Delivery]) -> dict[str, list[bytes]]:
    return {ORIGIN: raws(deliveries)}


@pytest.fixture(scope="module")
def stream() -> list[Delivery]:
    """A stream that ends with its newest event; events of the future have a test of their own."""
    deliveries, _ = simulate(SHOP, DELIVERIES)
    past = [delivery for delivery in deliveries if (event_time(delivery.raw) or 0.0) < NOW]
    return [*past, last_event(past[-1].time + BOUND)]


def in_disorder(stream: Sequence[Delivery], seed: int) -> list[Delivery]:
    return [*shuffled(stream[:-1], BOUND, seed), stream[-1]]


@pytest.fixture(scope="module")
def expected(stream: list[Delivery]) -> Result:
    return run(one(stream))


@pytest.fixture(scope="module")
def unlabelled(stream: list[Delivery]) -> list[Delivery]:
    return [delivery for delivery in stream if not any(name in delivery.raw for name in LEARNS)]


@pytest.fixture(scope="module")
def expected_unlabelled(unlabelled: list[Delivery]) -> Result:
    return run(one(unlabelled))


def same_service(expected: Result, actual: Result) -> None:
    """Assert that counts, sums, histograms and smoothed values are the same, and what was published of replies."""
    assert differences(expected.values, actual.values, (*SERVICE, *SMOOTHED, *FORECAST)) == []
    assert actual.values["csq_late_events_total"][()] == 0
    for name in ("csq.reply.measured", DEADLETTERS):
        assert expected.published[name] == actual.published[name]


def like_models(expected: Result, actual: Result, tolerance: float = ACCURACY_TOLERANCE) -> None:
    """Assert that every label was judged, and that the models are about as good (not where all is one batch)."""
    counts = {name: figures["n"] for name, figures in expected.models.items()}
    assert counts == {name: figures["n"] for name, figures in actual.models.items()}
    for name in ("sentiment/en", "satisfaction"):
        accuracy = expected.models[name]["accuracy"]
        some = 2.0 / counts[name]  # of few labels, two more or less
        assert accuracy == pytest.approx(actual.models[name]["accuracy"], abs=max(tolerance, some))
    for totals in (_turns, _satisfactions):
        assert totals(expected) == totals(actual)


def _turns(result: Result) -> Counter[tuple[str, ...]]:
    turns: Counter[tuple[str, ...]] = Counter()
    for (*who, _), count in result.values["csq_turns_total"].items():
        turns[tuple(who)] += int(count)
    return +turns


def _satisfactions(result: Result) -> Mapping[tuple[str, ...], float]:
    return result.values["csq_satisfaction_score_count"]


def test_the_stream_has_something_of_everything(expected: Result):
    seen = family(expected.values, SERVICE)
    for name in ("csq_reply_rounds_total", "csq_conversations_total", "csq_feedback_total", "csq_duplicates_total"):
        assert sum(seen[name].values()) > 10
    assert len([labels for labels, count in seen["csq_dead_letters_total"].items() if count]) == 5
    assert expected.models["sentiment/en"]["n"] > 150


@pytest.mark.parametrize("size", [1, 7, 100, 5_000])
def test_any_size_of_batch_gives_the_same(stream: list[Delivery], expected: Result, size: int):
    actual = run(one(stream), batch_size=size)
    same_service(expected, actual)
    like_models(expected, actual, tolerance=ACCURACY_TOLERANCE if size < DELIVERIES else 1.0)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_any_number_of_partitions_gives_the_same(stream: list[Delivery], expected: Result, count: int):
    actual = run(deal(stream, count), batch_size=100)
    same_service(expected, actual)
    like_models(expected, actual)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_disorder_within_the_bound_gives_the_same(stream: list[Delivery], expected: Result, seed: int):
    actual = run(one(in_disorder(stream, seed)), batch_size=64)
    same_service(expected, actual)
    like_models(expected, actual)


def test_disorder_over_many_partitions_in_small_batches_gives_the_same(stream: list[Delivery], expected: Result):
    same_service(expected, run(deal(in_disorder(stream, 4), 8), batch_size=7))


def test_one_batch_size_and_one_partition_give_the_same_models_too(stream: list[Delivery], expected: Result):
    again = run(one(stream))
    assert expected.models == again.models
    assert expected.values == again.values
    assert expected.published == again.published


@pytest.mark.parametrize(
    ("partitions", "size", "seed"),
    [(1, 5_000, None), (8, 100, None), (1, 64, 5), (3, 7, 6)],
)
def test_without_labels_everything_is_the_same(
    unlabelled: list[Delivery], expected_unlabelled: Result, partitions: int, size: int, seed: int | None
):
    deliveries = unlabelled if seed is None else in_disorder(unlabelled, seed)
    actual = run(deal(deliveries, partitions), batch_size=size)
    same_service(expected_unlabelled, actual)
    names = [name for name in expected_unlabelled.values if not name.startswith(ONCE_A_BATCH)]
    assert differences(expected_unlabelled.values, actual.values, names) == []
    for stream in ("csq.turn.scored", "csq.satisfaction.scored"):
        assert expected_unlabelled.published[stream] == actual.published[stream]


def test_disorder_past_the_bound_is_counted_as_late(stream: list[Delivery]):
    actual = run(one(shuffled(stream, 10 * BOUND, 7)), batch_size=16)
    assert actual.values["csq_late_events_total"][()] > 0
    assert actual.values["csq_stage_failures_total"] == dict.fromkeys(actual.values["csq_stage_failures_total"], 0.0)


def test_an_event_of_the_future_does_not_move_the_clock(stream: list[Delivery]):
    ahead = last_event(NOW + 10 * 365 * 86_400.0)
    place = 1_999  # the last of a batch of 100
    expected = run(one(stream), batch_size=100)
    actual = run(one([*stream[:place], ahead, *stream[place:]]), batch_size=100)
    assert actual.values["csq_late_events_total"][()] == 0
    names = [name for name in SERVICE if name != "csq_dead_letters_total"]
    assert differences(expected.values, actual.values, names) == []


def test_the_clock_ends_at_the_newest_event_wherever_it_stands(stream: list[Delivery]):
    ordered = stream[:-1]
    newest = last_event(ordered[-1].time + BOUND / 2)
    expected = run(one([*ordered, newest]))
    actual = run(one([*ordered[:-2], newest, *ordered[-2:]]))
    assert differences(expected.values, actual.values, (*SERVICE, *SMOOTHED)) == []
