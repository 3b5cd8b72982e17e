"""Intake: counted once, refused with a reason, late by event time."""

import json
import pickle
from typing import Any

from operators.domain.stage.intake import Intake, IntakeParams
from operators.domain.stage.labels import Labels, LabelsParams
from operators.domain.wire.decode import UnreadRecord
from operators.domain.wire.dedupe import DedupeParams
from operators.domain.wire.outgoing import DEADLETTERS, RELEASE
from tests.builders import START, Seen, raw

NOW = START + 60
PAGE = "csq.behavior.page_viewed"


def door(**params: Any) -> Intake:
    return Intake(IntakeParams(**params), DedupeParams(), Labels(LabelsParams()))


def let_in(stage: Intake, *values: bytes, held: list[Any] | None = None) -> Seen:
    stage.arrive(
        [(value, "shop.events/3", 40 + place) for place, value in enumerate(values)], NOW, [] if held is None else held
    )
    return Seen().take(stage.drain())


def test_events_come_out_in_the_order_of_arrival_with_time_and_name() -> None:
    seen = let_in(door(), raw(PAGE, START + 2, "e2"), raw(PAGE, START + 1, "e1"))
    assert [(time, name) for time, name, _ in seen.events] == [(START + 2, "shop/1 e2"), (START + 1, "shop/1 e1")]


def test_events_are_counted_by_type_and_their_times_handed_on() -> None:
    seen = let_in(door(), raw(PAGE, START, "e1"), raw(PAGE, START, "e2"), raw("csq.message.created", START + 1, "e3"))
    assert seen.count("csq_events_total") == {(PAGE,): 2, ("csq.message.created",): 1}
    assert seen.sampled("csq_event_age_seconds") == {(): [[START, START, START + 1]]}


def test_a_repeat_is_counted_and_goes_no_further() -> None:
    stage = door()
    seen = let_in(stage, raw(PAGE), raw(PAGE))
    seen_later = let_in(stage, raw(PAGE))
    assert (len(seen.events), seen.count("csq_duplicates_total")) == (1, {(): 1})
    assert (seen_later.events, seen_later.count("csq_duplicates_total")) == ([], {(): 1})


def test_the_same_id_of_another_source_is_another_event() -> None:
    assert len(let_in(door(), raw(PAGE, source="shop/1"), raw(PAGE, source="shop/2")).events) == 2


def test_a_space_in_source_or_id_does_not_make_two_events_one() -> None:
    assert len(let_in(door(), raw(PAGE, name="c", source="a b"), raw(PAGE, name="b c", source="a")).events) == 2


def test_a_refused_event_is_a_dead_letter_with_its_bytes_and_where_it_was_read() -> None:
    value = b'{"type": "csq.x"}'
    seen = let_in(door(), raw(PAGE), value)
    (dead,) = seen.dead
    assert (dead.stream, dead.value) == (DEADLETTERS, value)
    assert dict(dead.headers) == {
        "reason": "unknown_type",
        "path": "$.type",
        "detail": "$.type: expected one of the types of docs/events.md",
        "origin": "shop.events/3",
        "position": "41",
        "csq": RELEASE,
        "time": "2026-01-05T08:01:00.000Z",
    }
    assert seen.count("csq_dead_letters_total") == {("unknown_type",): 1}
    assert len(seen.events) == 1


def test_a_refused_event_does_not_use_up_its_id() -> None:
    stage = door()
    let_in(stage, json.dumps({**json.loads(raw(PAGE)), "data": {}}).encode())
    assert len(let_in(stage, raw(PAGE)).events) == 1


def test_the_settings_bound_size_and_time() -> None:
    stage = door(max_bytes=300, ahead_seconds=0.0, max_age_seconds=100.0)
    values = (
        raw(PAGE, query="x" * 300),
        raw(PAGE, NOW + 0.001, "e1"),
        raw(PAGE, NOW - 101, "e2"),
        raw(PAGE, NOW, "e3"),
    )
    seen = let_in(stage, *values)
    assert [dict(dead.headers)["reason"] for dead in seen.dead] == ["too_large", "time_in_future", "too_old"]
    assert len(seen.events) == 1


def test_a_dead_letter_keeps_no_more_than_64_kib() -> None:
    (dead,) = let_in(door(), b"x" * 100_000).dead
    assert len(dead.value) == 65_536


def test_late_is_what_comes_behind_the_time_that_was_reached() -> None:
    stage = door()
    stage.advance(START + 10)
    seen = let_in(stage, raw(PAGE, START + 9, "e1"), raw(PAGE, START + 10, "e2"), raw(PAGE, START + 11, "e3"))
    assert (len(seen.events), seen.count("csq_late_events_total")) == (3, {(): 1})


def test_a_repeat_is_not_late_as_well() -> None:
    stage = door()
    let_in(stage, raw(PAGE))
    stage.advance(START + 10)
    assert let_in(stage, raw(PAGE)).count("csq_late_events_total") == {}


def test_ids_leave_with_the_window() -> None:
    stage = door()
    let_in(stage, raw(PAGE))
    assert stage.entries() == 1
    stage.advance(START + 3_600)
    assert stage.entries() == 1
    stage.advance(START + 3_601)
    assert stage.entries() == 0


def test_nothing_is_held_back_and_what_was_drained_does_not_come_again() -> None:
    stage, held = door(), list[Any]()
    let_in(stage, raw(PAGE), b"x", held=held)
    assert (held, stage.drain()) == ([], [])


def test_what_follows_a_refused_event_or_a_repeat_is_let_in() -> None:
    seen = let_in(door(), raw(PAGE, name="e1"), b"x", raw(PAGE, name="e1"), raw(PAGE, name="e2"))
    assert [name for _, name, _ in seen.events] == ["shop/1 e1", "shop/1 e2"]


def test_before_any_time_was_reached_nothing_is_late() -> None:
    assert let_in(door(), raw(PAGE, START - 1e6)).count("csq_late_events_total") == {}


def test_a_record_whose_bytes_cannot_be_had_is_a_dead_letter_with_its_coordinates() -> None:
    record = pickle.loads(pickle.dumps(UnreadRecord(b"shop.events[3] offset 40: skipped")))  # noqa: S301 - as between processes
    (dead,) = let_in(door(), record).dead
    headers = dict(dead.headers)
    assert (dead.key, dead.value, headers["reason"]) == ("shop.events/3@40", b"", "unreadable")
    assert headers["detail"] == "shop.events[3] offset 40: skipped"
