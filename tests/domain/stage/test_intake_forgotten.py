"""Intake and forgotten customers: what of a customer is accepted, and which lane counts the request."""

from typing import Any

from operators.domain.stage.intake import Intake, IntakeParams
from operators.domain.stage.labels import Labels, LabelsParams
from operators.domain.time.route import COPY
from operators.domain.wire.dedupe import DedupeParams
from tests.builders import START, Seen, raw, restored

PAGE, MESSAGE, LABEL = "csq.behavior.page_viewed", "csq.message.created", "csq.label.sentiment"
FORGOTTEN = "csq.customer.forgotten"
DAY = 86_400.0


def intake(**params: Any) -> Intake:
    return Intake(IntakeParams(**params), DedupeParams(), Labels(LabelsParams()))


def arrive(stage: Intake, *values: bytes, position: int = 7, now: float = START + 60.0) -> Seen:
    stage.arrive([(value, "shop.events/3", position) for value in values], now, [])
    return Seen().take(stage.drain())


def names(seen: Seen) -> list[str]:
    return [name.split()[1] for _, name, _ in seen.events]


def test_of_a_forgotten_customer_only_later_events_are_accepted() -> None:
    stage = intake()
    arrive(stage, raw(FORGOTTEN, START + 10, "f", customer_id="u1"))
    seen = arrive(
        stage,
        raw(PAGE, START + 9, "before", customer_id="u1"),
        raw(PAGE, START + 10, "at", customer_id="u1"),
        raw(PAGE, START + 11, "after", customer_id="u1"),
        raw(PAGE, START + 9, "other", customer_id="u2"),
        raw(FORGOTTEN, START + 9, "again", customer_id="u1"),
    )
    assert names(seen) == ["after", "other", "again"]
    assert seen.count("csq_forgotten_events_total") == {(): 2}


def test_events_behind_the_request_in_one_batch_are_refused_too() -> None:
    seen = arrive(
        intake(),
        raw(PAGE, START, "earlier", customer_id="u1"),
        raw(FORGOTTEN, START + 10, "f", customer_id="u1"),
        raw(PAGE, START + 1, "later", customer_id="u1"),
    )
    assert names(seen) == ["earlier", "f"]


def test_labels_of_a_conversation_are_forgotten_with_its_customer() -> None:
    stage = intake()
    said = {"conversation_id": "c1", "customer_id": "u1"}
    arrive(stage, raw(FORGOTTEN, START + 10, "f", customer_id="u1"))
    assert names(arrive(stage, raw(LABEL, START + 5, "unknown", conversation_id="c1"))) == ["unknown"]
    assert names(arrive(stage, raw(MESSAGE, START + 5, "m", **said))) == []
    seen = arrive(
        stage,
        raw(LABEL, START + 6, "known", conversation_id="c1"),
        raw(LABEL, START + 6, "other", conversation_id="c2"),
        raw(LABEL, START + 11, "after", conversation_id="c1"),
    )
    assert names(seen) == ["other", "after"]


def test_a_request_is_counted_in_its_own_lane_and_works_in_all() -> None:
    stage = intake()
    seen = arrive(stage, raw(FORGOTTEN, START + 10, "f", customer_id="u1"), position=COPY)
    assert names(seen) == ["f"]
    assert seen.count("csq_events_total") == {}
    assert seen.sampled("csq_event_age_seconds") == {(): [[]]}
    seen = arrive(stage, raw(PAGE, START, "e", customer_id="u1"), raw(PAGE, START + 11, "e2", customer_id="u1"))
    assert names(seen) == ["e2"]
    assert seen.count("csq_events_total") == {(PAGE,): 1}


def test_a_request_is_kept_for_as_many_days_as_set_and_survives_a_restart() -> None:
    stage = intake(forgotten_days=2.0)
    arrive(stage, raw(FORGOTTEN, START, "f", customer_id="u1"))
    stage.advance(START + 2 * DAY)
    stage = restored(intake(forgotten_days=2.0), stage)
    now = START + 2 * DAY
    assert names(arrive(stage, raw(PAGE, START - 1, "e", customer_id="u1"), now=now)) == []
    stage.advance(START + 2 * DAY + 1)
    assert names(arrive(stage, raw(PAGE, START - 1, "e", customer_id="u1"), now=now)) == ["e"]
