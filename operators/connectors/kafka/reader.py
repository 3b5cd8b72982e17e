"""The one librdkafka consumer of a process, which reads all its partitions.

How time is told. librdkafka reports the end of a partition once, and then holds a fetch open that the broker answers as
soon as something new is there. So after a poll that left librdkafka's queue empty, a partition whose last word was
"end" has been read up to the moment that poll began, `Reader.drained_at`, but no further than the moment its broker was
last heard, `Partition.heard_at`. When a broker cannot be reached the end itself is in doubt: each partition must prove
it anew, and is asked to, now and then, by a seek to where it stands.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Lock
from time import monotonic, time
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from operators.connectors.kafka.errors import (
    END_OF_PARTITION,
    NO_SUCH_OFFSET,
    UNREACHABLE,
    KafkaInputError,
    expired,
    expired_error,
    input_error,
)
from operators.connectors.kafka.params import OnExpired
from operators.connectors.kafka.partition import Partition
from operators.connectors.kafka.stats import silence_seconds
from operators.connectors.kafka.status import SourceStatus

LOG = logging.getLogger(__name__)

BUSY_REST_SECONDS = 0.001
"""Pause after a poll that emptied the queue: what comes meanwhile is taken at once, and latency stays near 1 ms."""

IDLE_REST_SECONDS = 0.005
"""The same when nothing has come for `IDLE_AFTER_SECONDS`: hardly any CPU."""

IDLE_AFTER_SECONDS = 0.1

BUFFERED_BATCHES = 2
"""Batches held for all partitions together; beyond that records wait in librdkafka's queue, bounded in bytes."""

ASK_AGAIN_SECONDS = (0.5, 4.0)
"""First and longest pause between questions to partitions whose end is in doubt; each pause doubles."""

HELD_SECONDS = 5.0
"""Bound on the brokers' answer to what they hold of a partition."""


class Reader:
    """Reads all partitions of this process, once the flow knows them all and `ready` says so."""

    def __init__(
        self,
        config: dict[str, Any],
        *,
        batch_size: int,
        tick_seconds: float,
        commits: bool,
        on_expired: Callable[[str], OnExpired],
        ready: Callable[[], bool],
        stop: Event,
        status: SourceStatus,
    ) -> None:
        """Make the consumer; nothing is read yet."""
        self.batch_size = batch_size
        self.tick_seconds = tick_seconds
        self.commits = commits
        self.stop = stop
        self.status = status
        self.lock = Lock()
        self.drained_at: float | None = None
        """POSIX s at which the last poll began that emptied librdkafka's queue."""
        self.awake_at = datetime.now(UTC)
        """When the next poll is due."""
        callbacks = {"error_cb": self._on_error, "on_commit": self._on_commit, "stats_cb": self._on_statistics}
        self.consumer = Consumer({**config, **callbacks})
        self._on_expired = on_expired
        self._ready = ready
        self._open = False
        self._partitions: dict[tuple[str | None, int | None], Partition] = {}
        self._next_poll = 0.0
        self._last_record = monotonic()
        self._shaken = False
        self._ask_at = 0.0
        self._ask_pause = ASK_AGAIN_SECONDS[0]
        self._expired: list[Partition] = []
        self._commits_fail = False
        self._broken: KafkaInputError | None = None

    def add(self, partition: Partition) -> None:
        """Read this one too, from its position."""
        with self.lock:
            self._partitions[partition.topic, partition.number] = partition
            self._open = False

    def remove(self, partition: Partition) -> None:
        """Read this one no longer."""
        with self.lock:
            del self._partitions[partition.topic, partition.number]
            if not self._partitions:
                self.consumer.close()
                self.status.end()

    def poll(self) -> None:
        """Give each partition what librdkafka has for it; does nothing before its time, and never waits."""
        with self.lock:
            now = monotonic()
            if now < self._next_poll:
                return
            if not self._is_open() or self._is_full():
                self._rest(IDLE_REST_SECONDS if not self._open else BUSY_REST_SECONDS)
                return
            self._ask_again(now)
            self._go_on_where_expired(now)
            self._shaken = False
            began = time()
            messages = self.consumer.consume(self.batch_size, 0)
            self._deal(messages)
            if not self.status.connected:  # the watch has lost the brokers: they cannot say what is not there
                self._doubt()
            if self._broken is not None:
                # In a cluster of processes Bytewax loses the text of an exception.
                LOG.error("%s", self._broken, extra={"event": "reading_failed"})
                raise self._broken
            if messages:
                self._last_record = now
            if len(messages) < self.batch_size:
                self.drained_at = began
                self._rest(BUSY_REST_SECONDS if now - self._last_record < IDLE_AFTER_SECONDS else IDLE_REST_SECONDS)

    def commit(self, partition: Partition) -> None:
        """Tell the consumer group where it stands, without waiting for the answer."""
        try:
            where = TopicPartition(partition.topic, partition.number, partition.position)
            self.consumer.commit(offsets=[where], asynchronous=True)
        except KafkaException as error:
            self._on_commit(error.args[0], [])

    def _is_open(self) -> bool:
        if not self._open and all(partition.announced for partition in self._partitions.values()) and self._ready():
            self._open = True
            self.consumer.assign(
                [
                    TopicPartition(partition.topic, partition.number, partition.next_unread())
                    for partition in self._partitions.values()
                ]
            )
        return self._open

    def _is_full(self) -> bool:
        held = sum(len(partition.values) for partition in self._partitions.values())
        return held >= BUFFERED_BATCHES * self.batch_size

    def _rest(self, seconds: float) -> None:
        self._next_poll = monotonic() + seconds
        self.awake_at = datetime.now(UTC) + timedelta(seconds=seconds)

    def _deal(self, messages: list[Message]) -> None:
        partitions = self._partitions
        for message in messages:  # the hottest loop of the source: nothing is made per record
            if (error := message.error()) is not None:
                self._note(message, error)
            elif (partition := partitions.get((message.topic(), message.partition()))) is not None:
                partition.positions.append(message.offset())  # type: ignore[arg-type] # a consumed record has an offset
                partition.values.append(message.value())
                partition.end = None
                partition.doubted = False

    def _note(self, message: Message, error: KafkaError) -> None:
        """Take a message that is none."""
        partition, offset = self._partitions.get((message.topic(), message.partition())), message.offset()
        if error.code() == END_OF_PARTITION:
            if partition is not None and offset is not None:
                partition.ended_at(offset)
                if self._shaken:  # the broker may have said so before it was lost
                    partition.doubt()
        elif error.code() in UNREACHABLE:
            self._on_error(error)
        elif error.code() == NO_SUCH_OFFSET and partition is not None:
            self._expired.append(partition)
        else:
            self._broken = self._broken or input_error(None if partition is None else partition.name, error)

    def _go_on_where_expired(self, now: float) -> None:
        """Move partitions whose position the broker does not hold to where the settings say, or give up."""
        if now < self._ask_at:
            return
        waiting, self._expired = self._expired, []
        for partition in waiting:
            position = partition.next_unread()
            where = TopicPartition(partition.topic, partition.number)
            try:
                held = self.consumer.get_watermark_offsets(where, timeout=HELD_SECONDS, cached=False)
                chosen = self._on_expired(partition.topic)
                if chosen == "error":
                    self._broken = self._broken or expired_error(partition.topic, partition.name, position, held)
                    continue
                where.offset = held[0] if chosen == "earliest" else held[1]
                self.consumer.incremental_unassign([where])
                self.consumer.incremental_assign([where])
            except KafkaException as error:
                LOG.debug("Kafka: %s cannot be asked for what it holds yet: %s", partition.name, error)
                self._expired.append(partition)
                self._ask_at = now + self._ask_pause
            else:
                partition.skip_to(where.offset)
                LOG.warning(
                    "Kafka: %s; reading goes on at %d (kafka.on_expired_offset: %s)",
                    expired(partition.name, position, held),
                    where.offset,
                    chosen,
                    extra={"event": "offset_expired", "skipped": max(where.offset - position, 0)},
                )

    def _ask_again(self, now: float) -> None:
        """Let partitions whose end is in doubt report it again, as soon as their broker answers."""
        if now < self._ask_at:
            return
        for partition in self._partitions.values():
            if partition.doubted and not partition.values:
                self._ask_at = now + self._ask_pause
                try:
                    self.consumer.seek(TopicPartition(partition.topic, partition.number, partition.position))
                except KafkaException as error:
                    LOG.debug("Kafka: %s cannot be asked for its end yet: %s", partition.name, error)
        self._ask_pause = min(self._ask_pause * 2, ASK_AGAIN_SECONDS[1]) if self._ask_at > now else ASK_AGAIN_SECONDS[0]

    def _on_error(self, error: KafkaError) -> None:
        """Hear of trouble that belongs to no partition; librdkafka calls this inside `consume`.

        That may be long after it happened, and one broker of many may be meant: whether contact is lost says the watch.
        """
        if error.fatal():
            self._broken = input_error(None, error)
        elif error.code() not in UNREACHABLE:
            LOG.warning("Kafka: %s", error.str(), extra={"event": "kafka_warning"})
        else:
            self._shaken = True
            self._doubt()

    def _doubt(self) -> None:
        for partition in self._partitions.values():
            partition.doubt()

    def _on_statistics(self, statistics: str) -> None:
        """Hear, inside `consume`, when each broker last spoke; made after the last poll that left nothing behind."""
        if self.drained_at is not None:
            for where, silent in silence_seconds(statistics).items():
                if (partition := self._partitions.get(where)) is not None:
                    partition.heard_at = self.drained_at - silent

    def _on_commit(self, error: KafkaError | None, where: list[TopicPartition]) -> None:
        """Hear, inside `consume`, what became of a commit. Nobody reads it back here, so failure is only told, once."""
        error = error or next((one.error for one in where if one.error is not None), None)
        if error is not None and not self._commits_fail:
            LOG.warning(
                "Kafka: positions are not committed to the consumer group (kafka.group_id): %s; its lag is not seen, "
                "but nothing is lost: the recovery store has them",
                error.str(),
                extra={"event": "commits_failing"},
            )
        elif error is None and self._commits_fail:
            LOG.info("Kafka: positions are committed to the consumer group again", extra={"event": "commits_back"})
        self._commits_fail = error is not None
