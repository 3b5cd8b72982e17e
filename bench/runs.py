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

from bench import feed, kafka, stream
from bench.bare import Bare
from bench.meter import Figures, Meter, peak_rss_bytes
from flows.process import live_process, observer_of
from flows.quality import Process, Quality, quality
from flows.settings.load import load
from flows.settings.model import Settings
from operators.domain.time.route import END, Chunk
from operators.domain.wire.outgoing import Outgoing
from operators.metrics.observe import Observer, ObserveSink, read

ARRIVED = ("csq_events_total", "csq_duplicates_total", "csq_dead_letters_total")
"""Metrics of which both ways must count the same."""
COMPARED = (*ARRIVED, "csq_turns_total")
"""The same from memory, where the input has an end."""


class Job(Struct, kw_only=True):
    """What is to be measured."""

    way: Literal["flow", "bare", "stages"]
    """`stages` is the bare loop with a clock around each stage."""
    path: str
    """A file of `bench/stream.py`."""
    last: float
    """Event time of its last event, POSIX seconds."""
    origin: Literal["memory", "kafka"] = "memory"
    events: int
    brokers: str | None = None
    """A real Kafka; else an embedded broker is fed while it is read."""
    topic: str = feed.TOPIC


class Sink(FixedPartitionedSink[list[Outgoing], None]):
    """Takes encoded records where Kafka would, and counts them; as there, each process has a part of its own."""

    def __init__(self, process: int = 0) -> None:
        self.records = self.bytes = 0
        self._process = process

    def take(self, records: list[Outgoing]) -> None:
        """Count."""
        self.records += len(records)
        for record in records:
            self.bytes += len(record.value)

    def list_parts(self) -> list[str]:
        """As few as possible."""
        return [f"{self._process:02d}"]

    def part_fn(self, item_key: str) -> int:  # noqa: ARG002  Bytewax names them
        """That of this process."""
        return self._process

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
    here = live_process(settings, clock, take_snapshots=False)
    return wire(here, source(here.models.complete), observer, sink)[0]


def wire(here: Process, source: Any, observer: Observer, sink: Sink) -> tuple[Dataflow, Quality]:  # noqa: ANN401  any source of chunks
    """The graph, and its output."""
    live = Dataflow("bench")
    out = quality(live, op.input("chunks", live, source), here)
    op.output("observe", out.measured, ObserveSink(observer))
    op.output("publish", op.key_on("by_process", out.published, lambda _: here.name), sink)
    return live, out


def chunks_of(values: list[bytes], size: int) -> list[Chunk]:
    """The stream as a source would read it, then its end."""
    starts = range(0, len(values), size)
    chunks = [
        Chunk("memory", None, list(range(at, min(at + size, len(values)))), [*values[at : at + size]]) for at in starts
    ]
    return [*chunks, Chunk("memory", END, [], [])]


class Bench:
    """What all ways of a run need."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.settings = load(None, os.environ)
        self._ahead = job.last - time.time()
        self.registry, self.observer = observer_of(self.settings, self.clock)
        self.sink, self.meter = Sink(), Meter()
        self.stages: dict[str, float] = {}

    def clock(self) -> float:
        """The wall clock of a day on which all that is in the stream has happened."""
        return time.time() + self._ahead

    def run(self) -> Figures:
        """Measure."""
        if self.job.origin == "memory":
            self._from_memory()
        elif self.job.brokers is not None:
            self._from_kafka(self.job.brokers, lambda _: None)
        else:
            with feed.feeding(self.job.path) as feeder:
                self._from_kafka(feeder.brokers, feeder.report)
        # Turns are counted when event time has passed them; a topic has no end, so its last ones are not.
        found = read(self.registry, COMPARED if self.job.origin == "memory" else ARRIVED)
        return Figures(
            events=self.job.events,
            seconds=self.seconds,
            cpu_seconds=self.cpu_seconds,
            rss_bytes=peak_rss_bytes(),
            counted={name: int(sum(children.values())) for name, children in found.items()},
            published=self.sink.records,
            published_bytes=self.sink.bytes,
            yardstick_seconds=self.meter.yardstick_seconds,
            stages=self.stages,
        )

    def _from_memory(self) -> None:
        values = [raw.value for raw in stream.read(Path(self.job.path))]
        chunks = chunks_of(values, self.settings.kafka.batch_size)
        if self.job.way == "flow":
            self._flow(lambda ready: MemorySource(chunks, ready, self.meter.start))
        else:
            self._bare(self._started([chunk] for chunk in chunks))

    def _started(self, batches: Iterable[list[Chunk]]) -> Iterator[list[Chunk]]:
        self.meter.start()
        yield from batches

    def _from_kafka(self, brokers: str, report: Callable[[int], None]) -> None:
        params = msgspec.structs.replace(self.settings.kafka, brokers=(brokers,))
        total, topic, meter = self.job.events, self.job.topic, self.meter
        meter.prepare()

        def came(read: int) -> None:
            meter.start()  # not sooner: how long a broker takes to answer the first fetch is not what is measured
            report(read)

        if self.job.way == "flow":
            self._flow(lambda ready: kafka.source(params, topic, total, ready, came))
        else:
            self._bare(kafka.bare_chunks(params, topic, total, came))

    def _flow(self, source: Callable[[Callable[[], bool]], Any]) -> None:
        measured = flow(self.settings, self.clock, self.observer, self.sink, source)
        cluster_main(measured, [], 0, epoch_interval=timedelta(seconds=self.settings.state.snapshot_seconds))
        self.seconds, self.cpu_seconds = self.meter.read()

    def _bare(self, batches: Iterable[list[Chunk]]) -> None:
        bare = Bare(self.settings, self.clock, self.observer, self.sink.take)
        if self.job.way == "stages":
            bare.timed(self.stages)
        bare.run(batches)
        self.seconds, self.cpu_seconds = self.meter.read()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    sys.stdout.buffer.write(msgspec.json.encode(Bench(msgspec.json.decode(sys.argv[1], type=Job)).run()) + b"\n")
