"""Silence: counted while the observer runs, and never longer than the time since the last sign of life."""

from hypothesis import given
from hypothesis import strategies as st

from flows.host.silence import LATE_SECONDS, LOOK_SECONDS, Silence

steps = st.lists(st.tuples(st.floats(0.0, 1_000.0), st.booleans()), max_size=50)


@given(steps)
def test_a_look_counts_no_more_than_an_observer_in_time_can_miss(taken: list[tuple[float, bool]]):
    at = [100.0]
    silence = Silence(lambda: at[0])
    expected = 0.0
    for seconds, heard in taken:
        at[0] += seconds
        if heard:
            silence.heard()
        expected = 0.0 if heard else expected + min(at[0] - (at[0] - seconds), LATE_SECONDS)
        assert abs(silence.look() - expected) < 1e-6
        assert silence.seconds <= at[0] - 100.0 + 1e-6


@given(st.integers(1, 100))
def test_looks_in_time_count_all_of_it(looks: int):
    at = [0.0]
    silence = Silence(lambda: at[0])
    for _ in range(looks):
        at[0] += LOOK_SECONDS
        silence.look()
    assert silence.seconds == looks * LOOK_SECONDS


def test_an_observer_that_was_stopped_does_not_judge():
    at = [0.0]
    silence = Silence(lambda: at[0])
    at[0] = 3_600.0
    assert silence.look() == LATE_SECONDS
