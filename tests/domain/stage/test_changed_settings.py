"""Stored values are fitted to the settings of this start."""

from typing import Any

import msgspec
import pytest

from operators.domain.conversations.stage import Conversations, ConversationsParams
from operators.domain.customers.params import CustomersParams
from operators.domain.customers.stage import Customers
from operators.domain.models.churn import (
    INPUTS,
    MODEL,
    ChurnInputs,
    ChurnLearner,
    ChurnParams,
    ChurnScorer,
    ChurnWeights,
)
from operators.domain.models.model import RefusedExampleError
from operators.domain.queues.record import QueuesParams
from operators.domain.queues.stage import Queues
from operators.domain.stage.facts import (
    AgentChanged,
    AgentsPlanned,
    ChurnReported,
    ConversationEntered,
    ConversationTaken,
    PageBrowsed,
    ProfileUpdated,
    WaitAnswered,
    WaitBegan,
)
from operators.domain.stage.labels import Labels, LabelsParams
from operators.domain.stage.promise import Promises, PromisesParams
from operators.domain.stage.table import Table
from operators.domain.time.lanes import Lanes
from operators.domain.time.watermark import Tick
from operators.engine.lanes import LaneLogic
from tests.builders import START, Seen, play, rate, restored, say, state_of, step

DAY = 86_400.0
ALL = LabelsParams(queues=("orders", "billing"), channels=("chat", "email"), segments=("regular", "vip"))
LESS = LabelsParams(queues=("orders",), channels=("chat",), segments=("regular",))
GOLD = ProfileUpdated(START, "s e1", "k1", {"plan": "gold"}, "vip")


def customers(churn: ChurnParams | None = None, labels: LabelsParams = ALL, **params: Any) -> Customers:
    churn = churn or ChurnParams()
    weights = ChurnWeights(churn)
    weights.base = 2.0  # every scored customer is at risk
    return Customers(CustomersParams(**params), Labels(labels), ChurnScorer(churn, {MODEL: weights}), "0")


def conversations(labels: LabelsParams = ALL, limit: float = 180.0) -> Conversations:
    promises = Promises(PromisesParams(limit_seconds=limit))
    return Conversations(ConversationsParams(), Labels(labels), promises, Lanes(8), lambda **_: (None, {}))


def queues(labels: LabelsParams = ALL, **params: Any) -> Queues:
    return Queues(QueuesParams(**params), Promises(PromisesParams()), Labels(labels))


# ---- customers


def plan(kind: Any) -> ChurnParams:
    return ChurnParams(attributes={"plan": kind})


def test_a_category_that_is_a_number_now_stops_no_score() -> None:
    before = customers(plan("category"))
    before.settle([GOLD, ProfileUpdated(START, "s e2", "k2", {}, None)])
    stage = restored(customers(plan("number")), before)
    stage.settle([PageBrowsed(START + 9 * DAY, "s e3", "k1", None), PageBrowsed(START + 9 * DAY, "s e4", "k2", None)])
    assert stage.failures == 0
    assert [stage._records[who].attributes for who in ("k1", "k2")] == [{}, {}]
    assert all(stage._records[who].scored_at == START + 9 * DAY for who in ("k1", "k2"))


def test_a_label_of_a_score_from_before_is_learned_with_the_inputs_of_these_settings() -> None:
    before = customers(plan("category"))
    before.settle([GOLD])
    (published,) = Seen().take(before.drain()).published["csq.churn.scored"]
    for now in (ChurnParams(), plan("number"), ChurnParams(attributes={"tier": "category"})):
        stage = restored(customers(now), before)
        stage.settle([ChurnReported(START + DAY, "s e2", "k1", churned=True)])
        (example,) = Seen().take(stage.drain()).examples["churn"]
        assert (example.published, example.label) == (published["data"]["probability"], True)
        assert example.x == ChurnInputs((*example.x.numbers[: len(INPUTS)], *[0.0] * (now == plan("number"))), ())
        ChurnLearner(now).learn_one(example)


def test_a_score_that_waits_for_an_order_is_labelled_and_not_learned_from_where_its_inputs_have_changed() -> None:
    before = customers(plan("category"), label_from="orders", horizon_days=90.0)
    before.settle([GOLD])
    (published,) = Seen().take(before.drain()).published["csq.churn.scored"]
    now = plan("number")
    stage = restored(customers(now, label_from="orders", horizon_days=90.0), before)
    stage.advance(START + 91 * DAY)
    (example,) = Seen().take(stage.drain()).examples["churn"]
    assert (example.published, example.label) == (published["data"]["probability"], True)
    with pytest.raises(RefusedExampleError, match="0 inputs"):
        ChurnLearner(now).learn_one(example)


def test_a_segment_that_the_settings_do_not_name_any_more_is_other() -> None:
    before = customers()
    before.settle([GOLD])
    stage = restored(customers(labels=LESS), before)
    stage.advance(START)
    at_risk = {labels: n for _, labels, (_, n) in stage.drain()[0][1]}
    assert at_risk == {("other",): 1}
    stage.settle([ProfileUpdated(START + DAY, "s e2", "k1", {}, "regular")])
    assert {labels: n for _, labels, (_, n) in dict(stage.drain())["measured"] if isinstance(n, int)} == {
        ("other",): 0,
        ("regular",): 1,
    }


def test_scores_that_waited_for_an_order_are_not_labelled_where_labels_are_events_now() -> None:
    before = customers(label_from="orders", horizon_days=90.0)
    before.settle([GOLD])
    same = restored(customers(label_from="orders", horizon_days=90.0), before)
    same.advance(START + 91 * DAY)
    assert [example.label for example in Seen().take(same.drain()).examples["churn"]] == [True]
    stage = restored(customers(label_from="events", horizon_days=90.0), before)
    stage.advance(START + 91 * DAY)
    assert Seen().take(stage.drain()).examples == {}


# ---- conversations


def moved(seen: Seen) -> list[Any]:
    return [(type(fact), fact.time) for fact in seen.queues if fact.queue == "other"]


def test_an_open_conversation_of_a_queue_that_is_not_named_any_more_is_in_other() -> None:
    before = conversations()
    steps = [say("customer", START, queue="billing"), step("assigned", START + 9, queue="billing")]
    play(before, [*steps, say("customer", START, "c2")])
    stage = restored(conversations(LESS), before)
    seen = Seen().take(stage.drain())
    assert moved(seen) == [(ConversationEntered, START + 9), (ConversationTaken, START + 9), (WaitBegan, START + 9)]
    assert all(fact.queue == "other" for fact in seen.queues)
    assert (stage._records["c1"].queue, stage._records["c2"].queue) == ("other", "orders")
    assert moved(play(stage, [say("agent", START + 20, queue="billing")])) == [(WaitAnswered, START + 20)]


def test_a_channel_that_is_not_named_any_more_is_other() -> None:
    before = conversations()
    play(before, [say("customer", START, channel="email")])
    stage = restored(conversations(LESS), before)
    seen = play(stage, [say("agent", START + 9, channel="email")], until=START + 9)
    assert list(seen.sampled("csq_reply_seconds")) == [("orders", "other", "human")]


@pytest.mark.parametrize(("limit", "missed_at"), [(60.0, START + 60), (180.0, START + 180), (900.0, START + 900)])
def test_an_open_wait_has_the_limit_of_the_settings_of_this_start(limit: float, missed_at: float) -> None:
    before = conversations()
    play(before, [say("customer", START)], until=START + 1)
    stage = restored(conversations(limit=limit), before)
    for now, count in ((missed_at, {}), (missed_at + 1, {("orders", "chat", "missed", "human"): 1})):
        stage.advance(now)
        assert Seen().take(stage.drain()).count("csq_reply_rounds_total") == count


def test_a_wait_that_was_missed_is_not_missed_again_under_another_limit() -> None:
    before = conversations()
    play(before, [say("customer", START)], until=START + 181)
    stage = restored(conversations(limit=900.0), before)
    stage.advance(START + 901)
    assert Seen().take(stage.drain()).count("csq_reply_rounds_total") == {}


# ---- queues


def gauges(stage: Queues, now: float = START + 60) -> dict[Any, Any]:
    stage.advance(now)
    return {(metric, *labels): value for _, values in stage.drain() for metric, labels, value in values}


def test_a_queue_that_is_not_named_any_more_has_no_series() -> None:
    before = queues()
    before.settle([WaitBegan(START, "s e1", "billing", "c1", START), WaitBegan(START, "s e2", "orders", "c2", START)])
    stage = restored(queues(LESS), before)
    assert {labels[1] for labels in gauges(stage)} == {"orders"}


def test_nor_do_facts_bring_it_back_that_were_held_back_in_a_snapshot() -> None:
    before = LaneLogic("0", queues(), lambda: START, None, take_snapshots=True)
    before.on_batch(
        [[WaitBegan(START, "s e1", "billing", "c1", START), WaitBegan(START, "s e2", "orders", "c2", START)]]
    )
    stage = queues(LESS)
    after = LaneLogic("0", stage, lambda: START, before.snapshot(), take_snapshots=True)
    after.on_batch([Tick("up", START + 60, 1, 1)])
    assert list(stage._queues) == ["orders"]


def test_a_channel_that_is_not_named_any_more_has_no_smoothed_reply_time() -> None:
    before = queues()
    for channel in ("chat", "email"):
        before.settle([WaitAnswered(START, "s e1", "orders", channel, "c1", 9.0, met=True)])
    smoothed = [
        labels for labels in gauges(restored(queues(LESS), before)) if labels[0] == "csq_reply_smoothed_seconds"
    ]
    assert smoothed == [("csq_reply_smoothed_seconds", "orders", "chat")]


def test_what_a_queue_holds_is_bounded_by_the_settings_of_this_start() -> None:
    before = queues()
    for n in range(20):
        about = (START + n, f"s e{n}", "orders")
        before.settle([ConversationEntered(*about, f"c{n}"), WaitBegan(*about, f"c{n}", about[0])])
        before.settle(
            [AgentChanged(*about, f"a{n}", "busy", 1, 2), AgentsPlanned(*about, START + n * 900, 900.0, 3, 0.0)]
        )
    stage = restored(queues(max_open=5, max_agents=4, max_plans=3), before)
    assert stage.entries() == stage.limit() == 1 + 5 + 5 + 4 + 3
    (held,) = state_of(stage)["queues"].values()
    assert (list(held[0]), list(held[4])) == ([f"c{n}" for n in range(15, 20)], [f"a{n}" for n in range(16, 20)])
    assert gauges(stage)["csq_conversations_unassigned", "orders"] == 5


# ---- nothing has changed


def test_under_the_same_settings_no_record_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError

    before = conversations(), customers()
    play(before[0], [say("customer", START), rate(4, START + 9)])
    before[1].settle([GOLD])
    monkeypatch.setattr(Table, "update_cold", refuse)
    stages = restored(conversations(), before[0]), restored(customers(), before[1])
    assert [len(stage._records.hot) for stage in stages] == [0, 0]
    assert [state_of(one) for one in before] == [state_of(one) for one in stages]


def test_what_a_stage_stores_of_its_settings_is_plain_data() -> None:
    for stage in (conversations(), customers(plan("category"))):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(stage._settings())) == stage._settings()
