"""Customers: each input moves by its event, fades, and is what a label judges; first contacts, horizons, who is at risk."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.customers.params import CustomersParams
from operators.domain.customers.record import DAY, LONG_AGO_DAYS
from operators.domain.customers.stage import Customers
from operators.domain.models.churn import INPUTS, ChurnInputs
from operators.domain.stage.facts import (
    ChurnReported,
    Complained,
    ContactAbandoned,
    ContactBegan,
    ContactReopened,
    ContactResolved,
    CustomerFact,
    MessageRead,
    OrderReported,
    PageBrowsed,
    ProfileUpdated,
    RatingReceived,
    ReplyReceived,
    SearchMade,
    WaitMissed,
)
from operators.domain.stage.stage import Stage
from operators.domain.time.timers import MIN_REBUILD
from operators.domain.time.watermark import Tick
from operators.engine.lanes import LaneLogic
from tests.builders import NAMES as LABELS
from tests.builders import Seen, restored, state_of

NAMES = tuple(INPUTS)
T = 1_000 * DAY


class Leaving:
    """A churn model anyone can reckon: the chance of leaving is a tenth per empty search, and all inputs are shown."""

    def __init__(self, *, delta: float = 0.0, line: float = 0.5) -> None:
        self.delta = delta
        self.line = line

    def score_one(self, numbers: tuple[float, ...], attributes: dict[str, Any]) -> tuple[float, Any]:
        p = min(numbers[NAMES.index("empty_searches")] / 10, 1.0)
        return p, ChurnInputs(numbers, tuple(f"{name}={value}" for name, value in attributes.items()))

    def version(self) -> int:
        return 7

    def reasons_of(self, x: Any) -> list[tuple[str, float]]:
        return [("searches without result", 1.0)]

    def is_news(self, before: float | None, p: float) -> bool:
        return before is None or abs(p - before) >= self.delta

    def at_risk(self, p: float) -> bool:
        return p >= self.line

    def inputs(self) -> list[str]:
        return [*NAMES, "plan="]

    def declared(self, attributes: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in attributes.items() if name == "plan"}


def people(model: Leaving | None = None, **params: Any) -> Customers:
    return Customers(CustomersParams(**params), LABELS, model or Leaving(), "p0/3")


def fact(kind: type[CustomerFact], *what: Any, at: float = T, who: str = "k1") -> Any:
    return kind(at, f"s {kind.__name__}{at}{who}", who, *what)


def settle(stage: Customers, *facts: Any, until: float | None = None) -> Seen:
    stage.settle(facts)
    if until is not None:
        stage.advance(until)
    return Seen().take(stage.drain())


LABEL = fact(ChurnReported, True)


def inputs(*facts: Any, **params: Any) -> dict[str, float]:
    """The inputs that a label finds after these facts."""
    (example,) = settle(people(**params), *facts, fact(ChurnReported, True, at=facts[-1].time)).examples["churn"]
    return dict(zip(NAMES, example.x.numbers, strict=True))


NEUTRAL = dict.fromkeys(NAMES, 0.0) | {
    "rating": 0.5,
    "days_since_order": math.log1p(LONG_AGO_DAYS),
    "never_ordered": 1.0,
}


@pytest.mark.parametrize(
    ("facts", "moved"),
    [
        ([fact(PageBrowsed, None)], {}),
        ([fact(MessageRead, 0.4, True)], {"mood": 0.4, "questions": 1.0}),
        ([fact(MessageRead, 0.0, False)], {}),
        ([fact(MessageRead, None, False)], {}),
        ([fact(MessageRead, 0.4, False), fact(MessageRead, -0.6, False)], {"mood": 0.4 + 0.3 * (-0.6 - 0.4)}),
        ([fact(ReplyReceived, 99.0)], {"reply_time": math.log(100)}),
        ([fact(ReplyReceived, 0.0)], {}),
        ([fact(ReplyReceived, 99.0), fact(ReplyReceived, 0.0)], {"reply_time": 0.7 * math.log(100)}),
        ([fact(WaitMissed)], {"missed_replies": 1.0}),
        ([fact(ContactBegan, "c1")], {"conversations": 1.0}),
        ([fact(ContactResolved, "c1", "solved", "orders", "human", False)], {"unresolved_share": 0.0}),
        ([fact(ContactResolved, "c1", "partial", "orders", "human", False)], {"unresolved_share": 1.0}),
        ([fact(ContactResolved, "c1", "solved", "orders", "human", False), fact(ContactAbandoned)], {"unresolved_share": 0.5}),
        ([fact(ContactResolved, "c1", "solved", "orders", "human", False), fact(ContactReopened, "c1")], {"unresolved_share": 0.5}),
        ([fact(RatingReceived, 0.25)], {"rating": 0.25, "rated": 1.0}),
        ([fact(RatingReceived, 0.0)], {"rating": 0.0, "rated": 1.0}),
        ([fact(RatingReceived, 0.25), fact(RatingReceived, 1.0)], {"rating": 0.25 + 0.3 * 0.75, "rated": 1.0}),
        ([fact(Complained, 4), fact(Complained, 1)], {"complaints": 2.0, "severity": 5.0}),
        ([fact(PageBrowsed, 1_800.0), fact(PageBrowsed, 900.0)], {"browsing_time": 0.75}),
        ([fact(SearchMade, 0), fact(SearchMade, 7), fact(SearchMade, None)], {"empty_searches": 1.0}),
        ([fact(OrderReported, "completed")], {"orders": 1.0, "days_since_order": 0.0, "never_ordered": 0.0}),
        ([fact(OrderReported, "cancelled")], {"cancellations": 1.0}),
        ([fact(OrderReported, "refunded")], {"refunds": 1.0}),
    ],
)  # fmt: skip
def test_each_input_is_moved_by_its_event_and_by_nothing_else(facts: list[Any], moved: dict[str, float]) -> None:
    assert inputs(*facts) == pytest.approx(NEUTRAL | moved)


def test_sums_fade_by_half_in_their_half_life_and_means_do_not() -> None:
    found = inputs(
        fact(WaitMissed), fact(MessageRead, -0.5, True), fact(PageBrowsed, None, at=T + 30 * DAY), half_life_days=30.0
    )
    assert (found["missed_replies"], found["questions"], found["mood"]) == (
        pytest.approx(0.5),
        pytest.approx(0.5),
        -0.5,
    )


@given(st.lists(st.floats(0, 40 * DAY), min_size=1, max_size=15))
def test_fading_does_not_depend_on_how_often_something_happens(pauses: list[float]) -> None:
    times = [T + sum(pauses[: n + 1]) for n in range(len(pauses))]
    found = inputs(fact(WaitMissed), *(fact(PageBrowsed, None, at=time) for time in times))
    # At most an hour may still wait to be faded.
    assert 0.5 ** ((times[-1] - T) / (30 * DAY)) <= found["missed_replies"] * (1 + 1e-9)
    assert found["missed_replies"] <= 0.5 ** ((times[-1] - T - 3_600) / (30 * DAY)) * (1 + 1e-9)


def test_days_since_an_order_grow() -> None:
    found = inputs(fact(OrderReported, "completed"), fact(PageBrowsed, None, at=T + 9 * DAY))
    assert found["days_since_order"] == pytest.approx(math.log(10))


def test_a_late_fact_neither_fades_nor_counts_backwards() -> None:
    found = inputs(fact(OrderReported, "completed"), fact(WaitMissed), fact(WaitMissed, at=T - 5 * DAY))
    assert (found["missed_replies"], found["days_since_order"]) == (2.0, 0.0)


# ---- scores and labels


def test_a_score_is_published_with_its_reasons_and_cause() -> None:
    seen = settle(people(), fact(SearchMade, 0))
    (event,) = seen.published["csq.churn.scored"]
    assert (event["id"], event["data"]) == (
        f"s SearchMade{T}k1#churn.scored",
        {
            "customer_id": "k1", "segment": "other", "probability": 0.1, "at_risk": False,
            "reasons": [{"because": "searches without result", "effect": 1.0}], "model_version": 7,
        },
    )  # fmt: skip
    assert seen.sampled("csq_churn_probability") == {("other",): [0.1]}


def test_what_one_moment_brings_is_scored_once() -> None:
    assert (
        len(
            settle(people(), fact(SearchMade, 0), fact(WaitMissed), fact(SearchMade, 0, who="k2")).published[
                "csq.churn.scored"
            ]
        )
        == 2
    )


def test_a_label_judges_the_published_score_and_is_learned_with_the_newest_inputs() -> None:
    stage = people(Leaving(delta=0.15))
    settle(stage, fact(SearchMade, 0))
    assert settle(stage, fact(SearchMade, 0, at=T + 5)).published == {}  # too small a change: the first score stands
    (example,) = settle(stage, fact(ChurnReported, True, at=T + 60)).examples["churn"]
    assert (example.published, example.label, example.weight, example.delay_seconds) == (0.1, True, 1.0, 55.0)
    assert example.x.numbers[NAMES.index("empty_searches")] == 2.0


def test_a_late_label_is_learned_with_the_inputs_as_they_were_scored() -> None:
    stage = people(half_life_days=1.0)
    (soon,) = settle(stage, fact(SearchMade, 0), fact(ChurnReported, True, at=T + 60)).examples["churn"]
    (late,) = settle(stage, fact(ChurnReported, True, at=T + 100 * DAY)).examples["churn"]
    assert late.x == soon.x
    assert late.x.numbers[NAMES.index("empty_searches")] == 1.0


def test_a_label_after_a_restart_is_learned_with_the_inputs_as_they_were_scored() -> None:
    stage = people(half_life_days=1.0)
    settle(stage, fact(SearchMade, 0), fact(SearchMade, 0), until=T + DAY)
    stage = restored(people(half_life_days=1.0), restored(people(half_life_days=1.0), stage))
    (example,) = settle(stage, fact(ChurnReported, True, at=T + 100 * DAY)).examples["churn"]
    assert example.x.numbers[NAMES.index("empty_searches")] == 2.0


def test_a_label_sees_what_came_before_it_in_the_same_batch_and_nothing_after() -> None:
    (example,) = settle(people(), fact(SearchMade, 0), fact(ChurnReported, False), fact(SearchMade, 0)).examples[
        "churn"
    ]
    assert example.published == 0.1


def test_a_label_of_somebody_never_scored_teaches_nothing_and_is_counted() -> None:
    seen = settle(people(), fact(ChurnReported, True))
    assert (seen.examples, seen.count("csq_labels_unmatched_total")) == ({}, {("churn",): 1})


def test_attributes_that_are_not_declared_are_not_kept() -> None:
    stage = people()
    seen = settle(stage, fact(ProfileUpdated, {"plan": "gold", "shoes": 43.0, "hat": 7.0}, None), LABEL)
    (example,) = seen.examples["churn"]
    assert example.x.categories == ("plan=gold",)
    assert seen.count("csq_attributes_ignored_total") == {(): 2}
    assert "shoes" not in str(state_of(stage))


def test_an_update_changes_what_it_names_and_keeps_the_rest() -> None:
    stage = people()
    settle(stage, fact(ProfileUpdated, {"plan": "gold"}, "vip"), fact(ProfileUpdated, {}, None))
    seen = settle(stage, fact(ProfileUpdated, {"plan": "tin"}, None), LABEL)
    assert seen.examples["churn"][0].x.categories == ("plan=tin",)
    assert seen.published["csq.churn.scored"][0]["data"]["segment"] == "vip"


# ---- labels from orders


def labels(seen: Seen) -> list[tuple[bool, float]]:
    return [(example.label, example.delay_seconds / DAY) for example in seen.examples["churn"]]


def test_no_order_within_the_horizon_says_that_the_customer_left() -> None:
    stage = people(label_from="orders", horizon_days=90.0)
    assert labels(settle(stage, fact(SearchMade, 0), until=T + 90 * DAY)) == []
    stage.advance(T + 90 * DAY + 1)
    assert labels(Seen().take(stage.drain())) == [(True, 90.0)]
    stage.advance(T + 179 * DAY)
    assert labels(Seen().take(stage.drain())) == []


def test_an_order_says_at_once_that_the_customer_stayed() -> None:
    stage = people(label_from="orders", horizon_days=90.0)
    settle(stage, fact(SearchMade, 0))
    seen = settle(stage, fact(OrderReported, "completed", at=T + 10 * DAY))
    assert labels(seen) == [(False, 10.0)]
    assert seen.examples["churn"][0].published == 0.1


def test_after_an_order_the_next_score_waits_for_its_label_though_it_has_not_moved() -> None:
    stage = people(Leaving(delta=1.0), label_from="orders", horizon_days=90.0)
    settle(stage, fact(SearchMade, 0))
    assert labels(settle(stage, fact(OrderReported, "completed", at=T + 10 * DAY))) == [(False, 10.0)]
    assert labels(settle(stage, fact(OrderReported, "completed", at=T + 30 * DAY))) == [(False, 20.0)]


def test_a_cancelled_order_says_nothing_of_it() -> None:
    stage = people(label_from="orders")
    settle(stage, fact(SearchMade, 0))
    assert labels(settle(stage, fact(OrderReported, "cancelled", at=T + DAY))) == []


def test_events_label_nothing_where_orders_do_and_the_other_way_round() -> None:
    stage = people(label_from="orders")
    assert labels(settle(stage, fact(SearchMade, 0), LABEL)) == []
    stage = people(label_from="events", horizon_days=1.0)
    settle(stage, fact(SearchMade, 0))
    assert labels(settle(stage, fact(OrderReported, "completed", at=T + 5), until=T + 9 * DAY)) == []


def test_a_horizon_condemns_only_the_score_it_was_set_for() -> None:
    stage = people(label_from="orders", horizon_days=90.0)
    seen = Seen()
    for day in range(0, 200, 10):  # somebody who orders every ten days
        stage.settle([fact(OrderReported, "completed", at=T + day * DAY)])
        stage.advance(T + day * DAY)
    seen.take(stage.drain())
    assert {label for label, _ in labels(seen)} == {False}


def test_how_far_ticks_are_apart_does_not_change_the_labels() -> None:
    facts = [fact(SearchMade, 0, at=T + day * DAY) for day in range(3)] + [
        fact(OrderReported, "completed", at=T + 3 * DAY)
    ]
    whole, apart, seen = people(label_from="orders"), people(label_from="orders"), Seen()
    for one in facts:
        seen.take(_ports(apart, one))
    assert labels(seen) == labels(settle(whole, *facts))


def _ports(stage: Stage, *facts: Any) -> Any:
    stage.settle(facts)
    return stage.drain()


# ---- first-contact resolution

FCR = "csq_first_contact_resolutions_total"
SOLVED = ("solved", "orders", "human")


def contacts(*facts: Any, until: float = T + 30 * DAY) -> dict[tuple[str, ...], int]:
    return settle(people(), *facts, until=until).count(FCR)


def test_a_resolution_is_the_first_contact_when_its_window_closes() -> None:
    resolved = fact(ContactResolved, "c1", *SOLVED, False)
    assert contacts(resolved, until=T + 7 * DAY) == {}
    assert contacts(resolved, until=T + 7 * DAY + 1) == {("orders", "resolved"): 1}


def test_a_reopening_or_another_conversation_within_the_window_makes_it_a_repeat() -> None:
    resolved = fact(ContactResolved, "c1", *SOLVED, False)
    assert contacts(resolved, fact(ContactReopened, "c1", at=T + DAY)) == {("orders", "repeated"): 1}
    assert contacts(resolved, fact(ContactBegan, "c2", at=T + 7 * DAY)) == {("orders", "repeated"): 1}
    assert contacts(resolved, fact(ContactBegan, "c2", at=T + 7 * DAY + 1)) == {("orders", "resolved"): 1}
    assert contacts(resolved, fact(ContactBegan, "c2", at=T + DAY, who="k2")) == {("orders", "resolved"): 1}


def test_a_conversation_that_was_reopened_is_never_a_first_contact_resolution() -> None:
    facts = [
        fact(ContactResolved, "c1", *SOLVED, False),
        fact(ContactReopened, "c1", at=T + DAY),
        fact(ContactResolved, "c1", *SOLVED, True, at=T + 2 * DAY),
    ]
    assert contacts(*facts) == {("orders", "repeated"): 1}


# ---- at risk, forgetting


def risk(seen: Seen) -> dict[str, Any]:
    return {segment: values[-1] for (segment,), values in seen.sampled("csq_customers_at_risk").items()}


def test_customers_at_risk_are_counted_by_segment_and_part() -> None:
    stage = people(Leaving(line=0.2))
    empty = [fact(SearchMade, 0), fact(SearchMade, 0)]
    assert risk(settle(stage, *empty, fact(SearchMade, 0, who="k2"))) == {"other": ("p0/3", 1)}
    assert risk(settle(stage, fact(ProfileUpdated, {}, "vip"))) == {"other": ("p0/3", 0), "vip": ("p0/3", 1)}
    assert risk(settle(stage, fact(PageBrowsed, None, at=T + 60 * DAY))) == {"other": ("p0/3", 0), "vip": ("p0/3", 0)}


def test_who_is_forgotten_is_not_at_risk() -> None:
    stage = people(Leaving(line=0.1), silence_days=100.0)
    settle(stage, fact(SearchMade, 0))
    assert stage.entries() == 1
    stage.advance(T + 100 * DAY + 1)
    assert (stage.entries(), risk(Seen().take(stage.drain()))) == (0, {"other": ("p0/3", 0)})


def test_who_is_heard_of_is_not_forgotten() -> None:
    stage = people(silence_days=100.0)
    settle(stage, fact(SearchMade, 0), fact(SearchMade, 1, at=T + 50 * DAY), until=T + 149 * DAY)
    assert stage.entries() == 1


def test_of_too_many_those_silent_for_longest_go_and_are_counted() -> None:
    stage = people(Leaving(line=0.1), max_customers=16)
    for n in range(16):
        settle(stage, fact(SearchMade, 0, at=T + n, who=f"k{n}"))
    settle(stage, fact(SearchMade, 0, at=T + 20, who="k0"))
    seen = settle(stage, fact(SearchMade, 0, at=T + 21, who="new"))
    assert (stage.entries(), seen.count("csq_state_evicted_total")) == (15, {("customers",): 2})
    assert risk(seen) == {"other": ("p0/3", 15)}
    kept = set(state_of(stage)["records"])
    assert {"k0", "new", "k3"} <= kept
    assert not {"k1", "k2"} & kept


def test_who_is_evicted_is_the_same_whether_their_records_are_cold_or_not() -> None:
    hot, cold = people(Leaving(line=0.1), max_customers=16), people(Leaving(line=0.1), max_customers=16)
    for n in range(16):
        one = fact(SearchMade, 0, at=T + n // 2, who=f"k{n}")
        settle(hot, one)
        settle(cold, one, until=T + n)
    cold = restored(people(Leaving(line=0.1), max_customers=16), cold)
    late = [fact(SearchMade, 0, at=T + 900, who="k0"), fact(SearchMade, 0, at=T + 901, who="new")]
    expected, actual = settle(hot, *late), settle(cold, *late)
    assert len(cold._records.hot) == 2
    assert state_of(hot) == state_of(cold)
    assert (expected.counts, risk(expected)) == (actual.counts, risk(actual))


def test_a_resumed_stage_has_the_timers_that_follow_from_its_records() -> None:
    stage = people(label_from="orders")
    solved = fact(ContactResolved, "c1", "solved", "orders", "human", False)
    settle(
        stage, solved, fact(ContactResolved, "c2", "solved", "orders", "human", False), fact(SearchMade, 0, who="k2")
    )
    resumed = restored(people(label_from="orders"), stage)
    assert sorted(stage._timers) == sorted(resumed._timers)
    assert {kind for _, _, kind, _ in resumed._timers} == {"silence", "contact", "horizon"}


def test_contacts_that_were_repeated_leave_no_timers_behind_for_their_window() -> None:
    stage = people()
    for n in range(400):
        settle(stage, fact(ContactBegan, f"c{n}", at=T + n), until=T + n)
        settle(stage, fact(ContactResolved, f"c{n}", *SOLVED, False, at=T + n), until=T + n)
    assert len(stage._timers) <= 2 * 2 + MIN_REBUILD


@pytest.mark.parametrize("why", ["evicted", "forgotten"])
def test_who_is_gone_at_the_end_of_a_batch_is_not_scored(why: str) -> None:
    if why == "evicted":
        settle(people(max_customers=10), *(fact(SearchMade, 0, at=T + n, who=f"k{n}") for n in range(11)))
    else:
        settle(people(silence_days=10.0), fact(SearchMade, 0), fact(SearchMade, 0, at=T + 11 * DAY, who="k2"))


def test_a_fact_that_fails_does_not_cost_others_their_score(caplog: pytest.LogCaptureFixture) -> None:
    stage = LaneLogic("0", people(), lambda: T, None, take_snapshots=False)
    facts = [
        fact(SearchMade, 0, at=T),
        fact(CustomerFact, at=T + 1, who="k2"),
        fact(SearchMade, 0, at=T + 2, who="k3"),
    ]
    seen = Seen().take(stage.on_batch([facts, Tick("up", T + 9, 1, 1)])[0])
    assert len(seen.dead) == 1
    assert {event["data"]["customer_id"] for event in seen.published["csq.churn.scored"]} == {"k1", "k3"}


def test_orders_and_complaints_are_counted() -> None:
    seen = settle(
        people(),
        fact(OrderReported, "completed"),
        fact(OrderReported, "refunded"),
        fact(Complained, 5),
        fact(Complained, 5),
    )
    assert seen.count("csq_orders_total") == {("completed",): 1, ("refunded",): 1}
    assert seen.count("csq_complaints_total") == {("5",): 2}


# ---- order and state

WHO = st.sampled_from(["k1", "k2"])
KINDS = st.sampled_from(
    [
        (MessageRead, -0.5, True),
        (ReplyReceived, 30.0),
        (WaitMissed,),
        (ContactBegan, "c1"),
        (ContactBegan, "c2"),
        (ContactResolved, "c1", *SOLVED, False),
        (ContactReopened, "c1"),
        (ContactAbandoned,),
        (RatingReceived, 0.5),
        (PageBrowsed, 60.0),
        (SearchMade, 0),
        (OrderReported, "completed"),
        (OrderReported, "cancelled"),
        (Complained, 3),
        (ProfileUpdated, {"plan": "gold"}, "vip"),
        (ChurnReported, True),
    ]
)
FACTS = st.lists(st.tuples(st.floats(0, 400 * DAY), WHO, KINDS), max_size=30).map(
    lambda found: [
        kind(T + time, f"s e{n}", who, *what)
        for n, (time, who, (kind, *what)) in enumerate(sorted(found, key=lambda one: one[0]))
    ]
)


@given(FACTS, st.randoms(use_true_random=False))
def test_facts_in_any_order_within_a_tick_give_the_same(facts: list[Any], random: Any) -> None:
    def run(some: list[Any]) -> Seen:
        adapter = LaneLogic("0", people(), lambda: T, None, take_snapshots=False)
        return Seen().take(adapter.on_batch([some, Tick("up", T + 900 * DAY, 1, 1)])[0])

    shuffled = facts.copy()
    random.shuffle(shuffled)
    expected, actual = run(facts), run(shuffled)
    assert (expected.counts, expected.published, expected.examples) == (
        actual.counts,
        actual.published,
        actual.examples,
    )


@given(FACTS, st.integers(0, 30), st.sampled_from(["events", "orders"]))
def test_a_resumed_stage_has_the_same_future(facts: list[Any], cut: int, label_from: str) -> None:
    def run(stage: Customers, some: list[Any]) -> Seen:
        seen = Seen()
        for one in some:
            stage.advance(one.time)
            seen.take(_ports(stage, one))
        return seen

    whole, first, resumed = (people(label_from=label_from) for _ in range(3))
    run(whole, facts[:cut])
    run(first, facts[:cut])
    restored(resumed, first)
    expected, actual = run(whole, facts[cut:]), run(resumed, facts[cut:])
    assert (expected.counts, expected.published) == (actual.counts, actual.published)
    assert msgspec.msgpack.encode(list(expected.examples.values())) == msgspec.msgpack.encode(
        list(actual.examples.values())
    )
    assert state_of(whole) == state_of(resumed)
