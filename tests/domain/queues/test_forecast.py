"""What the forecast of a series promises."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.queues.forecast import SECONDS_MAX, Arima, Forecaster, Horizon, Interval

Stream = list[tuple[int, float]]
BIN = 60.0
HORIZONS = (300.0, 900.0, 3600.0)

# (minutes after the one before, duration): silences of up to two days, durations over all that the wire accepts.
streams = st.lists(
    st.tuples(st.integers(0, 20) | st.integers(0, 3_000), st.floats(0.0, SECONDS_MAX) | st.floats(10.0, 600.0)),
    max_size=60,
)


def fresh() -> Forecaster:
    return Forecaster(BIN, HORIZONS, alpha=0.3, share=0.8)


def known(forecaster: Forecaster) -> list[Interval]:
    forecast = forecaster.forecast()
    assert forecast is not None
    return forecast


def again(forecaster: Forecaster) -> Forecaster:
    resumed = fresh()
    resumed.resume(msgspec.msgpack.decode(msgspec.msgpack.encode(forecaster.state())))
    return resumed


def feed(forecaster: Forecaster, stream: Stream, start: float = 0.0) -> tuple[float, list[list[Interval]]]:
    """Observe a stream; the time it ended at, and the forecast after each observation."""
    time = start
    seen: list[list[Interval]] = []
    for minutes, seconds in stream:
        time += minutes * BIN
        forecaster.observe(time, seconds)
        seen.append(forecaster.forecast() or [])
    return time, seen


@given(streams)
def test_every_forecast_is_finite_ordered_and_not_negative(stream: Stream) -> None:
    _, seen = feed(fresh(), stream)
    for intervals in seen:
        for interval in intervals:
            assert all(map(math.isfinite, interval))
            assert 0.0 <= interval.lower <= interval.mean <= interval.upper


@pytest.mark.parametrize("seconds", [math.inf, -math.inf, math.nan, -1.0, 1e300, None])
def test_a_duration_that_cannot_be_is_refused(seconds: float) -> None:
    forecaster = fresh()
    forecaster.observe(0.0, seconds)
    forecaster.advance(BIN)
    assert forecaster.forecast() is None


@given(streams, streams)
def test_a_resumed_forecaster_has_the_same_future(before: Stream, after: Stream) -> None:
    undisturbed = fresh()
    time, _ = feed(undisturbed, before)
    resumed = again(undisturbed)
    assert feed(undisturbed, after, time) == feed(resumed, after, time)
    assert undisturbed.state() == resumed.state()


def test_a_state_shares_nothing_with_the_forecaster_that_gave_it() -> None:
    forecaster = fresh()
    feed(forecaster, [(1, 100.0 + number) for number in range(100)])
    state = forecaster.state()
    packed = msgspec.msgpack.encode(state)
    feed(forecaster, [(1, 500.0)] * 100, 6_000.0)
    assert packed == msgspec.msgpack.encode(state)


@given(st.lists(st.floats(0.0, 20.0), max_size=40), st.lists(st.floats(0.0, 20.0), max_size=20))
def test_rivers_model_goes_on_exactly_from_its_plain_numbers(before: list[float], after: list[float]) -> None:
    undisturbed = Arima()
    for y in before:
        undisturbed.learn_one(y)
    resumed = Arima.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(undisturbed.state())))
    assert [undisturbed.learn_one(y) for y in after] == [resumed.learn_one(y) for y in after]
    assert undisturbed.state() == resumed.state()


@given(streams, st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_a_forecast_knows_nothing_of_the_bin_that_is_still_open(stream: Stream, one: float, other: float) -> None:
    """Two futures that part after the same past: what was forecast before they part is the same."""
    first, second = fresh(), fresh()
    time, _ = feed(first, [(0, 60.0), *stream])
    feed(second, [(0, 60.0), *stream])
    time += BIN
    first.observe(time, one)
    second.observe(time, other)
    assert first.forecast() == second.forecast()


def test_a_forecast_is_scored_with_the_value_of_its_own_bin() -> None:
    horizon = Horizon(steps=2, share=0.8)
    for y, forecast in ((10.0, 1.0), (10.0, 2.0), (1.0, 3.0), (2.0, 4.0)):
        horizon.score(y)
        horizon.remember((forecast,) * 6)
    assert horizon.state()["_errors"] == [0.0] * 6  # the 1.0 met 1.0, the 2.0 met 2.0


@given(streams, st.integers(1, 10_000))
def test_closing_bins_one_by_one_or_at_once_gives_the_same(stream: Stream, minutes: int) -> None:
    jumping, stepping = fresh(), fresh()
    time, _ = feed(jumping, stream)
    feed(stepping, stream)
    jumping.advance(time + minutes * BIN)
    for minute in range(minutes + 1):
        stepping.advance(time + minute * BIN)
    if stream:
        assert jumping.state() == stepping.state()


def test_time_that_goes_back_changes_nothing() -> None:
    forecaster = fresh()
    feed(forecaster, [(1, 100.0)] * 10)
    before = forecaster.state()
    forecaster.advance(0.0)
    assert before == forecaster.state()


def test_a_silence_teaches_nothing() -> None:
    forecaster = fresh()
    feed(forecaster, [(1, 100.0 + number) for number in range(50)])
    forecaster.advance(51 * BIN)
    before = forecaster.state()["models"]
    forecaster.advance(1e9)
    assert before == forecaster.state()["models"]


def test_there_is_a_wide_forecast_from_the_first_observation_on() -> None:
    forecaster = fresh()
    forecaster.observe(0.0, 100.0)
    for interval in known(forecaster):
        assert interval.mean == pytest.approx(100.0)
        assert interval.lower < 50.0
        assert interval.upper > 200.0


def test_what_is_remembered_is_bounded_by_the_horizons() -> None:
    forecaster = fresh()
    feed(forecaster, [(1, 100.0)] * 1_000)
    assert [len(horizon["waiting"]) for horizon in forecaster.state()["horizons"]] == [5, 15, 60]


def test_a_steady_rise_is_foreseen() -> None:
    forecaster = fresh()
    feed(forecaster, [(1, math.expm1(3.0 + 0.01 * minute)) for minute in range(300)])
    nearest = known(forecaster)[0].mean
    assert nearest == pytest.approx(math.expm1(3.0 + 0.01 * 303), rel=0.05)


def test_a_changed_horizon_starts_afresh_and_the_others_go_on() -> None:
    forecaster = fresh()
    feed(forecaster, [(1, 100.0)] * 200)
    changed = Forecaster(BIN, (300.0, 1_800.0), alpha=0.3, share=0.8)
    changed.resume(forecaster.state())
    assert known(changed)[0] == known(forecaster)[0]
    assert known(changed)[1].mean == pytest.approx(100.0, rel=0.05)


def test_bins_of_another_width_start_afresh() -> None:
    forecaster = fresh()
    feed(forecaster, [(1, 100.0)] * 200)
    changed = Forecaster(300.0, HORIZONS, alpha=0.3, share=0.8)
    changed.resume(forecaster.state())
    assert changed.forecast() is None
