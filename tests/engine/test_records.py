"""Records of a store have one form; everything else is refused without being unpickled."""

import os
import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.engine.positions import Position, TopicId, kept_position, position_of
from operators.engine.records import RecordFormError, content_of, record_of

SIZES = st.sampled_from([0, 1, 254, 255, 256, 257, 65_534, 65_535, 65_536, 65_537, 200_000])


class Code:
    """What a store from elsewhere may hold."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


@given(st.binary(max_size=300) | SIZES.map(bytes))
def test_it_is_what_pickle_writes_and_gives_back_what_was_pickled(content: bytes) -> None:
    record = pickle.dumps(content)
    assert record == record_of(content)
    assert content == content_of(record)


@given(st.one_of(st.integers(), st.text(), st.booleans(), st.lists(st.binary()), st.tuples(st.binary())))
@example(bytearray(b"x"))
@example(Code())
def test_other_values_are_refused(value: object) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(RecordFormError, match="this record was not written by csq"):
            content_of(pickle.dumps(value, protocol))


@given(st.binary(max_size=400), st.integers(0, 30), st.binary(min_size=1, max_size=40))
@example(b"", 13, b"\x94cos\nsystem\n.")
def test_a_record_with_anything_before_in_or_after_it_is_refused_or_holds_bytes(
    content: bytes, at: int, more: bytes
) -> None:
    changed = record_of(content)[:at] + more + record_of(content)[at:]
    try:
        found = content_of(changed)
    except RecordFormError:
        return
    assert found == pickle.loads(changed)  # noqa: S301  its form is that of bytes
    assert isinstance(found, bytes)


@given(
    st.builds(
        Position, st.integers(-(2**63), 2**63 - 1), st.builds(TopicId, st.text(), st.text()), st.integers(0, 2**63)
    )
)
def test_a_position_is_sealed(position: Position) -> None:
    assert position == position_of(kept_position(position), "csq.events[0]")
