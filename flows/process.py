"""The parts around the graph that live running and replay share."""

import ctypes
import gc
import math
from collections.abc import Callable
from importlib import import_module

from prometheus_client import GC_COLLECTOR, CollectorRegistry, PlatformCollector, ProcessCollector

from flows.host.cluster.place import ALONE, ProcessPlace
from flows.quality import Process
from flows.settings.calendars import calendars_of
from flows.settings.closed_sets import closed_sets, labels_of
from flows.settings.model import Settings
from flows.settings.privacy import pseudonyms_of
from operators.domain.models.model import Models
from operators.domain.models.registry import MODELS
from operators.domain.stage.promise import Promises
from operators.domain.time.lanes import Lanes
from operators.domain.time.route import Router
from operators.metrics.observe import Observer, build_info

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""
YOUNG_CONTAINERS = 200_000
"""Containers allocated and not yet freed before the collector traverses them. A batch of 16,000 events holds more than
50,000 in flight, which each collection traverses in vain: with 20,000 that took 5 % of the CPU time. The pause grows
with the number; with 200,000 it is 10 to 30 ms."""


def observer_of(
    settings: Settings, clock: Callable[[], float] | None, origins: tuple[str, ...] = ()
) -> tuple[CollectorRegistry, Observer]:
    """A registry of its own, and the one writer of its series; without a clock no ages are counted."""
    registry = CollectorRegistry()
    observer = Observer(registry, closed_sets(settings, origins), clock=clock)
    observer.record([build_info()])
    return registry, observer


def add_process_metrics(registry: CollectorRegistry) -> None:
    """What any exporter shows of its process: ``process_*``, ``python_gc_*``, ``python_info``."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(GC_COLLECTOR)


def live_process(
    settings: Settings,
    clock: Callable[[], float],
    *,
    take_snapshots: bool,
    place: ProcessPlace = ALONE,
    parts: Callable[[], int] | None = None,
    tick_records: float = math.inf,
    latest: Callable[[], float] | None = None,
    on_forgotten: Callable[[], None] = lambda: None,
) -> Process:
    """Time moves with the wall clock where an origin has been read to its end; lanes get it several times a second.

    `parts` returns how many partitions all processes read together, if there are several. With `tick_records` lanes
    also get the time after so many records. `latest` is what intake measures the future from, by default `clock`.
    """
    return _process(
        settings,
        clock,
        take_snapshots=take_snapshots,
        tick_seconds=settings.kafka.tick_seconds,
        tick_records=tick_records,
        is_live=True,
        place=place,
        parts=parts,
        latest=latest,
        on_forgotten=on_forgotten,
    )


def replay_process(settings: Settings, now: float, *, tick_records: int) -> Process:
    """Time moves with the events; lanes get it every `tick_records` records. `now` only defines the future."""
    return _process(settings, lambda: now, take_snapshots=False, tick_seconds=math.inf, tick_records=tick_records)


def settle_memory() -> None:
    """Exclude the objects of the start from garbage collection, and collect less often.

    Events, turns and facts are short-lived and have no cycles; the search for cycles took a tenth of the time. River is
    imported here: in a process without a learner the first forecast would import it and stop the flow.
    """
    for module in ("linear_model", "optim", "time_series", "utils"):
        import_module(f"river.{module}")
    _keep_pages()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_CONTAINERS, 5, 500)  # survivors are traversed often, so no pause is long


def _keep_pages() -> None:
    """Let glibc keep freed memory; otherwise it maps new pages for each large value, which the kernel fills with zeros.

    Large values are snapshots, hundreds at a time, while the flow is stopped; mapping took a third of that time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other libraries have none
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most it takes
        mallopt(M_TRIM_THRESHOLD, 1 << 30)


def _process(
    settings: Settings,
    clock: Callable[[], float],
    *,
    take_snapshots: bool,
    tick_seconds: float,
    tick_records: float,
    is_live: bool = False,
    place: ProcessPlace = ALONE,
    parts: Callable[[], int] | None = None,
    latest: Callable[[], float] | None = None,
    on_forgotten: Callable[[], None] = lambda: None,
) -> Process:
    lanes = Lanes(settings.state.lanes)
    router = Router(
        lanes,
        max_bytes=settings.intake.max_bytes,
        slack_seconds=settings.order.out_of_order_seconds,
        clock=clock,
        origin=place.name,
        parts=parts,
        ahead_seconds=settings.intake.ahead_seconds,
        tick_seconds=tick_seconds,
        tick_records=tick_records,
    )
    return Process(
        settings,
        clock,
        latest or clock,
        Models(MODELS),
        router,
        lanes,
        labels_of(settings),
        Promises(settings.promises, calendars_of(settings.promises.calendars)),
        place.name,
        place.processes,
        take_snapshots=take_snapshots,
        is_live=is_live,
        pseudonyms=pseudonyms_of(settings.privacy),
        on_forgotten=on_forgotten,
    )
