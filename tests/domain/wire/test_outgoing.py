"""What leaves is named after what caused it."""

import json
from datetime import datetime
from importlib.metadata import version

import pytest

from operators.domain.wire.outgoing import (
    DEADLETTERS,
    MAX_DEAD_BYTES,
    STREAMS,
    TYPES,
    ChurnScored,
    Probabilities,
    Reason,
    TurnScored,
    dead_letter,
    publish,
)

SCORED = ChurnScored("u1", "vip", 0.25, False, [Reason("long waits", 0.5)])


def test_the_envelope_is_that_of_the_events_that_come_in() -> None:
    record = publish(SCORED, "shop/1 e7", 1_767_600_000.25, "u1")
    event = json.loads(record.value)
    assert list(event) == ["specversion", "id", "source", "type", "time", "data"]
    assert (event["specversion"], event["source"], event["data"]["probability"]) == ("1.0", "csq", 0.25)
    assert event["data"]["reasons"] == [{"because": "long waits", "effect": 0.5}]
    assert (record.stream, record.key) == ("csq.churn.scored", "u1")


def test_the_same_cause_gives_the_same_id_and_another_stream_another() -> None:
    turn = TurnScored("m", "c", "u1", "q", "chat", "en", "neutral", Probabilities(0.2, 0.6, 0.2), 0.0, "sentiment/en")
    ids = [json.loads(publish(data, "shop/1 e7", 0.0, "u1").value)["id"] for data in (SCORED, SCORED, turn)]
    assert ids == ["shop/1 e7#churn.scored", "shop/1 e7#churn.scored", "shop/1 e7#turn.scored"]


def test_an_outgoing_id_keeps_to_the_length_of_ids() -> None:
    assert len(json.loads(publish(SCORED, f"{'s' * 512} {'i' * 512}", 0.0, "u1").value)["id"]) <= 128


def test_every_published_type_has_its_stream() -> None:
    assert sorted(STREAMS) == sorted([*TYPES.values(), DEADLETTERS])


@pytest.mark.parametrize("time", [0.0, 1_767_600_000.25, -1.5, 1_709_164_800.5])
def test_times_are_rfc_3339_in_utc(time: float) -> None:
    reported = json.loads(publish(SCORED, "shop/1 e7", time, "u1").value)["time"]
    assert reported.endswith("Z")
    assert datetime.fromisoformat(reported).timestamp() == time


def test_a_dead_letter_keeps_the_bytes_and_its_headers_contain_no_byte_of_them() -> None:
    record = dead_letter(b"geheim", "not_json", "detail", "shop.events/0", 17)
    assert (record.stream, record.value, record.key) == (DEADLETTERS, b"geheim", "shop.events/0@17")
    assert "geheim" not in str(record.headers)


def test_the_headers_say_why_where_when_and_by_which_release() -> None:
    headers = dict(dead_letter(b"", "invalid_field", "$.data.text: too long", "shop.events[0]", 17, now=0.25).headers)
    assert headers == {
        "reason": "invalid_field",
        "path": "$.data.text",
        "detail": "$.data.text: too long",
        "origin": "shop.events[0]",
        "position": "17",
        "csq": version("csq"),
        "time": "1970-01-01T00:00:00.250Z",
    }


def test_a_detail_that_names_no_field_has_an_empty_path() -> None:
    assert dict(dead_letter(b"", "too_large", "9 bytes: expected 8", "o", 0).headers)["path"] == ""


def test_what_a_stage_failed_on_names_the_stage_and_the_event() -> None:
    record = dead_letter(
        b"[]", "stage_failed", "stage queues: KeyError; see the log", "queues", "shop/1 e7", stage="queues"
    )
    assert record.key == "queues@shop/1 e7"
    assert dict(record.headers)["stage"] == "queues"


def test_a_dead_letter_is_cut_at_64_kib() -> None:
    assert len(dead_letter(b"x" * 70_000, "too_large", "", "o", 0).value) == MAX_DEAD_BYTES == 65_536
