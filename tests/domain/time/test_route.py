"""Route distributes raw bytes over lanes and reports the progress of event time."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.connectors.files.jsonl import JsonlSource
from operators.domain.time.lanes import Lanes
from operators.domain.time.route import COPY, END, FORGOTTEN, MERGED, Chunk, Router
from operators.domain.time.watermark import Tick, Watermark
from operators.domain.wire.events import TYPES
from tests.builders import START, envelope, raw

NOW = START + 10_000
LANES = Lanes(64)


def router(clock: Any = lambda: NOW, **changes: Any) -> Router:
    settings: dict[str, Any] = {"max_bytes": 65_536, "slack_seconds": 2.0, "tick_records": 1, "clock": clock}
    return Router(LANES, **{**settings, **changes})


def chunk(*values: bytes | None, origin: str = "shop/0", until: float | None = None) -> Chunk:
    return Chunk(origin, until, list(range(len(values))), list(values))


def page(time: float, who: str = "k1") -> bytes:
    return raw("csq.behavior.page_viewed", time, customer_id=who)


def lanes_of(routed: list[Any]) -> dict[str, list[bytes]]:
    return {lane: [value for value, _, _ in records] for lane, records in routed if not isinstance(records, Tick)}


def time_of(routed: list[Any]) -> float | None:
    """The reported time; every lane must have got the same, after its records."""
    ticks = [(lane, value) for lane, value in routed if isinstance(value, Tick)]
    if not ticks:
        return None
    assert sorted(lane for lane, _ in ticks) == list(LANES.names)
    assert isinstance(routed[-len(ticks)][1], Tick)
    assert len({tick for _, tick in ticks}) == 1
    return ticks[0][1].time


# ---- lanes


@pytest.mark.parametrize(
    ("kind", "entity"),
    [
        ("csq.message.created", "c1"),
        ("csq.conversation.opened", "c1"),
        ("csq.label.sentiment", "c1"),
        ("csq.feedback.submitted", "c1"),
        ("csq.complaint.opened", "k1"),
        ("csq.behavior.order_completed", "k1"),
        ("csq.customer.updated", "k1"),
        ("csq.churn.labelled", "k1"),
        ("csq.agent.state_changed", "orders"),
        ("csq.staffing.planned", "orders"),
        ("csq.action.applied", "x1"),
    ],
)
def test_an_event_goes_to_the_lane_of_what_it_speaks_of(kind: str, entity: str) -> None:
    assert list(lanes_of(router().route_many([chunk(raw(kind))]))) == [LANES.of(entity)]


def test_feedback_of_no_conversation_goes_by_its_customer_and_without_one_by_itself() -> None:
    def event(**data: Any) -> bytes:
        return raw("csq.feedback.submitted", **data)

    assert list(lanes_of(router().route_many([chunk(event(conversation_id=None))]))) == [LANES.of("k1")]
    anonymous = event(conversation_id=None, customer_id=None)
    assert list(lanes_of(router().route_many([chunk(anonymous)]))) == [LANES.of("f1")]


def test_records_keep_their_order_origin_and_position() -> None:
    routed = router(tick_records=math.inf).route_many([Chunk("a/1", None, [7, 8], [page(START + 1), page(START)])])
    assert routed[0] == (LANES.of("k1"), [(page(START + 1), "a/1", 7), (page(START), "a/1", 8)])


UNREADABLE = [
    b"",
    b"x",
    b"[]",
    b"\xff\xfe",
    b'{"data":' * 30_000,
    b"{" + b"x" * 70_000,
    b'{"data": {"customer_id": 5}}',
    b'"\\ud800"',
]


@pytest.mark.parametrize("value", UNREADABLE)
def test_what_cannot_be_read_goes_to_the_lane_of_its_bytes(value: bytes) -> None:
    assert lanes_of(router().route_many([chunk(value)])) == {LANES.of_bytes(value): [value]}


@pytest.mark.parametrize("length", [129, 512])
def test_all_events_of_a_long_id_go_to_its_lane(length: int) -> None:
    who = "c" * length
    lines = [raw("csq.message.created", START + n, f"e{n}", conversation_id=who, text=str(n)) for n in range(5)]
    assert lanes_of(router().route_many([chunk(*lines)])) == {LANES.of(who): lines}


def test_what_is_too_large_is_not_parsed() -> None:
    value = page(START) + b" " * 70_000
    assert list(lanes_of(router().route_many([chunk(value)]))) == [LANES.of_bytes(value)]


def test_a_tombstone_is_neither_event_nor_error() -> None:
    assert lanes_of(router().route_many([chunk(None, page(START), None)])) == {LANES.of("k1"): [page(START)]}


@pytest.mark.parametrize("seed", ["1", "99"])
def test_every_process_deals_the_same_lanes(seed: str) -> None:
    values = [raw(kind) for kind in TYPES] + [b"x", b"\xff"]
    program = (
        "import sys, ast; from operators.domain.time.lanes import Lanes; from operators.domain.time.route import Chunk, Router\n"
        "values = ast.literal_eval(sys.stdin.read())\n"
        "router = Router(Lanes(64), max_bytes=65536, slack_seconds=2.0, clock=lambda: 0.0)\n"
        "print(sorted(lane for v in values for lane, got in router.route_many([Chunk('o', None, [0], [v])]) if isinstance(got, list)))"
    )
    env = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program], input=repr(values), env=env, capture_output=True, text=True, check=True
    )
    here = router(tick_records=math.inf)
    lanes = (lane for value in values for lane, got in here.route_many([chunk(value)]) if isinstance(got, list))
    assert str(sorted(lanes)) == done.stdout.strip()


def test_an_event_that_forgets_a_customer_goes_to_every_lane_and_is_the_lanes_own_in_one() -> None:
    here = router()
    other = raw("csq.behavior.products_searched", query="csq.customer.forgotten")
    dealt = [
        found for _, found in here.route_many([chunk(raw("csq.customer.forgotten"), other)]) if isinstance(found, list)
    ]

    forgets = [
        position
        for found in dealt
        for value, _, position in found
        if b'"csq.customer.forgotten"' in value and value != other
    ]
    assert len(forgets) == 64
    assert forgets.count(COPY) == 63
    assert sum(value == other for found in dealt for value, _, _ in found) == 1


def test_an_event_that_forgets_is_known_by_its_type_as_json_reads_it() -> None:
    """Not by its bytes: an escape is the same letter, and the text in another field is no type."""
    escaped = raw("csq.customer.forgotten").replace(b"csq.customer.forgotten", rb"csq.customer.\u0066orgotten")
    number = raw("csq.customer.forgotten").replace(b'"csq.customer.forgotten"', b"7")
    named = raw("csq.customer.updated", name="csq.customer.forgotten")

    for value, lanes in ((escaped, 64), (number, 1), (named, 1)):
        dealt = lanes_of(router().route_many([chunk(value)]))
        assert sum(each == value for found in dealt.values() for each in found) == lanes


@pytest.mark.parametrize("kind", [b"7", b"null", b"[[[]]]", b'{"csq.customer.forgotten": 1}', b"1" * 40, b"true"])
def test_a_type_of_any_kind_leaves_the_event_in_the_lane_of_its_ids(kind: bytes) -> None:
    value = raw("csq.message.created").replace(b'"csq.message.created"', kind)
    assert value in lanes_of(router().route_many([chunk(value)]))[LANES.of("c1")]


@given(
    st.lists(
        st.none()
        | st.binary(max_size=60)
        | st.sampled_from([raw(kind) for kind in TYPES if kind not in (FORGOTTEN, MERGED)]),
        max_size=10,
    )
)
def test_nothing_is_lost_and_nothing_raises(values: list[bytes | None]) -> None:
    dealt = lanes_of(router().route_many([chunk(*values)]))
    assert sorted(value for value in values if value is not None) == sorted(
        v for found in dealt.values() for v in found
    )


def test_a_merge_comes_to_the_lanes_of_both_conversations() -> None:
    into = next(f"c{n}" for n in range(2, 99) if LANES.of(f"c{n}") != LANES.of("c1"))
    near = next(f"c{n}" for n in range(2, 9_999) if LANES.of(f"c{n}") == LANES.of("c1"))
    far, close = raw(MERGED, into=into), raw(MERGED, into=near)
    assert {lane for lane, found in lanes_of(router().route_many([chunk(far)])).items() if far in found} == {
        LANES.of("c1"), LANES.of(into),
    }  # fmt: skip
    assert lanes_of(router().route_many([chunk(close)]))[LANES.of("c1")] == [close]


@pytest.mark.parametrize("into", [7, None, ["c2"], {"id": "c2"}, "c" * 513])
def test_an_into_of_any_kind_leaves_the_event_in_the_lane_of_its_conversation(into: Any) -> None:
    for value in (raw(MERGED, into=into), raw("csq.message.created", into=into)):
        assert lanes_of(router().route_many([chunk(value)])) == {LANES.of("c1"): [value]}


# ---- time


def test_an_origin_with_a_backlog_stands_at_its_last_event_less_the_slack() -> None:
    assert time_of(router().route_many([chunk(page(START), page(START + 60))])) == START + 58


def test_an_origin_read_to_its_end_stands_where_the_clock_stands() -> None:
    assert time_of(router().route_many([chunk(page(START), until=NOW)])) == NOW - 2
    assert time_of(router().route_many([chunk(until=NOW)])) == NOW - 2


def test_time_is_that_of_the_origin_that_is_farthest_behind() -> None:
    here = router()
    assert (
        time_of(here.route_many([chunk(page(START + 500), origin="a"), chunk(page(START + 100), origin="b")]))
        == START + 98
    )
    assert time_of(here.route_many([chunk(page(START + 900), origin="a")])) is None
    assert time_of(here.route_many([chunk(page(START + 600), origin="b")])) == START + 598


def test_an_origin_of_which_no_time_is_known_holds_time_back() -> None:
    here = router()
    assert time_of(here.route_many([chunk(page(START), origin="a"), chunk(b"x", origin="b")])) is None
    assert time_of(here.route_many([chunk(until=NOW, origin="b")])) == START - 2


def test_no_event_moves_time_past_what_is_held() -> None:
    routing = router()
    held = chunk(page(START + 50), until=START + 20)._replace(hold=START + 20)
    assert time_of(routing.route_many([held])) == START + 18
    assert time_of(routing.route_many([held._replace(hold=START + 30, read_until=None)])) == START + 28
    assert time_of(routing.route_many([chunk(page(START + 50))])) == START + 48


def test_an_origin_that_has_ended_delays_no_other() -> None:
    here = router()
    assert (
        time_of(here.route_many([chunk(page(START), origin="a", until=END), chunk(page(START + 50), origin="b")]))
        == START + 48
    )


def test_at_the_end_of_all_input_the_clock_stops_at_the_last_event() -> None:
    here = router(tick_records=math.inf)
    assert (
        time_of(here.route_many([chunk(page(START + 3), page(START + 9))])) == START + 7
    )  # the first tick is due at once
    assert time_of(here.route_many([chunk(page(START + 10), until=END)])) == START + 10
    assert time_of(here.route_many([chunk(until=END)])) is None


def test_at_the_end_the_clock_stops_at_the_last_event_despite_a_late_one_after_it() -> None:
    assert time_of(router().route_many([chunk(page(START + 9), page(START + 7), until=END)])) == START + 9


def test_an_empty_input_has_no_time() -> None:
    assert router().route_many([chunk(until=END)]) == []


def test_an_event_of_the_future_moves_no_time() -> None:
    assert time_of(router().route_many([chunk(page(NOW + 100))])) is None


def test_an_event_that_will_be_refused_as_of_the_future_does_not_move_time_at_all() -> None:
    here = router()
    here.route_many([chunk(page(START))])
    here.route_many([chunk(page(NOW + 3_600))])
    assert time_of(here.route_many([chunk(page(START + 10))])) == START + 8


def test_a_time_without_a_zone_moves_nothing() -> None:
    value = json.dumps({**envelope("csq.behavior.page_viewed"), "time": "2026-01-05T08:00:00"}).encode()
    assert time_of(router().route_many([chunk(value)])) is None


def test_a_tick_is_due_after_so_many_records_or_so_much_time() -> None:
    clock = [NOW]
    here = router(lambda: clock[0], tick_records=3, tick_seconds=5.0)
    assert time_of(here.route_many([chunk(page(START))])) == START - 2  # the first one
    assert time_of(here.route_many([chunk(page(START + 1), page(START + 2))])) is None
    assert time_of(here.route_many([chunk(page(START + 3))])) == START + 1
    assert time_of(here.route_many([chunk(page(START + 4))])) is None
    clock[0] += 5
    assert time_of(here.route_many([chunk()])) == START + 2


def test_lanes_get_the_time_in_turns_though_events_are_never_out_of_order() -> None:
    now = [NOW]
    in_order = router(lambda: now[0], slack_seconds=0.0, tick_seconds=8.0, tick_records=math.inf)
    in_order.route_many([chunk(page(START))])
    now[0] += 1.0
    ticks = [item for _, item in in_order.route_many([chunk(page(START + 1))]) if isinstance(item, Tick)]
    assert len(ticks) == 64 / 8


def test_lanes_get_the_time_in_turns_and_each_equally_often() -> None:
    clock, reached = [NOW], dict.fromkeys(LANES.names, NOW)
    here = router(lambda: clock[0], tick_records=math.inf, tick_seconds=8.0)
    here.route_many([chunk(until=NOW)])
    for _ in range(100):
        clock[0] += 1.0
        lanes = [lane for lane, _ in here.route_many([chunk(until=clock[0])])]
        assert len(lanes) == 8
        assert all(clock[0] - reached[lane] <= 8.0 for lane in lanes)
        reached |= dict.fromkeys(lanes, clock[0])
    assert min(reached.values()) == clock[0] - 7.0
    clock[0] += 60.0
    assert time_of(here.route_many([chunk(until=clock[0])])) == clock[0] - 2.0, "after a pause all of them"


def test_a_tick_says_for_which_share_of_the_readers_it_speaks() -> None:
    routed = router(origin="p1", parts=lambda: 5).route_many([chunk(page(START)), chunk(page(START + 1), origin="b")])
    assert routed[-1][1] == Tick("p1", START - 2, 2, 5)


def test_a_process_without_partitions_sends_no_tick_and_delays_no_other() -> None:
    idle, busy = router(origin="p0", parts=lambda: 1), router(origin="p1", parts=lambda: 1)
    assert idle.route_many([]) == []
    mark = Watermark()
    assert mark.observe(busy.route_many([chunk(page(START))])[-1][1])
    assert mark.reached == START - 2


ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.floats(-1e4, 2e4) | st.none(), st.sampled_from([None, "now", END]), st.floats(0, 100)
    ),
    max_size=40,
)


@given(ARRIVALS)
def test_time_never_goes_back_and_never_past_the_clock(arrivals: list[Any]) -> None:
    clock = [NOW]
    here = router(lambda: clock[0])
    last = -math.inf
    for origin, time, until, later in arrivals:
        clock[0] += later
        values = [] if time is None else [page(START + time)]
        now = time_of(here.route_many([chunk(*values, origin=origin, until=clock[0] if until == "now" else until)]))
        if now is not None:
            assert last < now <= clock[0]
            last = now


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 5_000)), min_size=1, max_size=40))
def test_no_event_of_an_ordered_origin_is_older_than_the_reported_time(arrivals: list[tuple[str, float]]) -> None:
    here, reported, at = router(), -math.inf, {"a": START, "b": START}
    here.route_many([chunk(page(START), origin="a"), chunk(page(START), origin="b")])
    for origin, later in arrivals:
        at[origin] += later
        assert at[origin] >= reported
        reported = time_of(here.route_many([chunk(page(at[origin]), origin=origin)])) or reported


def test_between_two_files_time_keeps_its_slack(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_bytes(page(START + 9) + b"\n")
    (tmp_path / "2.jsonl").write_bytes(page(START + 8.5) + b"\n")
    source = JsonlSource([str(tmp_path / "1.jsonl"), str(tmp_path / "2.jsonl")], batch_size=10, ready=lambda: True)
    lines = source.build_part("read", "files", None)
    assert time_of(router().route_many(lines.next_batch())) in {None, START + 7}


def test_an_id_that_is_longer_than_ids_may_be_is_not_remembered() -> None:
    lanes = Lanes(64)
    routes = Router(lanes, max_bytes=65_536, slack_seconds=2.0, tick_records=1, clock=lambda: NOW)
    routed = routes.route_many([chunk(*(page(START, who=f"{n:05d}" + "x" * 60_000) for n in range(20)))])
    assert sum(len(values) for values in lanes_of(routed).values()) == 20, "intake refuses them, with the reason"
    assert lanes.of.cache_info().currsize == 0
