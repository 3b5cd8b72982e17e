"""Personal data in names: addresses, numbers and cards are seen, the ids of systems are not taken for them."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.wire.personal import kind_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ann+tag@example.com", "email"), ("491701234567@s.whatsapp.net", "email"), ("mailto:ann@exämple.de", "email"),
        ("conv +49 170 1234567", "phone"), ("+14155552671", "phone"), ("0049 170 1234567", "phone"),
        ("+1 (415) 555-2671", "phone"), ("0170/1234567", "phone"), ("020 7946 0958", "phone"), ("14155552671", "phone"),
        ("Ann Smith 4111111111111111", "card"), ("4111 1111 1111 1111", "card"), ("5500-0000-0000-0004", "card"),
    ],
)  # fmt: skip
def test_personal_data_is_seen(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    "name",
    [
        "", "orders", "c17", "order 12345678", "2024-00123456", "SKU 123-4567-89", "2025-03-03 10:00:00", "@ann", "ann@",
        "1234567", "conversation-000123456789", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "192.168.100.200", "4111111111111112",
        "EMEA 1st line", "support/2", "v1.2.3", "7f3a9b2c", "1.234.567,89",
    ],
)  # fmt: skip
def test_ids_of_systems_are_none(name):
    assert kind_of(name) is None


@given(st.uuids())
def test_a_uuid_is_none(value: uuid.UUID):
    assert kind_of(str(value)) is None


@given(st.text(max_size=128))
def test_any_name_is_looked_at_in_bounded_time(name):
    assert kind_of(name) in {None, "email", "phone", "card"}


@given(st.from_regex(r"[a-z0-9.]{1,20}[a-z0-9]@[a-z]{2,10}\.[a-z]{2,5}", fullmatch=True), st.text("ab :/", max_size=5))
def test_an_address_is_seen_wherever_it_stands(address, before):
    assert kind_of(f"{before}{address}") == "email"
