"""The Kafka source: the partitions of some topics as chunks of raw values.

In: records of Kafka, of which only value and offset are used. Out: `Chunk`, with values of one partition each. Key: one
Bytewax part per partition, `topic[n]`; Bytewax spreads the parts over the processes. State of a part: the next offset
to hand on, sealed. On resume: reading continues exactly there. `KafkaParams.start` applies only to partitions without
a state, so to the first start and to new partitions.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from threading import Event, Lock
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from operators.connectors.kafka.apart import MEMORY_MIB, first_unreadable
from operators.connectors.kafka.connect import partitions_of
from operators.connectors.kafka.errors import KafkaInputError, input_error, unreadable_error
from operators.connectors.kafka.fetching import FetchedOffsets
from operators.connectors.kafka.params import SOURCE_STEP, KafkaParams, part_name, topic_and_partition
from operators.connectors.kafka.partition import PartitionBuffer
from operators.connectors.kafka.reader import Reader
from operators.connectors.kafka.skips import Skip, next_skip
from operators.connectors.kafka.status import BrokerWatch, SourceStatus
from operators.domain.time.route import Chunk
from operators.engine.epochs import ALWAYS_DUE, Epochs
from operators.engine.positions import kept_position, position_of
from operators.engine.store import stored_keys

LOG = logging.getLogger(__name__)

MIN_MESSAGE_BYTES = 1_000_000
"""`message.max.bytes` of librdkafka, which refuses a smaller bound on a fetch."""

MAX_FETCH_BYTES = 2_147_483_135
"""librdkafka's maximum for a fetch."""

PARTITION_FETCH_BYTES = 1 << 20
"""Bytes of a partition in one fetch, compressed; a batch that is larger comes whole."""

SEARCH_SECONDS = 20.0
"""Time limit of the search for a record that ends its reader; a flow that has not begun for longer seems stuck."""

SEARCH_BYTES = 64 << 20
"""Records that are searched per partition: more than a reader fetches ahead."""

MIN_STATISTICS_MILLISECONDS = 50
"""Shortest interval of librdkafka's statistics, even if `tick_seconds` is shorter."""

COMMIT_AGAIN_SECONDS = 3_600.0
"""An unchanged position is committed again after this: Kafka drops positions of a group that are not committed for a
week."""


def known_topics(folder: str | None, step_id: str = SOURCE_STEP) -> frozenset[str]:
    """Topics with a stored position in a recovery store: a partition of theirs without one is new.

    Empty where there is no store, or where it cannot be read: the resume reports that, with what to do.
    """
    names = stored_keys(Path(folder), step_id) if folder is not None else ()
    return frozenset(topic_and_partition(name)[0] for name in names)


def consumer_config(params: KafkaParams) -> dict[str, Any]:
    """Settings of the consumer of the source, and of those that read a part of a topic in its place."""
    own = {
        "group.id": params.group_id or "csq",  # librdkafka requires one, even where none is used
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        # Proof, each tick, that brokers answer; a shorter interval would delay the records behind it in the queue.
        "statistics.interval.ms": max(int(params.tick_seconds * 1000), MIN_STATISTICS_MILLISECONDS),
        "auto.offset.reset": "error",  # never skip events silently
        "queued.max.messages.kbytes": params.queue_kbytes,
        "fetch.message.max.bytes": PARTITION_FETCH_BYTES,
        "fetch.max.bytes": min(max(params.queue_kbytes * 1024, MIN_MESSAGE_BYTES), MAX_FETCH_BYTES),
        "fetch.queue.backoff.ms": 10,  # a full queue must not delay the next fetch by a second
        "fetch.wait.max.ms": 100,  # how long the end of a partition goes unnoticed
    }
    return params.client_config(own)


class KafkaSource(FixedPartitionedSource[Chunk, bytes]):
    """Reads `topics`; one object serves one execution of a dataflow.

    The first chunk of each part is empty and announces the part. Nothing is read before all parts of this process have
    been announced and `ready` returns True. Once `stop` is set all parts end; records that were read ahead are not
    handed on, and the stored offsets reflect that. While a partition is at its end, an empty chunk reports the time
    every `tick_seconds`, as long as the brokers answer. That time does not pass what cannot be read yet, records of an
    open transaction and of partitions that were added, for up to `KafkaParams.hold_seconds`. A partition with new
    records at every look never reaches its end; its events carry the time.

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
        skips: offsets that are not read.
        fetched: has the offsets at which earlier runs of this process died, and gets those that it fetches.
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
        skips: Sequence[Skip] = (),
        fetched: FetchedOffsets | None = None,
    ) -> None:
        self.status = SourceStatus()
        self._skips = skips
        self._fetched = fetched
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
            KafkaInputError: as `partitions_of`; earlier runs died of a record.
        """
        parts = partitions_of(consumer_config(self._params), self._topics, self._params.connect_seconds)
        self._refuse_what_kills(parts)
        self.status.begin()
        self.status.parts = len(parts)
        with self._lock:
            if self._watch is None:
                config, refresh = self._params.client_config({}), self._params.refresh_seconds
                self._watch = BrokerWatch(
                    config, self._topics, parts, self._outputs, self.status, self._stop, refresh, self._clock
                )
        return parts

    def _refuse_what_kills(self, parts: Collection[str]) -> None:
        """Where the last runs died at the same offsets: look for a record that cannot be read.

        Raises:
            UnreadableError: there is one.
        """
        suspects = {} if self._fetched is None else self._fetched.suspects()
        deadline = time.monotonic() + SEARCH_SECONDS
        for name in sorted(suspects.keys() & set(parts)):
            topic, number = topic_and_partition(name)
            low, high = self._ends_of(topic, number)
            at = max(suspects[name], low)
            if at >= high or next_skip(self._skips, topic, number, at) is not None:
                continue
            LOG.warning(
                "Kafka: the last runs were killed while they read %s from offset %d on; looking for a record that "
                "cannot be read",
                name,
                at,
                extra={"event": "unreadable_searched"},
            )
            config = consumer_config(self._params)
            found = first_unreadable(config, topic, number, at, most_bytes=SEARCH_BYTES, deadline=deadline)
            if found is not None:
                why = f"it needs more than {MEMORY_MIB} MiB of memory, and csq was killed each time it read it"
                error = unreadable_error(name, found, why)
                # In a cluster of processes Bytewax loses the text of an exception.
                LOG.error("%s", error, extra={"event": "reading_failed"})
                raise error

    def _ends_of(self, topic: str, number: int) -> tuple[int, int]:
        """First offset of a partition, and the next to be written."""
        consumer = Consumer(consumer_config(self._params))
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=self._params.connect_seconds)
        except KafkaException as error:
            raise input_error(part_name(topic, number), error.args[0]) from error
        finally:
            consumer.close()

    def build_part(self, step_id: str, for_part: str, resume_state: bytes | None) -> "KafkaSourcePart":
        """Read a partition in this process, from the stored offset or from the configured start."""
        topic, number = topic_and_partition(for_part)
        with self._lock:
            if self._reader is None:
                self._reader = self._new_reader()
        if resume_state is None:
            position = self._start(self._reader, topic, number)
        else:
            position = position_of(resume_state, for_part)
        return KafkaSourcePart(self._reader, PartitionBuffer(topic, number, position, self.status), self._epochs)

    def _new_reader(self) -> Reader:
        return Reader(
            consumer_config(self._params),
            batch_size=self._params.batch_size,
            tick_seconds=self._params.tick_seconds,
            commits=self._params.group_id is not None,
            on_expired=self._params.on_expired_offset_of,
            ready=self._ready,
            stop=self._stop,
            status=self.status,
            clock=self._clock,
            epochs=self._epochs,
            hold_seconds=self._params.hold_seconds,
            skips=self._skips,
            fetched=self._fetched,
        )

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


class KafkaSourcePart(StatefulSourcePartition[Chunk, bytes]):
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
        if self._reader.stop.is_set():
            raise StopIteration
        self._epochs.looked(self.name)
        if chunks := self._chunks():
            self._epochs.handed_on()
        return chunks

    def _chunks(self) -> list[Chunk]:
        reader, buffer = self._reader, self._buffer
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
        read_until = self._reader.visible_until(self._buffer, min(drained_at, answered_at))
        self._read_until = max(self._read_until, read_until)
        self._next_tick = time.monotonic() + self._reader.tick_seconds
        return self._read_until

    def next_awake(self) -> datetime:
        """At once: the reader rests for all inputs."""
        return ALWAYS_DUE

    def snapshot(self) -> bytes:
        """The next offset to hand on, sealed; it is also committed to the consumer group, if there is one.

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
        return kept_position(position)

    def close(self) -> None:
        """Leave the reader; the last part closes the consumer."""
        self._reader.remove(self._buffer)
