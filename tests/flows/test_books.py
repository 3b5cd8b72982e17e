"""What csq measured of a simulated shop equals what the shop wrote into its own books."""

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows.replay import replay
from operators.metrics.catalogue import CATALOGUE
from operators.metrics.observe import Values
from operators.simulator import Books, SimulatorParams, simulate
from tests.streams import SETTINGS, raws, write

DELIVERIES = 20_000
SCENARIO = {"scenario_start_seconds": 240.0, "scenario_end_seconds": 720.0}
"""20,000 deliveries are about 16 minutes: the scenarios have to begin and end within them."""
SHOPS = {
    "normal": SimulatorParams(),
    "normal, a quiet day": SimulatorParams(seed=2, events_per_second=4.0),
    "rush": SimulatorParams(scenario="rush", **SCENARIO),
    "outage": SimulatorParams(scenario="outage", **SCENARIO),
}
BADLY_DELIVERED = SimulatorParams(seed=4, late_share=0.2, duplicate_share=0.1, broken_share=0.03)


class Compared(NamedTuple):
    """A run, and the books about it."""

    books: Books
    values: Values
    summary: dict[str, Any]
    folder: Path

    def series(self, name: str) -> dict[tuple[str, ...], int]:
        """The series of a counter or gauge that are not 0."""
        return {labels: int(value) for labels, value in self.values[name].items() if value}


@pytest.fixture(scope="module", params=SHOPS.values(), ids=SHOPS.keys())
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    return compared(request.param, tmp_path_factory.mktemp("books"))


def compared(params: SimulatorParams, folder: Path) -> Compared:
    """Simulate, replay, and read what both say."""
    deliveries, books = simulate(params, DELIVERIES)
    events = write(folder / "events.jsonl", raws(deliveries))
    summary = replay(SETTINGS, [str(events)], folder, batch_size=256, now=time.time())
    return Compared(books, _read(folder / "metrics.prom"), summary, folder)


def _read(path: Path) -> Values:
    """What a Prometheus would read, so that the text of it is tested too."""
    values: Values = {}
    for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
        order = [label.name for label in CATALOGUE[_declared(family.name)].labels]
        for sample in family.samples:
            labels = [sample.labels[name] for name in order]
            if sample.name.endswith("_bucket"):
                labels.append(sample.labels["le"])
            values.setdefault(sample.name, {})[tuple(labels)] = sample.value
    return values


def _declared(name: str) -> str:
    return name if name in CATALOGUE else f"{name}_total"


def histograms(rows: list[tuple[Any, ...]], name: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Count, sum and cumulative buckets of (labels..., seconds), as Prometheus defines them."""
    bounds = CATALOGUE[name].buckets
    seconds: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    for *labels, value in rows:
        seconds[tuple(labels)].append(value)
    counts = {labels: float(len(values)) for labels, values in seconds.items()}
    sums = {labels: sum(values) for labels, values in seconds.items()}
    buckets = {}
    for labels, values in seconds.items():
        places = Counter(bisect_left(bounds, value) for value in values)
        cumulative = accumulate(places[place] for place in range(len(bounds) + 1))
        edges = (*(str(float(bound)) for bound in bounds), "+Inf")
        buckets |= {(*labels, edge): float(count) for edge, count in zip(edges, cumulative, strict=True)}
    return {"count": counts, "sum": sums, "bucket": buckets}


def test_the_stream_is_no_easy_one(run: Compared):
    books = run.books
    outcomes = {outcome for *_, outcome, _, _ in books.rounds} | {outcome for *_, outcome, _ in books.conversations}
    assert {responder for *_, responder, _ in books.rounds} == {"human", "bot"}
    assert {"met", "missed", "solved", "partial", "unsolved", "abandoned", "reopened"} <= outcomes
    assert books.duplicates
    assert books.open_waits
    assert books.conversations_open
    assert books.orders


def test_events_are_counted_once_per_type(run: Compared):
    assert run.books.events == {name: count for (name,), count in run.series("csq_events_total").items()}
    assert run.books.events == run.summary["events"]


def test_dead_letters_are_counted_per_reason_and_all_are_there(run: Compared):
    assert run.books.dead_letters == {name: count for (name,), count in run.series("csq_dead_letters_total").items()}
    assert run.books.dead_letters == run.summary["dead_letters"]
    with (run.folder / "csq.deadletters.jsonl").open("rb") as lines:
        assert run.books.dead_letters == Counter(msgspec.json.decode(line)["reason"] for line in lines)


def test_repeats_are_counted_and_dropped(run: Compared):
    assert run.books.duplicates == run.series("csq_duplicates_total")[()]
    assert run.books.duplicates == run.summary["duplicates"]


def test_no_event_within_the_bound_of_disorder_is_late_and_nothing_fails(run: Compared):
    for name in ("csq_late_events_total", "csq_stage_failures_total", "csq_refused_measurements_total"):
        assert run.series(name) == {}
    assert run.series("csq_refused_features_total") == {}


def test_rounds_are_met_or_missed_per_queue_and_channel(run: Compared):
    assert {tuple(labels): n for *labels, n in run.books.rounds} == run.series("csq_reply_rounds_total")


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("csq_reply_seconds", "reply_seconds"),
        ("csq_first_response_seconds", "first_response_seconds"),
        ("csq_resolution_seconds", "resolution_seconds"),
    ],
)
def test_histograms_have_the_counts_sums_and_buckets_of_the_true_times(run: Compared, name: str, rows: str):
    expected = histograms(getattr(run.books, rows), name)
    actual = {end: run.values[f"{name}_{end}"] for end in expected}
    known = expected["count"].keys()
    assert {labels for labels, count in actual["count"].items() if count} == known
    assert expected["count"] == {labels: actual["count"][labels] for labels in known}
    assert expected["bucket"] == {labels: actual["bucket"][labels] for labels in expected["bucket"]}
    # Equal but for the order in which the same numbers were added up.
    assert expected["sum"] == pytest.approx({labels: actual["sum"][labels] for labels in known}, abs=1e-6, rel=0)


def test_the_summary_has_the_same_waits(run: Compared):
    for name in ("reply_seconds", "first_response_seconds"):
        human = sorted(seconds for _, _, responder, seconds in getattr(run.books, name) if responder == "human")
        assert run.summary[name]["count"] == len(human)
        assert run.summary[name]["p50"] == pytest.approx((human[(len(human) - 1) // 2] + human[len(human) // 2]) / 2)


def test_conversations_are_counted_per_outcome(run: Compared):
    assert {tuple(labels): n for *labels, n in run.books.conversations} == run.series("csq_conversations_total")


def test_feedback_is_counted_per_kind_queue_and_score(run: Compared):
    expected = {(kind, queue, str(score)): n for kind, queue, score, n in run.books.feedback}
    assert expected == run.series("csq_feedback_total")


def test_open_waits_and_open_conversations_are_those_of_the_end(run: Compared):
    assert run.books.open_waits == {queue: n for (queue,), n in run.series("csq_open_waits").items()}
    assert run.books.conversations_open == {queue: n for (queue,), n in run.series("csq_conversations_open").items()}


def test_orders_and_complaints_are_counted(run: Compared):
    assert run.books.orders == run.series("csq_orders_total")[("completed",)]
    assert run.books.complaints_opened == sum(run.series("csq_complaints_total").values())


def test_every_message_of_a_customer_is_scored_and_published_once(run: Compared):
    with (run.folder / "csq.turn.scored.jsonl").open("rb") as lines:
        scored = Counter(msgspec.json.decode(line)["data"]["message_id"] for line in lines)
    assert scored.keys() == run.books.true_moods.keys()
    assert set(scored.values()) == {1}
    assert sum(run.series("csq_turns_total").values()) == run.books.messages["customer"]


def test_every_measured_reply_is_published(run: Compared):
    with (run.folder / "csq.reply.measured.jsonl").open("rb") as lines:
        data = [msgspec.json.decode(line)["data"] for line in lines]
    published = Counter(
        (reported["queue"], reported["channel"], reported["responder"], reported["reply_seconds"])
        for reported in data
        if reported["reply_seconds"] is not None
    )
    assert published == Counter(tuple(row) for row in run.books.reply_seconds)
    outcomes = Counter(
        (reported["queue"], reported["channel"], reported["outcome"]) for reported in data if _decides(reported)
    )
    assert {tuple(labels): n for *labels, responder, n in run.books.rounds if responder == "human"} == outcomes


def test_a_badly_delivered_stream_is_measured_as_exactly(tmp_path: Path):
    run = compared(BADLY_DELIVERED, tmp_path)
    test_no_event_within_the_bound_of_disorder_is_late_and_nothing_fails(run)
    test_events_are_counted_once_per_type(run)
    test_repeats_are_counted_and_dropped(run)
    test_rounds_are_met_or_missed_per_queue_and_channel(run)
    test_histograms_have_the_counts_sums_and_buckets_of_the_true_times(run, "csq_reply_seconds", "reply_seconds")
    test_open_waits_and_open_conversations_are_those_of_the_end(run)


def _decides(reported: dict[str, Any]) -> bool:
    """Whether a round was decided by this: met with its reply, or missed at its limit; a reply after that is no news."""
    return reported["outcome"] == "met" or (reported["outcome"] == "missed" and reported["reply_seconds"] is None)


def test_the_models_learn_what_is_true_in_the_shop(run: Compared):
    with (run.folder / "csq.turn.scored.jsonl").open("rb") as lines:
        turns = [msgspec.json.decode(line)["data"] for line in lines]
    late = turns[len(turns) // 2 :]
    right = sum(turn["sentiment"] == run.books.true_moods[turn["message_id"]] for turn in late)
    assert right / len(late) > 0.65
    assert run.summary["models"]["churn"]["n"] == pytest.approx(run.books.events["csq.churn.labelled"], abs=5)
