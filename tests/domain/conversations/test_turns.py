"""Published scores wait for their labels, and labels for their scores; both are bounded."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.conversations.turns import ScoredTurn, StoredTurns, TurnLedger

P = (0.2, 0.3, 0.5)


def stored(ledger: TurnLedger) -> dict[str, Any]:
    """What is stored of it: of all turns the bytes, none being young."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(ledger.snapshot(1e9)))


def restore(ledger: TurnLedger, state: dict[str, Any]) -> None:
    ledger.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=StoredTurns))


def scored(message: str, time: float = 10.0) -> ScoredTurn:
    return ScoredTurn(message, time, "sentiment/en", b"\x01\x00\x00\x00", P)


def test_a_label_finds_its_turn() -> None:
    ledger = TurnLedger(turns=5, labels=5)
    ledger.note_one("c1", scored("m1"))
    found = ledger.label_one("c1", "m1", 25.0, "neutral")
    assert found == ("sentiment/en", (b"\x01\x00\x00\x00", P, "neutral", 1.0, 15.0))


def test_a_turn_finds_the_label_that_waited_for_it_once() -> None:
    ledger = TurnLedger(turns=5, labels=5)
    assert ledger.label_one("c1", "m1", 25.0, "neutral") is None
    assert [example.label for _, example in ledger.note_one("c1", scored("m1"))] == ["neutral"]
    assert ledger.note_one("c1", scored("m1")) == ()


def test_two_people_may_label_the_same_turn() -> None:
    ledger = TurnLedger(turns=5, labels=5)
    ledger.note_one("c1", scored("m1"))
    assert [ledger.label_one("c1", "m1", 25.0, mood) is not None for mood in ("neutral", "positive")] == [True, True]


def test_a_label_that_waits_is_not_for_a_message_of_another_conversation() -> None:
    ledger = TurnLedger(turns=5, labels=5)
    ledger.label_one("c1", "1", 25.0, "neutral")
    assert ledger.note_one("c2", scored("1")) == ()


def test_only_the_last_turns_of_a_conversation_are_remembered() -> None:
    ledger = TurnLedger(turns=2, labels=5)
    for n in range(3):
        ledger.note_one("c1", scored(f"m{n}"))
    assert [ledger.label_one("c1", f"m{n}", 25.0, "neutral") is not None for n in range(3)] == [False, True, True]


def test_a_delay_is_never_negative() -> None:
    ledger = TurnLedger(turns=2, labels=5)
    ledger.note_one("c1", scored("m1", time=30.0))
    found = ledger.label_one("c1", "m1", 25.0, "neutral")
    assert found is not None
    assert found[1].delay_seconds == 0.0


def test_of_too_many_waiting_labels_the_oldest_are_given_up_and_counted() -> None:
    ledger = TurnLedger(turns=2, labels=8)
    for n in range(9):
        ledger.label_one("c1", f"m{n}", float(n), "neutral")
    assert ledger.unmatched > 0
    assert ledger.note_one("c1", scored("m0")) == ()
    assert ledger.note_one("c1", scored("m8")) != ()


def test_waiting_labels_of_one_moment_are_bounded_too() -> None:
    ledger = TurnLedger(turns=2, labels=8)
    for n in range(100):
        ledger.label_one("c1", f"m{n}", 5.0, "neutral")
    assert len(stored(ledger)["waiting"]) <= 8


def test_where_no_label_may_wait_none_does() -> None:
    ledger = TurnLedger(turns=2, labels=0)
    ledger.label_one("c1", "m1", 5.0, "neutral")
    assert stored(ledger)["waiting"] == []


def weak(ledger: TurnLedger, until: float) -> list[str]:
    return [example.label for _, example in ledger.weak_examples("c1", until, "positive", 0.1, 5)]


def test_a_rating_labels_the_turns_without_a_label_whether_later_labels_have_arrived_or_not() -> None:
    ledger = TurnLedger(turns=5, labels=5)
    ledger.note_one("c1", scored("m1", time=10.0))
    assert weak(ledger, 20.0) == ["positive"]
    ledger.label_one("c1", "m1", 25.0, "negative")
    assert weak(ledger, 20.0) == ["positive"]
    assert weak(ledger, 25.0) == []
    ledger.label_one("c1", "m1", 90.0, "negative")
    assert weak(ledger, 25.0) == []
    ledger.label_one("c1", "m1", 15.0, "negative")
    assert weak(ledger, 20.0) == []


def test_a_stored_conversation_keeps_no_more_turns_than_the_settings_say_now() -> None:
    before, now = TurnLedger(turns=5, labels=5), TurnLedger(turns=2, labels=5)
    for number in range(5):
        before.note_one("c1", scored(f"m{number}", float(number)))
    restore(now, stored(before))
    now.note_one("c1", scored("m5", 5.0))
    assert list(stored(now)["scored"]["c1"]) == ["m4", "m5"]


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["note", "label", "weak", "forget", "expire"]),
        st.sampled_from("ab"),
        st.integers(0, 5),
        st.floats(0, 100),
    ),
    max_size=40,
)


def move(ledger: TurnLedger, what: str, talk: str, number: int, time: float) -> Any:
    if what == "note":
        return ledger.note_one(talk, scored(f"{talk}{number}", time))
    if what == "label":
        return ledger.label_one(talk, f"{talk}{number}", time, "negative")
    if what == "weak":
        return ledger.weak_examples(talk, time, "positive", 0.1, 2)
    return ledger.forget(talk) if what == "forget" else ledger.expire_before(time)


@given(MOVES, st.integers(0, 40))
def test_a_resumed_ledger_answers_as_an_undisturbed_one(moves: list[Any], cut: int) -> None:
    whole, first, resumed = (TurnLedger(turns=3, labels=3) for _ in range(3))
    expected = [move(whole, *item) for item in moves]
    actual = [move(first, *item) for item in moves[:cut]]
    restore(resumed, stored(first))
    actual += [move(resumed, *item) for item in moves[cut:]]
    assert expected == actual
    assert stored(whole) == stored(resumed)
