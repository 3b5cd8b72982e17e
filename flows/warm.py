"""Warm start: history through the same path into a fresh recovery store, from which live running goes on.

What it stores is what a live process would hold that had read the files: records, open conversations, models. The
positions of Kafka partitions stay unset, so live running begins where ``kafka.start`` says.
"""

import dataclasses
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig
from bytewax.testing import cluster_main

from flows.host.recovery import shape_of
from flows.process import observer_of, replay_process, settle_memory
from flows.quality import Process, quality
from flows.settings.model import Settings
from operators.connectors.files.jsonl import JsonlSource
from operators.engine.recovery import fresh_store, stateful_steps
from operators.engine.store import partitions
from operators.metrics.observe import Observer, ObserveSink, read
from operators.metrics.summary import TakeSink

HISTORY = "history"
"""Step that reads the files; it leaves no position in the store."""
EPOCH = timedelta(seconds=60)


def flow(here: Process, source: JsonlSource, observer: Observer) -> Dataflow:
    """Files and the graph under the names of live running; nothing is published."""
    history = Dataflow("csq")
    out = quality(history, op.input(HISTORY, history, source), here)
    op.output("observe", out.measured, ObserveSink(observer))
    op.output("drop_published", out.published, TakeSink(_drop))
    return history


def warm_start(
    settings: Settings,
    paths: Sequence[str],
    folder: Path,
    *,
    batch_size: int,
    now: float,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, int]:
    """Fill a new store in `folder` from the files; how many events, repeats and dead letters there were.

    Raises:
        StoreError: `folder` exists and is not empty, or it cannot be written.
    """
    here = dataclasses.replace(replay_process(settings, now, tick_records=batch_size), take_snapshots=True)
    registry, observer = observer_of(settings, None)
    source = JsonlSource(paths, batch_size=batch_size, ready=here.models.complete, progress=progress)
    history = flow(here, source, observer)
    settle_memory()
    with fresh_store(folder, shape_of(settings.state, stateful_steps(history))) as fresh:
        cluster_main(history, [], 0, epoch_interval=EPOCH, recovery_config=RecoveryConfig(str(fresh)))
        _forget_position(fresh)
    values = read(registry)
    names = ("csq_events_total", "csq_duplicates_total", "csq_dead_letters_total")
    events, repeats, dead = (int(sum(values[name].values())) for name in names)
    return {"events": events, "duplicates": repeats, "dead_letters": dead}


def _forget_position(folder: Path) -> None:
    """Nobody will read these files on."""
    for path in partitions(folder):
        with closing(sqlite3.connect(path)) as part, part:
            part.execute("DELETE FROM snaps WHERE step_id = ?", (f"csq.{HISTORY}",))


def _drop(_: object) -> None:
    pass
