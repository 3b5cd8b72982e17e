"""What a process needs around the graph, the same for live running and replay."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from flows.quality import MODELS, Process
from flows.settings import Settings
from operators.domain.lane import Lanes
from operators.domain.route import Router
from operators.metrics import ClosedSets
from operators.models import Models
from operators.observe import Observer, build_info

STAGES = ("intake", "conversations", "queues", "customers", "learn")


def closed_sets(settings: Settings, origins: tuple[str, ...] = ()) -> ClosedSets:
    """The label values of this installation."""
    labels = settings.labels
    return ClosedSets(
        queue=labels.queues,
        channel=labels.channels,
        segment=labels.segments,
        model=MODELS,
        stage=STAGES,
        source=origins,
    )


def observer_of(settings: Settings, clock: Callable[[], float] | None) -> tuple[CollectorRegistry, Observer]:
    """A registry of its own, and the one writer of its series; without a clock no ages are counted."""
    registry = CollectorRegistry()
    observer = Observer(registry, closed_sets(settings), clock=clock)
    observer.record([build_info()])
    return registry, observer


def live_process(settings: Settings, clock: Callable[[], float], *, keep: bool, tick_seconds: float = 0.25) -> Process:
    """Time moves with the wall clock where an origin has been read to its end: a tick every quarter of a second."""
    return _process(settings, clock, keep=keep, tick_seconds=tick_seconds)


def replay_process(settings: Settings, now: float, *, tick_records: int) -> Process:
    """Time moves with the events; `now` (POSIX seconds) only says what is the future. A tick every `tick_records` records."""
    return _process(settings, lambda: now, keep=False, tick_records=tick_records)


def _process(settings: Settings, clock: Callable[[], float], *, keep: bool, **ticks: float) -> Process:
    lanes = Lanes(settings.state.lanes)
    router = Router(
        lanes,
        max_bytes=settings.intake.max_bytes,
        slack_seconds=settings.order.out_of_order_seconds,
        clock=clock,
        **ticks,
    )
    return Process(settings, clock, Models(MODELS), router, lanes, keep=keep)
