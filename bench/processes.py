"""One process against two, as ``csq run --processes`` runs them: the live flow from a real Kafka to a counting sink.

``python -m bench.processes MEMBER`` with a `Member` as JSON is one of them; it prints `ProcessResult` as JSON.
Everything that crosses from one process to another does so here too: raw events, facts, examples, and weights through
the models topic.
"""

import logging
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.testing import cluster_main
from confluent_kafka import Consumer, TopicPartition
from msgspec import Struct

from bench.meter import YARDSTICKS, Figures, peak_rss_bytes, yardstick
from bench.runs import ARRIVED, Job, Sink, wire
from flows.host.cluster.place import ProcessPlace
from flows.host.cluster.supervise import free_addresses
from flows.process import live_process, observer_of, settle_memory
from flows.settings.load import load
from flows.settings.model import Settings
from operators.connectors.kafka.models_topic import ModelsReader, ModelsSink, ensure
from operators.connectors.kafka.source import KafkaSource
from operators.domain.models.updates import Origin
from operators.engine.epochs import Epochs
from operators.follow import FollowSource, follow
from operators.metrics.observe import ObserveSink, read

TIME_LIMIT_SECONDS = 600
ORIGIN = Origin("bench", "bench", "p0")
"""Of announced weights; the topics are those of one run."""


class Member(Struct):
    """One process of a run."""

    job: Job
    process: int
    addresses: tuple[str, ...]
    """Empty for a process that is alone."""


class ProcessResult(Struct):
    """What it took, and when (POSIX seconds) it was at it."""

    figures: Figures
    began: float
    ended: float


def measure(job: Job, count: int) -> Figures:
    """Run `count` processes over the topic of `job`: time from the first event that any read to the end of all.

    Raises:
        SystemExit: one failed; its output is on standard error.
    """
    addresses = tuple(free_addresses(count)) if count > 1 else ()
    members = [Member(job, process, addresses) for process in range(count)]
    command = [sys.executable, "-m", "bench.processes"]
    children = [
        subprocess.Popen([*command, msgspec.json.encode(member).decode()], stdout=subprocess.PIPE)  # noqa: S603  ours
        for member in members
    ]
    try:
        results = [child.communicate(timeout=TIME_LIMIT_SECONDS)[0] for child in children]
    finally:
        for child in children:
            child.kill()
    if codes := [child.returncode for child in children if child.returncode]:
        raise SystemExit(f"bench: a run with {count} processes ended with exit code {codes[0]}; see above")
    return together([msgspec.json.decode(output.splitlines()[-1], type=ProcessResult) for output in results])


def together(results: list[ProcessResult]) -> Figures:
    """One run of several processes: it lasts from the beginning of the first to the end of the last."""
    figures = [each.figures for each in results]
    return Figures(
        events=figures[0].events,
        seconds=max(each.ended for each in results) - min(each.began for each in results),
        cpu_seconds=sum(each.cpu_seconds for each in figures),
        rss_bytes=sum(each.rss_bytes for each in figures),
        counted={name: sum(each.counted[name] for each in figures) for name in figures[0].counted},
        published=sum(each.published for each in figures),
        published_bytes=sum(each.published_bytes for each in figures),
        yardstick_seconds=min(each.yardstick_seconds for each in figures),
    )


class Ends(dict[str, int]):
    """Positions of the source; it stops at the end offsets of the start."""

    def __init__(self, ends: dict[str, int], stop: Event) -> None:
        super().__init__()
        self._ends, self._stop = ends, stop
        self.began: tuple[float, float] | None = None
        """POSIX seconds and CPU seconds at which the first records were handed on."""

    def __setitem__(self, name: str, position: int) -> None:
        super().__setitem__(name, position)
        if self.began is None and position > 0:  # where to begin is a negative number
            self.began = (time.time(), time.process_time())
        if all(at >= self._ends[part] for part, at in self.items()):
            self._stop.set()


def ends_of(settings: Settings, topic: str) -> dict[str, int]:
    """Where each partition (`topic[n]`) ends."""
    consumer = Consumer(settings.kafka.client_config({"group.id": "csq-bench"}))
    seconds = settings.kafka.connect_seconds
    try:
        numbers = consumer.list_topics(topic, timeout=seconds).topics[topic].partitions
        return {
            f"{topic}[{number}]": consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=seconds)[1]
            for number in numbers
        }
    finally:
        consumer.close()


class MemberRun:
    """One process."""

    def __init__(self, member: Member) -> None:
        job, self.place = member.job, ProcessPlace(member.process, member.addresses)
        self.job, self.stop, self.sink = job, Event(), Sink(member.process)
        settings = load(None, os.environ)
        kafka = msgspec.structs.replace(
            settings.kafka, brokers=(job.brokers or "",), topics=(job.topic,), models_topic=f"{job.topic}.models"
        )
        self.settings = msgspec.structs.replace(settings, kafka=kafka)
        self.positions = Ends(ends_of(self.settings, job.topic), self.stop)
        self._ahead = job.last - time.time()

    def clock(self) -> float:
        """The wall clock of a day on which all that is in the stream has happened."""
        return time.time() + self._ahead

    def run(self) -> ProcessResult:
        """Measure."""
        yardstick_seconds = min(yardstick() for _ in range(YARDSTICKS))
        registry, observer = observer_of(self.settings, self.clock)
        flow = self._flow(observer)
        settle_memory()
        every = timedelta(seconds=self.settings.state.snapshot_seconds)
        cluster_main(flow, list(self.place.addresses), self.place.process, epoch_interval=every)
        ended, cpu_ended = time.time(), time.process_time()
        began = self.positions.began
        if began is None:
            raise RuntimeError("the process read no event")
        found = read(registry, ARRIVED)
        figures = Figures(
            events=self.job.events,
            seconds=ended - began[0],
            cpu_seconds=cpu_ended - began[1],
            rss_bytes=peak_rss_bytes(),
            counted={name: int(sum(children.values())) for name, children in found.items()},
            published=self.sink.records,
            published_bytes=self.sink.bytes,
            yardstick_seconds=yardstick_seconds,
        )
        return ProcessResult(figures, began[0], ended)

    def _flow(self, observer: Any) -> Dataflow:  # noqa: ANN401  made by `observer_of`
        kafka, place = self.settings.kafka, self.place
        epochs = Epochs(self.settings.state.snapshot_seconds, place.processes)
        source = KafkaSource(kafka, kafka.topics, ready=self._is_ready, stop=self.stop, epochs=epochs)
        source.status.positions = self.positions
        alone = place.processes == 1
        self.here = live_process(
            self.settings,
            self.clock,
            take_snapshots=False,
            place=place,
            parts=None if alone else lambda: source.status.parts,
        )
        if not alone:
            self.here = replace(self.here, origin=ORIGIN._replace(process=place.name))
        flow, out = wire(self.here, source, observer, self.sink)
        if not alone:
            ensure(kafka, kafka.models_topic)
            names = [f"p{number}" for number in range(place.processes)]
            reader = ModelsReader(kafka, kafka.models_topic, ORIGIN.cluster)
            models = FollowSource(
                reader, self.here.models, self.settings, ORIGIN._replace(process=place.name), names, self.stop, epochs
            )
            followed = follow("follow", flow, models)
            op.output("observe_models", followed.measured, ObserveSink(observer))
            op.output(
                "tell", op.merge("models", out.announced, followed.announced), ModelsSink(kafka, kafka.models_topic)
            )
        return flow

    def _is_ready(self) -> bool:
        return self.here.models.complete()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    sys.stdout.buffer.write(msgspec.json.encode(MemberRun(msgspec.json.decode(sys.argv[1], type=Member)).run()) + b"\n")
