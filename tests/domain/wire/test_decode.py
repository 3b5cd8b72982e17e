"""Decoding: every input is an event or a refusal of the closed list, which contains none of its text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.wire.decode import REASONS, Door, Refusal
from operators.domain.wire.events import TYPE_OF, TYPES
from tests.builders import START, data_of, envelope, iso, raw

NOW = START + 60
door = Door(65_536, 300.0, 946_080_000.0)
KIND = "csq.message.created"
SECRET = "geheim"  # noqa: S105  a word to look for


def decoded(value: bytes) -> Any:
    return door.decode_one(value, NOW)


def changed(**head: Any) -> bytes:
    return json.dumps({**envelope(KIND), **head}).encode()


def without(name: str) -> bytes:
    event = envelope(KIND)
    del event[name]
    return json.dumps(event).encode()


@pytest.mark.parametrize("kind", TYPES)
def test_a_valid_event_of_every_type_comes_through_with_its_time(kind: str) -> None:
    time, event = decoded(raw(kind, START + 0.25))
    assert (time, TYPE_OF[type(event)], event.id, event.source) == (START + 0.25, kind, "e1", "shop/1")


def test_a_time_with_an_offset_becomes_utc_seconds() -> None:
    time, _ = decoded(changed(time="2026-01-05T10:30:00.5+02:30"))
    assert time == START + 0.5


def test_a_picture_needs_no_text() -> None:
    _, event = decoded(raw(KIND, text=None, content_type="image"))
    assert event.data.text is None


def test_unknown_fields_are_ignored() -> None:
    _, event = decoded(json.dumps({**envelope(KIND, shoe_size=43), "traceparent": "00-1"}).encode())
    assert event.data.text == "Where is it?"


ENVELOPE = "; expected a CloudEvents 1.0 envelope"
JSON = "; expected one JSON object in UTF-8"


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (b"", "not_json", "Input data was truncated" + JSON),
        (raw(KIND)[:-9], "not_json", "Input data was truncated" + JSON),
        (b"{'a': 1}", "not_json", "JSON is malformed: object keys must be strings (byte 1)" + JSON),
        (raw("csq.behavior.page_viewed", dwell_seconds=float("nan")), "not_json", "JSON is malformed: invalid character"),
        (raw(KIND).replace(b"Where", b"\xff\xfe"), "not_json", "UnicodeDecodeError" + JSON),
        (raw(KIND).replace(b"Where", b"\\ud800"), "not_json", "JSON is malformed"),
        (raw(KIND).decode().encode("utf-16"), "not_json", "this is UTF-16 (iconv -f UTF-16 -t UTF-8 converts it)" + JSON),
        (raw(KIND).decode().encode("utf-16-be"), "not_json", "this is UTF-16 (iconv -f UTF-16 -t UTF-8 converts it)"),
        (b'{"x":' * 10_000, "too_deep", "JSON nested too deeply; expected the depth of docs/events.md"),
        (b"null", "not_an_event", "$: Expected `object`, got `null`" + ENVELOPE),
        (b"[" * 60_000, "not_an_event", "$: Expected `object`, got `array`" + ENVELOPE),
        (b"[]", "not_an_event", "$: Expected `object`, got `array`" + ENVELOPE),
        (b"{}", "not_an_event", "$.type: required field is missing" + ENVELOPE),
        (without("id"), "not_an_event", "$.id: required field is missing" + ENVELOPE),
        (without("time"), "not_an_event", "$.time: required field is missing" + ENVELOPE),
        (without("data"), "not_an_event", "$.data: required field is missing" + ENVELOPE),
        (changed(specversion="0.3"), "not_an_event", "$.specversion: Invalid enum value" + ENVELOPE),
        (changed(data=[1]), "not_an_event", "$.data: Expected `object`, got `array`" + ENVELOPE),
        (changed(type="csq.message.reacted"), "unknown_type", "$.type: expected one of the types of docs/events.md"),
        (changed(type=None), "unknown_type", "$.type: expected one of the types of docs/events.md"),
        (raw(KIND, text=None), "invalid_field", "$.data.text: null; expected text, or content_type image or voice"),
        (changed(id=""), "invalid_field", "$.id: Expected `str` of length >= 1"),
        (changed(id="x" * 513), "invalid_field", "$.id: Expected `str` of length <= 512"),
        (changed(time="2026-01-05T08:00:00"), "invalid_field", "$.time: Expected `datetime` with a timezone component"),
        (changed(time="yesterday"), "invalid_field", "$.time: Invalid RFC3339 encoded datetime"),
        (raw(KIND, text=5), "invalid_field", "$.data.text: Expected `str | null`, got `int`"),
        (raw(KIND, author={"role": "customer"}), "invalid_field", "$.data.author.id: required field is missing"),
        (raw(KIND, author={"role": "boss", "id": "a"}), "invalid_field", "$.data.author.role: Invalid enum value"),
        (raw(KIND, transcript_confidence=1.5), "invalid_field", "$.data.transcript_confidence: Expected `float` <= 1.0"),
        (raw("csq.complaint.opened", severity=6), "invalid_field", "$.data.severity: Expected `int` <= 5"),
        (raw("csq.complaint.opened", severity=True), "invalid_field", "$.data.severity: Expected `int`, got `bool`"),
        (raw("csq.complaint.opened", currency="euro"), "invalid_field", "$.data.currency: Expected `str` matching regex"),
        (raw("csq.behavior.order_completed", total_minor=10**400), "invalid_field", "$.data.total_minor: "),
        (raw("csq.feedback.submitted").replace(b'"score": 4', b'"score": 1e999'), "invalid_field", "$.data.score: Number out of range"),
        (raw("csq.feedback.submitted", score=6), "invalid_field", "$.data.score: expected a score between scale_min and scale_max"),
        (raw("csq.feedback.submitted", scale_max=1), "invalid_field", "$.data.scale_max: expected more than scale_min"),
        (raw("csq.customer.updated", attributes={"a": [1]}), "invalid_field", "$.data.attributes[...]: Expected `bool | float | str`"),
        (raw("csq.agent.state_changed", to="asleep"), "invalid_field", "$.data.to: Invalid enum value"),
        (changed(time=iso(NOW + 301)), "time_in_future", "$.time: more than 300 s ahead of the clock (setting intake.ahead_seconds)"),
        (changed(time="1990-01-01T00:00:00Z"), "too_old", "$.time: more than 946080000 s ago (setting intake.max_age_seconds)"),
        (raw(KIND, text="x" * 66_000), "too_large", "bytes; expected at most 65536 (setting intake.max_bytes)"),
    ],
)  # fmt: skip
def test_a_refusal_says_why_where_and_what_was_expected(value: bytes, reason: str, detail: str) -> None:
    refusal = decoded(value)
    assert isinstance(refusal, Refusal), refusal
    assert (reason, True) == (refusal.reason, detail in refusal.detail), refusal


def test_an_event_may_be_as_far_ahead_as_the_setting_says() -> None:
    assert decoded(changed(time=iso(NOW + 300)))[0] == NOW + 300


def test_the_size_is_checked_before_anything_is_parsed() -> None:
    padded = raw(KIND) + b" " * 65_536
    assert len(raw(KIND)) + 65_536 == len(padded)
    for value in (padded, b"\xff" * 65_537, b"[" * 65_537):
        assert decoded(value) == Refusal(
            "too_large", f"{len(value)} bytes; expected at most 65536 (setting intake.max_bytes)"
        )
    assert decoded(padded[:65_536])[0] == START


def test_feedback_off_its_own_scale_in_either_direction_is_refused() -> None:
    assert [decoded(raw("csq.feedback.submitted", score=score)).reason for score in (0, 5.5)] == ["invalid_field"] * 2
    assert decoded(raw("csq.feedback.submitted", score=1))[0] == START


@pytest.mark.parametrize(
    "value",
    [
        raw(KIND, author={"role": f"{SECRET} me", "id": "a"}),
        raw(KIND, content_type=f"{SECRET}\n\t{SECRET}"),
        raw(KIND, language=[SECRET]),
        changed(type=f"csq.{SECRET}"),
        changed(specversion=SECRET),
        changed(time=SECRET),
        changed(id=SECRET * 90),
        f'{{"type": "{SECRET}'.encode(),
        f"{SECRET} {SECRET}".encode(),
        raw("csq.customer.updated", attributes={SECRET: None}),
        raw("csq.complaint.opened", currency=SECRET),
    ],
)
def test_a_refusal_never_quotes_the_input(value: bytes) -> None:
    refusal = decoded(value)
    assert isinstance(refusal, Refusal)
    assert SECRET not in refusal.detail


@pytest.mark.parametrize("field", ["role", "kind"])
def test_a_refusal_never_quotes_a_value_with_an_apostrophe(field: str) -> None:
    text = f"don't tell, {SECRET}"
    value = raw(KIND, author={"role": text, "id": "a"}) if field == "role" else raw("csq.feedback.submitted", kind=text)
    assert SECRET not in decoded(value).detail


@pytest.mark.parametrize("name", ["", "x" * 513])
def test_a_wrong_name_of_an_attribute_is_an_invalid_field(name: str) -> None:
    refusal = decoded(raw("csq.customer.updated", attributes={name: 1}))
    assert (refusal.reason, refusal.detail.startswith("$.data.attributes")) == ("invalid_field", True)


def check(value: bytes) -> None:
    outcome = decoded(value)
    if isinstance(outcome, Refusal):
        assert outcome.reason in REASONS
        assert outcome.detail
    else:
        assert outcome[0] <= NOW + 300
        assert type(outcome[1]) in TYPE_OF


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_a_refusal(value: bytes) -> None:
    check(value)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([10**400, -1, "csq", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(TYPES), st.data())
def test_a_mutated_event_is_an_event_or_a_refusal(kind: str, data: st.DataObject) -> None:
    event = envelope(kind)
    for _ in range(data.draw(st.integers(1, 3))):
        place = event["data"] if data.draw(st.booleans()) and isinstance(event.get("data"), dict) else event
        name = data.draw(st.sampled_from([*sorted(place), "extra"]))
        if data.draw(st.booleans()):
            place[name] = data.draw(JSON_VALUES)
        else:
            place.pop(name, None)
    check(json.dumps(event).encode())


@given(st.sampled_from(TYPES), st.data())
def test_a_damaged_event_is_an_event_or_a_refusal(kind: str, data: st.DataObject) -> None:
    value = bytearray(raw(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(value))


@given(st.text(min_size=4, max_size=30).filter(lambda text: "'" not in text and text.isascii() and text.isalnum()))
def test_no_text_of_a_message_is_in_a_refusal(text: str) -> None:
    data = {**data_of(KIND), "text": "#" + text * 3, "is_public": text * 3, "customer_id": 4}
    refusal = decoded(json.dumps({**envelope(KIND), "data": data}).encode())
    assert text * 3 not in refusal.detail
