"""Runs over a recorded partition with a recovery store, in this process: to stop anywhere and to resume from there."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.testing import cluster_main

from flows.host.recovery import recovery_of, store_errors
from flows.process import observer_of, replay_process
from flows.quality import quality
from flows.settings.model import Settings
from operators.domain.time.route import END, Chunk
from operators.engine.generation import stamp
from operators.engine.positions import Position, kept_position, position_of
from operators.metrics.observe import KeptObserveSink, Values, read
from operators.metrics.summary import TakeSink
from tests.streams import NOW, with_settings

PARTITION = "csq.events[0]"
BATCH = 16


def settings_for(folder: Path | None, **state: Any) -> Settings:
    """Few lanes and one partition: a small store."""
    directory = None if folder is None else str(folder)
    return with_settings(state={"lanes": 2, "recovery_partitions": 1, "directory": directory, **state})


class Recorded(FixedPartitionedSource[Chunk, bytes]):
    """In place of a partition of Kafka; ends at offset `until`, as after SIGTERM, or with the end of time."""

    def __init__(self, values: Sequence[bytes], until: int | None, ready: Any) -> None:
        self.values, self.until, self.ready = values, until, ready

    def list_parts(self) -> list[str]:
        return [PARTITION]

    def build_part(self, step_id: str, for_part: str, resume_state: bytes | None) -> "_Part":
        return _Part(self, 0 if resume_state is None else position_of(resume_state, for_part).next)


class _Part(StatefulSourcePartition[Chunk, bytes]):
    def __init__(self, recorded: Recorded, offset: int) -> None:
        self._recorded, self._offset, self._ended = recorded, offset, False

    def next_batch(self) -> list[Chunk]:
        values, until = self._recorded.values, self._recorded.until
        if not self._recorded.ready():
            return []
        end = len(values) if until is None else until
        if self._ended or (until is not None and self._offset >= end):
            raise StopIteration
        some = list(values[self._offset : min(self._offset + BATCH, end)])
        begin, self._offset = self._offset, self._offset + len(some)
        self._ended = until is None and self._offset >= end
        positions = list(range(begin, self._offset))
        return [Chunk(PARTITION, END if self._ended else None, positions, list(some))]

    def snapshot(self) -> bytes:
        return kept_position(Position(self._offset))


@dataclass(frozen=True)
class Result:
    """The output of a run."""

    published: dict[str, Counter[bytes]]
    values: Values


def run(values: Sequence[bytes], settings: Settings, *, until: int | None = None) -> Result:
    """Resume from the store of the settings; each batch is a snapshot, so that nothing depends on timing."""
    take_snapshots = settings.state.directory is not None
    here = dataclasses.replace(replay_process(settings, NOW, tick_records=BATCH), take_snapshots=take_snapshots)
    registry, observer = observer_of(settings, None)
    published: defaultdict[str, Counter[bytes]] = defaultdict(Counter)

    def take(records: Iterable[Any]) -> None:
        for record in records:
            published[record.stream][record.value] += 1

    flow = Dataflow("csq")
    out = quality(flow, op.input("kafka", flow, Recorded(values, until, here.models.complete)), here)
    op.output("observe", op.key_on("measured_by", out.measured, lambda _: "p0"), KeptObserveSink(observer))
    op.output("take_published", out.published, TakeSink(take))
    store = recovery_of(settings, flow)
    with store_errors(settings):
        config = None if store is None else store.config
        cluster_main(flow, [], 0, epoch_interval=timedelta(0), recovery_config=config)
    if store is not None:
        stamp(Path(store.config.db_dir), store.run.marks, store.run.name)
    return Result(dict(published), read(registry))
