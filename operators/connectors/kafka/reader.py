"""The one librdkafka consumer of a process, which reads all its partitions.

Up to when everything was read: librdkafka reports the end of a partition once, and then holds a fetch open
that the broker answers as soon as there is a new record. So after a poll that left librdkafka's queue empty, a
partition whose last report was "end" has been read up to the moment that poll began, `Reader.drained_at`, but no
further than the moment its broker last answered, `PartitionBuffer.answered_at`. When a broker cannot be reached the end
itself is in doubt: each partition must report it again, which a seek to its position causes.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from threading import Event, Lock
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from operators.connectors.kafka.detour import Detour
from operators.connectors.kafka.errors import (
    END_OF_PARTITION,
    NO_SUCH_OFFSET,
    UNREACHABLE,
    UNREADABLE,
    KafkaInputError,
    input_error,
    logged,
    unreadable_error,
)
from operators.connectors.kafka.fetching import FetchedOffsets
from operators.connectors.kafka.identity import topic_ids
from operators.connectors.kafka.offsets import offset_after_loss
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.partition import PartitionBuffer
from operators.connectors.kafka.skips import Skip, next_skip
from operators.connectors.kafka.status import ANSWER_SECONDS, SourceStatus, reports
from operators.engine.chosen import ChosenPositions
from operators.engine.epochs import Epochs

LOG = logging.getLogger(__name__)

BUSY_REST_SECONDS = 0.001
"""Pause after a poll that emptied the queue; it bounds the latency of a record that arrives meanwhile."""

IDLE_REST_SECONDS = 0.005
"""The same when no record has arrived for `IDLE_AFTER_SECONDS`; it bounds the CPU time of an idle process."""

IDLE_AFTER_SECONDS = 0.1

BUFFERED_BATCHES = 2
"""Batches buffered for all partitions together; more records stay in librdkafka's queue, which is bounded in bytes."""

ASK_AGAIN_SECONDS = (0.5, 4.0)
"""First and longest pause between requests to partitions whose end is in doubt; each pause doubles."""

UNREADABLE_TIMES = 3
"""So many times a batch is fetched that cannot be unpacked: it may have been damaged on its way."""

OVERDUE_SECONDS = 0.5
"""Statistics that are so much later than `tick_seconds` are overdue."""


class Reader:
    """Reads all partitions of this process, once the flow knows them all and `ready` returns True.

    Args:
        config: settings of the consumer.
        params: connection and reading.
        topics: topics that are read.
        chosen: gets the positions that are chosen where the brokers do not hold one.
        ready: asked before reading begins.
        stop: set when reading is to end.
        status: gets positions and the end of reading.
        clock: POSIX seconds.
        epochs: says when the process may rest.
        skips: offsets that are not read.
        fetched: gets the offset of each partition before it is fetched; None where no file can keep it.
    """

    def __init__(
        self,
        config: dict[str, Any],
        *,
        params: KafkaParams,
        topics: Sequence[str],
        chosen: ChosenPositions,
        ready: Callable[[], bool],
        stop: Event,
        status: SourceStatus,
        clock: Callable[[], float],
        epochs: Epochs,
        skips: Sequence[Skip] = (),
        fetched: FetchedOffsets | None = None,
    ) -> None:
        self.batch_size = params.batch_size
        self.tick_seconds = params.tick_seconds
        self.commits = params.group_id is not None
        self.chosen = chosen
        self.stop = stop
        self.status = status
        self.lock = Lock()
        self.drained_at: float | None = None
        """POSIX seconds at which the last poll began that emptied librdkafka's queue."""
        callbacks = {"error_cb": self._on_error, "on_commit": self._on_commit, "stats_cb": self._on_statistics}
        self._config = {**config, **callbacks}
        self.consumer = Consumer(self._config)
        self._skips = skips
        self._fetched = fetched
        self._apart = config
        self._detours: list[Detour] = []
        self._unreadable: Counter[tuple[str, int]] = Counter()
        self._params = params
        self._topics = topics
        self._clock = clock
        self._epochs = epochs
        self._hold_seconds = params.hold_seconds
        epochs.rests_elsewhere = True
        self._ready = ready
        self._open = False
        self._partitions: dict[tuple[str | None, int | None], PartitionBuffer] = {}
        self._next_poll = 0.0
        self._last_record = monotonic()
        self._wake_at = 0.0
        self._shaken = False
        self._ask_at = 0.0
        self._ask_pause = ASK_AGAIN_SECONDS[0]
        self._expired: list[PartitionBuffer] = []
        self._ids = status.ids
        self._renewed: list[PartitionBuffer] = []
        """Partitions of topics that were deleted and made anew, whose position is not chosen yet."""
        self._commits_fail = False
        self._broken: KafkaInputError | None = None

    def add(self, partition: PartitionBuffer) -> None:
        """Read this partition too, from its position."""
        with self.lock:
            self._partitions[partition.topic, partition.number] = partition
            self._open = False

    def remove(self, partition: PartitionBuffer) -> None:
        """Stop reading this partition; the last one closes the consumer."""
        with self.lock:
            del self._partitions[partition.topic, partition.number]
            self._epochs.left(partition.name)
            if not self._partitions:
                self._end_detours()
                if self._fetched is not None and (self.stop.is_set() or self._broken is not None):
                    self._fetched.end()
                self._epochs.rests_elsewhere = False
                self.consumer.close()
                self.status.end()

    def poll(self) -> None:
        """Move what librdkafka has into the buffers, once the next poll is due; rests until then if the process may.

        Raises:
            KafkaInputError: a partition cannot be read, or an offset has expired.
        """
        with self.lock:
            if rest := self._epochs.rest_seconds(max(self._next_poll - monotonic(), 0.0)):
                sleep(rest)  # not in `consume`: librdkafka waits by the wall clock
            now = monotonic()
            if now < self._next_poll:
                return
            self.chosen.save()
            if self._is_renewed(now) or not self._is_open() or self._is_full():
                self._rest(IDLE_REST_SECONDS if not self._open else BUSY_REST_SECONDS)
                return
            self._ask_again(now)
            self._go_on_where_expired(now)
            self._wake_librdkafka(now)
            self._shaken = False
            began = self._clock()
            messages = self.consumer.consume(self.batch_size, 0)
            self._deal(messages)
            for detour in [one for one in self._detours if one.is_over()]:
                self._detours.remove(detour)
                partition, offset = detour.partition, detour.next_offset
                if not self._goes_around(partition, offset):
                    where = TopicPartition(partition.topic, partition.number, offset)
                    self.consumer.incremental_assign([where])
            if not self.status.connected:  # the watch has lost the brokers: an end may be outdated
                self._doubt()
            if self._broken is not None:
                raise logged(self._broken)
            if messages:
                self._last_record = now
            if len(messages) < self.batch_size:
                self.drained_at = began
                self._rest(BUSY_REST_SECONDS if now - self._last_record < IDLE_AFTER_SECONDS else IDLE_REST_SECONDS)

    def commit(self, partition: PartitionBuffer) -> None:
        """Commit its position to the consumer group, without waiting for the answer."""
        try:
            where = TopicPartition(partition.topic, partition.number, partition.position)
            self.consumer.commit(offsets=[where], asynchronous=True)
        except KafkaException as error:
            self._on_commit(error.args[0], [])

    def _is_open(self) -> bool:
        if not self._open and all(partition.announced for partition in self._partitions.values()) and self._ready():
            self._open = True
            self._end_detours()
            starts = {partition: partition.next_unread() for partition in self._partitions.values()}
            if self._fetched is not None:
                self._fetched.begin({partition.name: offset for partition, offset in starts.items()})
            direct = [
                TopicPartition(partition.topic, partition.number, offset)
                for partition, offset in starts.items()
                if not self._goes_around(partition, offset)
            ]
            self.consumer.assign(direct)
        return self._open

    def _goes_around(self, partition: PartitionBuffer, offset: int) -> bool:
        """Whether records behind `offset` are skipped; then another process reads the partition up to them."""
        skip = next_skip(self._skips, partition.topic, partition.number, offset, partition.of)
        if skip is not None:
            self._detours.append(Detour(partition, skip, self._apart))
        return skip is not None

    def _end_detours(self) -> None:
        for detour in self._detours:
            detour.close()
        self._detours.clear()

    def _is_full(self) -> bool:
        held = sum(len(partition.values) for partition in self._partitions.values())
        return held >= BUFFERED_BATCHES * self.batch_size

    def _rest(self, seconds: float) -> None:
        self._next_poll = monotonic() + seconds

    def _deal(self, messages: list[Message]) -> None:
        partitions = self._partitions
        for message in messages:  # the hottest loop of the source: no allocation per record
            if (error := message.error()) is not None:
                self._note(message, error)
            elif (partition := partitions.get((message.topic(), message.partition()))) is not None:
                partition.positions.append(message.offset())  # type: ignore[arg-type] # a consumed record has an offset
                partition.values.append(message.value())
                partition.end = None
                partition.doubted = False
        if self._fetched is not None and messages:
            for partition in partitions.values():
                self._fetched.note(partition.name, partition.next_unread())

    def _note(self, message: Message, error: KafkaError) -> None:
        """Handle a message that is an error or an end of partition."""
        partition, offset = self._partitions.get((message.topic(), message.partition())), message.offset()
        if error.code() == END_OF_PARTITION:
            if partition is not None and offset is not None:
                partition.ended_at(offset)
                if self._shaken:  # the broker may have reported it before it was lost
                    partition.doubt()
        elif error.code() in UNREACHABLE:
            self._on_error(error)
        elif error.code() == NO_SUCH_OFFSET and partition is not None:
            self._expired.append(partition)
        elif error.code() in UNREADABLE and partition is not None:
            at = max(partition.next_unread(), offset or 0)  # that of the whole batch, part of which may have been read
            self._unreadable[partition.name, at] += 1
            if self._unreadable[partition.name, at] >= UNREADABLE_TIMES:
                self._broken = self._broken or unreadable_error(partition.name, at, error.str())
        else:
            self._broken = self._broken or input_error(None if partition is None else partition.name, error)

    def ask_ids(self) -> None:
        """Ask the brokers for the ids of the topics, and note them in the status.

        Raises:
            KafkaException: the brokers do not answer.
        """
        cluster = self.consumer.list_topics(self._topics[0], timeout=ANSWER_SECONDS)
        admin = AdminClient(self._params.client_config({}))
        self.status.identify(topic_ids(cluster, admin, self._topics, ANSWER_SECONDS))

    def _go_on_where_expired(self, now: float) -> None:
        """Move partitions whose position the broker does not hold, as `kafka.on_expired_offset` says, or fail."""
        if now < self._ask_at:
            return
        waiting, self._expired = self._expired, []
        for partition in waiting:
            if partition.values:  # read before; the position is that of the next to be handed on
                self._expired.append(partition)
                continue
            try:
                self.ask_ids()
                if partition.of.differs(self.status.ids[partition.topic]):  # `_is_renewed` moves it
                    continue
                where = self._move(partition)
                self.consumer.incremental_unassign([where])
                self.consumer.incremental_assign([where])
            except KafkaException as error:
                LOG.debug("Kafka: %s cannot be asked for what it holds yet: %s", partition.name, error)
                self._expired.append(partition)
                self._ask_at = now + self._ask_pause
            except KafkaInputError as error:
                self._broken = self._broken or error

    def _move(self, partition: PartitionBuffer) -> TopicPartition:
        """Choose another position, write it down, and return it.

        Raises:
            KafkaException: the brokers do not answer.
            KafkaInputError: `kafka.on_expired_offset` is `error`.
        """
        where, before, of = TopicPartition(partition.topic, partition.number), partition.kept(), partition.of
        now = self.status.ids.get(partition.topic, of).completed(of)
        where.offset = offset_after_loss(self.consumer, where, before, now, self._params)
        partition.begin_at(self.chosen.choose(partition.name, where.offset, now, before))
        self.chosen.save()
        return where

    def _is_renewed(self, now: float) -> bool:
        """Whether topics were deleted and made anew, so that nothing may be read before their positions are chosen.

        What librdkafka knows of the old topic does not fit the new one: its leaders, their epochs, the records fetched
        ahead. So a new consumer reads on.
        """
        if self.status.ids is not self._ids:
            self._ids = self.status.ids
            self._renewed = [partition for partition in self._partitions.values() if not self._is_known(partition)]
            if self._renewed:
                self._connect_anew()
        if self._renewed and now >= self._ask_at and not any(partition.values for partition in self._renewed):
            try:
                for partition in tuple(self._renewed):
                    self._check_exists(partition)
                    self._move(partition)
                    self._renewed.remove(partition)
            except KafkaException as error:
                LOG.debug("Kafka: a topic that was made anew cannot be asked for what it holds yet: %s", error)
                self._ask_at = now + self._ask_pause
            except KafkaInputError as error:
                raise logged(error) from None
        return bool(self._renewed)

    def _is_known(self, partition: PartitionBuffer) -> bool:
        """Whether a partition is still one of the topic that was read; ids that were unknown are completed."""
        found = self._ids.get(partition.topic, partition.of)
        if partition.next_unread() >= 0 and partition.of.differs(found):
            return False
        partition.of = found.completed(partition.of)
        return True

    def _connect_anew(self) -> None:
        """Close the consumer, and read on with another one once nothing is in the way."""
        self.consumer.close()
        self.consumer = Consumer(self._config)
        self._open = False
        self._expired.clear()
        for partition in self._partitions.values():
            partition.end = None  # until the new consumer reports it

    def _check_exists(self, partition: PartitionBuffer) -> None:
        found = self.consumer.list_topics(partition.topic, timeout=ANSWER_SECONDS).topics[partition.topic]
        if found.error is None and partition.number not in found.partitions:
            raise KafkaInputError(
                f"Kafka: {partition.name}: the topic was made anew with {len(found.partitions)} partitions. This one "
                "does not exist any more. Start csq again: it reads the others, and keeps the position of this one"
            )

    def _ask_again(self, now: float) -> None:
        """Make partitions whose end is in doubt report it again, as soon as their broker answers."""
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
        """Handle an error of no particular partition; librdkafka calls this inside `consume`.

        That may be long after it happened, and it may concern one broker of many; the watch decides on loss of contact.
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
        """Note, inside `consume`, when each broker last answered; the statistics are younger than `drained_at`."""
        self._wake_at = monotonic() + OVERDUE_SECONDS + self.tick_seconds
        if self.drained_at is None:
            return
        for where, report in reports(statistics).items():
            if (partition := self._partitions.get(where)) is not None:
                partition.answered_at = self.drained_at - report.silent
                partition.visible.observe(partition.answered_at, high=report.high, stable=report.stable)
        self.status.held_seconds = {
            "open_transaction": max(map(self._behind, self._partitions.values()), default=0.0),
            "unread_partition": self._clock() - self._all_read_at() if any(self.status.unread.values()) else 0.0,
        }

    def _behind(self, partition: PartitionBuffer) -> float:
        until, answered_at = partition.visible.until, partition.answered_at
        return 0.0 if until is None or answered_at is None else max(answered_at - until, 0.0)

    def _all_read_at(self) -> float:
        at = self.status.all_read_at
        return self._clock() if at is None else at

    def visible_until(self, partition: PartitionBuffer, now: float) -> float:
        """Up to when nothing is invisible, of what is known at `now`; `hold_seconds` before `now` at the earliest."""
        until = now if partition.visible.until is None or not self._behind(partition) else partition.visible.until
        return max(min(until, now if (hold := self.unread_since()) is None else hold), now - self._hold_seconds)

    def unread_since(self) -> float | None:
        """When partitions were added that are not read, `hold_seconds` ago at the earliest; None if all are read."""
        if not any(self.status.unread.values()):
            return None
        return max(self._all_read_at(), self._clock() - self._hold_seconds)

    def _wake_librdkafka(self, now: float) -> None:
        """Wake librdkafka's main thread when statistics are overdue.

        It waits for its timers by the wall clock: after a step back it would sleep for as long as the step.
        """
        if now >= self._wake_at:
            self._wake_at = now + OVERDUE_SECONDS + self.tick_seconds
            self.consumer.assignment()  # which it has to answer

    def _on_commit(self, error: KafkaError | None, where: list[TopicPartition]) -> None:
        """Log, inside `consume`, when commits begin to fail, and when they succeed again."""
        error = error or next((one.error for one in where if one.error is not None), None)
        if error is not None and not self._commits_fail:
            LOG.warning(
                "Kafka: positions are not committed to the consumer group (kafka.group_id): %s; lag tools do not see "
                "them, but nothing is lost: the recovery store has them",
                error.str(),
                extra={"event": "commits_failing"},
            )
        elif error is None and self._commits_fail:
            LOG.info("Kafka: positions are committed to the consumer group again", extra={"event": "commits_back"})
        self._commits_fail = error is not None
