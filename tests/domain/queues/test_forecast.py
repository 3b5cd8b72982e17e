"""What the forecast of a series promises."""

import math
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import linear_model, optim, time_series

from operators.domain.queues.forecast import (
    DAY_SECONDS,
    LOG_MAX,
    MODELS,
    SECONDS_MAX,
    Arima,
    Forecaster,
    ForecastModels,
    Horizon,
    Interval,
    valid_seconds,
)

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
    resumed.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(forecaster.state())))
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
            assert 0.0 <= interval.lower <= interval.median <= interval.upper


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
    for seconds in (50.0, 100.0, 150.0):
        forecaster.observe(0.0, seconds)
    for interval in known(forecaster):
        assert interval.median == pytest.approx(100.0)
        assert interval.lower < 50.0
        assert interval.upper > 200.0


def test_what_is_remembered_is_bounded_by_the_horizons() -> None:
    forecaster = fresh()
    feed(forecaster, [(1, 100.0)] * 1_000)
    assert [len(horizon["waiting"]) for horizon in forecaster.state()["horizons"]] == [5, 15, 60]


def test_a_steady_rise_is_foreseen() -> None:
    forecaster = fresh()
    feed(forecaster, [(1, math.expm1(3.0 + 0.01 * minute)) for minute in range(300)])
    nearest = known(forecaster)[0].median
    assert nearest == pytest.approx(math.expm1(3.0 + 0.01 * 303), rel=0.05)


def test_a_changed_horizon_starts_afresh_and_the_others_go_on() -> None:
    forecaster = fresh()
    feed(forecaster, [(1, 100.0)] * 200)
    changed = Forecaster(BIN, (300.0, 1_800.0), alpha=0.3, share=0.8)
    changed.restore(forecaster.state())
    assert known(changed)[0] == known(forecaster)[0]
    assert known(changed)[1].median == pytest.approx(100.0, rel=0.05)


def test_a_new_horizon_forecasts_as_far_ahead_of_the_last_closed_bin_as_one_that_was_there() -> None:
    rising = [(1, math.expm1(3.0 + 0.01 * minute)) for minute in range(300)]
    forecaster, steady = fresh(), Forecaster(BIN, (1_800.0,), alpha=0.3, share=0.8)
    feed(forecaster, rising)
    feed(steady, rising)
    changed = Forecaster(BIN, (1_800.0,), alpha=0.3, share=0.8)
    changed.restore(forecaster.state())
    (forecasts_of_models,) = (row[1:] for row in changed.state()["horizons"][0]["waiting"])
    assert forecasts_of_models == steady.state()["horizons"][0]["waiting"][-1][1:]


def test_bins_of_another_width_start_afresh() -> None:
    forecaster = fresh()
    feed(forecaster, [(1, 100.0)] * 200)
    changed = Forecaster(300.0, HORIZONS, alpha=0.3, share=0.8)
    changed.restore(forecaster.state())
    assert changed.forecast() is None


# ---- each candidate by itself


def learned(values: Sequence[float], *, width: float = BIN, alpha: float = 0.3) -> ForecastModels:
    models = ForecastModels(width, alpha)
    for number, y in enumerate(values):
        models.learn_one(number, y)
    return models


def expected(models: ForecastModels, model: str, number: int) -> float:
    return models.forecast(number)[MODELS.index(model)]


def holts(values: Sequence[float], ahead: int) -> float:
    """Holt's linear trend with damping, recomputed from its equations (Gardner and McKenzie, 1985)."""
    level, trend = values[0], 0.0
    for y in values:
        before = level
        level = 0.3 * y + 0.7 * (level + 0.9 * trend)
        trend = 0.05 * (level - before) + 0.95 * 0.9 * trend
    return level + sum(0.9**step for step in range(1, ahead + 1)) * trend


@given(st.lists(st.floats(2.0, 12.0), min_size=1, max_size=60), st.integers(1, 60))
def test_holt_is_the_damped_linear_trend(values: list[float], ahead: int) -> None:
    forecast = expected(learned(values), "holt", len(values) - 1 + ahead)
    assert forecast == pytest.approx(min(max(holts(values, ahead), 0.0), LOG_MAX))


@pytest.mark.parametrize(("slope", "direction"), [(0.02, 1), (-0.02, -1)], ids=["rise", "fall"])
def test_holt_goes_on_in_the_direction_of_the_series_and_ever_less(slope: float, direction: int) -> None:
    values = [6.0 + slope * number for number in range(200)]
    models = learned(values)
    path = [expected(models, "holt", 199 + ahead) for ahead in range(1, 61)]
    steps = [direction * (after - before) for before, after in pairwise(path)]
    assert all(before > after > 0 for before, after in pairwise(steps))


def test_the_daily_model_expects_each_hour_as_it_was_on_the_days_before() -> None:
    hour, days = 3_600.0, 30
    habit = [5.0 + (1.0 if 8 <= number % 24 < 18 else -1.0) for number in range(24 * days)]
    models = learned(habit, width=hour)
    tomorrow = [expected(models, "daily", 24 * days + number) for number in range(24)]
    assert tomorrow == pytest.approx(habit[:24], abs=0.2)


def test_the_daily_model_takes_its_slot_from_the_time_of_day() -> None:
    models = ForecastModels(DAY_SECONDS / 96, 0.3)
    models.learn_one(0, 5.0)
    models.learn_one(10, 8.0)
    base = expected(models, "daily", 1)
    assert expected(models, "daily", 10 + 96) == pytest.approx(base + 0.3 * 3.0)
    assert [expected(models, "daily", 96 + number) for number in (9, 11)] == [base, base]


@given(st.lists(st.floats(0.0, 20.0), min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_smoothed_level_and_last_are_what_their_names_say(values: list[float], alpha: float) -> None:
    smoothed = level = values[0]
    for y in values:
        smoothed = alpha * y + (1.0 - alpha) * smoothed
        level = 0.05 * y + 0.95 * level
    models = learned(values, alpha=alpha)
    for ahead in (1, 60):
        found = models.forecast(len(values) - 1 + ahead)
        assert found[:3] == pytest.approx((smoothed, values[-1], level))


def test_arima_is_rivers_with_these_parameters() -> None:
    """ARIMA(3,1,1) by plain gradient descent, no intercept, clipped gradients."""
    regressor = linear_model.LinearRegression(optimizer=optim.SGD(0.01), intercept_lr=0.0, clip_gradient=1.0)
    rivers, ours, random = time_series.SNARIMAX(p=3, d=1, q=1, regressor=regressor), Arima(), Random(4)  # noqa: S311  no secret
    for number in range(200):
        y = 5.0 + math.sin(number / 5) + random.gauss(0.0, 0.3)
        rivers.learn_one(y)
        assert ours.learn_one(y) == tuple(min(max(step, 0.0), LOG_MAX) for step in rivers.forecast(12))


# ---- one horizon: which model is published, and the interval around it


def forecasts(*, of: str, value: float, others: float) -> tuple[float, ...]:
    return tuple(value if model == of else others for model in MODELS)


@pytest.mark.parametrize("best", MODELS)
def test_the_model_with_the_least_error_is_published(best: str) -> None:
    horizon = Horizon(steps=1, share=0.8)
    for _ in range(3):
        horizon.score(5.0)
        horizon.remember(forecasts(of=best, value=5.1, others=4.0))
    horizon.remember(forecasts(of=best, value=7.0, others=3.0))
    assert horizon.waiting[-1][0] == 7.0


def test_errors_are_means_at_first_and_then_fade_so_that_the_choice_follows_the_series() -> None:
    horizon = Horizon(steps=1, share=0.8)
    for good, wrong in (("last", "level"), ("level", "last")):
        for _ in range(100):
            horizon.remember(tuple({good: 5.0, wrong: 6.0}.get(model, 9.0) for model in MODELS))
            horizon.score(5.0)
    errors = dict(zip(MODELS, horizon.state()["_errors"], strict=True))
    first = errors["last"], errors["level"]
    faded = 0.0
    for number in range(1, 101):
        faded += max(0.02, 1 / number) * (1.0 - faded)
    assert faded == 1.0
    assert first == pytest.approx((1.0 - 0.98**100, 0.98**100))


def test_the_interval_holds_its_share_and_both_tails() -> None:
    random, forecaster, inside, below, above = Random(7), fresh(), 0, 0, 0  # noqa: S311  no secret
    for minute in range(3_000):
        seconds = math.expm1(random.gauss(5.0, 0.5))
        if minute > 500:
            lower, _, upper = known(forecaster)[0]
            below, inside, above = (
                below + (seconds < lower),
                inside + (lower <= seconds <= upper),
                above + (seconds > upper),
            )
        forecaster.observe(minute * BIN, seconds)
    total = below + inside + above
    assert inside / total == pytest.approx(0.8, abs=0.02)
    assert below / total == pytest.approx(0.1, abs=0.02)
    assert above / total == pytest.approx(0.1, abs=0.02)


def test_the_interval_of_a_series_that_stands_still_closes_and_opens_again() -> None:
    forecaster = fresh()
    time, _ = feed(forecaster, [(1, 120.0)] * 500)
    lower, mean, upper = known(forecaster)[0]
    assert lower == pytest.approx(mean, rel=1e-9)
    assert mean <= upper < 1.001 * mean
    random = Random(2)  # noqa: S311  no secret
    feed(forecaster, [(1, random.choice((120.0, 600.0))) for _ in range(500)], time)
    lower, _, upper = known(forecaster)[0]
    assert lower < 125.0
    assert upper > 550.0


@pytest.mark.parametrize(("center", "spread"), [(5.0, 1.25), (0.5, 1.25), (LOG_MAX - 0.1, 1.25)])
def test_before_any_score_the_interval_is_a_factor_of_seven_either_way_within_what_can_be(
    center: float, spread: float
) -> None:
    reach = 1.6 * spread
    expected = [math.expm1(min(max(center + part, 0.0), LOG_MAX)) for part in (-reach, 0.0, reach)]
    assert list(Horizon(steps=1, share=0.8).interval(center)) == pytest.approx(expected)


def test_the_longest_duration_of_the_wire_is_one() -> None:
    assert valid_seconds(SECONDS_MAX)
    assert not valid_seconds(math.nextafter(SECONDS_MAX, math.inf))
