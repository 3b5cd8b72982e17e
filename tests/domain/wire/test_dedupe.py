"""The same (source, id) within the window is a repeat; memory is bounded; a resumed window is the same window."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.wire.dedupe import DedupeParams, Seen

NAMES = st.integers(0, 30).map(lambda n: f"shop/1 e{n}")
TIMES = st.floats(0.0, 1_000.0)
MOVES = st.lists(
    st.tuples(st.just("add"), NAMES, TIMES) | st.tuples(st.just("advance"), st.just(""), TIMES), max_size=80
)


def move(seen: Seen, what: str, name: str, time: float) -> bool | None:
    if what == "add":
        return seen.add(name, time)
    seen.advance(time)
    return None


def test_a_name_is_new_once_within_the_window() -> None:
    seen = Seen(DedupeParams(window_seconds=60))
    assert [seen.add("a", 100.0), seen.add("a", 100.0), seen.add("a", 130.0), seen.add("b", 100.0)] == [
        True,
        False,
        False,
        True,
    ]


def test_an_id_is_forgotten_only_after_the_window() -> None:
    seen = Seen(DedupeParams(window_seconds=60))
    seen.add("a", 100.0)
    seen.advance(160.0)
    assert seen.add("a", 100.0) is False
    seen.advance(160.5)
    assert seen.add("a", 100.0) is True


def test_past_the_bound_the_oldest_go_first() -> None:
    seen = Seen(DedupeParams(max_ids=100))
    for n in range(101):
        seen.add(f"e{n}", 1_000.0 - n)  # the oldest come last
    assert len(seen) <= 100
    assert [seen.add("e0", 1_000.0), seen.add("e99", 901.0)] == [False, True]


@given(MOVES)
def test_a_name_within_the_window_is_never_new_again(moves: list[tuple[str, str, float]]) -> None:
    seen = Seen(DedupeParams(window_seconds=100.0))
    known: dict[str, float] = {}
    for what, name, time in moves:
        answer = move(seen, what, name, time)
        if what == "advance":
            known = {key: then for key, then in known.items() if then >= time - 100.0}
        elif name in known:
            assert answer is False
        elif answer:
            known[name] = time


@given(MOVES)
def test_memory_is_bounded_for_any_input(moves: list[tuple[str, str, float]]) -> None:
    seen = Seen(DedupeParams(max_ids=100))
    for n, (_, name, time) in enumerate(moves * 8):
        seen.add(f"{name} {n}", time)
        assert len(seen) <= 100


@given(MOVES, st.integers(0, 80))
def test_a_resumed_window_answers_as_an_undisturbed_one(moves: list[tuple[str, str, float]], cut: int) -> None:
    whole, first, resumed = (Seen(DedupeParams(window_seconds=100.0)) for _ in range(3))
    expected = [move(whole, *item) for item in moves]
    actual = [move(first, *item) for item in moves[:cut]]
    resumed.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.state())))
    actual += [move(resumed, *item) for item in moves[cut:]]
    assert expected == actual
    assert whole.state() == resumed.state()


def test_a_state_is_a_copy() -> None:
    seen = Seen(DedupeParams())
    seen.add("a", 1.0)
    state = seen.state()
    before = msgspec.msgpack.encode(state)
    seen.add("b", 2.0)
    assert before == msgspec.msgpack.encode(state)


def test_an_id_that_expired_is_new_also_while_it_lies_behind_one_that_has_not() -> None:
    seen = Seen(DedupeParams(window_seconds=1_000.0))
    seen.add("ahead", 500.0)
    for n in range(100):
        assert seen.add(f"e{n}", float(n))
    seen.advance(1_010.0)
    assert len(seen) == 101, "what expires goes from the front"
    assert [seen.add("e9", 9.0), seen.add("e10", 10.0)] == [True, False]
    assert seen.add("e9", 9.0) is False, "known until time goes on"
    seen.advance(1_011.0)
    assert seen.add("e9", 9.0) is True
    seen.advance(1_501.0)
    assert len(seen) == 0


def test_the_queue_is_cut_where_most_of_it_has_expired() -> None:
    seen = Seen(DedupeParams(window_seconds=100.0, max_ids=50_000))
    for n in range(40_000):
        assert seen.add(f"e{n}", float(n))
        seen.advance(float(n))
    assert len(seen) == 101
    assert len(seen.state()["ids"]) == 8 * 101
    assert len(seen._ids) < 10_000
    assert [seen.add("e39898", 39_898.0), seen.add("e39899", 39_899.0)] == [True, False]


def test_a_state_holds_what_is_known_and_nothing_else() -> None:
    seen = Seen(DedupeParams(window_seconds=1_000.0))
    for n in range(1_000):
        seen.add(f"e{n}", float(n))
    seen.advance(1_010.0)
    assert len(seen.state()["ids"]) == 8 * 990


def test_an_id_that_expired_and_comes_again_late_is_stored_once() -> None:
    seen = Seen(DedupeParams(window_seconds=100.0))
    assert seen.add("shop/1 e0", 0.0)
    seen.advance(200.0)
    assert seen.add("shop/1 e0", 0.0)
    assert len(seen.state()["ids"]) == 8
