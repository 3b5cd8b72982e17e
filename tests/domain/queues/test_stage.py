"""What the record of a queue promises."""

import math
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from operators.domain.queues.record import Queue, QueuesParams
from operators.domain.queues.stage import Queues
from operators.domain.stage.facts import (
    AgentChanged,
    AgentsPlanned,
    ConversationEntered,
    ConversationExited,
    ConversationHandled,
    ConversationReentered,
    ConversationTaken,
    QueueFact,
    WaitAnswered,
    WaitBegan,
    WaitEnded,
)
from operators.domain.stage.labels import Labels, LabelsParams
from operators.domain.stage.promise import Promises, PromisesParams
from operators.domain.stage.stage import StateVersionError, UnknownFactError
from tests.builders import restored, state_of

View = dict[tuple[str, ...], float]
PARAMS = QueuesParams(max_open=20, max_agents=5, max_plans=5)
NAMES = Labels(LabelsParams(queues=("p", "q"), channels=("web", "app")))

conversations = st.sampled_from(["c1", "c2", "c3", "c4"])
seconds = st.floats(0.0, 4_000.0) | st.sampled_from([None, math.nan, math.inf, -1.0, 1e300])
counts = st.none() | st.integers(0, 5)
contents = st.one_of(
    st.tuples(st.sampled_from([ConversationEntered, ConversationReentered, ConversationTaken]), conversations),
    st.tuples(st.just(WaitBegan), conversations, st.floats(0.0, 4_000.0)),
    st.tuples(st.just(WaitAnswered), st.sampled_from(["web", "app"]), conversations, seconds, st.booleans()),
    st.tuples(st.just(WaitEnded), conversations, seconds),
    st.tuples(st.just(ConversationHandled), seconds),
    st.tuples(
        st.just(ConversationExited),
        st.just("web"),
        conversations,
        st.sampled_from(["solved", "abandoned", "gone", "moved"]),
    ),
    st.tuples(
        st.just(AgentChanged),
        st.sampled_from([f"a{number}" for number in range(8)]),
        st.sampled_from(["available", "busy", "away", "offline", "lost"]),
        counts,
        counts,
    ),
    st.tuples(
        st.just(AgentsPlanned),
        st.integers(0, 20).map(lambda number: number * 900.0),
        st.sampled_from([900.0, 1_800.0, 0.0]),
        st.integers(0, 9),
        st.floats(0.0, 1.0),
    ),
)


@st.composite
def streams(draw: st.DrawFn) -> list[Any]:
    """Facts in order of time, over two queues and channels."""
    time = 0.0
    facts: list[Any] = []
    for number, (after, queue, (kind, *what)) in enumerate(
        draw(st.lists(st.tuples(st.floats(0.0, 900.0), st.sampled_from("pq"), contents), max_size=40))
    ):
        time += after
        facts.append(kind(time, f"e{number}", queue, *what))
    return facts


def gauges(queues: Queues, shown: View | None = None) -> View:
    """Every gauge as last measured; NaN ends a series, and a series that never began is not there either."""
    view = {} if shown is None else dict(shown)
    for port, values in queues.drain():
        assert port == "measured"
        view.update({(metric, *labels): value for metric, labels, value in values})
    return {series: value for series, value in view.items() if not math.isnan(value)}


def run(*facts: tuple[Any, ...], now: float, params: QueuesParams = PARAMS) -> View:
    """The gauges of queue q at `now`, after facts `(time, class, its own fields)`."""
    queues = fresh_queues(params)
    queues.settle([kind(time, f"e{at}", "q", *what) for at, (time, kind, *what) in enumerate(facts)])
    queues.advance(now)
    return gauges(queues)


def fresh_queues(params: QueuesParams = PARAMS, labels: Labels = NAMES) -> Queues:
    return Queues(params, Promises(PromisesParams()), labels)


def again(queues: Queues) -> Queues:
    return restored(fresh_queues(), queues)


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_smoothed_reply_time_is_the_formula(replies: list[float], alpha: float) -> None:
    expected = replies[0]
    for reply in replies[1:]:
        expected += alpha * (reply - expected)
    facts = [(float(at), WaitAnswered, "web", "c1", reply, True) for at, reply in enumerate(replies)]
    actual = run(*facts, now=100.0, params=QueuesParams(alpha=alpha))["csq_reply_smoothed_seconds", "q", "web"]
    assert expected == pytest.approx(actual, rel=1e-9, abs=1e-9)


def test_channels_are_smoothed_apart() -> None:
    queues = fresh_queues()
    queues.settle(
        [
            WaitAnswered(0.0, "e1", "q", "web", "c1", 10.0, met=True),
            WaitAnswered(1.0, "e2", "q", "app", "c2", 90.0, met=True),
        ]
    )
    queues.advance(2.0)
    view = gauges(queues)
    assert [view["csq_reply_smoothed_seconds", "q", channel] for channel in ("web", "app")] == [10.0, 90.0]


@given(streams())
def test_no_fact_raises_and_no_gauge_is_negative_or_infinite(facts: list[Any]) -> None:
    queues = fresh_queues()
    queues.settle(facts)
    queues.advance(facts[-1].time if facts else 0.0)
    for value in gauges(queues).values():
        assert math.isfinite(value)
        assert value >= 0.0


@given(streams(), st.randoms(use_true_random=False))
def test_facts_in_any_order_do_no_harm(facts: list[Any], random: Random) -> None:
    random.shuffle(facts)
    queues = fresh_queues()
    for fact in facts:
        queues.settle([fact])
        queues.advance(fact.time)
    assert all(math.isfinite(value) and value >= 0.0 for value in gauges(queues).values())


@given(streams(), st.lists(st.integers(0, 40), max_size=5))
def test_any_split_into_batches_gives_the_same(facts: list[Any], cuts: list[int]) -> None:
    whole, split = fresh_queues(), fresh_queues()
    end = facts[-1].time if facts else 0.0
    whole.settle(facts)
    whole.advance(end)
    seen: View = {}
    begin = 0
    for cut in [*sorted(cuts), len(facts)]:
        batch = facts[begin:cut]
        split.settle(batch)
        if batch:
            split.advance(batch[-1].time)
        seen, begin = gauges(split, seen), max(begin, cut)
    split.advance(end)
    split.finish()
    assert state_of(whole) == state_of(split)
    seen = gauges(split, seen)
    # A value that ends between two batches is NaN once; in one batch it was never measured.
    ended = {key for key, value in seen.items() if math.isnan(value)}
    assert {metric for metric, *_ in ended} <= {"csq_service_level_ratio", "csq_agent_load_ratio"}
    assert gauges(whole) == {key: value for key, value in seen.items() if key not in ended}


@given(streams(), st.integers(0, 40))
def test_resumed_queues_have_the_same_future(facts: list[Any], cut: int) -> None:
    undisturbed = fresh_queues()
    undisturbed.settle(facts[:cut])
    undisturbed.advance(facts[:cut][-1].time if facts[:cut] else 0.0)
    seen = gauges(undisturbed)
    resumed = again(undisturbed)
    fresh: View = {}
    for fact in facts[cut:]:
        for queues in (undisturbed, resumed):
            queues.settle([fact])
            queues.advance(fact.time)
            queues.finish()  # measure at once: only the undisturbed one may be within its second
        seen, fresh = gauges(undisturbed, seen), gauges(resumed, fresh)
    for queues in (undisturbed, resumed):
        queues.advance(1e6)
    seen, fresh = gauges(undisturbed, seen), gauges(resumed, fresh)
    assert state_of(undisturbed) == state_of(resumed)
    assert seen.keys() >= fresh.keys()
    assert fresh == {key: seen[key] for key in fresh}
    # What only the undisturbed one still shows lost its value before the cut: a window or a plan that ended.
    assert {key[0] for key in seen.keys() - fresh.keys()} <= {
        "csq_service_level_ratio",
        "csq_agent_load_ratio",
        "csq_staffing_scheduled_agents",
    }


def test_a_state_is_a_copy() -> None:
    queues = fresh_queues()
    queues.settle([WaitBegan(0.0, "e1", "q", "c1", 0.0), ConversationEntered(1.0, "e2", "q", "c1")])
    queues.advance(1.0)
    state = state_of(queues)
    packed = msgspec.msgpack.encode(state)
    queues.settle(
        [ConversationExited(5.0, "e3", "q", "web", "c1", "solved"), ConversationEntered(6.0, "e4", "q", "c2")]
    )
    queues.advance(6.0)
    assert packed == msgspec.msgpack.encode(state)


def test_a_state_of_another_version_is_refused_by_name() -> None:
    with pytest.raises(StateVersionError, match=r"queues: version 9 found, 3 expected"):
        fresh_queues().restore(Raw(msgspec.msgpack.encode({"v": 9})))


@given(streams())
def test_advancing_twice_measures_once(facts: list[Any]) -> None:
    queues = fresh_queues()
    queues.settle(facts)
    now = facts[-1].time if facts else 0.0
    queues.advance(now)
    queues.drain()
    before = state_of(queues)
    queues.advance(now)
    queues.advance(now - 1.0)
    queues.finish()
    assert queues.drain() == []
    assert before == state_of(queues)


def test_gauges_are_measured_once_a_second_and_at_the_end_of_the_input() -> None:
    queues = fresh_queues()
    queues.settle([WaitBegan(0.0, "e1", "q", "c1", 0.0)])
    queues.advance(0.0)
    queues.drain()
    queues.advance(0.9)
    assert queues.drain() == []
    queues.finish()
    assert gauges(queues) == {("csq_oldest_open_wait_seconds", "q"): 0.9}


def test_after_a_resume_every_gauge_is_measured_again() -> None:
    queues = fresh_queues()
    queues.settle([WaitBegan(0.0, "e1", "q", "c1", 0.0), WaitAnswered(0.0, "e2", "q", "web", "c2", 9.0, met=True)])
    queues.advance(0.0)
    first = gauges(queues)
    resumed = again(queues)
    resumed.advance(0.0)
    assert first == gauges(resumed)


def test_the_oldest_open_wait_is_found_when_waits_end_in_any_order() -> None:
    waits = [(float(at), WaitBegan, f"c{at}", float(at)) for at in range(5)]
    ended = [
        (10.0, WaitAnswered, "web", "c0", 10.0, True),
        (11.0, WaitEnded, "c2", 9.0),
        (12.0, ConversationExited, "web", "c1", "gone"),
    ]
    view = run(*waits, *ended, now=20.0)
    assert view["csq_open_waits", "q"] == 2
    assert view["csq_oldest_open_wait_seconds", "q"] == 17.0
    assert run(now=5.0).get(("csq_oldest_open_wait_seconds", "q")) is None


def test_a_second_message_does_not_restart_a_wait() -> None:
    view = run((0.0, WaitBegan, "c1", 0.0), (50.0, WaitBegan, "c1", 50.0), now=60.0)
    assert view["csq_oldest_open_wait_seconds", "q"] == 60.0


def test_a_wait_that_goes_on_from_earlier_counts_from_there() -> None:
    view = run((50.0, WaitBegan, "c1", 50.0), (55.0, WaitBegan, "c1", 10.0), now=60.0)
    assert view["csq_oldest_open_wait_seconds", "q"] == 50.0


def test_waits_in_conversations_that_have_ended_are_shown_apart() -> None:
    entered = (0.0, ConversationEntered, "c1")
    waits = [(1.0, WaitBegan, "c1", 1.0), (2.0, WaitBegan, "c2", 2.0)]
    view = run(entered, *waits, now=60.0)
    assert (view["csq_open_waits", "q"], view["csq_waits_after_close", "q"]) == (2, 1)


def test_service_level_as_in_the_definition() -> None:
    """4 answered in time, 2 late, 3 abandoned of which 1 within grace: 4 / (6 + 3 - 1)."""
    answered = [
        (100.0 + at, WaitAnswered, "web", f"c{at}", wait, wait <= 180)
        for at, wait in enumerate((0.0, 60.0, 179.0, 180.0, 180.1, 900.0))
    ]
    left = [
        (200.0, WaitBegan, "x1", 200.0),
        (201.0, WaitBegan, "x2", 201.0),
        (202.0, WaitBegan, "x3", 202.0),
        (205.0, ConversationExited, "web", "x1", "abandoned"),  # after 5 s: within grace
        (211.0, ConversationExited, "web", "x2", "abandoned"),  # after 10 s: not any more
        (300.0, ConversationExited, "web", "x3", "abandoned"),
        (301.0, ConversationExited, "web", "x4", "solved"),
    ]
    assert run(*answered, *left, now=400.0)["csq_service_level_ratio", "q"] == 4 / 8


def abandoned(*last: Any, waited: float) -> float:
    """The service level after a reply in time, a wait, and `last` at 100 s."""
    queues = fresh_queues()
    queues.settle(
        [
            WaitAnswered(0.0, "e1", "q", "web", "c2", 1.0, met=True),
            WaitBegan(100.0 - waited, "e2", "q", "c1", 100.0 - waited),
            *last,
        ]
    )
    queues.advance(110.0)
    return gauges(queues)["csq_service_level_ratio", "q"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(("waited", "expected"), [(5.0, 1.0), (50.0, 0.5)])
def test_an_abandonment_is_the_same_in_either_order_of_its_facts(
    order: tuple[int, int], waited: float, expected: float
) -> None:
    both = (WaitEnded(100.0, "e9", "q", "c1", waited), ConversationExited(100.0, "e9", "q", "web", "c1", "abandoned"))
    assert abandoned(*(both[place] for place in order), waited=waited) == expected


def test_a_wait_that_another_event_of_the_same_moment_ended_is_not_that_of_an_abandonment() -> None:
    last = (WaitEnded(100.0, "e8", "q", "c1", 5.0), ConversationExited(100.0, "e9", "q", "web", "c1", "abandoned"))
    assert abandoned(*last, waited=5.0) == 0.5


def test_service_level_and_arrivals_forget_what_left_the_window() -> None:
    early = [(0.0, ConversationEntered, "c1"), (0.0, WaitAnswered, "web", "c1", 999.0, False)]
    late = [(3_000.0, ConversationEntered, "c2"), (3_000.0, WaitAnswered, "web", "c2", 9.0, True)]
    within, after = run(*early, *late, now=3_001.0), run(*early, *late, now=3_700.0)
    assert (within["csq_service_level_ratio", "q"], within["csq_arrivals_per_hour", "q"]) == (0.5, 2.0)
    assert (after["csq_service_level_ratio", "q"], after["csq_arrivals_per_hour", "q"]) == (1.0, 1.0)


def test_backlog_counts_conversations_and_not_events() -> None:
    opened = [(0.0, ConversationEntered, name) for name in ("c1", "c1", "c2", "c3", "c4")]
    taken = [
        (1.0, ConversationTaken, "c1"),
        (2.0, ConversationTaken, "c1"),
        (3.0, WaitAnswered, "web", "c2", 3.0, True),
    ]
    closed = [
        (4.0, ConversationExited, "web", "c4", "solved"),
        (5.0, ConversationExited, "web", "c4", "solved"),
        (6.0, ConversationReentered, "c4"),
    ]
    view = run(*opened, *taken, *closed, now=10.0)
    assert view["csq_conversations_open", "q"] == 4
    assert view["csq_conversations_unassigned", "q"] == 1


def test_agents_are_counted_by_their_newest_state() -> None:
    facts = [
        (0.0, AgentChanged, "a1", "available", 0, 4),
        (1.0, AgentChanged, "a2", "busy", 3, 4),
        (2.0, AgentChanged, "a3", "available", 1, 4),
        (3.0, AgentChanged, "a3", "offline", 1, 4),
        (1.5, AgentChanged, "a3", "away", 4, 4),  # too late
    ]
    view = run(*facts, now=10.0)
    assert [view["csq_agents", "q", state] for state in ("available", "busy", "away", "offline")] == [1, 1, 0, 1]
    assert view["csq_agent_load_ratio", "q"] == 3 / 8


def test_load_is_conversations_per_agent_where_agents_do_not_state_theirs() -> None:
    agents = [(0.0, AgentChanged, name, "busy", None, None) for name in ("a1", "a2")]
    opened = [(1.0, ConversationEntered, f"c{at}") for at in range(3)]
    assert run(*agents, *opened, now=2.0)["csq_agent_load_ratio", "q"] == 1.5
    gone = [(3.0, AgentChanged, name, "offline", None, None) for name in ("a1", "a2")]
    assert run(*agents, *opened, *gone, now=4.0)["csq_agent_load_ratio", "q"] == 0.0


def test_an_agent_silent_for_longer_than_a_shift_is_forgotten() -> None:
    queues = fresh_queues()
    queues.settle([AgentChanged(0.0, "e1", "q", "a1", "available", 1, 2)])
    queues.advance(86_400.0)
    assert gauges(queues)["csq_agents", "q", "available"] == 1
    queues.advance(86_401.0)
    assert gauges(queues)["csq_agents", "q", "available"] == 0


def test_the_handle_time_is_smoothed() -> None:
    queue = Queue("q", QueuesParams(alpha=0.5), Promises(PromisesParams()))
    for seconds in (100.0, 300.0, None, math.nan):
        queue.handled(ConversationHandled(0.0, "e", "q", seconds))
    assert queue.handle_seconds == 200.0


def test_a_restore_replaces_the_queues_of_before() -> None:
    queues = fresh_queues()
    queues.settle([ConversationEntered(1.0, "e1", "p", "c1")])
    queues = restored(queues, fresh_queues())
    queues.advance(2.0)
    assert [series for series in gauges(queues) if "p" in series] == []


@pytest.mark.parametrize(("now", "expected"), [(899.0, None), (900.0, 7.0), (1_800.0, 10.0), (2_700.0, 0.0)])
def test_scheduled_agents_are_those_of_the_interval_that_runs_after_shrinkage(
    now: float, expected: float | None
) -> None:
    plans = [(0.0, AgentsPlanned, 900.0, 900.0, 10, 0.3), (0.0, AgentsPlanned, 1_800.0, 900.0, 10, 0.0)]
    view = run(*plans, now=now)
    if expected is None:
        assert view["csq_staffing_scheduled_agents", "q"] == 0.0  # a plan is known, and nobody is planned for now
    else:
        assert view["csq_staffing_scheduled_agents", "q"] == pytest.approx(expected)
    assert ("csq_staffing_scheduled_agents", "q") not in run((0.0, ConversationEntered, "c1"), now=now)


def test_memory_is_bounded_by_what_is_open() -> None:
    queues = fresh_queues()
    for at in range(2_000):
        name = f"c{at}"
        facts: list[Any] = [
            ConversationEntered(float(at), f"e{at}", "q", name), WaitBegan(float(at), f"e{at}", "q", name, float(at)),
        ]  # fmt: skip
        if at < 1_000:
            facts.append(ConversationExited(float(at), f"f{at}", "q", "web", name, "solved"))
        facts.append(AgentChanged(float(at), f"g{at}", "q", f"a{at}", "available", 1, 2))
        facts.append(AgentsPlanned(float(at), f"h{at}", "q", 1e6 + at * 900.0, 900.0, 1, 0.0))
        queues.settle(facts)
        queues.advance(float(at))
        if at < 1_000:
            assert queues.entries() <= 1 + 5 + 5
    assert queues.entries() == 1 + 20 + 20 + 5 + 5
    assert len(msgspec.msgpack.encode(state_of(queues))) < 20_000


def test_forecasts_are_measured_per_horizon_and_bound() -> None:
    view = run(*[(60.0 * at, WaitAnswered, "web", "c1", 120.0, True) for at in range(100)], now=6_000.0)
    labels = {key[2:] for key in view if key[0] == "csq_reply_forecast_seconds"}
    assert labels == {(horizon, bound) for horizon in ("300", "900", "3600") for bound in ("lower", "median", "upper")}
    assert view["csq_reply_forecast_seconds", "q", "900", "median"] == pytest.approx(120.0)


def test_a_fact_without_a_handler_is_an_error_and_makes_no_record() -> None:
    queues = fresh_queues()
    with pytest.raises(UnknownFactError, match="stage queues has no handler for facts of type QueueFact; it takes: "):
        queues.settle([QueueFact(0.0, "e1", "q")])
    assert queues.entries() == 0


def test_the_limit_is_that_of_each_queue_and_holds() -> None:
    queues = fresh_queues()
    assert queues.limit() == 0
    for queue in "pq":
        for at in range(50):
            name, time = f"{queue}{at}", float(at)
            facts: list[Any] = [
                ConversationEntered(time, f"e{at}", queue, name), WaitBegan(time, f"e{at}", queue, name, time),
            ]  # fmt: skip
            facts.append(AgentChanged(time, f"e{at}", queue, name, "available", 1, 2))
            facts.append(AgentsPlanned(time, f"e{at}", queue, 1e6 + at * 900.0, 900.0, 1, 0.0))
            queues.settle(facts)
    queues.advance(50.0)
    assert queues.entries() == queues.limit() == 2 * (1 + 20 + 20 + 5 + 5)
