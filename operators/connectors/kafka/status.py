"""The state of the brokers: reachable or not, positions, lag, new partitions.

`SourceStatus` holds it for readiness checks and metrics. `BrokerWatch` asks the brokers every two seconds, in a thread
and with a client of its own: the consumer only communicates while the flow polls it, and a flow that waits for its
output does not poll. Loss, lag and new partitions must be noticed then too. `silence_seconds` reads librdkafka's
statistics.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from msgspec import Struct

from operators.connectors.kafka.errors import ALL_DOWN, NO_BROKER_ASKED, TIMED_OUT, missing_output
from operators.connectors.kafka.identity import topic_ids
from operators.connectors.kafka.params import part_name, topic_and_partition
from operators.engine.positions import TopicId

LOG = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Pause between two looks of the watch; a quarter of it while the brokers are lost."""

ANSWER_SECONDS = 5.0
"""Time limit of a look: with the pause, a frozen broker counts as lost within 7 s."""

CAUSE_SECONDS = 1.0
"""Time limit for finding out whether brokers answer, after a look that failed without a connection error."""

OUTPUTS_SECONDS = 10.0
"""Pause between two looks for the output topics; while one is missing, every look of the watch includes them."""


class SourceStatus:
    """State of the source, for readiness checks and metrics; the source and its watch write it from two threads."""

    def __init__(self) -> None:
        self.connected = False
        """Whether the brokers answer."""
        self.reason = "no answer from a broker yet"
        """Why not connected; empty when connected."""
        self.parts = 0
        """Partitions that all processes together read; 0 before the brokers have answered."""
        self.positions: dict[str, int] = {}
        """Next offset to hand on, by part (`topic[n]`); negative while unknown."""
        self.ends: dict[str, tuple[int, int]] = {}
        """First offset held and next to be written, by part, as last reported."""
        self.ids: dict[str, TopicId] = {}
        """Ids of the topics that are read, as last reported; another object after a change."""
        self.gone = 0
        """Partitions with a stored position that do not exist any more, or whose topic is not read any more."""
        self.unread: dict[str, int] = {}
        """Partitions by topic that were added after the start; the next start reads them."""
        self.next_start = "restart csq"
        """What brings the next start about, as words of a log line."""
        self.all_read_at: float | None = None
        """POSIX seconds of the last look that found no unread partition; None before the first look."""
        self.held_seconds: dict[str, float] = {}
        """By reason, for how long event time does not pass what cannot be read yet."""
        self.missing_outputs: dict[str, str] | None = None
        """What the brokers answer for each output topic that does not exist; None before they were asked. Always empty
        for a source without output topics."""
        self.ended = False
        """Whether reading is over."""
        self.on_change: Callable[[SourceStatus], None] = lambda _: None
        """Called after a change, in the thread that made it."""
        self._lock = Lock()
        self._lost_at = monotonic()

    def lags(self) -> dict[str, int]:
        """Messages of each part that were not handed on yet, as far as known."""
        known = self.positions.copy()
        return {name: max(high - max(known.get(name, 0), low), 0) for name, (low, high) in self.ends.copy().items()}

    def identify(self, ids: dict[str, TopicId]) -> None:
        """Note the ids of topics, as far as known."""
        now = {topic: of.completed(self.ids.get(topic, TopicId())) for topic, of in ids.items()}
        if now != self.ids:
            self.ids = now

    def lose(self, reason: str) -> None:
        """Note that no broker answers; logged once."""
        with self._lock:
            if self.ended:
                return
            was, self.connected, self.reason = self.connected, False, reason
            if was:
                self._lost_at = monotonic()
        if was:
            LOG.warning("Kafka: lost contact with the brokers; retrying: %s", reason, extra={"event": "broker_lost"})
            self.on_change(self)

    def answer(self, asked_at: float) -> None:
        """Note an answer to a request of `asked_at` (`monotonic`); ignored if that was before the loss."""
        with self._lock:
            if self.ended or self.connected or asked_at < self._lost_at:
                return
            self.connected, self.reason = True, ""
            away = monotonic() - self._lost_at
        LOG.warning("Kafka: the brokers answer again after %.1f s", away, extra={"event": "broker_back"})
        self.on_change(self)

    def begin(self) -> None:
        """Note the first answer."""
        with self._lock:
            self.connected, self.reason = True, ""

    def end(self) -> None:
        """Note that reading is over."""
        with self._lock:
            self.ended, self.connected, self.reason = True, False, "closed"


class BrokerWatch:
    """Looks at the brokers from its own thread until `stop` is set or `status` has ended.

    Args:
        config: settings of its clients.
        topics: topics that are read.
        parts: their partitions (`topic[n]`) that are read, by all processes together.
        outputs: topics that are written; brokers that create topics by themselves create them when they are asked.
        status: gets what is found.
        stop: ends the watch.
        refresh_seconds: seconds between two looks for new partitions.
        clock: POSIX seconds.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Collection[str],
        parts: Collection[str],
        outputs: Collection[str],
        status: SourceStatus,
        stop: Event,
        refresh_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._topics = tuple(topics)
        self._parts = frozenset(parts)
        self._status = status
        self._stop = stop
        self._refresh = refresh_seconds
        self._refresh_at = 0.0
        self._outputs = tuple(outputs)
        self._outputs_at = 0.0
        self._errors: deque[KafkaError] = deque(maxlen=8)
        """Errors of connections since the brokers last answered, newest last."""
        # librdkafka requires a group, nothing uses it. Lag counts what lies behind an open transaction.
        own = {"group.id": "csq", "isolation.level": "read_uncommitted", "error_cb": self._errors.append}
        self._consumer = Consumer({**config, **own})
        self._admin = AdminClient(dict(config))
        Thread(target=self._run, name="csq-kafka-watch", daemon=True).start()

    def _run(self) -> None:
        while not self._is_over():
            self._look()
            self._stop.wait(LOOK_SECONDS if self._status.connected else LOOK_SECONDS / 4)
        self._consumer.close()

    def _is_over(self) -> bool:
        return self._stop.is_set() or self._status.ended

    def _look(self) -> None:
        asked_at = monotonic()
        try:
            if asked_at >= self._refresh_at:
                self._count_partitions()
                self._identify()
                self._refresh_at = asked_at + self._refresh
            if asked_at >= self._outputs_at:
                self._find_outputs()
                self._outputs_at = asked_at + (0.0 if self._status.missing_outputs else OUTPUTS_SECONDS)
            self._measure()
        except KafkaException as error:
            if not self._is_over():
                self._status.lose(self._reason(error.args[0]))
        else:
            self._consumer.poll(0)  # calls error_cb: what it reports now lies before this answer
            self._errors.clear()
            if not self._is_over():
                self._status.answer(asked_at)
                self._status.on_change(self._status)

    def _reason(self, error: KafkaError) -> str:
        """Why a look failed: the newest error of a connection, which names the broker, else the error of the look."""
        self._consumer.poll(0)  # calls error_cb
        answers = bool(self._errors) or error.code() not in NO_BROKER_ASKED or self._is_answered()
        if self._errors:
            return ([cause for cause in self._errors if cause.code() != ALL_DOWN] or self._errors)[-1].str()
        if not answers:
            return "no broker answers"
        return f"no answer in {ANSWER_SECONDS:g} s" if error.code() in TIMED_OUT else error.str()

    def _is_answered(self) -> bool:
        """Whether a broker answers at all; the errors of connections meanwhile are noted."""
        try:
            self._consumer.list_topics(self._topics[0], timeout=CAUSE_SECONDS)
        except KafkaException:
            self._consumer.poll(0)
            return False
        return True

    def _measure(self) -> None:
        """Ask where the partitions of this process begin and end."""
        positions = self._status.positions.copy()
        if not positions:  # this process reads none: only ask whether a broker answers
            self._consumer.list_topics(self._topics[0], timeout=ANSWER_SECONDS)
            return
        high = self._ask(list(positions), OFFSET_END)
        low = self._ask([name for name, position in positions.items() if position < 0], OFFSET_BEGINNING)
        self._status.ends = {name: (low.get(name, 0), end) for name, end in high.items()}

    def _ask(self, names: Sequence[str], at: int) -> dict[str, int]:
        """The offset at one end of each partition; Kafka's protocol encodes the ends as negative times."""
        wanted = [TopicPartition(*topic_and_partition(name), at) for name in names]
        found = self._consumer.offsets_for_times(wanted, timeout=ANSWER_SECONDS) if wanted else []
        for part in found:
            if part.error is not None:
                raise KafkaException(part.error)
        return {part_name(part.topic, part.partition): part.offset for part in found}

    def _count_partitions(self) -> None:
        now = self._clock()
        for topic in self._topics:
            found = self._consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
            new = [name for name in (part_name(topic, n) for n in found.partitions) if name not in self._parts]
            if new and len(new) != self._status.unread.get(topic):
                LOG.warning(
                    "Kafka: topic %s has new partitions: %s; the next start reads them from their beginning: %s",
                    topic,
                    ", ".join(sorted(new)),
                    self._status.next_start,
                    extra={"event": "partitions_unread"},
                )
            self._status.unread[topic] = len(new)
        if not any(self._status.unread.values()) or self._status.all_read_at is None:
            self._status.all_read_at = now

    def _identify(self) -> None:
        cluster = self._consumer.list_topics(self._topics[0], timeout=ANSWER_SECONDS)
        self._status.identify(topic_ids(cluster, self._admin, self._topics, ANSWER_SECONDS))

    def _find_outputs(self) -> None:
        """Request the metadata of the output topics as a producer does."""
        missing: dict[str, str] = {}
        for topic in self._outputs:
            error = self._admin.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].error
            if error is not None and error.code() != KafkaError.LEADER_NOT_AVAILABLE:  # which is being created
                missing[topic] = error.str()
        before, self._status.missing_outputs = self._status.missing_outputs or {}, missing
        if missing.keys() - before.keys():
            LOG.warning(
                "%s", "; ".join(map(missing_output, missing, missing.values())), extra={"event": "outputs_missing"}
            )
        elif before and not missing:
            LOG.info("Kafka: all output topics exist", extra={"event": "outputs_found"})


class _BrokerStatistics(Struct):
    nodeid: int
    rxidle: int
    """Microseconds since something was received; negative: never."""


class _PartitionStatistics(Struct):
    broker: int
    """Node that it is fetched from."""
    hi_offset: int = -1
    """High watermark; negative while unknown."""
    ls_offset: int = -1
    """Last stable offset; negative while unknown."""


class _TopicStatistics(Struct):
    partitions: dict[str, _PartitionStatistics]


class _Statistics(Struct):
    brokers: dict[str, _BrokerStatistics]
    topics: dict[str, _TopicStatistics]


_decode = msgspec.json.Decoder(_Statistics).decode


class PartitionReport(NamedTuple):
    """What librdkafka knows of a partition."""

    silent: float
    """Seconds since its broker last answered."""
    high: int
    """High watermark; negative while unknown."""
    stable: int
    """Last stable offset; negative while unknown."""


def reports(statistics: str) -> dict[tuple[str, int], PartitionReport]:
    """The report of each (topic, partition) whose broker has answered, from librdkafka's statistics (JSON).

    A healthy broker answers the open fetch at least every `fetch.wait.max.ms`. librdkafka reports a frozen broker, or a
    network that drops packets, as an error only after twice the socket timeout; the silence shows at once.

    >>> reports(
    ...     '{"brokers": {"a:9092/1": {"nodeid": 1, "rxidle": 250000}, "b:9092/2": {"nodeid": 2, "rxidle": -1}},'
    ...     ' "topics": {"chat": {"partitions": {"0": {"broker": 1, "hi_offset": 7},'
    ...     ' "1": {"broker": 2}, "2": {"broker": -1}}}}}'
    ... )
    {('chat', 0): PartitionReport(silent=0.25, high=7, stable=-1)}
    """
    read = _decode(statistics)
    silent = {broker.nodeid: broker.rxidle / 1e6 for broker in read.brokers.values() if broker.rxidle >= 0}
    return {
        (name, int(number)): PartitionReport(silent[partition.broker], partition.hi_offset, partition.ls_offset)
        for name, topic in read.topics.items()
        for number, partition in topic.partitions.items()
        if partition.broker >= 0 and partition.broker in silent
    }
