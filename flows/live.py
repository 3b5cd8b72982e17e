"""Live running: Kafka, or the embedded broker and a simulated shop, through the graph to metrics and topics.

``python -m bytewax.run 'flows.live:flow("my.yaml")'`` runs it under Bytewax's own runner; ``csq run`` adds the live
view.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main
from prometheus_client import CollectorRegistry

from flows.process import live_process, observer_of, settle_memory
from flows.quality import quality
from flows.settings import Settings, load
from flows.shop import Shop
from flows.web import WebServer, application
from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka_sink import KafkaSink
from operators.connectors.kafka_source import KafkaSource
from operators.domain.outgoing import Outgoing
from operators.observe import Observer, ObserveSink

log = logging.getLogger(__name__)

IDLE_LIMIT_SECONDS = 30.0
"""A flow that has not moved for so long is stuck: it moves four times a second even where nothing comes."""
RECOVERY_PARTITIONS = 4


class Heart:
    """Wall time; whoever asks it shows that the flow still moves."""

    def __init__(self) -> None:
        self._beat = time.monotonic()

    def __call__(self) -> float:
        """POSIX seconds."""
        self._beat = time.monotonic()
        return time.time()

    def idle_seconds(self) -> float:
        """Seconds since somebody last asked for the time."""
        return time.monotonic() - self._beat


class Live:
    """One live process: what it reads, serves and writes; `run` returns when it was stopped."""

    def __init__(self, settings: Settings) -> None:
        self.stop = threading.Event()
        self.broker: EmbeddedBroker | None = None
        if not settings.kafka.brokers:
            self.broker = EmbeddedBroker([*settings.kafka.topics, *settings.kafka.outputs.by_stream().values()])
            kafka = msgspec.structs.replace(
                settings.kafka,
                brokers=(self.broker.bootstrap_servers,),
                librdkafka={"fetch.wait.max.ms": 10, **settings.kafka.librdkafka},  # it answers only after that wait
            )
            state = settings.state
            if state.directory is not None:
                log.warning("state.directory is ignored: the embedded broker forgets its events when it stops")
                state = msgspec.structs.replace(state, directory=None)
            settings = msgspec.structs.replace(settings, kafka=kafka, state=state)
        self.settings = settings
        self.heart = Heart()
        self.here = live_process(settings, self.heart, keep=settings.state.directory is not None)
        self.registry: CollectorRegistry
        self.observer: Observer
        self.registry, self.observer = observer_of(settings, time.time, settings.kafka.topics)
        self.source = KafkaSource(settings.kafka, settings.kafka.topics, ready=self.is_ready, stop=self.stop)
        self.source.status.on_lag = self.observe_lag
        app = application(self.registry, self.heart.idle_seconds, IDLE_LIMIT_SECONDS, self.obstacles)
        self.web = WebServer(app, settings.http.host, settings.http.port)
        self.shop = Shop(settings, self.stop) if self.broker is not None else None

    def obstacles(self) -> list[str]:
        """Why the process is not ready, in words."""
        reasons = []
        missing = [name for name in self.here.models.expected if name not in self.here.models]
        if missing:
            reasons.append(f"models not loaded yet: {', '.join(missing)}")
        if not self.source.status.connected:
            reasons.append(f"Kafka: {self.source.status.reason}")
        if self.stop.is_set():
            reasons.append("stopping")
        return reasons

    def is_ready(self) -> bool:
        """Whether reading may begin: the models are there, and of a simulated shop the past is told."""
        return self.here.models.complete() and (self.shop is None or self.shop.is_present.is_set())

    def observe_lag(self, lags: Mapping[tuple[str, int], int]) -> None:
        """Export what is still to be read of each partition."""
        self.observer.record(
            ("csq_source_lag_messages", (topic, str(partition)), lag) for (topic, partition), lag in lags.items()
        )

    def flow(self) -> Dataflow:
        """Kafka, the graph, metrics and Kafka."""
        kafka = self.settings.kafka
        live = Dataflow("csq")
        chunks = op.input("kafka", live, self.source)
        out = quality(live, chunks, self.here)
        op.output("observe", out.measured, ObserveSink(self.observer))
        dead = op.map("dead_letter", out.dead, _alone)
        outgoing = op.key_on("by_process", op.merge("outgoing", out.published, dead), self._own)
        op.output("publish", outgoing, KafkaSink(kafka, kafka.outputs.by_stream()))
        return live

    def _own(self, _records: list[Outgoing]) -> str:
        return self.here.name

    def run(self, on_start: Callable[[], None] = lambda: None) -> None:
        """Run until SIGTERM or SIGINT: then what was read is finished, delivered and stored."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._on_signal)
        settle_memory()
        self.web.start()
        log.info("serving metrics at %s/metrics", self.web.url)
        if self.shop is not None:
            self.shop.start()
        on_start()
        try:
            epoch = timedelta(seconds=self.settings.state.snapshot_seconds)
            cluster_main(self.flow(), [], 0, epoch_interval=epoch, recovery_config=recovery_of(self.settings))
        finally:
            self.stop.set()
            self.web.stop()
            if self.shop is not None:
                self.shop.join()
            if self.broker is not None:
                self.broker.close()
        log.info("stopped")

    def _on_signal(self, number: int, _frame: object) -> None:
        if self.stop.is_set():  # a second one: somebody is in a hurry
            os._exit(128 + number)
        log.info("stopping on %s; a second signal aborts", signal.Signals(number).name)
        self.stop.set()


def _alone(record: Outgoing) -> list[Outgoing]:
    return [record]


def recovery_of(settings: Settings) -> RecoveryConfig | None:
    """The recovery store of the settings, made at the first start; `None` where nothing is to survive."""
    if settings.state.directory is None:
        return None
    folder = Path(settings.state.directory)
    if not any(folder.glob("part-*.sqlite3")):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        init_db_dir(folder, RECOVERY_PARTITIONS)
        log.info("made a recovery store in %s", folder)
    return RecoveryConfig(str(folder))


def flow(config: str | None = None) -> Dataflow:
    """For Bytewax's runner: a process that serves its metrics and reads what `config` names."""
    live = Live(load(Path(config) if config else None, os.environ))
    live.web.start()
    if live.shop is not None:
        live.shop.start()
    return live.flow()
