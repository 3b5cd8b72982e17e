"""The Kafka source: the partitions of some topics as chunks of raw values.

In: records of Kafka, of which only value and offset are used. Out: `Chunk`, with values of one partition each. Key: one
Bytewax part per partition, `topic[n]`; Bytewax spreads the parts over the processes. State of a part: the next offset
to hand on, a number. On resume: reading continues exactly there. `KafkaParams.start` applies only to partitions without
a state, so to the first start and to new partitions.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from pathlib import Path
from threading import Event, Lock
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from operators.connectors.kafka.connect import partitions_of
from operators.connectors.kafka.errors import KafkaInputError
from operators.connectors.kafka.params import KafkaParams, part_name, topic_and_partition
from operators.connectors.kafka.partition import PartitionBuffer
from operators.connectors.kafka.reader import Reader
from operators.connectors.kafka.status import BrokerWatch, SourceStatus
from operators.domain.time.route import Chunk
from operators.engine.epochs import Epochs
from operators.engine.store import stored_keys

STEP = "csq.kafka"
"""Full name of the source's step in `flows/live.py`; public, like all step names."""

MIN_MESSAGE_BYTES = 1_000_000
"""`message.max.bytes` of librdkafka, which refuses a smaller bound on a fetch."""

MAX_FETCH_BYTES = 2_147_483_135
"""librdkafka's maximum for a fetch."""

MIN_STATISTICS_MILLISECONDS = 50
"""Shortest interval of librdkafka's statistics, even if `tick_seconds` is shorter."""

COMMIT_AGAIN_SECONDS = 3_600.0
"""An unchanged position is committed again after this: Kafka drops positions of a group that are not committed for a
week."""


def known_topics(folder: str | None, step_id: str = STEP) -> frozenset[str]:
    """Topics with a stored position in a recovery store: a partition of theirs without one is new.

    Empty where there is no store, or where it cannot be read: the resume reports that, with what to do.
    """
    names = stored_keys(Path(folder), step_id) if folder is not None else ()
    return frozenset(topic_and_partition(name)[0] for name in names)


class KafkaSource(FixedPartitionedSource[Chunk, int]):
    """Reads `topics`; one object serves one execution of a dataflow.

    The first chunk of each part is empty and announces the part. Nothing is read before all parts of this process have
    been announced and `ready` returns True. Once `stop` is set all parts end; records that were read ahead are not
    handed on, and the stored offsets reflect that. While a partition is at its end, an empty chunk reports the time
    every `tick_seconds`, as long as the brokers answer. A partition with new records at every look never reaches its
    end; its events carry the time.

    Args:
        params: connection and reading.
        topics: topics to read.
        ready: asked before reading begins.
        stop: ends all parts.
        known_topics: topics of which the recovery store has positions: a partition of theirs without one came after the
            first start and is read from its beginning.
        epochs: shared with the other inputs of this process; without it there are no other inputs.
        outputs: topics that this process writes; `status` says which of them do not exist.
        clock: POSIX seconds.
    """

    def __init__(
        self,
        params: KafkaParams,
        topics: Iterable[str],
        *,
        ready: Callable[[], bool] = lambda: True,
        stop: Event | None = None,
        known_topics: Collection[str] = (),
        epochs: Epochs | None = None,
        outputs: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.status = SourceStatus()
        self._params = params
        self._topics = tuple(topics)
        self._ready = ready
        self._stop = stop or Event()
        self._epochs = epochs or Epochs(math.inf)
        self._outputs = tuple(dict.fromkeys(outputs))
        if not self._outputs:
            self.status.missing_outputs = {}
        self._clock = clock
        self._known_topics = frozenset(known_topics)
        self._reader: Reader | None = None
        self._watch: BrokerWatch | None = None
        self._lock = Lock()

    def list_parts(self) -> list[str]:
        """Ask the brokers for the partitions of the topics.

        Raises:
            KafkaInputError: as `partitions_of`.
        """
        parts = partitions_of(self._config(), self._topics, self._params.connect_seconds)
        self.status.begin()
        self.status.parts = len(parts)
        with self._lock:
            if self._watch is None:
                config, refresh = self._params.client_config({}), self._params.refresh_seconds
                self._watch = BrokerWatch(config, self._topics, parts, self._outputs, self.status, self._stop, refresh)
        return parts

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "KafkaSourcePart":
        """Read a partition in this process, from the stored offset or from the configured start."""
        topic, number = topic_and_partition(for_part)
        with self._lock:
            if self._reader is None:
                self._reader = self._new_reader()
        position = self._start(self._reader, topic, number) if resume_state is None else resume_state
        return KafkaSourcePart(self._reader, PartitionBuffer(topic, number, position, self.status), self._epochs)

    def _new_reader(self) -> Reader:
        return Reader(
            self._config(),
            batch_size=self._params.batch_size,
            tick_seconds=self._params.tick_seconds,
            commits=self._params.group_id is not None,
            on_expired=self._params.on_expired_offset_of,
            ready=self._ready,
            stop=self._stop,
            status=self.status,
            clock=self._clock,
        )

    def _config(self) -> dict[str, Any]:
        params = self._params
        own = {
            "group.id": params.group_id or "csq",  # librdkafka requires one, even where none is used
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            # Proof, each tick, that brokers answer; a shorter interval would delay the records behind it in the queue.
            "statistics.interval.ms": max(int(params.tick_seconds * 1000), MIN_STATISTICS_MILLISECONDS),
            "auto.offset.reset": "error",  # never skip events silently
            "queued.max.messages.kbytes": params.queue_kbytes,
            "fetch.max.bytes": min(max(params.queue_kbytes * 1024, MIN_MESSAGE_BYTES), MAX_FETCH_BYTES),
            "fetch.queue.backoff.ms": 10,  # a full queue must not delay the next fetch by a second
            "fetch.wait.max.ms": 100,  # how long the end of a partition goes unnoticed
        }
        return params.client_config(own)

    def _start(self, reader: Reader, topic: str, partition: int) -> int:
        """Find the offset to begin at; it is fixed before the first record, so that a crash loses none."""
        start = "earliest" if topic in self._known_topics else self._params.start_of(topic)
        if start == "earliest":
            return OFFSET_BEGINNING
        where, timeout = TopicPartition(topic, partition), self._params.connect_seconds
        try:
            if start != "latest":
                where.offset = int(start * 1000)
                found = reader.consumer.offsets_for_times([where], timeout=timeout)[0]
                if found.offset >= 0:
                    return found.offset
            return reader.consumer.get_watermark_offsets(where, timeout=timeout)[1]  # nothing is as young: the end
        except KafkaException as error:
            brokers = ",".join(self._params.brokers)
            raise KafkaInputError(
                f"Kafka: {part_name(topic, partition)} at {brokers}: no offset for kafka.start ({start}): "
                f"{error.args[0].str()}. Set kafka.start to earliest, or repair the brokers"
            ) from error


class KafkaSourcePart(StatefulSourcePartition[Chunk, int]):
    """One partition: hands on what the reader has buffered. State: the next offset to hand on."""

    def __init__(self, reader: Reader, buffer: PartitionBuffer, epochs: Epochs) -> None:
        self.name = buffer.name
        self._reader = reader
        self._buffer = buffer
        self._epochs = epochs
        self._read_until = -math.inf
        self._next_tick = 0.0
        self._committed = -1
        self._commit_at = 0.0
        reader.add(buffer)
        epochs.begin(self.name)

    def next_batch(self) -> list[Chunk]:
        """One chunk, or nothing."""
        reader, buffer = self._reader, self._buffer
        if reader.stop.is_set():
            raise StopIteration
        self._epochs.looked(self.name)
        if not buffer.announced:
            buffer.announced = True
            return [Chunk(self.name, None, [], [])]
        if not buffer.values:
            reader.poll()
        if buffer.values:
            return [self._take()]
        return self._tick()

    def _take(self) -> Chunk:
        with self._reader.lock:  # worker threads of one process share the reader
            positions, values = self._buffer.take(self._reader.batch_size)
            ended = self._buffer.at_end()
        return Chunk(self.name, self._read_time() if ended else None, positions, values)

    def _tick(self) -> list[Chunk]:
        if self._buffer.end is None or time.monotonic() < self._next_tick:
            return []
        before = self._read_until
        now = self._read_time()
        return [] if now is None or now <= before else [Chunk(self.name, now, [], [])]

    def _read_time(self) -> float | None:
        """POSIX seconds up to which every record was read, given that the partition is at its end; None if unknown."""
        drained_at, answered_at = self._reader.drained_at, self._buffer.answered_at
        if drained_at is None or answered_at is None:
            return None
        self._read_until = max(self._read_until, min(drained_at, answered_at))
        self._next_tick = time.monotonic() + self._reader.tick_seconds
        return self._read_until

    def next_awake(self) -> datetime | None:
        """At once while records are buffered, else at the next poll; at the end of an epoch with all inputs."""
        at_once = self._buffer.values or not self._buffer.announced
        return self._epochs.awake(self.name, 0.0 if at_once else self._reader.rest_seconds())

    def snapshot(self) -> int:
        """The next offset to hand on; it is also committed to the consumer group, if there is one.

        A committed position was handed to the flow, in the epoch that now ends. The flow may still be busy with it, and
        after a crash the store may resume earlier: lag tools use the group, resuming uses the store.
        """
        self._epochs.ended(self.name)
        position = self._buffer.position
        if self._reader.commits and position >= 0:
            now = time.monotonic()
            if position != self._committed or now > self._commit_at:
                self._committed, self._commit_at = position, now + COMMIT_AGAIN_SECONDS
                self._reader.commit(self._buffer)
        return position

    def close(self) -> None:
        """Leave the reader; the last part closes the consumer."""
        self._reader.remove(self._buffer)
