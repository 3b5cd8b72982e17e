"""One measured run in a process of its own: the flow or the bare loop, from memory or from Kafka.

``python -m bench.runs JOB`` with a `Job` as JSON; prints `Figures` as JSON. ``python -m bench`` starts these.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.testing import cluster_main
from msgspec import Struct

from bench import stream
from bench.bare import Bare
from bench.meter import Figures, Meter, peak_rss_bytes
from flows.process import live_process, observer_of
from flows.quality import quality
from flows.settings import Settings, load
from operators.domain.outgoing import Outgoing
from operators.domain.route import END, Chunk
from operators.observe import Observer, ObserveSink, read

COMPARED = ("csq_events_total", "csq_duplicates_total", "csq_dead_letters_total", "csq_turns_total")
"""Metrics of which both ways must count the same."""


class Job(Struct, kw_only=True):
    """What is to be measured."""

    way: Literal["flow", "bare", "stages"]
    """`stages` is the bare loop with a clock around each stage."""
    path: str
    """A file of `bench/stream.py`."""
    last: float
    """Event time of its last event, POSIX seconds."""
    brokers: str | None = None
    topic: str = ""
    feed: bool = False
    memory: bool = True


class Sink(FixedPartitionedSink[list[Outgoing], None]):
    """Takes encoded records where Kafka would, and counts them."""

    def __init__(self) -> None:
        self.records = self.bytes = 0

    def take(self, records: list[Outgoing]) -> None:
        """Count."""
        self.records += len(records)
        for record in records:
            self.bytes += len(record.value)

    def list_parts(self) -> list[str]:
        """As few as possible."""
        return ["sink"]

    def part_fn(self, item_key: str) -> int:  # noqa: ARG002  Bytewax names them
        """The only one."""
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_SinkPart":  # noqa: ARG002  as above
        """The only one."""
        return _SinkPart(self)


class _SinkPart(StatefulSinkPartition[list[Outgoing], None]):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write_batch(self, values: list[list[Outgoing]]) -> None:
        for records in values:
            self._sink.take(records)

    def snapshot(self) -> None:
        return None


class MemorySource(FixedPartitionedSource[Chunk, None]):
    """Chunks from memory."""

    def __init__(self, chunks: Iterable[Chunk], ready: Callable[[], bool], on_start: Callable[[], None]) -> None:
        self._chunks, self._ready, self._on_start = iter(chunks), ready, on_start

    def list_parts(self) -> list[str]:
        """One."""
        return ["memory"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_MemoryPart":  # noqa: ARG002  as above
        """The only one."""
        return _MemoryPart(self._chunks, self._ready, self._on_start)


class _MemoryPart(StatefulSourcePartition[Chunk, None]):
    def __init__(self, chunks: Iterator[Chunk], ready: Callable[[], bool], on_start: Callable[[], None]) -> None:
        self._chunks, self._ready, self._on_start = chunks, ready, on_start

    def next_batch(self) -> list[Chunk]:
        if not self._ready():
            return []
        self._on_start()
        return [next(self._chunks)]

    def snapshot(self) -> None:
        return None


def flow(settings: Settings, clock: Callable[[], float], observer: Observer, sink: Sink, source: Any) -> Dataflow:  # noqa: ANN401  made by `source(ready)`
    """The live flow (``flows/live.py``) between another source and a sink that counts."""
    here = live_process(settings, clock, keep=False)
    live = Dataflow("bench")
    out = quality(live, op.input("chunks", live, source(here.models.complete)), here)
    op.output("observe", out.measured, ObserveSink(observer))
    dead = op.map("dead_letter", out.dead, lambda record: [record])
    outgoing = op.key_on("by_process", op.merge("outgoing", out.published, dead), lambda _: here.name)
    op.output("publish", outgoing, sink)
    return live


def chunks_of(values: list[bytes], size: int) -> list[Chunk]:
    """The stream as a source would read it, then its end."""
    starts = range(0, len(values), size)
    chunks = [
        Chunk("memory", None, list(range(at, at + len(part))), part)
        for at in starts
        if (part := values[at : at + size])
    ]  # type: ignore[arg-type]  # a list of bytes is one of bytes or None
    return [*chunks, Chunk("memory", END, [], [])]


def run(job: Job) -> Figures:
    """Measure."""
    settings = load(None, os.environ)
    ahead = job.last - time.time()

    def clock() -> float:
        return time.time() + ahead  # all that is in the stream has happened by now

    registry, observer = observer_of(settings, clock)
    sink, meter, stages = Sink(), Meter(), dict[str, float]()
    values = [raw.value for raw in stream.read(Path(job.path))]
    chunks = chunks_of(values, settings.kafka.batch_size)
    if job.way == "flow":
        measured = flow(settings, clock, observer, sink, lambda ready: MemorySource(chunks, ready, meter.start))
        cluster_main(measured, [], 0, epoch_interval=timedelta(seconds=settings.state.snapshot_seconds))
    else:
        bare = Bare(settings, clock, observer, sink.take)
        if job.way == "stages":
            bare.timed(stages)
        meter.start()
        bare.run(chunks)
    seconds, cpu_seconds = meter.read()
    found = read(registry, COMPARED)
    return Figures(
        events=len(values),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        rss_bytes=peak_rss_bytes(),
        counted={name: int(sum(children.values())) for name, children in found.items()},
        published=sink.records,
        published_bytes=sink.bytes,
        stages=stages,
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    sys.stdout.buffer.write(msgspec.json.encode(run(msgspec.json.decode(sys.argv[1], type=Job))) + b"\n")
