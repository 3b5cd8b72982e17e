"""The steady clock never decreases, never runs ahead with a wall clock that is wrong for seconds, and catches up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.time.steady import HOLD_SECONDS, SLEW, STEP_SECONDS, SteadyClock

START = 1_700_000_000.0


class Clocks:
    """A wall clock and a monotonic one that a test moves, and the steady clock over them."""

    def __init__(self) -> None:
        self.monotonic = 1_000.0
        self.ahead = START - self.monotonic
        self.jumps: list[float] = []
        self.steady = SteadyClock(lambda: self.monotonic + self.ahead, lambda: self.monotonic, self.jumps.append)

    def wait(self, seconds: float, reading: float = 0.25) -> float:
        """Let time pass, with a reading now and then; the last one."""
        end = self.monotonic + seconds
        while self.monotonic < end:
            self.monotonic = min(self.monotonic + reading, end)
            self.steady()
        return self.steady() - START

    def step(self, seconds: float) -> None:
        """Step the wall clock."""
        self.ahead += seconds


def test_a_clock_that_is_ahead_for_some_seconds_moves_nothing() -> None:
    clocks = Clocks()
    clocks.step(100.0)
    assert clocks.wait(5.0) == pytest.approx(5.0)
    clocks.step(-100.0)
    assert clocks.wait(500.0) == pytest.approx(505.0)
    assert clocks.jumps == [pytest.approx(100.0), pytest.approx(-100.0)]


def test_a_step_forward_is_followed_at_once_when_it_has_held() -> None:
    clocks = Clocks()
    clocks.step(3_600.0)
    assert clocks.wait(HOLD_SECONDS - 1.0) == pytest.approx(HOLD_SECONDS - 1.0)
    assert clocks.wait(1.5) == pytest.approx(HOLD_SECONDS + 0.5 + 3_600.0)
    assert clocks.jumps == [pytest.approx(3_600.0)]


def test_a_step_back_is_caught_up_at_half_speed_when_it_has_held() -> None:
    clocks = Clocks()
    clocks.step(-30.0)
    assert clocks.wait(HOLD_SECONDS) == pytest.approx(HOLD_SECONDS, abs=1.0)
    assert clocks.wait(40.0) == pytest.approx(HOLD_SECONDS + 20.0, abs=1.0)
    assert clocks.wait(100.0) == pytest.approx(HOLD_SECONDS + 110.0)
    assert clocks.jumps == [pytest.approx(-30.0)]


def test_a_small_correction_is_no_jump() -> None:
    clocks = Clocks()
    clocks.step(0.3)
    clocks.wait(1.0)
    clocks.step(-0.4)
    assert clocks.wait(2.0) == pytest.approx(2.9)
    assert clocks.jumps == []


def test_a_thread_that_pauses_between_two_readings_is_no_jump() -> None:
    monotonic, jumps = [0.0], list[float]()

    def wall() -> float:
        monotonic[0] += 3.0  # others ran here
        return START + monotonic[0]

    clock = SteadyClock(wall, lambda: monotonic[0], jumps.append)
    readings = [clock() for _ in range(5)]
    assert readings == sorted(readings)
    assert jumps == []


def test_many_small_steps_in_one_direction_are_held_too() -> None:
    clocks = Clocks()
    for _ in range(10):
        clocks.step(0.4)
        clocks.steady()
    assert clocks.wait(10.0) <= 10.0 * (1 + SLEW)


_passed = st.floats(0.0, 200.0)
_steps = st.one_of(st.just(0.0), st.floats(-7_200.0, 7_200.0))


@given(st.lists(st.tuples(_steps, _passed), max_size=40))
def test_whatever_steps_the_wall_clock_makes(moves: list[tuple[float, float]]) -> None:
    clocks = Clocks()
    last, held_since = clocks.steady(), clocks.monotonic
    for step, passed in moves:
        clocks.step(step)
        if abs(step) > STEP_SECONDS / 2:
            clocks.steady()  # notices it
            held_since = clocks.monotonic
        clocks.monotonic += passed
        now = clocks.steady()
        assert now >= last  # never decreases
        if clocks.monotonic - held_since < HOLD_SECONDS:
            assert now - last <= passed * (1 + SLEW) + 1e-6  # never runs ahead
        assert now - last >= passed * (1 - SLEW) - 1e-6  # never stands still
        last = now
    clocks.wait(HOLD_SECONDS + 1.0, 0.5)
    behind = clocks.steady() - (clocks.monotonic + clocks.ahead)
    clocks.wait(abs(behind) / SLEW + 2.0, 30.0)
    assert clocks.steady() == pytest.approx(clocks.monotonic + clocks.ahead, abs=1e-3)  # catches up


@pytest.mark.parametrize("rate", [-1e-5, 1e-5])
def test_a_clock_that_smears_a_leap_second_is_followed_without_a_jump(rate: float) -> None:
    clocks = Clocks()
    for _ in range(8_640):
        clocks.step(10.0 * rate)
        clocks.wait(10.0, 10.0)
    assert clocks.steady() == pytest.approx(clocks.monotonic + clocks.ahead, abs=0.001)
    assert clocks.jumps == []
