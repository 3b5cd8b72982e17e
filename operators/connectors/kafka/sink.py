"""Kafka out: records are delivered before the snapshot of their epoch counts, or the process stops with an error.

Why a partitioned sink without state. Bytewax's `DynamicSink` hears nothing of epochs: it could only flush each batch.
The parts of a `FixedPartitionedSink` are asked for a snapshot when an epoch in which they wrote ends, and the epoch is
final only when they have answered. So `snapshot` waits for all deliveries and raises if one failed: the epoch is then
done again after the restart. This is at-least-once; the ids of records derive from the causing event, so readers can
drop repeats.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from threading import Lock
from time import monotonic
from typing import NoReturn

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from operators.connectors.kafka.errors import KafkaOutputError, delivery_failure
from operators.connectors.kafka.params import KafkaParams
from operators.domain.wire.outgoing import Outgoing

LOG = logging.getLogger(__name__)

PARTS = 64
"""Fixed for ever, as the recovery store names them; also the most processes that may write."""

FLUSH_GRACE_SECONDS = 5.0
"""A flush outlives the last record's own time limit by this, so that the record's own error is what is told."""

CLOSE_SECONDS = 5.0
"""Bound on the last flush; normally nothing is left for it, as the last epoch's snapshot has waited already."""

FULL_WAIT_SECONDS = 0.05
"""Pause while librdkafka's own queue is full."""

FLUSH_STEP_SECONDS = 0.5
"""While a flush waits, failures are looked at, and the process shows that it lives, as often as this."""

REPEATED = "Nothing is lost: the next start does again what no snapshot covers"


class Deliveries:
    """The one producer of a process, and what became of its records."""

    def __init__(
        self, params: KafkaParams, topic_of: Callable[[str], str], beat: Callable[[], object] = lambda: None
    ) -> None:
        """Make the producer; it connects by itself."""
        self._topic_of = topic_of
        self._seconds = params.delivery_seconds
        self._beat = beat
        self._failed: list[tuple[str | None, KafkaError]] = []
        self._closed = False
        own = {
            "enable.idempotence": True,  # no repeats and no disorder by retries; implies acks=all
            "compression.type": "lz4",
            "linger.ms": 5,
            "message.timeout.ms": int(params.delivery_seconds * 1000),
            "partitioner": "murmur2_random",  # the same key, the same partition as Java producers
            "delivery.report.only.error": True,  # a report for every record, but Python is only called for failures
            "error_cb": self._on_error,
        }
        self._producer = Producer(params.client_config(own))

    def write(self, records: list[Outgoing]) -> None:
        """Hand records over; raise for any earlier one that failed."""
        for record in records:
            self._produce(record)
        self._producer.poll(0)
        self._raise_failed()

    def flush(self) -> None:
        """Wait until all records are delivered; raise as soon as one was not."""
        seconds = self._seconds + FLUSH_GRACE_SECONDS
        deadline = monotonic() + seconds
        while left := self._producer.flush(FLUSH_STEP_SECONDS):
            self._beat()
            self._raise_failed()
            if monotonic() > deadline:
                self._raise(f"Kafka: {left} records are still not delivered after {seconds:g} s. {REPEATED}")
        self._raise_failed()

    def close(self) -> None:
        """Flush for a short while, once. Raises nothing: Bytewax calls this also while it unwinds from an error."""
        if self._closed:
            return
        self._closed = True
        if left := self._producer.flush(CLOSE_SECONDS) + len(self._failed):
            why = {error.str() for _, error in self._failed}
            LOG.error(
                "Kafka: records not delivered at close: %d. %s. %s",
                left,
                "; ".join(sorted(why)),
                REPEATED,
                extra={"event": "undelivered_at_close"},
            )

    def _produce(self, record: Outgoing) -> None:
        topic = self._topic_of(record.stream)
        deadline = monotonic() + self._seconds
        while True:
            try:
                self._producer.produce(
                    topic,
                    record.value,
                    record.key or None,
                    on_delivery=self._on_delivery,
                    headers=list(record.headers) or None,
                )
            except BufferError:
                self._producer.poll(FULL_WAIT_SECONDS)
                self._beat()
                self._raise_failed()
                if monotonic() > deadline:
                    full = f"Kafka: {topic}: the producer's queue has been full for {self._seconds:g} s"
                    self._raise(f"{full}. {REPEATED}")
            except KafkaException as error:
                self._failed.append((topic, error.args[0]))
                self._raise_failed()
            else:
                return

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append((message.topic(), error))

    def _on_error(self, error: KafkaError) -> None:
        LOG.debug("Kafka: %s", error.str())  # what it does to records is told by their delivery reports

    def _raise_failed(self) -> None:
        if not self._failed:
            return
        failed: dict[tuple[str | None, int], list[KafkaError]] = defaultdict(list)
        for topic, error in self._failed:
            failed[topic, error.code()].append(error)
        self._raise(
            "\n".join(
                delivery_failure(topic, len(errors), errors[0], self._seconds) for (topic, _), errors in failed.items()
            )
        )

    def _raise(self, msg: str) -> NoReturn:
        self._closed = True  # what is left has no one to wait for it
        # In a cluster of processes Bytewax loses the text of an exception.
        LOG.error("%s", msg, extra={"event": "delivery_failed"})
        raise KafkaOutputError(msg)


class SinkPart(StatefulSinkPartition[list[Outgoing], None]):
    """One Bytewax part; all parts of a process write through its one producer."""

    def __init__(self, deliveries: Deliveries) -> None:
        """Write through `deliveries`."""
        self._deliveries = deliveries

    def write_batch(self, values: list[list[Outgoing]]) -> None:
        """Send the records of some lanes' batches."""
        for records in values:
            self._deliveries.write(records)

    def snapshot(self) -> None:
        """End an epoch: nothing to store, but all of it must have been delivered."""
        self._deliveries.flush()

    def close(self) -> None:
        """Flush for a short while."""
        self._deliveries.close()


class KafkaSink(FixedPartitionedSink[list[Outgoing], None]):
    """Writes a keyed stream of lists of `Outgoing`: `(lane, [records])`, a lane's batch at once.

    Records leave through the process that made them: of the `PARTS` names that all processes know, each owns every
    `processes`-th, and uses the first of them for all it has. The names are the same for any number of processes, so a
    store can be resumed with another number. Records of one key of one process keep their order.
    """

    def __init__(
        self,
        params: KafkaParams,
        topics: Mapping[str, str] | Callable[[str], str] = lambda stream: stream,
        *,
        process: int = 0,
        processes: int = 1,
        beat: Callable[[], object] = lambda: None,
    ) -> None:
        """Name the topic of each stream: by a function, or a mapping (streams that it lacks: their own name).

        `beat` is called now and then while the flow waits for deliveries: it waits for brokers, it is not stuck.
        """
        if not 0 <= process < processes <= PARTS:
            msg = f"process {process} of {processes}: expected 0 <= process < processes <= {PARTS}"
            raise ValueError(msg)
        self._params = params
        self._topic_of = topics if callable(topics) else lambda stream: topics.get(stream, stream)
        self._process = process
        self._processes = processes
        self._beat = beat
        self._deliveries: Deliveries | None = None
        self._lock = Lock()

    def list_parts(self) -> list[str]:
        """Give this process's own share of all names."""
        return [f"{n:02d}" for n in range(self._process, PARTS, self._processes)]

    def part_fn(self, item_key: str) -> int:
        """Choose this process's own part."""
        return self._process

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> SinkPart:
        """Make a part; the first one makes the process's producer."""
        with self._lock:
            if self._deliveries is None:
                self._deliveries = Deliveries(self._params, self._topic_of, self._beat)
        return SinkPart(self._deliveries)
