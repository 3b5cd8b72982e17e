"""Observe: the only writer of metrics. It takes the measurements of the stages and keeps the series.

A measurement is ``(metric name, label values in catalogue order, value)``: a counter adds the value, a histogram counts
it, a gauge becomes it (NaN: it has no value any more, and no series); a summed gauge takes ``(part, number)`` and shows
the sum of what each part last reported. The value of ``csq_event_age_seconds`` is a list of event times: the age is
taken here, at the moment of counting.

The series live in one collector of our own, because prometheus-client's instruments cost 0.7 us for a counter and 1.3
to 1.7 us for a histogram, each with a lock, where 0.4 us and one lock for a whole batch do.
"""

import logging
import platform
import reprlib
from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate, chain
from math import fsum, inf, isnan
from secrets import token_hex
from threading import Lock, local
from typing import Any, NoReturn

import numpy as np
from bytewax.outputs import DynamicSink, FixedPartitionedSink, StatefulSinkPartition, StatelessSinkPartition
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from operators.domain.stage.labels import OTHER
from operators.domain.stage.stage import Measurement
from operators.metrics.catalogue import CATALOGUE, OPEN, ClosedSets, Label, Metric
from operators.metrics.journal import Counts, Journal, Series, at_least, pack, unpack

Labels = tuple[str, ...]
Values = dict[str, dict[Labels, float]]
"""Sample name -> label values in catalogue order (a bucket's bound last) -> value."""

PARTS = 64
"""Parts of `KeptObserveSink`, so the maximum number of processes; the recovery store holds their names."""

OPEN_LIMIT = 1_000
"""Maximum number of series of a metric with an open label (a partition, a version); further ones are `other`."""

GROWTH_LIMIT = 64
"""Most values of a label whose set grows. Stages admit fewer (`labels.BOUNDS`); this is what a defect could add."""

_AGE, _NEWEST, _REFUSED = (
    "csq_event_age_seconds",
    "csq_newest_event_timestamp_seconds",
    "csq_refused_measurements_total",
)
_OLDEST = "csq_oldest_open_wait_seconds"
_WRONG = (TypeError, ValueError, OverflowError)
"""Errors raised by a value that is not a number."""
_log = logging.getLogger(__name__)


def _refuse_value(value: object, expected: str) -> NoReturn:
    message = f"got {reprlib.repr(value)}, expected {expected}"
    raise ValueError(message)


class _Gauge:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def write(self, value: float) -> None:
        if value in (inf, -inf):
            _refuse_value(value, "a finite number, or NaN to take the series away")
        self.value = float(value)

    def read(self) -> float | None:
        return None if isnan(self.value) else self.value


class _Counter(_Gauge):
    __slots__ = ()

    def write(self, value: float) -> None:
        if not 0.0 <= value < inf:
            _refuse_value(value, "a finite number of at least 0")
        self.value += value

    def add(self, value: float) -> None:
        self.value += value


class _SummedGauge:
    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    def write(self, value: tuple[str, float]) -> None:
        part, number = value
        if not -inf < number < inf:
            _refuse_value(number, "a finite number")
        self.parts[part] = number

    def read(self) -> float:
        return fsum(self.parts.values())  # does not depend on the order of the parts


class _Histogram:
    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def write(self, value: float) -> None:
        if not -inf < value < inf:  # cheaper than isfinite()
            _refuse_value(value, "a finite number")
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def write_many(self, values: "np.ndarray[Any, np.dtype[np.float64]]") -> None:
        """Count finite values at once."""
        places = np.searchsorted(self.bounds, values)  # as bisect_left: a value at a bound belongs below it
        added = np.bincount(places, minlength=len(self.counts)).tolist()
        self.counts = [old + new for old, new in zip(self.counts, added, strict=True)]
        self.total += float(values.sum())

    def add(self, value: tuple[list[int], float]) -> None:
        counts, total = value
        if len(counts) == len(self.counts):  # else of a release with other buckets
            self.counts = [old + new for old, new in zip(self.counts, counts, strict=True)]
            self.total += total

    def read(self) -> tuple[list[int], float]:
        return self.counts.copy(), self.total


_Series = _Gauge | _SummedGauge | _Histogram
_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_FAMILIES: dict[str, Callable[..., _Family]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def _new_series(metric: Metric, sets: ClosedSets) -> _Series:
    if metric.kind == "histogram":
        return _Histogram(metric.bounds(sets))
    if metric.kind == "counter":
        return _Counter()
    return _SummedGauge() if metric.summed else _Gauge()


def _family(metric: Metric) -> _Family:
    unit = metric.unit if metric.name.endswith(f"_{metric.unit}") else ""  # OpenMetrics requires it as suffix
    return _FAMILIES[metric.kind](metric.name, metric.help, labels=[label.name for label in metric.labels], unit=unit)


def _filled(metric: Metric, values: list[tuple[Labels, Any]], sets: ClosedSets) -> _Family:
    family = _family(metric)
    bounds = [*(str(float(bound)) for bound in metric.bounds(sets)), "+Inf"]
    for labels, value in values:
        if isinstance(family, HistogramMetricFamily):
            counts, total = value
            family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
        elif value is not None:
            family.add_metric(labels, value)
    return family


class Observer(Collector):
    """All series of the catalogue: `record` writes them, a registry collects them.

    `clock` gives POSIX seconds and is asked when events are counted; without one (replay) no ages are counted.
    A measurement that does not fit the catalogue is counted in csq_refused_measurements_total and logged once; with
    `strict` (tests) it raises. Label values outside the closed sets become `other`.

    >>> registry = CollectorRegistry()
    >>> observer = Observer(registry, ClosedSets(queue=("orders",)), strict=True)
    >>> observer.record([("csq_open_waits", ("orders",), 3), ("csq_open_waits", ("typo",), 1)])
    >>> read(registry)["csq_open_waits"]
    {('orders',): 3.0, ('other',): 1.0}
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        sets: ClosedSets,
        *,
        clock: Callable[[], float] | None = None,
        strict: bool = False,
    ) -> None:
        self._clock, self._strict, self._sets = clock, strict, sets
        self.held_seconds = 0.0
        """How far event time is held back: ages that were measured in it go on by the clock meanwhile."""
        self._lock = Lock()  # one writer, but the web server and the live view read in their own threads
        self._exposing = Lock()
        self._exposed = local()
        """`values` that the thread of a scrape has written to the journal."""
        self._journal: Journal | None = None
        self._history = token_hex(8)
        self._is_stored = False
        self._times: list[float] = []  # of the events of one call of `record`
        self._ages, self._newest = _Histogram(CATALOGUE[_AGE].buckets), _Gauge()
        self._logged: set[tuple[str, str]] = set()
        self._allowed = {
            metric.name: [frozenset(label.known(sets)) for label in metric.labels] for metric in CATALOGUE.values()
        }
        self._series: dict[str, dict[Labels, _Series]] = {
            metric.name: {labels: _new_series(metric, sets) for labels in metric.known(sets)}
            for metric in CATALOGUE.values()
        }
        self._writers: dict[tuple[str, Labels], Callable[[Any], None]] = {
            (name, labels): series.write
            for name, children in self._series.items()
            for labels, series in children.items()
        }
        self._series[_AGE][()] = self._ages
        self._writers[_AGE, ()] = self._times.extend
        registry.register(self)

    def record(self, measurements: Iterable[Measurement]) -> None:
        """Write measurements; never raises for a bad one, unless `strict`."""
        writers = self._writers
        with self._lock:
            for measurement in measurements:
                try:
                    name, labels, value = measurement
                    writers[name, labels](value)
                except KeyError:
                    self._write_first(measurement)
                except _WRONG as error:
                    self._refuse("wrong_value", measurement, str(error))
            if self._times:
                self._count_times()

    def _write_first(self, measurement: Any) -> None:
        """Write to a series that is new, or whose label values are not all known."""
        name, labels, value = measurement
        if name not in CATALOGUE:
            self._refuse("unknown_metric", measurement, "no such metric in operators/metrics/catalogue.py")
            return
        expected = CATALOGUE[name].labels
        if not isinstance(labels, tuple) or len(labels) != len(expected):
            self._refuse("wrong_labels", measurement, f"expected a tuple of {len(expected)} label values")
            return
        known, children = self._known(name, labels), self._series[name]
        series = children[known] if known in children else _new_series(CATALOGUE[name], self._sets)
        try:
            series.write(value)
        except _WRONG as error:
            self._refuse("wrong_value", measurement, str(error))
            return
        children[known] = series
        if known == labels:  # others are not cached: their number is not bounded
            self._writers[name, labels] = series.write

    def _known(self, name: str, labels: Labels) -> Labels:
        """Label values with `other` for those that are in no set."""
        room = len(self._series[name]) < OPEN_LIMIT
        return tuple(
            str(value) if value in allowed or (room and label.values == OPEN) or self._grows(label, value) else OTHER
            for value, label, allowed in zip(labels, CATALOGUE[name].labels, self._allowed[name], strict=True)
        )

    def _grows(self, label: Label, value: str) -> bool:
        """Whether a value is new in a set that grows: then every metric gets its series, at 0."""
        if label.name not in self._sets.growing or value == OTHER:
            return False
        names: tuple[str, ...] = getattr(self._sets, label.name)
        if len(names) >= GROWTH_LIMIT:
            return False
        grown: dict[str, Any] = {label.name: (*names, value)}
        self._sets = replace(self._sets, **grown)
        for metric in CATALOGUE.values():
            if label in metric.labels:
                self._allowed[metric.name] = [frozenset(each.known(self._sets)) for each in metric.labels]
                children = self._series[metric.name]
                for labels in metric.known(self._sets):
                    if labels not in children:
                        children[labels] = _new_series(metric, self._sets)
                        self._writers[metric.name, labels] = children[labels].write
        return True

    def _count_times(self) -> None:
        """Take the ages of all events of this call at once: 1,000 cost less than 0.1 ms."""
        times, self._times[:] = self._times.copy(), ()
        try:
            happened = np.array(times, dtype=np.float64)  # makes None a NaN
            if not np.isfinite(happened).all():
                _refuse_value(times, "finite POSIX seconds")
            self._newest.write(max(self._newest.value, float(happened.max())))
            self._series[_NEWEST][()] = self._newest
            if self._clock is not None:
                ages = np.maximum(self._clock() - happened, 0.0)  # a clock ahead of ours makes nothing younger than new
                self._ages.write_many(ages)
        except _WRONG as error:
            self._refuse("wrong_value", (_AGE, (), None), str(error))

    def _refuse(self, reason: str, measurement: object, why: str) -> None:
        """Count a defect and log the first of its kind; label values are not logged, they may be ids of customers."""
        name = str(measurement[0]) if isinstance(measurement, tuple) and measurement else type(measurement).__name__
        message = f"{reason}: measurement of {name!r}: {why}"
        if self._strict:
            raise ValueError(message)
        self._writers[_REFUSED, (reason,)](1)
        if (reason, name) not in self._logged and len(self._logged) < OPEN_LIMIT:
            self._logged.add((reason, name))
            _log.error("%s", message, extra={"event": "measurement_refused"})

    @property
    def limits(self) -> tuple[float, ...]:
        """The promised limits at which reply times have bounds."""
        return self._sets.limits

    def describe(self) -> Iterator[_Family]:
        """Name the families, so that a registry refuses a second observer."""
        return map(_family, CATALOGUE.values())

    def collect(self) -> Iterator[_Family]:
        """Every series, in the order of the catalogue and then of the label values, without timestamps.

        Collection has no side effect: only `exposing` writes the journal.
        """
        values = getattr(self._exposed, "values", None) or self._shown()
        return (_filled(metric, shown, self._sets) for metric, shown in zip(CATALOGUE.values(), values, strict=True))

    @contextmanager
    def exposing(self) -> Iterator[None]:
        """Write the counters of one answer to Prometheus to the journal before the answer is made.

        Inside the block `collect` yields, to this thread, exactly the values that were written.
        """
        if self._journal is None:
            yield
            return
        with self._exposing:  # the journal has the order of the answers
            values = self._shown()
            series = {
                (metric.name, labels): value
                for metric, shown in zip(CATALOGUE.values(), values, strict=True)
                if metric.kind != "gauge"
                for labels, value in shown
            }
            self._journal.write(Counts(series, self._history, self._is_stored))
            self._exposed.values = values
            try:
                yield
            finally:
                del self._exposed.values

    def _shown(self) -> list[list[tuple[Labels, Any]]]:
        """By metric: label values and value of each series, no counter below what the previous process exposed."""
        floors: Series = {} if self._journal is None else self._journal.floors
        return [self._raised(metric, floors) for metric in CATALOGUE.values()]

    def _values(self, metric: Metric) -> list[tuple[Labels, Any]]:
        with self._lock:
            # labels are unique, so values are never compared
            series = self._series[metric.name]
            values: list[tuple[Labels, Any]] = sorted((labels, one.read()) for labels, one in series.items())
        if metric.name == _OLDEST and self.held_seconds:
            return [(labels, value and value + self.held_seconds) for labels, value in values]
        return values

    def _raised(self, metric: Metric, floors: Series) -> list[tuple[Labels, Any]]:
        values = self._values(metric)
        if metric.kind == "gauge" or not floors:
            return values
        return [
            (labels, at_least(value, floors[metric.name, labels]) if (metric.name, labels) in floors else value)
            for labels, value in values
        ]

    def keep(self, journal: Journal) -> None:
        """Show no counter below the floors of `journal`, and let `exposing` write to it."""
        with self._lock:
            for name, labels in journal.floors:  # so that they are shown before they are counted again
                self._series_of(name, labels)
        self._journal = journal
        # An answer before the store is read writes the floors again, and so their history.
        history, self._is_stored = journal.history
        self._history = history or self._history

    def totals(self) -> Counts:
        """Every counter and histogram."""
        with self._lock:
            series = {
                (name, labels): one.read()
                for name, children in self._series.items()
                if CATALOGUE[name].kind != "gauge"
                for labels, one in children.items()
            }
            return Counts(series, self._history, is_stored=True)

    def stored(self) -> None:
        """A snapshot of these counters is complete."""
        self._is_stored = True

    def resume(self, counts: Counts | None) -> None:
        """Go on from what the store has, if anything; metrics, labels or buckets of other releases are left out.

        The journal is ignored from now on if it is not of these counters.
        """
        if self._journal is not None:
            self._journal.fit(None if counts is None else counts.history)
        if counts is None:
            if self._is_stored:  # the journal was of another store
                self._history, self._is_stored = token_hex(8), False
            return
        self._history, self._is_stored = counts.history, True
        with self._lock:
            for (name, labels), value in counts.series.items():
                one = self._series_of(name, labels)
                if one is not None:
                    one.add(value)

    def _series_of(self, name: str, labels: Labels) -> "_Counter | _Histogram | None":
        """The series of a counter or histogram, made if it is not there yet."""
        metric = CATALOGUE.get(name)
        if metric is None or metric.kind == "gauge" or len(labels) != len(metric.labels):
            return None
        known, children = self._known(name, labels), self._series[name]
        one = children.setdefault(known, _new_series(metric, self._sets))
        if not isinstance(one, _Counter | _Histogram):
            return None
        self._writers.setdefault((name, known), one.write)
        return one


class ObserveSink(DynamicSink[list[Measurement]]):
    """The last step of the flow: each item is a list of measurements, all that are there are recorded at once."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_ObservePartition":
        """Give every worker the same observer: they share a process and its registry."""
        return _ObservePartition(self._observer)


class _ObservePartition(StatelessSinkPartition[list[Measurement]]):
    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def write_batch(self, items: list[list[Measurement]]) -> None:
        self._observer.record(chain.from_iterable(items))


class KeptObserveSink(FixedPartitionedSink[list[Measurement], bytes]):
    """The same for a stream that is keyed, and whose counters outlive the process: they are state of this step.

    As in `KafkaSink` a process uses the first of its share of the parts, whose names are the same for any number of
    processes. In a cluster of another size counters restart from 0, which Prometheus recognises.
    """

    def __init__(self, observer: Observer, process: int = 0, processes: int = 1) -> None:
        self._observer = observer
        self._process = process
        self._processes = processes

    def list_parts(self) -> list[str]:
        """Give this process's own share of all names."""
        return [f"{n:02d}" for n in range(self._process, PARTS, self._processes)]

    def part_fn(self, item_key: str) -> int:
        """Choose this process's own part."""
        return self._process

    def build_part(self, step_id: str, for_part: str, resume_state: bytes | None) -> "_KeptObservePartition":
        """Resume the counters of this process."""
        if for_part == f"{self._process:02d}":
            limits = self._observer.limits
            found = unpack(resume_state, f"step {step_id}", self._processes, limits) if resume_state else None
            self._observer.resume(found)
        return _KeptObservePartition(self._observer, self._processes)


class _KeptObservePartition(StatefulSinkPartition[list[Measurement], bytes]):
    def __init__(self, observer: Observer, processes: int) -> None:
        self._observer = observer
        self._processes = processes
        self._has_ended_epoch = False

    def write_batch(self, values: list[list[Measurement]]) -> None:
        self._observer.record(chain.from_iterable(values))

    def snapshot(self) -> bytes:
        if self._has_ended_epoch:  # Bytewax ends an epoch when all before it are stored
            self._observer.stored()
        self._has_ended_epoch = True
        return pack(self._observer.totals(), self._processes, self._observer.limits)


def build_info() -> Measurement:
    """The measurement of csq_build_info: which versions are running; a source tree that is not installed is unknown."""

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "unknown"

    return (
        "csq_build_info",
        (installed("csq"), platform.python_version(), installed("bytewax"), installed("river")),
        1,
    )


def read(registry: CollectorRegistry, names: Container[str] | None = None) -> Values:
    """The samples of a registry, all or those of some names, for the live view and for tests."""
    values: Values = {}
    for family in registry.collect():
        for sample in family.samples:
            if names is None or sample.name in names:
                values.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return values


def exposition(registry: CollectorRegistry) -> bytes:
    """The text format, for ``metrics.prom``: the same bytes for the same values."""
    return generate_latest(registry)
