"""Warm start: history through the same graph into a new recovery store, from which a live process resumes.

The store holds what a live process would hold after reading the files: records, open conversations, models. Positions
of Kafka partitions stay unset, so live running begins where ``kafka.start`` says.
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
from operators.engine.fit import stateful_steps
from operators.engine.recovery import fresh_store
from operators.engine.store import partitions
from operators.metrics.observe import Observer, ObserveSink, read
from operators.metrics.summary import TakeSink

HISTORY = "history"
"""Step that reads the files. Its position is removed from the store."""
EPOCH = timedelta(seconds=60)


def flow(process: Process, source: JsonlSource, observer: Observer) -> Dataflow:
    """Connect files and the graph under the step names of live running; nothing is published."""
    history = Dataflow("csq")
    out = quality(history, op.input(HISTORY, history, source), process)
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
    """Fill a new store in `folder` from the files; return the numbers of events, duplicates and dead letters.

    Raises:
        StoreError: `folder` exists and is not empty, or it cannot be written.
    """
    process = dataclasses.replace(replay_process(settings, now, tick_records=batch_size), take_snapshots=True)
    registry, observer = observer_of(settings, None)
    source = JsonlSource(paths, batch_size=batch_size, ready=process.models.complete, progress=progress)
    history = flow(process, source, observer)
    settle_memory()
    with fresh_store(folder, shape_of(settings.state, stateful_steps(history))) as fresh:
        cluster_main(history, [], 0, epoch_interval=EPOCH, recovery_config=RecoveryConfig(str(fresh)))
        _forget_position(fresh)
    values = read(registry)
    names = ("csq_events_total", "csq_duplicates_total", "csq_dead_letters_total")
    events, repeats, dead = (int(sum(values[name].values())) for name in names)
    return {"events": events, "duplicates": repeats, "dead_letters": dead}


def _forget_position(folder: Path) -> None:
    """Remove the position: these files are not read again."""
    for path in partitions(folder):
        with closing(sqlite3.connect(path)) as part, part:
            part.execute("DELETE FROM snaps WHERE step_id = ?", (f"csq.{HISTORY}",))


def _drop(_: object) -> None:
    pass
