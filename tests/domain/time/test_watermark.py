"""The watermark is the minimum of the origins, and it never goes back."""

from hypothesis import given
from hypothesis import strategies as st

from operators.domain.time.watermark import LaneTicks, Tick, Watermark

SAID = st.lists(st.tuples(st.sampled_from(["p0", "p1", "p2"]), st.floats(0, 100)), max_size=40)


def test_one_process_that_speaks_for_all_is_believed_at_once() -> None:
    mark = Watermark()
    assert [mark.observe(Tick("p0", time, 1, 1)) for time in (5.0, 5.0, 4.0, 6.0)] == [True, False, False, True]
    assert mark.reached == 6.0


def test_time_does_not_begin_before_the_whole_has_spoken() -> None:
    mark = Watermark()
    assert [mark.observe(Tick("p0", 9.0, 40, 64)), mark.reached] == [False, None]
    assert [mark.observe(Tick("p1", 7.0, 23, 64)), mark.reached] == [False, None]
    assert [mark.observe(Tick("p1", 8.0, 24, 64)), mark.reached] == [True, 8.0]


@given(SAID)
def test_time_is_the_least_that_all_said_and_never_goes_back(said: list[tuple[str, float]]) -> None:
    mark, latest, last = Watermark(), dict[str, float](), None
    for origin, time in said:
        latest[origin] = max(time, latest.get(origin, 0.0))  # a process never goes back
        went_on = mark.observe(Tick(origin, latest[origin], 1, 3))
        if len(latest) < 3:
            assert mark.reached is None
        elif last is None:
            assert mark.reached == min(latest.values())
        else:
            assert mark.reached == max(min(latest.values()), last)
            assert went_on is (mark.reached > last)
        last = mark.reached


# Lanes of one process: each gets the same ticks in order, in any interleaving.
LANES = st.integers(1, 5).flatmap(
    lambda lanes: st.tuples(
        st.just(lanes), st.lists(st.tuples(st.integers(0, lanes - 1), st.floats(0.0, 20.0)), max_size=60)
    )
)


def run(lanes: int, steps: list[tuple[int, float]]) -> None:
    ticks, times, last = LaneTicks("p0", lanes, ()), dict[int, float](), None
    for lane, further in steps:
        times[lane] = times.get(lane, 0.0) + further
        tick = ticks.observe(f"{lane}", times[lane])
        if tick is None:
            continue
        assert (tick.origin, tick.covers, tick.of) == ("p0", len(times), lanes)
        if tick.covers == tick.of:  # only then it is believed
            assert tick.time <= min(times.values())
            assert last is None or tick.time >= last
            last = tick.time
    if len(times) == lanes:
        assert last is not None


def test_a_tick_never_says_more_than_the_lane_that_is_farthest_behind() -> None:
    ticks = LaneTicks("p0", 2, ())
    assert ticks.observe("0", 1.0) == Tick("p0", 1.0, 1, 2)
    assert ticks.observe("0", 2.0) == Tick("p0", 2.0, 1, 2)
    assert ticks.observe("1", 1.0) == Tick("p0", 1.0, 2, 2)


@given(LANES)
def test_ticks_of_lanes_that_begin_together_never_say_more_than_the_least(
    case: tuple[int, list[tuple[int, float]]],
) -> None:
    lanes, steps = case
    run(lanes, [(lane, 0.0) for lane in range(lanes)] + steps)


@given(LANES)
def test_ticks_of_lanes_never_say_more_than_the_least(case: tuple[int, list[tuple[int, float]]]) -> None:
    run(*case)


def test_a_tick_is_handed_on_only_when_the_least_moved_or_a_lane_is_new() -> None:
    ticks = LaneTicks("p0", 2, ())
    ticks.observe("0", 1.0)
    ticks.observe("1", 1.0)
    assert [ticks.observe("0", 2.0), ticks.observe("1", 2.0), ticks.observe("1", 2.0)] == [
        None,
        Tick("p0", 2.0, 2, 2),
        None,
    ]


def test_targets_get_the_time_in_turns_and_all_at_once_where_the_lanes_are_level() -> None:
    lanes = tuple(f"{number:02d}" for number in range(16))
    ticks = LaneTicks("p0", 16, lanes)
    for lane in lanes:
        ticks.observe(lane, 1.0)
    assert ticks.targets(16) == list(lanes)
    received: list[str] = []
    for turn in range(8):
        sent = [ticks.observe(lane, 2.0) for lane in lanes[turn::8]]
        moved = sum(tick is not None for tick in sent)
        assert moved == (turn == 7), "the least of them moves with the last"
        received += ticks.targets(1)
    assert sorted(received[:14]) == sorted(lanes[:7] + lanes[8:15])
    assert received[14:] == list(lanes), "level"


def test_each_of_several_ticks_at_once_is_a_turn() -> None:
    ticks = LaneTicks("p0", 4, ("a", "b", "c", "d", "e"))
    for number, lane in enumerate("0123"):
        ticks.observe(lane, float(number))
    assert [ticks.targets(n) for n in (1, 2, 3, 4)] == [
        ["a", "e"],
        ["b", "c"],
        ["d", "a", "e", "b"],
        ["a", "b", "c", "d", "e"],
    ]
