"""Forgotten ids: known again, and never readable."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.wire.forgotten import ForgottenIds, StoredForgotten

NAMES = st.text(min_size=1, max_size=20)


def stored(ids: ForgottenIds) -> bytes:
    return msgspec.msgpack.encode(ids.snapshot())


@given(st.dictionaries(NAMES, st.floats(0, 100), max_size=10), st.dictionaries(NAMES, st.floats(0, 100), max_size=10))
def test_what_happened_up_to_the_time_is_forgotten_also_after_a_restart(forgotten, asked):
    ids, again = ForgottenIds(), ForgottenIds()
    for name, time in forgotten.items():
        ids.add(name, time)
    again.restore(msgspec.msgpack.decode(stored(ids), type=StoredForgotten))

    for name, time in (asked | forgotten).items():
        assert ids.covers(name, time) == again.covers(name, time) == (name in forgotten and time <= forgotten[name])


@given(st.text(min_size=4, max_size=60))
def test_no_id_is_in_what_is_stored(name):
    ids = ForgottenIds()
    ids.add(name, 1.0)

    assert name.encode("utf-8", "surrogatepass") not in stored(ids)


def test_two_tables_have_different_digests():
    one, two = ForgottenIds(), ForgottenIds()
    one.add("u17", 1.0)
    two.add("u17", 1.0)

    assert one.snapshot().until.keys().isdisjoint(two.snapshot().until)


def test_the_later_time_counts_and_old_ones_go():
    ids = ForgottenIds()
    for name, time in (("a", 5.0), ("a", 3.0), ("b", 9.0)):
        ids.add(name, time)

    assert ids.covers("a", 5.0)
    ids.expire_before(6.0)
    assert ("a" in ids, "b" in ids, len(ids)) == (False, True, 1)
    ids.expire_before(10.0)
    assert not ids
