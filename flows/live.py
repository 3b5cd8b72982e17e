"""Live running: Kafka, or the embedded broker and a simulated shop, through the graph to metrics and topics.

``python -m bytewax.run 'flows.live:flow("my.yaml")'`` runs it under Bytewax's own runner; ``csq run`` adds the live
view. With a `Place` among several, this process holds its share of the lanes.
"""

import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow, Stream
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.testing import cluster_main
from prometheus_client import CollectorRegistry

from flows.host.calendars import CalendarWatch, last_holidays
from flows.host.cluster.agreement import traits_of
from flows.host.cluster.peers import Peers
from flows.host.cluster.place import ALONE, PeerLostError, ProcessPlace, check, place_in
from flows.host.heartbeat import Heartbeat, Receiver
from flows.host.life import Life
from flows.host.liveness import HeartbeatSource, LivenessClock
from flows.host.readiness import Readiness
from flows.host.recovery import check_runner, recovery_of, runner_seconds, store_errors
from flows.host.shop import PAST_STEP, ShopThread, embedded
from flows.host.signals import Signals
from flows.host.store_watch import StoreWatch
from flows.host.systemd import SystemdNotifier
from flows.host.web.config import web_config_of
from flows.host.web.server import WebServer, application
from flows.process import add_process_metrics, live_process, observer_of, settle_memory
from flows.quality import Quality, quality
from flows.settings.load import cluster_id, load
from flows.settings.model import Settings
from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka.connect import partitions_of
from operators.connectors.kafka.fence import OutputFence
from operators.connectors.kafka.fetching import FetchedOffsets
from operators.connectors.kafka.models_topic import ModelsReader, ModelsSink, ensure
from operators.connectors.kafka.params import topic_and_partition
from operators.connectors.kafka.sink import KafkaSink
from operators.connectors.kafka.skips import skips_in
from operators.connectors.kafka.source import KafkaSource, stored_parts
from operators.connectors.kafka.status import SourceStatus
from operators.domain.models.updates import Origin
from operators.domain.stage.stage import Measurement
from operators.domain.time.steady import HOLD_SECONDS
from operators.engine.checkpoints import begin_beside, mark_forgotten
from operators.engine.chosen import ChosenPositions
from operators.engine.epochs import Epochs
from operators.engine.failures import StepFailures
from operators.engine.recovery import new_run
from operators.engine.store import partitions
from operators.follow import FollowSource, follow
from operators.metrics.journal import Journal
from operators.metrics.observe import KeptObserveSink, Observer, ObserveSink

log = logging.getLogger(__name__)

IDLE_LIMIT_SECONDS = 30.0
"""A flow that has not run for so long is stuck: it runs four times a second even without events. With several
processes, one may wait as long for another to deliver its records."""
LAST_WORDS_SECONDS = 5.0
"""Before the flow moves, a process ends so long after another one: a signal may stop both, and the supervisor reports
the process that ended first."""
STILL_SECONDS = 10.0
"""A flow that has not run for so long is not ready."""


class Live:
    """One live process: its source, web server and sinks; `run` returns after a stop, or when `restarts` is set."""

    def __init__(
        self,
        settings: Settings,
        place: ProcessPlace = ALONE,
        clock: Callable[[], float] = time.time,
        reports: Sequence[Receiver] = (),
    ) -> None:
        """Create everything; connects to no external broker yet.

        `reports` get each heartbeat: those of a supervisor, which starts all processes again when one asks for it.

        Raises:
            ClusterError: the settings do not support several processes.
        """
        check(settings, place.processes)
        self.place = place
        self.stop = threading.Event()
        self.failures = StepFailures()
        self._why, self._failed = "the input ended", False
        self.store = StoreWatch(self.stop.set, new_run())
        self._fenced = False
        self.restarts = False
        """Whether `run` has ended only because partitions were added: Bytewax fixes those of a source at the start."""
        self._may_restart = False
        self._is_supervised = bool(reports)
        self.broker: EmbeddedBroker | None = None
        if not settings.kafka.brokers:
            settings, self.broker = embedded(settings)
        self.settings = settings
        may_wait = settings.kafka.delivery_seconds if place.processes > 1 else 0.0
        limit, restores = IDLE_LIMIT_SECONDS + may_wait, settings.state.directory is not None
        self.clock = LivenessClock(clock, on_jump=self.observe_jump, limit_seconds=limit, restores=restores)
        self.systemd = SystemdNotifier.of()
        self.heartbeat = Heartbeat(self.clock, [*reports, *([] if self.systemd is None else [self.systemd.beat])])
        self.epochs = Epochs(settings.state.snapshot_seconds, place.processes, work=lambda: self.clock.readings)
        self.here = live_process(
            settings,
            self.clock,
            take_snapshots=settings.state.directory is not None,
            place=place,
            parts=self._parts if place.processes > 1 else None,
            tick_records=math.inf if self.broker is None else PAST_STEP,
            latest=self.clock.latest,
            on_forgotten=self._mark_forgotten,
        )
        self.calendars: CalendarWatch | None = None
        self.peers: Peers | None = None
        self.readiness = Readiness(self.here.models, self.stop, settings.kafka.delivery_seconds)
        self.registry: CollectorRegistry
        self.observer: Observer
        self.registry, self.observer = observer_of(settings, self.clock, settings.kafka.topics)
        self.observer.record([("csq_simulated", (), int(self.broker is not None))])
        self.observer.record(last_holidays(self.here.promises.calendars, self.clock.now()))
        add_process_metrics(self.registry)
        folder = None if settings.state.directory is None else Path(settings.state.directory)
        if folder is not None:
            self.observer.keep(Journal(folder / f"exposed-{place.name}", place.processes, self.observer.limits))
        self.source = KafkaSource(
            settings.kafka,
            settings.kafka.topics,
            ready=self.is_ready,
            stop=self.stop,
            chosen=ChosenPositions(folder, place.name),
            epochs=self.epochs,
            outputs=settings.kafka.outputs.by_stream().values(),
            clock=self.clock.now,  # no sign of life, and no work of a stage
            skips=skips_in(folder),
            fetched=None if folder is None else FetchedOffsets(folder / f"fetching-{place.name}"),
        )
        if place.processes > 1:
            self.source.status.next_start = "restart all processes"
        self.source.status.on_change = self.observe_source
        self.observe_source(self.source.status)
        alive = self.clock
        app = application(
            self.registry, alive.idle_seconds, alive.limit_seconds, self.obstacles, self.observer.exposing
        )
        secured = web_config_of(settings.http.web_config_file)
        port = settings.http.port and settings.http.port + place.process  # 0 takes a free one, for each
        self.web = WebServer(app, settings.http.host, port, secured)
        self.shop = ShopThread(settings, self.stop, clock=self.clock.now) if self.broker is not None else None
        self.life = Life(settings, self.registry)

    def watch_calendars(self, config: Path | None, settings: Settings) -> None:
        """From now on take changed calendars; `settings` are what `config` and the environment had at the start."""
        promises, queues = self.here.promises, self.here.labels.queues.since
        self.calendars = CalendarWatch(config, settings, promises, queues, self.observer.record)
        self.calendars.start()

    def _mark_forgotten(self) -> None:
        """Let what the store has of a forgotten customer in deleted rows be removed."""
        if self.settings.state.directory is not None:
            mark_forgotten(Path(self.settings.state.directory))

    def obstacles(self) -> list[str]:
        """Reasons why the process is not ready."""
        peers = [] if self.peers is None else self.peers.obstacles()
        idle = self.clock.idle_seconds() if self.clock.runs else 0.0
        still = [f"the flow has not moved for {idle:.0f} s"] if idle > STILL_SECONDS else []
        return [*self.store.obstacles(), *peers, *still, *self.readiness.obstacles(self.source.status)]

    def meet(self) -> None:
        """With several processes, before anything is read or made: wait for all, and compare release and settings.

        Raises:
            PeersError: they differ, or are not there in time.
        """
        if self.place.processes > 1:
            traits = traits_of(self.settings, self.place.processes)
            self.peers = Peers(self.place, traits, self._observe_silent, self._on_peer_lost, run=self.store.run.name)
            self.clock.begin("waits for the other processes")
            origin = Origin(cluster_id(self.settings), self.peers.agree(), self.place.name)
            self.here = replace(self.here, origin=origin)
        self.clock.begin("connects to the brokers")

    def _observe_silent(self, count: int) -> None:
        self.observer.record([("csq_peers_silent", (), count)])

    def _on_peer_lost(self, name: str) -> None:
        """End with a process that has ended before Bytewax connected to it: Bytewax would wait without end."""
        ending = threading.Timer(LAST_WORDS_SECONDS, self._end_with, [name])
        ending.daemon = True
        ending.start()

    def _end_with(self, name: str) -> None:
        if not (self.clock.moves or self.stop.is_set()):
            log.error("%s has ended before the processes had come together", name, extra={"event": "peer_lost"})
            self.life.stop("PeerLostError", failed=True)
            sys.stderr.flush()
            os._exit(1)  # the main thread waits inside Bytewax

    def is_ready(self) -> bool:
        """Whether reading may begin: models are loaded, output topics exist, a simulated shop has written its past.

        Raises:
            KafkaOutputError: an output topic does not exist after `kafka.delivery_seconds`, or another deployment
                writes to one.
        """
        has_past = self.shop is None or self.shop.is_present.is_set()
        if has_past and self.readiness.may_read(self.source.status):
            self._fence_outputs()
            self.life.resume(self.source.status.positions, self.here.models)
            return True
        return False

    def _fence_outputs(self) -> None:
        """Before the first record is read: refuse outputs of another deployment, and begin to watch them."""
        run, kafka = self.store.run, self.settings.kafka
        if self._fenced or not run.marks:  # without a store a restart looks like another deployment
            return
        self._fenced = True
        fence = OutputFence(kafka, kafka.outputs.by_stream().values(), run.name, run.earlier, self.clock.now)
        if fence.check():
            fence.watch(self.stop, self.store.lose)

    def observe_source(self, status: SourceStatus) -> None:
        """Record the metrics of the source: connection, lag, partitions that are not read."""
        measured: list[Measurement] = [("csq_source_connected", (), int(status.connected))]
        for name, lag in status.lags().items():
            topic, partition = topic_and_partition(name)
            measured.append(("csq_source_lag_messages", (topic, str(partition)), lag))
        measured += [("csq_source_partitions_unread", (topic,), count) for topic, count in status.unread.items()]
        measured.append(("csq_source_partitions_gone", (), status.gone))
        held = status.held_seconds
        measured += [("csq_time_held_seconds", (why,), seconds) for why, seconds in held.items()]
        self.observer.held_seconds = min(max(held.values(), default=0.0), self.settings.kafka.hold_seconds)
        self.observer.record(measured)
        if self._may_restart and not self.stop.is_set():
            self._read_new(sorted(topic for topic, count in status.unread.items() if count))

    def _read_new(self, topics: Sequence[str]) -> None:
        """Start again where `topics` have new partitions; several processes ask their supervisor to."""
        if self.place.processes > 1:
            self.heartbeat.restart = f"new partitions of {', '.join(topics)}" if topics else ""
        elif topics:
            self._why, self.restarts = "new partitions", True
            log.info("stopping to start again with the new partitions", extra={"event": "restarting"})
            self.stop.set()

    def observe_jump(self, seconds: float) -> None:
        """Log and count a step of the wall clock."""
        direction = "forward" if seconds > 0 else "backward"
        self.observer.record([("csq_clock_jumps_total", (direction,), 1)])
        log.warning(
            "the wall clock was set %s by %.1f s: event time goes on with the monotonic clock, and follows if that "
            "holds for %g s%s",
            direction,
            abs(seconds),
            HOLD_SECONDS,
            "" if seconds > 0 else "; the next snapshot is late by as much",
            extra={"event": "clock_jumped", "seconds": round(seconds, 1), "direction": direction},
        )

    def flow(self) -> Dataflow:
        """Kafka, the graph, metrics and Kafka."""
        kafka = self.settings.kafka
        live = Dataflow("csq")
        chunks = op.input("kafka", live, self.source)
        place, seconds = self.place, self.settings.state.snapshot_seconds
        pulse = HeartbeatSource(self.clock, self.stop, seconds, place.process, place.processes, self.epochs, self.store)
        op.input("pulse", live, pulse)
        out = quality(live, chunks, self.here)
        self._observe(out.measured)
        outgoing = op.key_on("by_process", out.published, self._own)
        sink = KafkaSink(
            kafka,
            kafka.outputs.by_stream(),
            process=place.process,
            processes=place.processes,
            beat=self.clock.beat,
            run=lambda: self.store.run.name if place.process == 0 else "",
        )
        op.output("publish", outgoing, sink)
        if place.processes > 1:
            self._join(live, out)
            self.failures.watch(live)
        return live

    def _observe(self, measured: Stream[list[Measurement]]) -> None:
        """Write metrics; where there is a recovery store its counters outlive this process."""
        if self.here.take_snapshots:
            sink = KeptObserveSink(self.observer, self.place.process, self.place.processes)
            op.output("observe", op.key_on("measured_by", measured, self._own), sink)
        else:
            op.output("observe", measured, ObserveSink(self.observer))

    def _join(self, live: Dataflow, out: Quality) -> None:
        """Share what models learn with the other processes.

        Raises:
            KafkaInputError: the brokers do not answer, or do not grant access to the models topic.
        """
        kafka, place = self.settings.kafka, self.place
        partitions_of(kafka.client_config({"group.id": "csq"}), kafka.topics, kafka.connect_seconds)
        ensure(kafka, kafka.models_topic)
        origin = self.here.origin or Origin(cluster_id(self.settings), "", place.name)
        reader = ModelsReader(kafka, kafka.models_topic, origin.cluster)
        names = [f"p{number}" for number in range(place.processes)]
        source = FollowSource(reader, self.here.models, self.settings, origin, names, self.stop, self.epochs)
        followed = follow("follow", live, source)
        op.output("observe_models", followed.measured, ObserveSink(self.observer))
        announced = op.merge("models", out.announced, followed.announced)
        op.output("tell_models", announced, ModelsSink(kafka, kafka.models_topic, self.clock.beat))

    def _parts(self) -> int:
        return self.source.status.parts

    def _own(self, _records: list[Any]) -> str:
        return self.here.name

    def run(self, on_start: Callable[[], None] = lambda: None) -> None:
        """Run until SIGTERM or SIGINT: then what was read is finished, delivered and stored."""
        with Signals(self.on_signal):
            self._run(on_start)

    def _run(self, on_start: Callable[[], None]) -> None:
        settle_memory()
        self.heartbeat.start()
        self.web.start()
        self.life.start(self.web.url)
        if self.shop is not None:
            self.shop.start()
        on_start()
        try:
            self.meet()
            epoch = timedelta(seconds=self.settings.state.snapshot_seconds)
            self.store.ends_in_order = self.place.processes == 1
            flow = self.flow()
            recovery = self.recovery(flow)
            self._may_restart = recovery is not None and (self.place.processes == 1 or self._is_supervised)
            if self._may_restart:
                self.source.status.next_start = "csq starts again by itself"
            addresses = list(self.place.addresses)
            with store_errors(self.settings):
                cluster_main(flow, addresses, self.place.process, epoch_interval=epoch, recovery_config=recovery)
            self.store.check()  # a restart in place on a store that is gone would begin with an empty one
            self.store.raise_lost()
        except BaseException as error:  # a panic of Bytewax is no Exception
            self._why, self._failed = cause_of(error), True
            self._raise_cause(error)
            raise
        finally:
            self.stop.set()
            self.store.end()
            if self.calendars is not None:
                self.calendars.end()
            self.web.stop()
            if self.shop is not None:
                self.shop.join()
            if self.broker is not None:
                self.broker.close()
            self.heartbeat.end()
            self.life.stop(self._why, failed=self._failed)
            if self.peers is not None:
                self.peers.end()

    def recovery(self, flow: Dataflow) -> RecoveryConfig | None:
        """The store to resume from, made or checked before Bytewax opens it; process 0 sees to all of it."""
        self.clock.begin("checks the recovery store")
        store = recovery_of(self.settings, flow, self.place)
        self.clock.begin("opens its inputs")
        if store is None or self.settings.state.directory is None:
            return None
        self.source.resume(stored_parts(self.settings.state.directory))
        self.store.begin(Path(self.settings.state.directory), store.run)
        if self.place.process == 0:
            begin_beside(partitions(Path(self.settings.state.directory)))
        return store.config

    def _raise_cause(self, error: BaseException) -> None:
        """Raise the original error if Bytewax has lost it."""
        self.store.check()  # an error of SQLite says nothing of it
        self.store.raise_lost()
        if self.failures.first is not None:
            raise self.failures.first from None
        if type(error).__name__ == "PanicException":  # Bytewax does not export it
            raise PeerLostError(
                f"{self.here.name}: another process has ended, or cannot be reached. No process can continue without "
                "it; its log has the reason"
            ) from None

    def on_signal(self, number: signal.Signals) -> None:
        """Stop reading; at a second signal end at once."""
        if self.restarts:
            self.restarts = False
        elif self.stop.is_set():  # the second signal
            os._exit(128 + number)
        self._why = number.name
        log.info("stopping on %s; a second signal aborts", number.name, extra={"event": "stopping", "why": number.name})
        if self.systemd is not None:
            self.systemd.stop()
        self.stop.set()
        if self.place.processes > 1 and not self.source.status.parts:
            self.life.stop(f"{number.name}, before the processes had come together", failed=False)
            sys.stderr.flush()
            os._exit(0)  # the main thread waits inside Bytewax for the other processes


def cause_of(error: BaseException) -> str:
    """The class of the cause inside Bytewax's wrappers; without its text, which may contain data of a record.

    >>> try:
    ...     raise RuntimeError("step failed") from KeyError("u17")
    ... except RuntimeError as error:
    ...     cause_of(error)
    'KeyError'
    """
    while isinstance(error, BytewaxRuntimeError) or type(error) is RuntimeError:
        if (inner := error.__cause__ or error.__context__) is None:
            break
        error = inner
    return type(error).__name__


def flow(config: str | None = None) -> Dataflow:
    """For Bytewax's runner: a process that serves its metrics and reads what `config` names.

    BYTEWAX_PROCESS_ID and BYTEWAX_ADDRESSES, which the runner reads too, make it one of several.
    """
    settings = load(Path(config) if config else None, os.environ)
    check_runner(settings, sys.argv[1:], os.environ)
    seconds = runner_seconds(sys.argv[1:], os.environ)
    state = msgspec.structs.replace(settings.state, snapshot_seconds=seconds)
    live = Live(msgspec.structs.replace(settings, state=state), place_in(os.environ))
    Signals(live.on_signal).__enter__()  # for as long as the process lives
    live.watch_calendars(Path(config) if config else None, settings)
    live.heartbeat.start()
    live.web.start()
    live.life.start(live.web.url)
    live.meet()
    made = live.flow()
    live.recovery(made)
    if live.shop is not None:
        live.shop.start()
    return made
