"""Kafka in: the partitions of some topics as chunks of raw values.

What comes in: records of Kafka, of which only value and offset are looked at. What goes out: `Chunk`, with values of
one partition each. Key: one Bytewax part per partition, `topic[n]`; Bytewax spreads the parts over the processes. State
of a part: the next offset to hand on, a number. On resume: reading goes on exactly there; `KafkaParams.start` is only
for partitions without a state, so for the first start and for partitions that are new.
"""

import math
from collections.abc import Callable, Collection, Iterable
from threading import Event, Lock
from typing import Any

from bytewax.inputs import FixedPartitionedSource
from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from operators.connectors.kafka.connect import partitions_of
from operators.connectors.kafka.errors import KafkaInputError
from operators.connectors.kafka.params import KafkaParams, topic_and_partition
from operators.connectors.kafka.part import Part
from operators.connectors.kafka.partition import Partition
from operators.connectors.kafka.reader import Reader
from operators.connectors.kafka.status import SourceStatus
from operators.connectors.kafka.watch import Watch
from operators.domain.time.route import Chunk
from operators.engine.epochs import Epochs

MESSAGE_BYTES = 1_000_000
"""`message.max.bytes` of librdkafka, below which no fetch can be bounded."""

LEAST_MILLISECONDS = 50
"""Between two statistics of librdkafka, however often time is told."""

MAX_INT = 2_147_483_135
"""The most that librdkafka takes for a fetch."""


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
        known_topics: Collection[str] = (),
        epochs: Epochs | None = None,
    ) -> None:
        """Remember what to read; connects to nothing yet.

        A partition without a state that belongs to one of `known_topics`, of which the recovery store has others, came
        after the first start: it is read from its beginning, wherever a first start would begin. `epochs` is shared
        with the other inputs of this process; without it there are none.
        """
        self.status = SourceStatus()
        self._params = params
        self._topics = tuple(topics)
        self._ready = ready
        self._stop = stop or Event()
        self._epochs = epochs or Epochs(math.inf)
        self._known_topics = frozenset(known_topics)
        self._reader: Reader | None = None
        self._watch: Watch | None = None
        self._lock = Lock()

    def list_parts(self) -> list[str]:
        """Ask the brokers for the partitions of the topics."""
        parts = partitions_of(self._config(), self._topics, self._params.connect_seconds)
        self.status.begin()
        self.status.parts = len(parts)
        with self._lock:
            if self._watch is None:
                watching = self._params.client_config({"group.id": "csq"})  # librdkafka wants one, nothing uses it
                refresh = self._params.refresh_seconds
                self._watch = Watch(watching, self._topics, parts, self.status, self._stop, refresh)
        return parts

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> Part:
        """Let this process read a partition, from the stored offset or from the start that the settings name."""
        topic, number = topic_and_partition(for_part)
        with self._lock:
            if self._reader is None:
                self._reader = self._new_reader()
        position = self._start(self._reader, topic, number) if resume_state is None else resume_state
        return Part(self._reader, Partition(topic, number, position, self.status), self._epochs)

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
        )

    def _config(self) -> dict[str, Any]:
        params = self._params
        own = {
            "group.id": params.group_id or "csq",  # librdkafka wants one, even where none is used
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            # Proof that brokers answer, each tick; more of them would hold up what lies behind them in the queue.
            "statistics.interval.ms": max(int(params.tick_seconds * 1000), LEAST_MILLISECONDS),
            "auto.offset.reset": "error",  # never jump over events in silence
            "queued.max.messages.kbytes": params.queue_kbytes,
            "fetch.max.bytes": min(max(params.queue_kbytes * 1024, MESSAGE_BYTES), MAX_INT),
            "fetch.queue.backoff.ms": 10,  # a full queue must not delay the next fetch by a second
            "fetch.wait.max.ms": 100,  # how long a partition's end goes unnoticed
        }
        return params.client_config(own)

    def _start(self, reader: Reader, topic: str, partition: int) -> int:
        """Find the offset to begin at: known at once, so that a crash before the first record loses none."""
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
            msg = (
                f"Kafka: {topic}[{partition}] at {','.join(self._params.brokers)} does not say where {start!r} is: "
                f"{error.args[0].str()}. Set kafka.start to earliest, or mend the brokers"
            )
            raise KafkaInputError(msg) from error
