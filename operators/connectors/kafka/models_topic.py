"""The models topic: weights from the learners to the processes that do not host them, on a compacted topic.

It has one partition, because the records of a learner must keep their order. Every process reads it from where it
ended when the process began: learners announce their whole models after that. It looks at the last records before only
to notice that another deployment uses the same topic.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep, time

from bytewax.outputs import DynamicSink, StatelessSinkPartition
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # its stub forgets to export it

from operators.connectors.kafka.errors import UNREACHABLE, KafkaInputError, KafkaOutputError
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.producer import QueueFullError, RecordProducer
from operators.domain.models.updates import UpdateError, decode

LOG = logging.getLogger(__name__)

PARTITION = 0
"""The partition that is written and read; others, if they exist, stay empty."""
CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 << 20),
    "segment.ms": "3600000",
    "min.cleanable.dirty.ratio": "0.1",
}
"""Settings of a topic that csq creates: only closed segments are compacted, so small ones bound what a start reads."""
BATCH = 500
LAST = 20
"""Records before the start that show whether another deployment uses the topic."""
RETRY_SECONDS = 0.1
"""Pause before the metadata of a topic that another process is creating is requested again."""
_BEING_MADE = frozenset(
    {
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - public codes of librdkafka, only spelled with an underscore
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - as above
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    }
)
CLOSE_SECONDS = 5.0
STALE = (
    "Other processes would score with old weights; start again when the brokers answer, or allow this user to write to "
    "the topic"
)


def ensure(params: KafkaParams, topic: str) -> None:
    """Create the topic if it does not exist; an existing one is used as it is.

    Raises:
        KafkaInputError: the brokers do not answer, or do not allow it.
    """
    admin = AdminClient(params.client_config({}))
    try:
        if topic not in admin.list_topics(timeout=params.connect_seconds).topics:
            _create(admin, topic, params.connect_seconds)
    except KafkaException as error:
        raise KafkaInputError(
            f"Kafka: topic {topic} for the models: {error.args[0].str()}. Create it with cleanup.policy=compact and "
            "one partition, or allow this user to create it; its name is kafka.models_topic"
        ) from error


def _create(admin: AdminClient, topic: str, seconds: float) -> None:
    made = NewTopic(topic, num_partitions=1, replication_factor=-1, config=CONFIG)
    try:
        admin.create_topics([made], request_timeout=seconds)[topic].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process of the cluster was faster
            raise
    else:
        LOG.info("Kafka: created the compacted topic %s for the models", topic, extra={"event": "models_topic_made"})


class ModelsReader:
    """Reads the records that are written from now on, for one process of the deployment `cluster`.

    `began_at` is the offset at which the topic ended when the reader was made: before the processes of a cluster had
    connected, and so before the present learners wrote anything.

    Raises:
        KafkaInputError: the brokers do not answer.
    """

    def __init__(self, params: KafkaParams, topic: str, cluster: str, clock: Callable[[], float] = time) -> None:
        own = {
            "group.id": "csq-models",  # librdkafka requires one; nothing is committed
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",  # compaction may take away what is about to be read
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 8_192,
        }
        self._topic = topic
        self._cluster = cluster
        self._clock = clock
        self._seconds = params.fence_seconds
        self._consumer = Consumer(params.client_config(own))
        where = TopicPartition(topic, PARTITION)
        try:
            first, self.began_at = self._ends_of(where, params.connect_seconds)
        except KafkaException as error:
            self._consumer.close()
            raise KafkaInputError(
                f"Kafka: the end of topic {topic} for the models cannot be read: {error.args[0].str()}. Its name is "
                "kafka.models_topic"
            ) from error
        where.offset = max(first, self.began_at - LAST)
        self._consumer.assign([where])

    def _ends_of(self, where: TopicPartition, seconds: float) -> tuple[int, int]:
        deadline = monotonic() + seconds
        while True:
            try:
                return self._consumer.get_watermark_offsets(where, timeout=max(deadline - monotonic(), 0.001))
            except KafkaException as error:
                if error.args[0].code() not in _BEING_MADE or monotonic() > deadline:
                    raise
            sleep(RETRY_SECONDS)

    def poll(self) -> list[tuple[int, bytes]]:
        """New records as (offset, value), without waiting.

        Raises:
            KafkaInputError: the topic cannot be read, and a retry does not help; another deployment has written to it
                within `kafka.fence_seconds` before the start.
        """
        found = []
        for message in self._consumer.consume(BATCH, 0):
            if self._is_record(message) and (value := message.value()) is not None:
                offset = message.offset() or 0
                if offset >= self.began_at:
                    found.append((offset, value))
                else:
                    self._refuse_other(offset, message.timestamp(), value)
        return found

    def _refuse_other(self, offset: int, timestamp: tuple[int, int], value: bytes) -> None:
        """Refuse a topic to which another deployment wrote just before the start."""
        with suppress(UpdateError):
            other, (kind, milliseconds) = decode(value).cluster, timestamp
            age = max(self._clock() - milliseconds / 1000, 0.0)
            if kind and other != self._cluster and age < self._seconds:
                raise KafkaInputError(
                    f"Kafka: topic {self._topic} for the models: the record at offset {offset} was written {age:.0f} s "
                    f"ago by another deployment ({other}; this one, by its kafka.outputs, is {self._cluster}). Give "
                    "each deployment its own kafka.models_topic. After an intended change of kafka.outputs wait "
                    f"{self._seconds:g} s, or set kafka.fence_seconds to 0 for one start"
                )

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is not None and error.code() not in UNREACHABLE:
            raise KafkaInputError(f"Kafka: {self._topic}[{PARTITION}] cannot be read: {error.str()}")
        return error is None

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()


class ModelsSink(DynamicSink[list[tuple[str, bytes]]]):
    """Writes lists of (key, value) to the topic, in their order."""

    def __init__(self, params: KafkaParams, topic: str, beat: Callable[[], object] = lambda: None) -> None:
        """Connect to nothing yet; `beat` is called while the flow waits for room in the producer's queue."""
        self._params = params
        self._topic = topic
        self._beat = beat

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_ModelsSinkPart":
        """Give the one worker its producer."""
        return _ModelsSinkPart(self._params, self._topic, self._beat)


class _ModelsSinkPart(StatelessSinkPartition[list[tuple[str, bytes]]]):
    def __init__(self, params: KafkaParams, topic: str, beat: Callable[[], object]) -> None:
        self._topic = topic
        self._beat = beat
        self._failed: KafkaError | None = None
        self._full = False
        self._producer = RecordProducer(params, self._on_delivery, while_full=self._while_full)

    def write_batch(self, items: list[list[tuple[str, bytes]]]) -> None:
        self._full = False
        for records in items:
            for key, value in records:
                self._produce(key, value)
        self._producer.poll()
        self._raise_failed()

    def _produce(self, key: str, value: bytes) -> None:
        try:
            self._producer.produce(self._topic, value, key, partition=PARTITION)
        except QueueFullError as error:
            raise KafkaOutputError(f"{error}. {STALE}") from None

    def _while_full(self) -> None:
        if not self._full:
            self._full = True
            LOG.warning(
                "Kafka: the queue of weights for topic %s is full; waiting for the brokers",
                self._topic,
                extra={"event": "models_topic_full"},
            )
        self._beat()

    def _on_delivery(self, error: KafkaError | None, _: Message) -> None:
        self._failed = self._failed or error

    def _raise_failed(self) -> None:
        if self._failed is not None:
            raise KafkaOutputError(
                f"Kafka: weights for topic {self._topic} were not delivered: {self._failed.str()}. {STALE}"
            )

    def close(self) -> None:
        self._producer.flush(CLOSE_SECONDS)
