"""Kafka in: the partitions of some topics as chunks of raw values.

What comes in: records of Kafka, of which only value and offset are looked at. What goes out: `Chunk`, with values of
one partition each. Key: one Bytewax part per partition, `topic[n]`; Bytewax spreads the parts over the processes. State
of a part: the next offset to hand on, a number. On resume: reading goes on exactly there; `KafkaParams.start` is only
for partitions without a state, so for the first start and for partitions that are new.
"""

from collections.abc import Callable, Iterable
from threading import Event, Lock
from time import monotonic, sleep
from typing import Any

from bytewax.inputs import FixedPartitionedSource
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from operators.connectors.kafka import KafkaInputError, KafkaParams
from operators.connectors.kafka_part import Part
from operators.connectors.kafka_reader import Reader, SourceStatus
from operators.domain.route import Chunk

RETRY_SECONDS = 0.2
"""Pause before a topic that has no leader yet is asked for again."""


class KafkaSource(FixedPartitionedSource[Chunk, int]):
    """Reads `topics`; one object serves one execution of a dataflow.

    The first chunk of each part is empty and only announces it. Nothing is read before all parts of this process have
    announced themselves and `ready` returns True. Once `stop` is set all parts end; what was read ahead is not handed
    on, and the stored offsets say so. While a partition is at its end, an empty chunk tells the time every
    `tick_seconds`, as long as the brokers answer. A partition that has something new at every look never comes to its
    end: its events tell the time.
    """

    def __init__(
        self,
        params: KafkaParams,
        topics: Iterable[str],
        *,
        ready: Callable[[], bool] = lambda: True,
        stop: Event | None = None,
    ) -> None:
        """Remember what to read; connects to nothing yet."""
        self.status = SourceStatus()
        self._params = params
        self._topics = tuple(topics)
        self._ready = ready
        self._stop = stop or Event()
        self._reader: Reader | None = None
        self._lock = Lock()

    def list_parts(self) -> list[str]:
        """Ask the brokers for the partitions of the topics."""
        trouble: list[KafkaError] = []
        consumer = Consumer({**self._config(), "error_cb": trouble.append})
        try:
            deadline = monotonic() + self._params.connect_seconds
            parts = [f"{topic}[{n}]" for topic in self._topics for n in self._partitions(consumer, topic, deadline)]
        except KafkaException as error:
            consumer.poll(0)  # calls error_cb, which knows more than "timed out"
            reasons = dict.fromkeys(cause.str() for cause in (*trouble, error.args[0]))
            msg = (
                f"Kafka: no answer from {self._where()} in {self._params.connect_seconds:g} s: {'; '.join(reasons)}. "
                "Check kafka.brokers, and the security settings under kafka.librdkafka"
            )
            raise KafkaInputError(msg) from error
        finally:
            consumer.close()
        self.status.connected, self.status.reason = True, ""
        return parts

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> Part:
        """Let this process read a partition, from the stored offset or from the start that the settings name."""
        topic, _, number = for_part.removesuffix("]").rpartition("[")
        with self._lock:
            if self._reader is None:
                self._reader = self._new_reader()
        partition = int(number)
        position = self._start(self._reader, topic, partition) if resume_state is None else resume_state
        return Part(self._reader, topic, partition, position)

    def _new_reader(self) -> Reader:
        return Reader(
            self._config(),
            batch_size=self._params.batch_size,
            tick_seconds=self._params.tick_seconds,
            commits=self._params.group_id is not None,
            ready=self._ready,
            stop=self._stop,
            status=self.status,
        )

    def _config(self) -> dict[str, Any]:
        params = self._params
        own = {
            "group.id": params.group_id or "csq",  # librdkafka wants one, even where none is used
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "statistics.interval.ms": max(
                int(params.tick_seconds * 1000), 1
            ),  # proof that brokers answer, for each tick
            "auto.offset.reset": "error",  # never jump over events in silence
            "queued.max.messages.kbytes": params.queue_kbytes,
            "fetch.queue.backoff.ms": 10,  # a full queue must not delay the next fetch by a second
            "fetch.wait.max.ms": 100,  # how long a partition's end goes unnoticed
        }
        return params.client_config(own)

    def _where(self) -> str:
        return ",".join(self._params.brokers) or "(kafka.brokers is empty)"

    def _partitions(self, consumer: Consumer, topic: str, deadline: float) -> list[int]:
        while True:
            found = consumer.list_topics(topic, timeout=max(deadline - monotonic(), 0.001)).topics[topic]
            if found.error is None:
                return sorted(found.partitions)
            if found.error.code() != KafkaError.LEADER_NOT_AVAILABLE or monotonic() > deadline:
                break
            sleep(RETRY_SECONDS)  # the topic is being made just now
        msg = (
            f"Kafka: topic {topic!r} cannot be read at {self._where()}: {found.error.str()}. The topics to read are "
            f"{', '.join(self._topics)}. Make the topic, correct its name, or allow this user to describe and read it"
        )
        raise KafkaInputError(msg)

    def _start(self, reader: Reader, topic: str, partition: int) -> int:
        """Find the offset to begin at: known at once, so that a crash before the first record loses none."""
        start = self._params.start_of(topic)
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
            msg = (
                f"Kafka: {topic}[{partition}] at {self._where()} does not say where {start!r} is: {error.args[0].str()}"
            )
            raise KafkaInputError(msg) from error
