"""Forecast of the reply time of a queue: a series in bins, some of them empty.

Six models forecast side by side on the scale log(1 + seconds), on which a wait of a day does not dominate waits of
minutes. Each forecast is scored when its bin has come, before any model learns from that bin (progressive error). At
each horizon the model with the least error is published.

An empty bin is neither learned nor scored: there was no reply time. The models then forecast further ahead (`ahead`
grows). Carrying the last value forward would teach the models a steady night, and score them on values that never were.

The interval follows from the errors e of the published forecasts by quantile tracking, q += η·(τ - 1{e < q·s}), with s
the mean absolute error: Angelopoulos, Candès and Tibshirani, "Conformal PID control for time series prediction" (2023),
arXiv:2307.16895. It guarantees the share of outcomes inside over time, for any series, not for a single bin.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, NamedTuple

SECONDS_MAX = 1e9
"""Longest duration that events may state (32 years)."""
LOG_MAX = math.log1p(SECONDS_MAX)
RIVER = metadata.version("river")
SLOTS = 96
"""Parts of a day in the daily profile: quarters of an hour, UTC."""
DAY_SECONDS = 86_400.0
MODELS = ("smoothed", "last", "level", "holt", "arima", "daily")
"""The candidates; in a tie the first one is published."""

_LEVEL_RATE = 0.05  # of `level` and `daily`: an hour of minutes, long enough to be steady
_HOLT_LEVEL, _HOLT_TREND, _HOLT_DAMPING = (0.3, 0.05, 0.9)  # damping after Gardner and McKenzie (1985)
_PROFILE_RATE = 0.3  # of a slot, per day: a habit is learned within a week
_ERROR_RATE = 0.02  # of a model's error: the choice remembers about 50 scored bins
_QUANTILE_RATE = 0.05  # η; faster follows changes, and holds its share less well
_ARIMA_STEPS = 12  # without a drift term an ARIMA(3,1,1) stands still long before; later steps are its last
_SPREAD, _REACH = (1.25, 1.6)  # before any score: a factor of 7 either way; replies of real queues spread as widely
_SPREAD_MIN, _REACH_MAX = (0.01, 20.0)  # a series that stood still must not trap the interval


class Interval(NamedTuple):
    """A forecast in seconds, `lower <= median <= upper`; the median is the centre on the log scale."""

    lower: float
    median: float
    upper: float


def valid_seconds(value: object) -> bool:
    """Return whether a value is a duration: finite, not negative, at most `SECONDS_MAX`.

    >>> [valid_seconds(value) for value in (0.0, 180, -1.0, math.nan, math.inf, 1e300, None)]
    [True, True, False, False, False, False, False]
    """
    return isinstance(value, (int, float)) and 0.0 <= value <= SECONDS_MAX


class Arima:
    """River's SNARIMAX as ARIMA(3,1,1), whose state can be read and restored as plain numbers.

    Differencing makes the inputs small, so plain gradient descent is stable; gradients are clipped, and a model whose
    forecast is no longer finite starts afresh. There is no intercept, hence no drift, hence no runaway at 60 steps.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        # River takes a second to import, which commands without models need not wait for.
        from river import linear_model, optim, time_series  # noqa: PLC0415  see above

        self._regressor = linear_model.LinearRegression(optimizer=optim.SGD(0.01), intercept_lr=0.0, clip_gradient=1.0)
        self._model = time_series.SNARIMAX(p=3, d=1, q=1, regressor=self._regressor)

    def learn_one(self, y: float) -> tuple[float, ...]:
        """Learn the next value; return the forecasts of the next steps, clipped to 0..`LOG_MAX`."""
        self._model.learn_one(y)
        path = self._model.forecast(_ARIMA_STEPS)
        if not all(map(math.isfinite, path)):
            self._start()
            return (y,) * _ARIMA_STEPS
        return tuple(min(max(step, 0.0), LOG_MAX) for step in path)

    def state(self) -> dict[str, Any]:
        """Return the state as plain data."""
        model, regressor = self._model, self._regressor
        return {
            "river": RIVER,
            "history": list(model.y_hist),
            "differences": list(model.y_diff),
            "errors": list(model.errors),
            "weights": regressor.weights,
            "steps": regressor.optimizer.n_iterations,
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> "Arima":
        """Return a model with this state. Plain numbers stay readable between River's versions, pickles do not."""
        arima = cls()
        model, regressor = arima._model, arima._regressor
        model.y_hist.extend(state["history"])
        model.y_diff.extend(state["differences"])
        model.errors.extend(state["errors"])
        from river.utils import VectorDict  # noqa: PLC0415  as above

        regressor._weights = VectorDict(state["weights"])  # noqa: SLF001  # River has no public way in
        regressor.optimizer.n_iterations = state["steps"]
        return arima


class ForecastModels:
    """The candidates; `learn_one` takes observed bins only, `forecast` any bin after the last of them."""

    def __init__(self, bin_seconds: float, alpha: float, moment: Callable[[float], float] = float) -> None:
        self._bin_seconds = bin_seconds
        self._moment = moment
        self._alpha = alpha
        self._profile_rate = 1.0 - (1.0 - _PROFILE_RATE) ** min(1.0, bin_seconds * SLOTS / DAY_SECONDS)
        self.last_bin: int | None = None
        self._smoothed = self._last = self._level = self._holt = self._trend = self._base = 0.0
        self._profile = [0.0] * SLOTS
        self._arima = Arima()
        self._path: tuple[float, ...] = ()

    def _slot(self, number: int) -> int:
        return int(self._moment(number * self._bin_seconds) % DAY_SECONDS * SLOTS / DAY_SECONDS)

    def learn_one(self, number: int, y: float) -> None:
        """Learn the value y of bin `number`."""
        slot = self._slot(number)
        if self.last_bin is None:
            self._smoothed = self._level = self._holt = self._base = y
        self._smoothed += self._alpha * (y - self._smoothed)
        self._level += _LEVEL_RATE * (y - self._level)
        expected = self._holt + _HOLT_DAMPING * self._trend
        level = expected + _HOLT_LEVEL * (y - expected)
        self._trend = _HOLT_DAMPING * self._trend + _HOLT_TREND * (level - expected)
        self._holt = level
        surprise = y - self._base - self._profile[slot]
        self._base += _LEVEL_RATE * surprise
        self._profile[slot] += self._profile_rate * surprise
        self._path = self._arima.learn_one(y)
        self._last = y
        self.last_bin = number

    def forecast(self, number: int) -> tuple[float, ...]:
        """Return the forecast of each of `MODELS` for bin `number`, 0..`LOG_MAX`; valid after the first value."""
        ahead = number - self.last_bin if self.last_bin is not None else 1
        damped = _HOLT_DAMPING * (1.0 - _HOLT_DAMPING**ahead) / (1.0 - _HOLT_DAMPING)
        return (
            self._smoothed,
            self._last,
            self._level,
            min(max(self._holt + damped * self._trend, 0.0), LOG_MAX),
            self._path[min(ahead, _ARIMA_STEPS) - 1],
            min(max(self._base + self._profile[self._slot(number)], 0.0), LOG_MAX),
        )

    _NUMBERS = ("last_bin", "_smoothed", "_last", "_level", "_holt", "_trend", "_base", "_path")

    def state(self) -> dict[str, Any]:
        """Return the state as plain data."""
        numbers = {name: getattr(self, name) for name in self._NUMBERS}
        return numbers | {"profile": self._profile.copy(), "arima": self._arima.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        for name in self._NUMBERS:
            setattr(self, name, state[name])
        self._path = tuple(self._path)
        self._profile = list(state["profile"])
        self._arima = Arima.restore(state["arima"])


class Horizon:
    """The forecasts `steps` bins ahead: those that wait for their bin, the models' errors, the interval."""

    def __init__(self, steps: int, share: float) -> None:
        self.steps = steps
        self._tail = (1.0 - share) / 2.0
        self.waiting: deque[tuple[float, ...]] = deque(maxlen=steps)  # one per bin: (published, *each model's)
        self._errors = [0.0] * len(MODELS)
        self._scored = 0
        self._spread = _SPREAD  # mean absolute error of the published forecasts
        self._low, self._high = (-_REACH, _REACH)  # the interval around the forecast, in spreads

    def score(self, y: float) -> None:
        """Score the oldest waiting forecast against the value y of its bin."""
        if len(self.waiting) < self.steps:
            return
        published, *forecasts = self.waiting[0]
        self._scored += 1
        rate = max(_ERROR_RATE, 1.0 / self._scored)
        self._errors = [
            old + rate * (abs(y - forecast) - old) for old, forecast in zip(self._errors, forecasts, strict=True)
        ]
        error, spread = y - published, max(self._spread, _SPREAD_MIN)
        step = max(_QUANTILE_RATE, 1.0 / (self._scored + 1))
        low = self._low + step * (self._tail - (error < self._low * spread))
        high = self._high + step * (1.0 - self._tail - (error < self._high * spread))
        self._low, self._high = (min(max(low, -_REACH_MAX), 0.0), max(min(high, _REACH_MAX), 0.0))
        self._spread += max(_ERROR_RATE, 1.0 / (self._scored + 1)) * (abs(error) - self._spread)

    def remember(self, forecasts: tuple[float, ...]) -> None:
        """Publish the best model's forecast, and keep all of them to be scored `steps` bins later."""
        best = min(range(len(MODELS)), key=self._errors.__getitem__)
        self.waiting.append((forecasts[best], *forecasts))

    def interval(self, centre: float) -> Interval:
        """Return the interval in seconds around a forecast on the log scale."""
        spread = max(self._spread, _SPREAD_MIN)
        parts = (self._low * spread, 0.0, self._high * spread)
        return Interval(*(math.expm1(min(max(centre + part, 0.0), LOG_MAX)) for part in parts))

    _NUMBERS = ("_errors", "_scored", "_low", "_high", "_spread")

    def state(self) -> dict[str, Any]:
        """Return the state as plain data; `score` replaces its lists and does not change them."""
        return {name: getattr(self, name) for name in self._NUMBERS} | {
            "steps": self.steps,
            "waiting": list(self.waiting),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        for name in self._NUMBERS:
            setattr(self, name, state[name])
        self.waiting.extend(map(tuple, state["waiting"]))


class Forecaster:
    """Forecasts of the mean of a bin, some bins ahead.

    Parameters: width of a bin in seconds; horizons in seconds (rounded up to whole bins, at least one); alpha of the
    smoothed model, 0..1; share of outcomes that the interval shall hold, 0..1; `moment` gives the POSIX seconds of a
    time, where times are those of a clock that stands still outside of opening hours.

    >>> forecaster = Forecaster(60.0, (300.0,), alpha=0.3, share=0.8)
    >>> forecaster.forecast() is None
    True
    >>> for minute in range(100):
    ...     forecaster.observe(minute * 60.0, 120.0)
    >>> [round(seconds) for seconds in forecaster.forecast()[0]]
    [119, 120, 121]
    """

    def __init__(
        self,
        bin_seconds: float,
        horizons: Sequence[float],
        alpha: float,
        share: float,
        moment: Callable[[float], float] = float,
    ) -> None:
        self._bin_seconds = bin_seconds
        self._horizons = [Horizon(max(1, math.ceil(horizon / bin_seconds)), share) for horizon in horizons]
        self._models = ForecastModels(bin_seconds, alpha, moment)
        self._bin: int | None = None
        self._sum = 0.0
        self._count = 0

    def observe(self, time: float, seconds: float) -> None:
        """Observe a duration at `time`; after its bin was closed it counts in the open bin."""
        if valid_seconds(seconds):
            self.advance(time)
            self._sum += seconds
            self._count += 1

    def advance(self, time: float) -> None:
        """Close every bin that ended at or before `time`. The cost is bounded by the longest horizon."""
        number = math.floor(time / self._bin_seconds)
        if self._bin is None:
            self._bin = number
        if number <= self._bin:
            return
        if self._count:
            y = math.log1p(self._sum / self._count)
            for horizon in self._horizons:
                horizon.score(y)
            self._models.learn_one(self._bin, y)
            self._sum, self._count = 0.0, 0
        if self._models.last_bin is not None:
            for horizon in self._horizons:
                for closed in range(max(self._bin, number - horizon.steps), number):
                    horizon.remember(self._models.forecast(closed + horizon.steps))
        self._bin = number

    def forecast(self) -> list[Interval] | None:
        """Return one interval per horizon, as of the last closed bin, or of the open bin before that."""
        if self._models.last_bin is not None:
            return [horizon.interval(horizon.waiting[-1][0]) for horizon in self._horizons]
        if self._count:
            return [horizon.interval(math.log1p(self._sum / self._count)) for horizon in self._horizons]
        return None

    def state(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return {
            "bin_seconds": self._bin_seconds,
            "bin": self._bin,
            "sum": self._sum,
            "count": self._count,
            "models": self._models.state(),
            "horizons": [horizon.state() for horizon in self._horizons],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state. With bins of another width, and at a horizon that is new, it begins afresh."""
        if state["bin_seconds"] != self._bin_seconds:
            return
        self._bin, self._sum, self._count = state["bin"], state["sum"], state["count"]
        self._models.restore(state["models"])
        known = {held["steps"]: held for held in state["horizons"]}
        for horizon in self._horizons:
            if horizon.steps in known:
                horizon.restore(known[horizon.steps])
            elif self._bin is not None and self._models.last_bin is not None:
                horizon.remember(self._models.forecast(self._bin - 1 + horizon.steps))
