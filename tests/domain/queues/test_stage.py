"""What the record of a queue promises."""

import math
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.queues.stage import HANDLERS, Queues, QueuesParams
from operators.domain.stage.promise import Promises, PromisesParams
from operators.domain.stage.stage import Fact, StateVersionError

View = dict[tuple[str, ...], float]
PARAMS = QueuesParams(max_open=20, max_agents=5, max_plans=5)
PROMISES = Promises(PromisesParams())

conversations = st.sampled_from(["c1", "c2", "c3", "c4"])
seconds = st.floats(0.0, 4_000.0) | st.sampled_from([None, math.nan, math.inf, -1.0, 1e300])
counts = st.none() | st.integers(0, 5)
contents = st.one_of(
    st.tuples(st.sampled_from(["opened", "reopened", "waiting", "missed", "assigned"]), conversations, st.none()),
    st.tuples(st.sampled_from(["ended", "handled"]), conversations, seconds),
    st.tuples(st.just("replied"), conversations, st.tuples(seconds, st.booleans())),
    st.tuples(st.just("closed"), conversations, st.sampled_from(["solved", "abandoned", "gone", "moved"])),
    st.tuples(
        st.just("agent"),
        st.sampled_from([f"a{number}" for number in range(8)]),
        st.tuples(st.sampled_from(["available", "busy", "away", "offline", "lost"]), counts, counts),
    ),
    st.tuples(
        st.just("planned"),
        st.integers(0, 20).map(lambda number: number * 900.0),
        st.tuples(st.sampled_from([900.0, 1_800.0, 0.0]), st.integers(0, 9), st.floats(0.0, 1.0)),
    ),
    st.tuples(st.just("of a newer release"), conversations, st.none()),
)


@st.composite
def streams(draw: st.DrawFn) -> list[Fact]:
    """Facts in order of time, over two queues and channels."""
    time = 0.0
    facts: list[Fact] = []
    for number, (after, queue, channel, (kind, a, b)) in enumerate(
        draw(
            st.lists(
                st.tuples(st.floats(0.0, 900.0), st.sampled_from("pq"), st.sampled_from(["web", "app"]), contents),
                max_size=40,
            )
        )
    ):
        time += after
        facts.append((time, f"e{number}", queue, kind, channel, a, b))
    return facts


def gauges(queues: Queues, shown: View | None = None) -> View:
    """The view of somebody who has seen all that was measured."""
    view = {} if shown is None else dict(shown)
    for port, values in queues.drain():
        assert port == "measured"
        view.update({(metric, *labels): value for metric, labels, value in values})
    return view


def run(*facts: tuple[float, str, Any, Any], now: float, params: QueuesParams = PARAMS) -> View:
    """The gauges of queue q at `now`, after facts `(time, kind, a, b)`."""
    queues = Queues(params, PROMISES)
    queues.settle([(time, f"e{at}", "q", kind, "web", a, b) for at, (time, kind, a, b) in enumerate(facts)])
    queues.advance(now)
    return gauges(queues)


def again(queues: Queues) -> Queues:
    resumed = Queues(PARAMS, PROMISES)
    resumed.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(queues.state())))
    return resumed


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_smoothed_reply_time_is_the_formula(replies: list[float], alpha: float) -> None:
    expected = replies[0]
    for reply in replies[1:]:
        expected += alpha * (reply - expected)
    facts = [(float(at), "replied", "c1", (reply, True)) for at, reply in enumerate(replies)]
    actual = run(*facts, now=100.0, params=QueuesParams(alpha=alpha))["csq_reply_smoothed_seconds", "q", "web"]
    assert expected == pytest.approx(actual, rel=1e-9, abs=1e-9)


def test_channels_are_smoothed_apart() -> None:
    queues = Queues(PARAMS, PROMISES)
    queues.settle(
        [(0.0, "e1", "q", "replied", "web", "c1", (10.0, True)), (1.0, "e2", "q", "replied", "app", "c2", (90.0, True))]
    )
    queues.advance(2.0)
    view = gauges(queues)
    assert [view["csq_reply_smoothed_seconds", "q", channel] for channel in ("web", "app")] == [10.0, 90.0]


@given(streams())
def test_no_fact_raises_and_no_gauge_is_negative_or_infinite(facts: list[Fact]) -> None:
    queues = Queues(PARAMS, PROMISES)
    queues.settle(facts)
    queues.advance(facts[-1][0] if facts else 0.0)
    for value in gauges(queues).values():
        assert math.isfinite(value)
        assert value >= 0.0


@given(streams(), st.randoms(use_true_random=False))
def test_facts_in_any_order_do_no_harm(facts: list[Fact], random: Random) -> None:
    random.shuffle(facts)
    queues = Queues(PARAMS, PROMISES)
    for fact in facts:
        queues.settle([fact])
        queues.advance(fact[0])
    assert all(math.isfinite(value) and value >= 0.0 for value in gauges(queues).values())


@given(streams(), st.lists(st.integers(0, 40), max_size=5))
def test_any_split_into_batches_gives_the_same(facts: list[Fact], cuts: list[int]) -> None:
    whole, split = Queues(PARAMS, PROMISES), Queues(PARAMS, PROMISES)
    end = facts[-1][0] if facts else 0.0
    whole.settle(facts)
    whole.advance(end)
    seen: View = {}
    begin = 0
    for cut in [*sorted(cuts), len(facts)]:
        batch = facts[begin:cut]
        split.settle(batch)
        if batch:
            split.advance(batch[-1][0])
        seen, begin = gauges(split, seen), max(begin, cut)
    split.advance(end)
    split.finish()
    assert whole.state() == split.state()
    assert gauges(whole) == gauges(split, seen)


@given(streams(), st.integers(0, 40))
def test_resumed_queues_have_the_same_future(facts: list[Fact], cut: int) -> None:
    undisturbed = Queues(PARAMS, PROMISES)
    undisturbed.settle(facts[:cut])
    undisturbed.advance(facts[:cut][-1][0] if facts[:cut] else 0.0)
    seen = gauges(undisturbed)
    resumed = again(undisturbed)
    fresh: View = {}
    for fact in facts[cut:]:
        for queues in (undisturbed, resumed):
            queues.settle([fact])
            queues.advance(fact[0])
            queues.finish()  # measure at once: only the undisturbed one may be within its second
        seen, fresh = gauges(undisturbed, seen), gauges(resumed, fresh)
    for queues in (undisturbed, resumed):
        queues.advance(1e6)
    seen, fresh = gauges(undisturbed, seen), gauges(resumed, fresh)
    assert undisturbed.state() == resumed.state()
    assert seen.keys() >= fresh.keys()
    assert fresh == {key: seen[key] for key in fresh}
    # What only the undisturbed one still shows lost its value before the cut: a window or a plan that ended.
    assert {key[0] for key in seen.keys() - fresh.keys()} <= {
        "csq_service_level_ratio",
        "csq_agent_load_ratio",
        "csq_staffing_scheduled_agents",
    }


def test_a_state_is_a_copy() -> None:
    queues = Queues(PARAMS, PROMISES)
    queues.settle([(0.0, "e1", "q", "waiting", "web", "c1", None), (1.0, "e2", "q", "opened", "web", "c1", None)])
    queues.advance(1.0)
    state = queues.state()
    packed = msgspec.msgpack.encode(state)
    queues.settle([(5.0, "e3", "q", "closed", "web", "c1", "solved"), (6.0, "e4", "q", "opened", "web", "c2", None)])
    queues.advance(6.0)
    assert packed == msgspec.msgpack.encode(state)


def test_a_state_of_another_version_is_refused_by_name() -> None:
    with pytest.raises(StateVersionError, match=r"queues: version 9 found, 1 expected"):
        Queues(PARAMS, PROMISES).restore({"v": 9})


@given(streams())
def test_advancing_twice_measures_once(facts: list[Fact]) -> None:
    queues = Queues(PARAMS, PROMISES)
    queues.settle(facts)
    now = facts[-1][0] if facts else 0.0
    queues.advance(now)
    queues.drain()
    before = queues.state()
    queues.advance(now)
    queues.advance(now - 1.0)
    queues.finish()
    assert queues.drain() == []
    assert before == queues.state()


def test_gauges_are_measured_once_a_second_and_at_the_end_of_the_input() -> None:
    queues = Queues(PARAMS, PROMISES)
    queues.settle([(0.0, "e1", "q", "waiting", "web", "c1", None)])
    queues.advance(0.0)
    queues.drain()
    queues.advance(0.9)
    assert queues.drain() == []
    queues.finish()
    assert gauges(queues) == {("csq_oldest_open_wait_seconds", "q"): 0.9}


def test_after_a_resume_every_gauge_is_measured_again() -> None:
    queues = Queues(PARAMS, PROMISES)
    queues.settle(
        [(0.0, "e1", "q", "waiting", "web", "c1", None), (0.0, "e2", "q", "replied", "web", "c2", (9.0, True))]
    )
    queues.advance(0.0)
    first = gauges(queues)
    resumed = again(queues)
    resumed.advance(0.0)
    assert first == gauges(resumed)


def test_the_oldest_open_wait_is_found_when_waits_end_in_any_order() -> None:
    waits = [(float(at), "waiting", f"c{at}", None) for at in range(5)]
    ended = [(10.0, "replied", "c0", (10.0, True)), (11.0, "ended", "c2", 9.0), (12.0, "closed", "c1", "gone")]
    view = run(*waits, *ended, now=20.0)
    assert view["csq_open_waits", "q"] == 2
    assert view["csq_oldest_open_wait_seconds", "q"] == 17.0
    assert run(now=5.0).get(("csq_oldest_open_wait_seconds", "q")) is None


def test_a_second_message_does_not_restart_a_wait() -> None:
    view = run((0.0, "waiting", "c1", None), (50.0, "waiting", "c1", None), now=60.0)
    assert view["csq_oldest_open_wait_seconds", "q"] == 60.0


def test_service_level_as_in_the_definition() -> None:
    """4 answered in time, 2 late, 3 abandoned of which 1 within grace: 4 / (6 + 3 - 1)."""
    answered = [
        (100.0 + at, "replied", f"c{at}", (wait, wait <= 180))
        for at, wait in enumerate((0.0, 60.0, 179.0, 180.0, 180.1, 900.0))
    ]
    left = [
        (200.0, "waiting", "x1", None),
        (201.0, "waiting", "x2", None),
        (202.0, "waiting", "x3", None),
        (205.0, "closed", "x1", "abandoned"),  # after 5 s: within grace
        (211.0, "closed", "x2", "abandoned"),  # after 10 s: not any more
        (300.0, "closed", "x3", "abandoned"),
        (301.0, "closed", "x4", "solved"),
    ]
    assert run(*answered, *left, now=400.0)["csq_service_level_ratio", "q"] == 4 / 8


@pytest.mark.parametrize("order", [("ended", "closed"), ("closed", "ended")])
@pytest.mark.parametrize(("waited", "expected"), [(5.0, 1.0), (50.0, 0.5)])
def test_an_abandonment_is_the_same_in_either_order_of_its_facts(
    order: tuple[str, str], waited: float, expected: float
) -> None:
    values = {"ended": waited, "closed": "abandoned"}
    left = [(100.0, kind, "c1", values[kind]) for kind in order]
    view = run((0.0, "replied", "c2", (1.0, True)), (100.0 - waited, "waiting", "c1", None), *left, now=110.0)
    assert view["csq_service_level_ratio", "q"] == expected


def test_service_level_and_arrivals_forget_what_left_the_window() -> None:
    early = [(0.0, "opened", "c1", None), (0.0, "replied", "c1", (999.0, False))]
    late = [(3_000.0, "opened", "c2", None), (3_000.0, "replied", "c2", (9.0, True))]
    within, after = run(*early, *late, now=3_001.0), run(*early, *late, now=3_700.0)
    assert (within["csq_service_level_ratio", "q"], within["csq_arrivals_per_hour", "q"]) == (0.5, 2.0)
    assert (after["csq_service_level_ratio", "q"], after["csq_arrivals_per_hour", "q"]) == (1.0, 1.0)


def test_backlog_counts_conversations_and_not_events() -> None:
    opened = [(0.0, "opened", name, None) for name in ("c1", "c1", "c2", "c3", "c4")]
    taken = [(1.0, "assigned", "c1", None), (2.0, "assigned", "c1", None), (3.0, "replied", "c2", (3.0, True))]
    closed = [(4.0, "closed", "c4", "solved"), (5.0, "closed", "c4", "solved"), (6.0, "reopened", "c4", None)]
    view = run(*opened, *taken, *closed, now=10.0)
    assert view["csq_conversations_open", "q"] == 4
    assert view["csq_conversations_unassigned", "q"] == 1


def test_agents_are_counted_by_their_newest_state() -> None:
    facts = [
        (0.0, "agent", "a1", ("available", 0, 4)),
        (1.0, "agent", "a2", ("busy", 3, 4)),
        (2.0, "agent", "a3", ("available", 1, 4)),
        (3.0, "agent", "a3", ("offline", 1, 4)),
        (1.5, "agent", "a3", ("away", 4, 4)),  # too late
    ]
    view = run(*facts, now=10.0)
    assert [view["csq_agents", "q", state] for state in ("available", "busy", "away", "offline")] == [1, 1, 0, 1]
    assert view["csq_agent_load_ratio", "q"] == 3 / 8


def test_load_is_conversations_per_agent_where_agents_do_not_state_theirs() -> None:
    agents = [(0.0, "agent", name, ("busy", None, None)) for name in ("a1", "a2")]
    opened = [(1.0, "opened", f"c{at}", None) for at in range(3)]
    assert run(*agents, *opened, now=2.0)["csq_agent_load_ratio", "q"] == 1.5
    gone = [(3.0, "agent", name, ("offline", None, None)) for name in ("a1", "a2")]
    assert run(*agents, *opened, *gone, now=4.0)["csq_agent_load_ratio", "q"] == 0.0


def test_an_agent_silent_for_longer_than_a_shift_is_forgotten() -> None:
    queues = Queues(PARAMS, PROMISES)
    queues.settle([(0.0, "e1", "q", "agent", "", "a1", ("available", 1, 2))])
    queues.advance(86_400.0)
    assert gauges(queues)["csq_agents", "q", "available"] == 1
    queues.advance(86_401.0)
    assert gauges(queues)["csq_agents", "q", "available"] == 0


@pytest.mark.parametrize(("now", "expected"), [(899.0, None), (900.0, 7.0), (1_800.0, 10.0), (2_700.0, 0.0)])
def test_scheduled_agents_are_those_of_the_interval_that_runs_after_shrinkage(
    now: float, expected: float | None
) -> None:
    plans = [(0.0, "planned", 900.0, (900.0, 10, 0.3)), (0.0, "planned", 1_800.0, (900.0, 10, 0.0))]
    view = run(*plans, now=now)
    if expected is None:
        assert view["csq_staffing_scheduled_agents", "q"] == 0.0  # a plan is known, and nobody is planned for now
    else:
        assert view["csq_staffing_scheduled_agents", "q"] == pytest.approx(expected)
    assert ("csq_staffing_scheduled_agents", "q") not in run((0.0, "opened", "c1", None), now=now)


def test_memory_is_bounded_by_what_is_open() -> None:
    queues = Queues(PARAMS, PROMISES)
    for at in range(2_000):
        name = f"c{at}"
        facts: list[Fact] = [(float(at), f"e{at}", "q", kind, "web", name, None) for kind in ("opened", "waiting")]
        if at < 1_000:
            facts.append((float(at), f"f{at}", "q", "closed", "web", name, "solved"))
        facts.append((float(at), f"g{at}", "q", "agent", "", f"a{at}", ("available", 1, 2)))
        facts.append((float(at), f"h{at}", "q", "planned", "", 1e6 + at * 900.0, (900.0, 1, 0.0)))
        queues.settle(facts)
        queues.advance(float(at))
        if at < 1_000:
            assert queues.entries() <= 1 + 5 + 5
    assert queues.entries() == 1 + 20 + 20 + 5 + 5
    assert len(msgspec.msgpack.encode(queues.state())) < 20_000


def test_forecasts_are_measured_per_horizon_and_bound() -> None:
    view = run(*[(60.0 * at, "replied", "c1", (120.0, True)) for at in range(100)], now=6_000.0)
    labels = {key[2:] for key in view if key[0] == "csq_reply_forecast_seconds"}
    assert labels == {(horizon, bound) for horizon in ("300", "900", "3600") for bound in ("lower", "mean", "upper")}
    assert view["csq_reply_forecast_seconds", "q", "900", "mean"] == pytest.approx(120.0)


def test_every_kind_of_fact_has_a_handler() -> None:
    assert set(HANDLERS) == {
        *("opened", "closed", "reopened", "waiting", "replied", "missed"),
        *("ended", "assigned", "handled", "agent", "planned"),
    }


def test_the_limit_is_that_of_each_queue_and_holds() -> None:
    queues = Queues(PARAMS, PROMISES)
    assert queues.limit() == 0
    for queue in "pq":
        for at in range(50):
            name, time = f"{queue}{at}", float(at)
            facts: list[Fact] = [(time, f"e{at}", queue, kind, "web", name, None) for kind in ("opened", "waiting")]
            facts.append((time, f"e{at}", queue, "agent", "", name, ("available", 1, 2)))
            facts.append((time, f"e{at}", queue, "planned", "", 1e6 + at * 900.0, (900.0, 1, 0.0)))
            queues.settle(facts)
    queues.advance(50.0)
    assert queues.entries() == queues.limit() == 2 * (1 + 20 + 20 + 5 + 5)
