"""Pseudonyms: the same id leaves as the same digest everywhere, and nowhere as itself."""

import hashlib
import hmac
import json
from base64 import b32encode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.wire.outgoing import ChurnScored, Outgoing, Reason, ReplyMeasured, dead_letter, publish
from operators.domain.wire.personal import KINDS
from operators.domain.wire.pseudonyms import FIELDS, PrivacyParams, Pseudonyms

KEY = b"of a test, sixteen bytes or more"
MAIL, PHONE = "ann@example.com", "conv +49 170 1234567"
BY_KIND = Pseudonyms(KEY, KINDS)
REPLY = ReplyMeasured(PHONE, MAIL, "orders", "chat", "human", 3.0, 3.0, 60.0, "met")


def event_of(record: Outgoing) -> dict:
    return msgspec.json.decode(record.value)


def test_a_pseudonym_is_hmac_sha256_of_the_id():
    digest = hmac.new(KEY, MAIL.encode(), hashlib.sha256).digest()[:16]
    assert BY_KIND.of(MAIL) == f"p-{b32encode(digest).decode().rstrip('=').lower()}"


def test_ids_that_look_like_personal_data_leave_as_pseudonyms_and_others_as_they_came():
    left = BY_KIND.leave(publish(REPLY, f"shop/1 {PHONE}-7", 0.0, PHONE))

    event = event_of(left)
    assert event["data"]["customer_id"] == BY_KIND.of(MAIL)
    assert event["data"]["conversation_id"] == left.key == BY_KIND.of(PHONE)
    assert event["data"]["queue"] == "orders"
    assert event["id"] == f"shop/1 {BY_KIND.of(PHONE)}-7#reply.measured"


def test_all_values_of_a_field_leave_as_pseudonyms():
    of = Pseudonyms(KEY, ("customer_id",))
    left = of.leave(publish(msgspec.structs.replace(REPLY, customer_id="u17"), "shop/1 e7", 0.0, PHONE))

    data = event_of(left)["data"]
    assert (data["customer_id"], data["conversation_id"], left.key) == (of.of("u17"), PHONE, PHONE)


def test_the_value_of_an_attribute_in_a_reason_leaves_as_a_pseudonym():
    scored = ChurnScored(
        "u1", "vip", 0.2, at_risk=False, reasons=[Reason(f"email {MAIL}", 0.1), Reason("plan free", 0.1)]
    )
    because = [
        each["because"] for each in event_of(BY_KIND.leave(publish(scored, "shop/1 e7", 0.0, "u1")))["data"]["reasons"]
    ]

    assert because == [BY_KIND.of(f"email {MAIL}"), "plan free"]


def test_a_dead_letter_keeps_its_raw_bytes_and_tells_its_place_by_pseudonyms():
    raw = json.dumps({"data": {"customer_id": MAIL}}).encode()
    letter = dead_letter(
        raw, "stage_failed", "stage customers: KeyError", "customers", f"shop {MAIL}/1", stage="customers"
    )
    left = BY_KIND.leave(letter)

    assert left.value == raw
    assert dict(left.headers)["position"] == f"shop {BY_KIND.of(MAIL)}/1"
    assert left.key == f"customers@shop {BY_KIND.of(MAIL)}/1"


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[1]", b'{"data": 3}', b"[" * 5_000])
def test_a_dead_letter_may_be_anything(raw):
    letter = dead_letter(raw, "not_json", "no JSON", "csq.events[2]", 17)
    assert BY_KIND.leave(letter) == letter


IDS = st.text(min_size=1, max_size=512)


@given(IDS, IDS, IDS, st.sampled_from([FIELDS, KINDS, (*FIELDS, *KINDS)]))
def test_the_same_id_is_the_same_everywhere_and_a_repeat_is_the_same_bytes(conversation, customer, cause, chosen):
    of = Pseudonyms(KEY, chosen)
    record = publish(
        msgspec.structs.replace(REPLY, conversation_id=conversation, customer_id=customer),
        f"s {cause}",
        0.0,
        conversation,
    )
    left = of.leave(record)

    data = event_of(left)["data"]
    assert left == of.leave(record)
    assert left.key == data["conversation_id"]
    for name, value in (("conversation_id", conversation), ("customer_id", customer)):
        assert data[name] in ({of.of(value)} if name in chosen else {value, of.of(value)})


@given(st.binary(min_size=16, max_size=64), IDS)
def test_another_key_gives_another_pseudonym(key, name):
    assert Pseudonyms(key + b"1", FIELDS).of(name) != Pseudonyms(key + b"2", FIELDS).of(name)


def test_a_short_key_and_pseudonyms_without_one_are_refused():
    with pytest.raises(ValueError, match="a key of 15 bytes; expected 16 or more"):
        Pseudonyms(b"x" * 15, FIELDS)
    with pytest.raises(ValueError, match=r"privacy\.pseudonyms needs privacy\.key_file"):
        PrivacyParams(pseudonyms=("email",))
