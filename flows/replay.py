"""Replay: recorded events through the same graph at full speed. The same events give the same bytes."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import cluster_main
from prometheus_client import CollectorRegistry

from flows.process import observer_of, replay_process, settle_memory
from flows.quality import Process, quality
from flows.settings.model import Settings
from operators.connectors.files.jsonl import JsonlSink, JsonlSource
from operators.domain.stage.labels import Labels
from operators.domain.stage.sightings import CONVERSATIONS
from operators.domain.wire.outgoing import STREAMS
from operators.metrics.observe import Observer, ObserveSink, exposition, read
from operators.metrics.other_names import shares
from operators.metrics.summary import Summary, TakeSink

EPOCH = timedelta(seconds=10)
"""Nothing is stored, so epochs may be long."""


def flow(process: Process, source: JsonlSource, folder: Path, observer: Observer, summary: Summary) -> Dataflow:
    """Connect files, the graph, and files."""
    replay = Dataflow("replay")
    chunks = op.input("files", replay, source)
    out = quality(replay, chunks, process)
    op.output("observe", out.measured, ObserveSink(observer))
    op.output("waits", out.measured, TakeSink(summary.take_measured))
    op.output("judged", out.judged, TakeSink(summary.take_judged))
    op.output("publish", op.flat_map("each", out.published, lambda records: records), JsonlSink(folder, STREAMS))
    return replay


def replay(
    settings: Settings,
    paths: Sequence[str],
    folder: Path,
    *,
    batch_size: int,
    now: float,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Replay the files into `folder`, and return the summary.

    Events must not be ahead of `now` (POSIX seconds). A batch is scored before its labels are learned:
    small batches suit an evaluation, large ones are faster.
    """
    process = replay_process(settings, now, tick_records=batch_size)
    registry, observer = observer_of(settings, None)
    summary = Summary()
    source = JsonlSource(paths, batch_size=batch_size, ready=process.models.complete, progress=progress)
    settle_memory()
    started = time.perf_counter()
    cluster_main(flow(process, source, folder, observer, summary), [], 0, epoch_interval=EPOCH)
    seconds = time.perf_counter() - started
    (folder / "metrics.prom").write_bytes(exposition(registry))
    return _summary(registry, summary, process, seconds) | {"batch_size": batch_size}


def other_names(labels: Labels) -> dict[str, dict[str, int]]:
    """Return label -> name measured as `other` -> events with it.

    Names that were admitted on the way count with the fewest that it takes.
    """
    found = {label: dict(names) for label, names in labels.seen.items()}
    for label in ("queue", "channel"):
        found[label] = dict.fromkeys(labels.of[label].admitted(), CONVERSATIONS) | found.get(label, {})
    return {label: dict(sorted(names.items())) for label, names in found.items() if names}


def _summary(registry: CollectorRegistry, summary: Summary, process: Process, seconds: float) -> dict[str, Any]:
    values = read(registry)
    events = {name: int(n) for (name,), n in values["csq_events_total"].items() if n}
    dead = {reason: int(n) for (reason,), n in values["csq_dead_letters_total"].items() if n}
    total = sum(events.values())
    return {
        "events": events,
        "dead_letters": dead,
        "duplicates": int(values["csq_duplicates_total"][()]),
        **summary.as_dict(),
        "other": {
            "names": other_names(process.labels),
            "replies": shares(values.get("csq_reply_seconds_count", {})),
            "attributes": dict(sorted(process.ignored_attributes.items())),
        },
        "seconds": round(seconds, 3),
        "events_per_second": round(total / seconds) if seconds > 0 else 0,
    }
