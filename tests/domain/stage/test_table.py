"""Hot or cold, a table answers as a plain dict would."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct

from operators.domain.stage.table import COLD_SECONDS, Table


class Record(Struct, omit_defaults=True):
    at: float
    word: str = ""
    seen: list[float] = []


class Words(Struct):
    word: str = ""


def table() -> Table[Record]:
    return Table(Record, lambda record: record.at)


def stored(records: Table[Record], now: float = 0.0) -> Raw:
    return Raw(msgspec.msgpack.encode(records.snapshot(now)))


def plain(value: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


def of_one(at: float = 0.0) -> Table[Record]:
    records = table()
    records.hot["k"] = Record(at, "yes", [1.0])
    return records


def test_what_happened_lately_stays_as_it_is_what_did_not_becomes_bytes() -> None:
    records = of_one()
    records.hot["young"] = Record(1.0)
    assert {key: type(value) for key, value in records.snapshot(COLD_SECONDS + 0.5).items()} == {
        "k": Raw,
        "young": Record,
    }
    assert list(records.hot) == ["young"]


def test_nothing_is_frozen_but_by_a_snapshot() -> None:
    records = of_one()
    assert records.get("k") is records.get("k") is records.hot["k"]


def test_a_cold_record_is_made_hot_by_the_first_who_wants_it() -> None:
    records = of_one()
    records.snapshot(1e9)
    found = records.thaw("k")
    assert found == Record(0.0, "yes", [1.0])
    assert found is records.get("k")
    assert records.thaw("k") is None  # it is hot


def test_what_is_done_to_a_thawed_record_is_stored() -> None:
    records = of_one()
    records.snapshot(1e9)
    records["k"].seen.append(2.0)
    records.snapshot(1e9)
    assert records["k"].seen == [1.0, 2.0]


def test_who_looks_at_all_makes_none_hot() -> None:
    records = of_one()
    records.snapshot(1e9)
    records.hot["young"] = Record(1.0, "no")
    assert {key: record.word for key, record in records.each(Words)} == {"k": "yes", "young": "no"}
    assert list(records.hot) == ["young"]


def test_a_restored_table_is_cold_and_keeps_nothing_of_the_snapshot_but_its_records() -> None:
    records, given_bytes = table(), msgspec.msgpack.encode({"k": Record(0.0, "yes"), "l": Record(1.0)})
    before = Raw(given_bytes)
    records.hot["other"] = Record(5.0)
    records.restore(before)
    assert (len(records), records.hot) == (2, {})
    assert bytes(stored(records)) == given_bytes
    assert records["k"] == Record(0.0, "yes")


KEYS = st.sampled_from("abcd")
TIMES = st.floats(0, 3 * COLD_SECONDS)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, TIMES),
        st.tuples(st.just("append"), KEYS, TIMES),
        st.tuples(st.just("forget"), KEYS, TIMES),
        st.tuples(st.just("get"), KEYS, TIMES),
        st.tuples(st.just("snapshot"), KEYS, TIMES),
        st.tuples(st.just("restart"), KEYS, TIMES),
    ),
    max_size=60,
)


@given(MOVES)
def test_it_answers_as_a_dict(moves: list[tuple[str, str, float]]) -> None:
    expected: dict[str, Record] = {}
    actual = table()
    for what, key, time in moves:
        if what == "put" and key not in expected:
            expected[key], actual.hot[key] = Record(time, key), Record(time, key)
        elif what == "append" and key in expected:
            expected[key].seen.append(time)
            actual[key].seen.append(time)
        elif what == "forget":
            expected.pop(key, None)
            actual.forget(key)
        elif what == "get":
            assert expected.get(key) == actual.get(key)
        elif what == "snapshot":
            assert plain(expected) == plain(actual.snapshot(time))
        elif what == "restart":
            again = table()
            again.restore(stored(actual, time))
            actual = again
        assert len(expected) == len(actual)
        assert [name in expected for name in "abcd"] == [name in actual for name in "abcd"]
    assert {key: record.word for key, record in expected.items()} == {
        key: record.word for key, record in actual.each(Words)
    }
    assert plain(expected) == plain(actual.snapshot(0.0))
