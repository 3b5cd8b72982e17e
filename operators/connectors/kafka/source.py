"""The Kafka source: the partitions of some topics as chunks of raw values.

In: records of Kafka, of which only value and offset are used. Out: `Chunk`, with values of one partition each. Key: one
Bytewax part per partition, `topic[n]`; Bytewax spreads the parts over the processes. State of a part: the next offset
to hand on, sealed. On resume: reading continues exactly there. `KafkaParams.start` applies only to partitions without
a state, so to the first start and to new partitions. A stored position of another cluster, or of a topic that was
deleted and made anew, counts as expired. A partition with a state that does not exist any more, or whose topic is not
read any more, hands on nothing and keeps its state.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Event, Lock
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import Consumer, KafkaException, TopicPartition

from operators.connectors.kafka.apart import MEMORY_MIB, first_unreadable
from operators.connectors.kafka.connect import partitions_of
from operators.connectors.kafka.errors import KafkaInputError, input_error, logged, unreadable_error
from operators.connectors.kafka.fetching import FetchedOffsets
from operators.connectors.kafka.offsets import offset_after_loss, start_offset
from operators.connectors.kafka.params import SOURCE_STEP, KafkaParams, part_name, topic_and_partition
from operators.connectors.kafka.partition import PartitionBuffer
from operators.connectors.kafka.reader import Reader
from operators.connectors.kafka.skips import Skip, next_skip
from operators.connectors.kafka.status import BrokerWatch, SourceStatus
from operators.domain.time.route import Chunk
from operators.engine.chosen import ChosenPositions
from operators.engine.epochs import ALWAYS_DUE, Epochs
from operators.engine.positions import Position, TopicId, kept_position, position_of
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


def stored_parts(folder: str | None, step_id: str = SOURCE_STEP) -> frozenset[str]:
    """Partitions with a stored position in a recovery store that Bytewax has not opened yet.

    Bytewax has an SQLite of its own. A file that this process closes loses all locks on it, those of Bytewax too.

    Empty where there is no store, or where it cannot be read: the resume reports that, with what to do.
    """
    return stored_keys(Path(folder), step_id) if folder is not None else frozenset()


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


class KafkaSource(FixedPartitionedSource[Chunk, bytes | None]):
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
        chosen: keeps the positions that are chosen, because none is stored or because it has expired.
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
        chosen: ChosenPositions | None = None,
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
        self._stored: frozenset[str] = frozenset()
        self._chosen = chosen or ChosenPositions()
        self._parts: frozenset[str] = frozenset()
        self._known_topics: frozenset[str] = frozenset()
        self._reader: Reader | None = None
        self._watch: BrokerWatch | None = None
        self._lock = Lock()

    def resume(self, stored: Collection[str]) -> None:
        """Note, before the flow runs, of which partitions the recovery store has positions.

        Another partition of their topics came after the first start and is read from its beginning.
        """
        self._stored = frozenset(stored)

    def list_parts(self) -> list[str]:
        """Ask the brokers for the partitions of the topics; those that only the store knows are added.

        Bytewax ends a flow that does not name a part with a state.

        Raises:
            KafkaInputError: as `partitions_of`; earlier runs died of a record.
            StateDamagedError: the file of chosen positions is damaged.
        """
        parts = partitions_of(consumer_config(self._params), self._topics, self._params.connect_seconds)
        self._chosen.load()
        gone = sorted(self._stored.difference(parts))
        self._parts = frozenset(parts)
        self._known_topics = frozenset(topic_and_partition(name)[0] for name in self._stored | self._chosen.parts())
        self._report(gone)
        self._refuse_what_kills(parts)
        self.status.begin()
        self.status.parts = len(parts)
        with self._lock:
            if self._watch is None:
                config, refresh = self._params.client_config({}), self._params.refresh_seconds
                self._watch = BrokerWatch(
                    config, self._topics, parts, self._outputs, self.status, self._stop, refresh, self._clock
                )
        return [*parts, *gone]

    def _report(self, gone: Sequence[str]) -> None:
        """Log which partitions have a stored position and are not read."""
        self.status.gone = len(gone)
        if gone:
            LOG.warning(
                "Kafka: %s: a position is stored, but the partition does not exist, or its topic is not in "
                "kafka.topics; nothing is read from it, and the position is kept",
                ", ".join(gone),
                extra={"event": "partitions_gone", "partitions": gone},
            )

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
                raise logged(unreadable_error(name, found, why))

    def _ends_of(self, topic: str, number: int) -> tuple[int, int]:
        """First offset of a partition, and the next to be written."""
        consumer = Consumer(consumer_config(self._params))
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=self._params.connect_seconds)
        except KafkaException as error:
            raise input_error(part_name(topic, number), error.args[0]) from error
        finally:
            consumer.close()

    def build_part(
        self, step_id: str, for_part: str, resume_state: bytes | None
    ) -> StatefulSourcePartition[Chunk, bytes | None]:
        """Read a partition in this process, from the stored offset or from the configured start."""
        if for_part not in self._parts:
            return KafkaGonePart(for_part, resume_state, self._stop, self._epochs)
        topic, number = topic_and_partition(for_part)
        with self._lock:
            if self._reader is None:
                self._reader = self._new_reader()
        stored = None if resume_state is None else position_of(resume_state, for_part)
        try:
            position = self._begin(self._reader, for_part, self._chosen.newest(for_part, stored))
        except KafkaInputError as error:
            raise logged(error) from None
        return KafkaSourcePart(self._reader, PartitionBuffer(topic, number, position, self.status), self._epochs)

    def _new_reader(self) -> Reader:
        reader = Reader(
            consumer_config(self._params),
            params=self._params,
            topics=self._topics,
            chosen=self._chosen,
            ready=self._ready,
            stop=self._stop,
            status=self.status,
            clock=self._clock,
            epochs=self._epochs,
            skips=self._skips,
            fetched=self._fetched,
        )
        with suppress(KafkaException):  # the watch asks again
            reader.ask_ids()
        return reader

    def _begin(self, reader: Reader, part: str, known: Position | None) -> Position:
        """Find the position to begin at; a chosen one is written down before the first record is read."""
        topic, number = topic_and_partition(part)
        where, now = TopicPartition(topic, number), self.status.ids.get(topic, TopicId())
        if known is None:
            start = "earliest" if topic in self._known_topics else self._params.start_of(topic)
            offset = start_offset(reader.consumer, where, start, self._params)
            return Position(offset, now) if offset < 0 else self._chosen.choose(part, offset, now, None)
        if known.next < 0 or not known.of.differs(now):
            return known._replace(of=now.completed(known.of))
        try:
            offset = offset_after_loss(reader.consumer, where, known, now, self._params)
        except KafkaException as error:
            raise KafkaInputError(f"Kafka: {part}: cannot be asked for what it holds: {error.args[0].str()}") from error
        return self._chosen.choose(part, offset, now, known)


class KafkaGonePart(StatefulSourcePartition[Chunk, bytes | None]):
    """A partition that is not read any more: hands on nothing until `stop` is set, and keeps its state."""

    def __init__(self, name: str, state: bytes | None, stop: Event, epochs: Epochs) -> None:
        self._name = name
        self._state = state
        self._stop = stop
        self._epochs = epochs
        epochs.begin(name)

    def next_batch(self) -> list[Chunk]:
        """Nothing."""
        if self._stop.is_set():
            raise StopIteration
        self._epochs.looked(self._name)
        return []

    def next_awake(self) -> datetime:
        """At once: another input rests for all."""
        return ALWAYS_DUE

    def snapshot(self) -> bytes | None:
        """The state as it was."""
        self._epochs.ended(self._name)
        return self._state

    def close(self) -> None:
        """Leave the epochs."""
        self._epochs.left(self._name)


class KafkaSourcePart(StatefulSourcePartition[Chunk, bytes | None]):
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
        self._stored_choice = 0
        """Choice in the last snapshot, until that is complete."""
        reader.add(buffer)
        epochs.begin(self.name)

    def next_batch(self) -> list[Chunk]:
        """One chunk, or nothing."""
        if self._reader.stop.is_set():
            raise StopIteration
        self._epochs.looked(self.name)
        if self._stored_choice:  # the first look after a snapshot: it is complete
            self._reader.chosen.forget(self.name, self._stored_choice)
            self._stored_choice = 0
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
        return Chunk(self.name, self._read_time() if ended else None, positions, values, self._reader.unread_since())

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
        self._stored_choice = self._buffer.choice
        return kept_position(self._buffer.kept())

    def close(self) -> None:
        """Leave the reader; the last part closes the consumer."""
        self._reader.remove(self._buffer)
