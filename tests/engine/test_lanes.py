"""The adapter of lane stages: order by event time, ticks, dead letters, snapshots; first alone, then inside Bytewax."""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import bytewax.operators as op
import msgspec
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, cluster_main, run_main
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.stage.facts import Fact
from operators.domain.stage.seal import seal, unseal
from operators.domain.stage.stage import Port, Stage, StateVersionError, check_version
from operators.domain.time.watermark import Tick
from operators.domain.wire.events import AnyEvent
from operators.domain.wire.outgoing import DEADLETTERS
from operators.engine import lanes as module
from operators.engine.lanes import EarlyLog, LaneLogic, lane_port, lane_stage, port, rekeyed_port
from tests.builders import raw


class Noted(Fact, frozen=True):
    """A fact of these tests."""

    what: str
    parts: tuple[str, ...] = ()


class StoredRecorder(msgspec.Struct):
    log: list[Noted | float]


class Recorder(Stage):
    """Notes down everything; fails on what is called bad."""

    name = "recorder"

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.arrivals = self.finished = 0
        self._out: list[Port] = []

    def arrive(self, items: Iterable[Any], now: float, held: list[Fact]) -> None:
        for item in items:
            if not isinstance(item, Noted) or item.what == "bad arrival":
                raise ValueError("geheim")
            self.arrivals += 1
            held.append(item)

    def settle(self, facts: Iterable[Noted]) -> None:
        for fact in facts:
            if fact.what == "bad":
                raise KeyError("geheim")
            self.log.append(fact)
            self._out.append(("seen", fact))

    def advance(self, now: float) -> None:
        self.log.append(now)
        self._out.append(("seen", now))

    def finish(self) -> None:
        self.finished += 1
        self._out.append(("seen", "end"))

    def drain(self) -> list[Port]:
        out, self._out = self._out, []
        return out

    def entries(self) -> int:
        return len(self.log)

    def limit(self) -> int:
        return 100

    def fact_types(self) -> tuple[type[Fact], ...]:
        return (Noted,)

    def snapshot(self) -> dict[str, Any]:
        return {"v": 1, "log": self.log}

    def restore(self, stored: msgspec.Raw) -> None:
        check_version("recorder", stored, 1)
        self.log = list(msgspec.msgpack.decode(stored, type=StoredRecorder).log)


def logic(stage: Stage | None = None, resume: bytes | None = None, *, take_snapshots: bool = True) -> LaneLogic:
    return LaneLogic("0", stage or Recorder(), lambda: 1_000.0, resume, take_snapshots=take_snapshots)


def tick(time: float) -> Tick:
    return Tick("up", time, 1, 1)


def fact(time: float, what: str = "x", name: str = "e") -> Noted:
    return Noted(time, name, what)


def handed(ports: Iterable[Port], name: str) -> list[Any]:
    return [value for at, value in ports if at == name]


def measured(ports: Iterable[Port]) -> dict[tuple[str, ...], Any]:
    return {(metric, *labels): value for group in handed(ports, "measured") for metric, labels, value in group}


# ---- order and time


def test_facts_are_settled_in_order_once_time_has_come_past_them() -> None:
    stage = Recorder()
    adapter = logic(stage)
    adapter.on_batch([[fact(3.0), fact(1.0)], [fact(2.0)]])
    assert stage.log == []
    adapter.on_batch([tick(2.0)])
    assert stage.log == [fact(1.0), fact(2.0), 2.0]
    adapter.on_batch([tick(9.0)])
    assert stage.log[3:] == [fact(3.0), 9.0]


def test_facts_of_one_moment_are_settled_in_the_order_of_their_names() -> None:
    stage = Recorder()
    logic(stage).on_batch([[fact(1.0, name="b"), fact(1.0, name="a")], tick(1.0)])
    assert stage.log == [fact(1.0, name="a"), fact(1.0, name="b"), 1.0]


def test_a_fact_behind_the_time_is_settled_with_the_next_tick() -> None:
    stage = Recorder()
    logic(stage).on_batch([tick(5.0), [fact(1.0)], tick(6.0)])
    assert stage.log == [5.0, fact(1.0), 6.0]


def test_a_tick_that_does_not_move_time_does_nothing() -> None:
    stage = Recorder()
    out, discard = logic(stage).on_batch([tick(5.0), tick(5.0), tick(4.0)])
    assert (stage.log, handed(out, "tick"), discard) == ([5.0], [5.0], False)


def test_time_waits_for_every_process_behind_which_something_may_come() -> None:
    stage = Recorder()
    logic(stage).on_batch([[fact(1.0)], Tick("p0", 9.0, 1, 2), Tick("p1", 3.0, 1, 2), Tick("p1", 12.0, 1, 2)])
    assert stage.log == [fact(1.0), 3.0, 9.0]


def test_a_tick_is_handed_on_behind_all_that_happened_until_then() -> None:
    out = list(logic().on_batch([[fact(1.0)], tick(2.0), [fact(3.0)], tick(4.0)])[0])
    order = [value for at, value in out if at in {"seen", "tick"}]
    assert order == [fact(1.0), 2.0, 2.0, fact(3.0), 4.0, 4.0]  # settled, advanced, measured; twice


def test_the_end_of_the_input_asks_the_stage_for_what_it_held_back() -> None:
    stage = Recorder()
    assert handed(logic(stage).on_eof()[0], "seen") == ["end"]
    assert stage.finished == 1


def descending(count: int, since: float) -> list[list[Noted]]:
    """Facts one by one, each sooner than the one before it."""
    return [[fact(since - n)] for n in range(count)]


def test_facts_held_for_order_are_bounded_and_those_settled_early_are_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_HELD", 100)
    stage, log = Recorder(), EarlyLog()
    adapter = LaneLogic("0", stage, lambda: 0.0, None, take_snapshots=True, early=log)
    out = adapter.on_batch([tick(60.0), *descending(100, 2_000.0)])[0]
    assert ("csq_early_facts_total", "recorder") not in measured(out)
    out = list(adapter.on_batch(descending(900, 1_900.0))[0])
    early = sum(
        value for group in handed(out, "measured") for name, _, value in group if name == "csq_early_facts_total"
    )
    held = unseal(adapter.snapshot(), "recorder")["held"]
    assert len(held) <= 100
    assert early == len([one for one in stage.log if isinstance(one, Noted)]) == 1_000 - len(held)
    other = LaneLogic("1", Recorder(), lambda: 0.0, None, take_snapshots=True, early=log)
    other.on_batch(descending(101, 2_000.0))
    (record,) = caplog.records
    assert record.event == "facts_settled_early"  # type: ignore[attr-defined]  # given as extra
    assert (
        "stage recorder: a lane holds more than 100 facts while event time does not advance beyond 1970-01-01T00:01:00"
        in record.message
    )


def test_held_facts_are_measured_with_each_tick_and_while_time_does_not_advance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HELD_STEP", 10)
    adapter = logic()
    assert measured(adapter.on_batch([[fact(9.0)], tick(1.0)])[0])["csq_held_facts", "recorder"] == ("0", 1)
    shown = [
        measured(adapter.on_batch([items])[0]).get(("csq_held_facts", "recorder")) for items in descending(25, 90.0)
    ]
    assert [value for value in shown if value] == [("0", 11), ("0", 21)]
    assert measured(adapter.on_batch([tick(99.0)])[0])["csq_held_facts", "recorder"] == ("0", 0)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=40),
    st.randoms(use_true_random=False),
    st.lists(st.integers(0, 60), max_size=5),
)
def test_facts_are_settled_in_order_for_any_batches(
    items: list[tuple[int, int]], random: Any, ticks: list[int]
) -> None:
    facts = [fact(float(time), name=f"e{name}{place}") for place, (time, name) in enumerate(items)]
    times = sorted({float(time) for time in ticks} | {99.0})
    stage = Recorder()
    adapter = logic(stage)
    last = -1.0
    for time in times:  # all facts up to a tick arrive before it, in any order and batches
        due = [one for one in facts if last < one.time <= (time if time < 99 else 1e9)]
        random.shuffle(due)
        cut = random.randint(0, len(due))
        adapter.on_batch([due[:cut]])
        adapter.on_batch([due[cut:], tick(time)])
        last = time
    assert sorted(facts, key=lambda one: (one.time, one.name)) == [one for one in stage.log if isinstance(one, Noted)]


# ---- what fails


def test_an_item_on_which_a_stage_fails_becomes_a_dead_letter_and_the_rest_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Recorder()
    out = list(logic(stage).on_batch([[fact(1.0), fact(2.0, "bad arrival"), fact(3.0)], tick(9.0)])[0])
    assert stage.log == [fact(1.0), fact(3.0), 9.0]
    ((dead,),) = handed(out, "published")
    assert (dead.stream, json.loads(dead.value)) == (
        DEADLETTERS,
        {"fact": "Noted", "time": 2.0, "name": "e", "what": "bad arrival", "parts": []},
    )
    assert dict(dead.headers)["reason"] == "stage_failed"
    assert dict(dead.headers)["detail"] == "stage recorder: ValueError; see the log"
    counts = measured(out)
    assert counts["csq_dead_letters_total", "stage_failed"] == counts["csq_stage_failures_total", "recorder"] == 1
    assert "stage recorder failed" in caplog.text


def test_a_raw_record_on_which_a_stage_fails_is_kept_as_it_was_read(caplog: pytest.LogCaptureFixture) -> None:
    ((dead,),) = handed(logic(FailsOnArrival()).on_batch([[(b"raw", "csq.events[2]", 17)]])[0], "published")
    headers = dict(dead.headers)
    assert (dead.value, headers["origin"], headers["position"]) == (b"raw", "csq.events[2]", "17")
    assert "stage" not in headers


def test_an_event_on_which_a_stage_fails_is_kept_unchanged_and_named(caplog: pytest.LogCaptureFixture) -> None:
    value = raw("csq.message.created")
    event = msgspec.json.decode(value, type=AnyEvent)
    ((dead,),) = handed(logic(FailsOnArrival()).on_batch([[(1.0, "shop/1 e1", event, None)]])[0], "published")
    assert msgspec.json.decode(dead.value, type=AnyEvent) == event
    headers = dict(dead.headers)
    assert (headers["origin"], headers["position"], headers["stage"]) == ("recorder", "shop/1 e1", "recorder")


def test_a_fact_on_which_a_stage_fails_becomes_a_dead_letter_and_the_rest_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Recorder()
    facts = [fact(1.0, "bad"), fact(2.0), fact(3.0, "bad"), fact(4.0), fact(5.0, "bad")]
    out = list(logic(stage).on_batch([facts, tick(9.0)])[0])
    assert stage.log == [fact(2.0), fact(4.0), 9.0]
    assert [json.loads(dead.value)["time"] for (dead,) in handed(out, "published")] == [1.0, 3.0, 5.0]
    assert len(caplog.records) == 3


def test_no_header_of_a_dead_letter_carries_what_the_error_says(caplog: pytest.LogCaptureFixture) -> None:
    ((dead,),) = handed(logic().on_batch([[fact(1.0, "bad arrival")]])[0], "published")
    assert "geheim" not in str(dead.headers) + dead.key


def test_what_cannot_be_written_as_json_becomes_a_dead_letter_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    ((dead,),) = handed(logic().on_batch([[(1.0, object(), b"\xff")]])[0], "published")
    assert dead.value


class FailsOnArrival(Recorder):
    def arrive(self, items: Any, now: float, held: list[Any]) -> None:
        for _ in items:
            raise ValueError("geheim")


class Endless(BaseException):
    """Ends a test that would not end."""


class FailsInTime(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.tried = 0

    def advance(self, now: float) -> None:
        self.tried += 1
        if self.tried > 3:
            raise Endless
        raise ValueError("a timer failed")

    def finish(self) -> None:
        raise ValueError("at the end")


def test_a_stage_that_fails_in_time_or_at_the_end_neither_ends_nor_hangs_the_flow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    adapter = logic(FailsInTime())
    for out in (adapter.on_batch([tick(1.0)])[0], adapter.on_eof()[0]):
        assert handed(out, "published") == []
        assert measured(out)["csq_stage_failures_total", "recorder"] == 1
    assert len(caplog.records) == 2


class FailsAfterTheLast(Recorder):
    """Does work after its facts, and fails in it."""

    def settle(self, facts: Iterable[Noted]) -> None:
        super().settle(facts)
        raise ZeroDivisionError


def test_a_failure_after_the_last_item_is_of_no_item(caplog: pytest.LogCaptureFixture) -> None:
    stage = FailsAfterTheLast()
    out = list(logic(stage).on_batch([[fact(1.0), fact(2.0, "bad"), fact(3.0)], tick(9.0)])[0])
    assert stage.log == [fact(1.0), fact(3.0), 9.0]
    assert [json.loads(dead.value)["time"] for (dead,) in handed(out, "published")] == [2.0]
    counts = [
        value for group in handed(out, "measured") for name, _, value in group if name == "csq_stage_failures_total"
    ]
    assert counts == [1, 1]


class FailsBefore(Recorder):
    """Fails before it takes anything."""

    def settle(self, facts: Iterable[Noted]) -> None:
        raise ZeroDivisionError


def test_items_that_a_stage_does_not_even_take_are_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    out = logic(FailsBefore()).on_batch([[fact(1.0), fact(2.0)], tick(9.0)])[0]
    assert [json.loads(dead.value)["time"] for (dead,) in handed(out, "published")] == [1.0, 2.0]


# ---- snapshots


def test_without_a_recovery_store_nothing_is_written() -> None:
    adapter = logic(take_snapshots=False)
    adapter.on_batch([[fact(1.0)]])
    assert adapter.snapshot() == b""


def test_a_snapshot_is_msgpack_of_plain_data() -> None:
    adapter = logic()
    adapter.on_batch([[fact(1.0)], tick(2.0), [fact(3.0)]])
    assert unseal(adapter.snapshot(), "recorder") == {
        "v": 2,
        "stage": {"v": 1, "log": [["Noted", 1.0, "e", "x", []], 2.0]},
        "held": [["Noted", 3.0, "e", "x", []]],
        "reached": 2.0,
    }


def test_later_changes_do_not_show_in_a_snapshot() -> None:
    adapter = logic()
    adapter.on_batch([[fact(1.0)]])
    before = adapter.snapshot()
    copy = bytes(before)
    adapter.on_batch([[fact(2.0)], tick(5.0)])
    assert before == copy


def test_a_lane_resumes_with_what_was_held_and_the_time_that_was_reached() -> None:
    first, stage = logic(), Recorder()
    first.on_batch([[fact(5.0), Noted(6.0, "e", "x", ("solved", "orders"))], tick(2.0)])
    resumed = logic(stage, first.snapshot())
    assert handed(resumed.on_batch([tick(1.0), tick(2.0)])[0], "tick") == []
    resumed.on_batch([tick(9.0)])
    assert stage.log == [2.0, fact(5.0), Noted(6.0, "e", "x", ("solved", "orders")), 9.0]


@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 50), st.sampled_from("abc"), st.sampled_from(["x", "y"])), max_size=4)
        | st.floats(0, 60).map(tick),
        max_size=20,
    ),
    st.integers(0, 20),
)
def test_a_lane_cut_anywhere_goes_on_as_if_nothing_had_been(values: list[Any], cut: int) -> None:
    def given_out(adapter: LaneLogic, some: list[Any]) -> list[Port]:
        return [out for value in some for out in adapter.on_batch([value])[0] if out[0] in {"seen", "tick"}]

    whole, first = logic(), logic()
    expected = given_out(whole, values)
    actual = given_out(first, values[:cut])
    resumed = logic(resume=first.snapshot())
    actual += given_out(resumed, values[cut:])
    assert expected == actual
    assert whole.snapshot() == resumed.snapshot()


def test_a_state_of_another_version_is_refused_with_what_to_do() -> None:
    state = seal({"v": 2, "stage": {"v": 7, "log": []}, "held": [], "reached": None})
    with pytest.raises(
        StateVersionError, match=r"stage recorder: version 7 found, 1 expected; start with the release that wrote it"
    ):
        logic(resume=state)


def test_entries_are_measured_when_they_change_and_the_time_of_a_snapshot_once() -> None:
    adapter = logic()
    out = adapter.on_batch([[fact(1.0)], tick(2.0)])[0]
    assert measured(out)["csq_state_entries", "recorder"] == ("0", 2)
    assert measured(out)["csq_state_entries_limit", "recorder"] == ("0", 100)
    size = len(adapter.snapshot())
    out = adapter.on_batch([tick(3.0)])[0]
    assert measured(out)["csq_state_bytes", "recorder"] == ("0", size)
    assert measured(out)["csq_snapshot_duration_seconds", "recorder"] >= 0
    assert ("csq_snapshot_duration_seconds", "recorder") not in measured(adapter.on_batch([tick(4.0)])[0])


# ---- inside Bytewax


def graph(values: list[Any], found: list[Any]) -> Dataflow:
    flow = Dataflow("test")
    up = op.input("in", flow, TestingSource(values, batch_size=2))
    out = lane_stage("lane", up, Recorder, lambda: 0.0, True)
    op.output("out", port("seen", out, "seen"), TestingSink(found))
    return flow


VALUES = [("a", [fact(2.0), fact(1.0)]), ("b", [fact(1.5)]), ("a", tick(3.0)), ("b", tick(3.0))]


@pytest.mark.parametrize("workers", [1, 2])
def test_lanes_are_settled_apart_in_one_worker_and_in_two(workers: int) -> None:
    found: list[Any] = []
    flow = graph(VALUES, found)
    if workers == 1:
        run_main(flow)
    else:
        cluster_main(flow, [], 0, worker_count_per_proc=2, epoch_interval=timedelta(seconds=10))
    assert sorted(entry.time for entry in found if isinstance(entry, Noted)) == [1.0, 1.5, 2.0]
    assert found.index(fact(1.0)) < found.index(fact(2.0))
    assert found.count("end") == 2


def test_ports_carry_what_is_theirs_and_ticks_stay_in_line() -> None:
    ports = [("0", ("events", [1])), ("0", ("tick", 5.0)), ("1", ("published", "d")), ("1", ("events", [2]))]
    flow, found, dead = Dataflow("test"), list[Any](), list[Any]()
    up = op.input("in", flow, TestingSource(ports))
    op.output("take_events", lane_port("events", up, "events", 1), TestingSink(found))
    op.output("take_dead", port("dead", up, "published"), TestingSink(dead))
    run_main(flow)
    assert found == [("0", [1]), ("0", tick(5.0)), ("1", [2])]
    assert dead == ["d"]


def test_facts_for_other_lanes_go_there_and_ticks_to_all_of_them_when_all_have_spoken() -> None:
    ports = [
        ("0", ("tick", 1.0)), ("1", ("tick", 1.0)), ("0", ("customers", {"7": ["f"]})), ("0", ("tick", 2.0)), ("1", ("tick", 2.0)),
    ]  # fmt: skip
    flow, found = Dataflow("test"), list[Any]()
    up = op.input("in", flow, TestingSource(ports))
    op.output("take", rekeyed_port("customers", up, "customers", ("7", "8"), 2, "p0"), TestingSink(found))
    run_main(flow)
    assert found == [
        ("7", Tick("p0", 1.0, 1, 2)), ("8", Tick("p0", 1.0, 1, 2)), ("7", Tick("p0", 1.0, 2, 2)), ("8", Tick("p0", 1.0, 2, 2)),
        ("7", ["f"]), ("7", Tick("p0", 2.0, 2, 2)), ("8", Tick("p0", 2.0, 2, 2)),
    ]  # fmt: skip
