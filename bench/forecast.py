"""Accuracy of the forecast on real series: ``python -m bench.forecast DATA_DIR``.

Each series is fed in time order and nothing is looked at before its time: the forecast that stood h seconds before a
bin is compared with that bin's mean. Mean absolute errors are in the series' own unit, next to persistence (the last
observed bin) and the seasonal-naive forecast (the same bin a day before; where it has none, the last observed), over
the same bins. `hit` is the share of outcomes inside the 80 % interval, `width` the interval's mean width.
"""

import csv
import gzip
import math
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

from operators.domain.queues.forecast import DAY_SECONDS, Forecaster, Interval

Series = list[tuple[float, float]]
"""(time, value), in order of time."""
HORIZONS = (300.0, 900.0, 3600.0)
SHARE = 0.8


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _rows(path: Path) -> Iterator[dict[str, str]]:
    opener: Callable[..., object] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:  # type: ignore[attr-defined]  # both are text files
        yield from csv.DictReader(file)


def _column(path: Path, when: str, what: str) -> Series:
    return sorted((_seconds(row[when]), float(row[what])) for row in _rows(path))


def _incidents(path: Path) -> Series:
    """Seconds from opening to the first resolution of each ticket, at the time of the resolution."""
    first: dict[str, tuple[float, float]] = {}
    for row in _rows(path):
        if row["resolved_at"] and row["number"] not in first:
            end = _seconds(row["resolved_at"])
            first[row["number"]] = (end, end - _seconds(row["opened_at"]))
    return sorted(pair for pair in first.values() if pair[1] >= 0.0)


def _twitter(path: Path) -> Series:
    """Seconds from request to answer of all brands together, at the time of the answer."""
    form = "%a %b %d %H:%M:%S %z %Y"
    times = {}
    for row in _rows(path):
        times[row["tweet_id"]] = row, datetime.strptime(row["created_at"], form)  # noqa: DTZ007  # %z is in `form`
    found = []
    for row, end in times.values():
        asked = times.get(row["in_response_to_tweet_id"].removesuffix(".0"))
        if row["inbound"] == "False" and asked and asked[0]["inbound"] == "True" and end >= asked[1]:
            found.append((end.timestamp(), (end - asked[1]).total_seconds()))
    return sorted(found)


def load(data: Path) -> dict[str, tuple[Series, float]]:
    """Every series with its bin width in seconds."""
    found = {path.stem: (_column(path, "timestamp", "value"), 300.0) for path in sorted(data.glob("nab/Twitter_*.csv"))}
    found["bank_calls"] = (_column(data / "bank_calls/bank_calls_5min.csv", "datetime", "calls"), 300.0)
    found["incident_log (s)"] = (_incidents(data / "incident_log/incident_event_log.csv.gz"), 300.0)
    found["twitter_support (s)"] = (_twitter(data / "twitter_support/twcs_subset.csv"), 60.0)
    return found


def _bins(series: Series, width: float) -> dict[int, float]:
    groups: dict[int, list[float]] = {}
    for time, value in series:
        groups.setdefault(math.floor(time / width), []).append(value)
    return {number: math.fsum(values) / len(values) for number, values in groups.items()}


def _forecasts(bins: dict[int, float], width: float) -> tuple[list[dict[int, Interval]], float]:
    """For each horizon the forecast of each bin, made that long before; and the CPU seconds a bin took."""
    forecaster = Forecaster(width, HORIZONS, alpha=0.3, share=SHARE)
    steps = [math.ceil(horizon / width) for horizon in HORIZONS]
    made: list[dict[int, Interval]] = [{} for _ in steps]
    closed, begin, longest = 0, process_time(), max(steps)
    observed = sorted(bins)
    for number, following in zip(observed, [*observed[1:], observed[-1] + 1], strict=True):
        forecaster.observe(number * width, bins[number])
        begins = max(number + 1 + longest, following - longest)  # of a long silence only both ends are looked at
        for end in (*range(number + 1, min(number + longest, following) + 1), *range(begins, following + 1)):
            forecaster.advance(end * width)
            closed += 1
            for when, step, interval in zip(made, steps, forecaster.forecast() or (), strict=True):
                when[end - 1 + step] = interval
    return made, (process_time() - begin) / closed


def _errors(bins: dict[int, float], step: int, width: float, made: dict[int, Interval]) -> list[tuple[float, ...]]:
    """Per scored bin: our absolute error, persistence's, seasonal-naive's, hit, width of the interval."""
    last: dict[int, float] = {}
    value, low, high = math.nan, min(bins), max(bins)
    for number in range(low, high + 1):
        value = bins.get(number, value)
        last[number] = value
    day = round(DAY_SECONDS / width)
    found: list[tuple[float, ...]] = []
    for number, actual in bins.items():
        if number in made and number - step >= low:
            ours, before = made[number], last[number - step]
            season = bins.get(number - day, before)
            hit = float(ours.lower <= actual <= ours.upper)
            misses = (abs(guess - actual) for guess in (ours.median, before, season))
            found.append((*misses, hit, ours.upper - ours.lower))
    return found


def main(data: Path) -> None:
    """Print the table."""
    names = ("ours", "persist", "seasonal", "hit", "width", "µs/bin")
    sys.stdout.write(f"{'series':<22}{'horizon':>9}{'scored':>7}" + "".join(f"{name:>11}" for name in names) + "\n")
    for name, (series, width) in load(data).items():
        bins = _bins(series, width)
        made, cost = _forecasts(bins, width)
        for horizon, forecasts in zip(HORIZONS, made, strict=True):
            errors = _errors(bins, math.ceil(horizon / width), width, forecasts)
            means = [math.fsum(column) / len(errors) for column in zip(*errors, strict=True)]
            cells = "".join(f"{number:>11.{digits}f}" for number, digits in zip(means, (2, 2, 2, 3, 1), strict=True))
            sys.stdout.write(f"{name:<22}{horizon / 60:>5.0f} min{len(errors):>7}{cells}{cost * 1e6:>11.0f}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  # the program and its one argument
        sys.exit("usage: python -m bench.forecast DATA_DIR (the directory that holds nab/, bank_calls/, ...)")
    main(Path(sys.argv[1]))
