"""The Kafka sink: records are delivered before the snapshot of their epoch counts, or the process stops with an error.

Why a partitioned sink without state: Bytewax gives a `DynamicSink` no notice of epochs, so it could only flush each
batch. A part of a `FixedPartitionedSink` is asked for a snapshot when an epoch in which it wrote ends, and the epoch is
final only when all parts have answered. So `snapshot` waits for all deliveries and raises if one failed: the epoch is
then repeated after the restart. This is at-least-once; the ids of records derive from the causing event, so readers can
drop repeats.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from threading import Lock
from time import monotonic
from typing import NoReturn

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from confluent_kafka import KafkaError, Message

from operators.connectors.kafka.errors import KafkaOutputError, delivery_failure
from operators.connectors.kafka.fence import HEADER
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.producer import FLUSH_STEP_SECONDS, RecordProducer
from operators.domain.wire.outgoing import Outgoing

LOG = logging.getLogger(__name__)

PARTS = 64
"""Names of parts in the recovery store, so it never changes; also the maximum number of processes."""

FLUSH_GRACE_SECONDS = 5.0
"""A flush outlives the last record's time limit by this, so that the record's own error is reported."""

CLOSE_SECONDS = 5.0
"""Bound on the last flush; normally nothing is left, as the snapshot of the last epoch has waited already."""

REPEATED = "Nothing is lost: the next start repeats what no snapshot covers"


class Deliveries:
    """The one producer of a process, and the reports of its deliveries."""

    def __init__(
        self,
        params: KafkaParams,
        topic_of: Callable[[str], str],
        beat: Callable[[], object] = lambda: None,
        run: str = "",
    ) -> None:
        """Create the producer; it connects by itself. `run` marks the records (``fence.py``)."""
        self._mark = ((HEADER, run),) if run else ()
        self._topic_of = topic_of
        self._seconds = params.delivery_seconds
        self._beat = beat
        self._failed: list[tuple[str | None, KafkaError]] = []
        self._closed = False
        self._producer = RecordProducer(params, self._on_delivery, while_full=beat)

    def write(self, records: list[Outgoing]) -> None:
        """Queue records.

        Raises:
            KafkaOutputError: an earlier record was not delivered, or the queue stays full.
        """
        for record in records:
            self._produce(record)
        self._producer.poll()
        self._raise_failed()

    def flush(self) -> None:
        """Wait until all records are delivered.

        Raises:
            KafkaOutputError: one was not.
        """
        seconds = self._seconds + FLUSH_GRACE_SECONDS
        deadline = monotonic() + seconds
        while left := self._producer.flush(FLUSH_STEP_SECONDS):
            self._beat()
            self._raise_failed()
            if monotonic() > deadline:
                self._raise(f"Kafka: {left} records are still not delivered after {seconds:g} s")
        self._raise_failed()

    def close(self) -> None:
        """Flush for up to `CLOSE_SECONDS`, once. Raises nothing: Bytewax also calls this after an error."""
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
        try:
            self._producer.produce(
                self._topic_of(record.stream),
                record.value,
                record.key or None,
                headers=(*record.headers, *self._mark) if record.headers else self._mark,
            )
        except KafkaOutputError as error:
            self._raise(str(error))

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append((message.topic(), error))

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

    def _raise(self, why: str) -> NoReturn:
        self._closed = True  # nothing waits for the records that are left
        message = f"{why}. {REPEATED}"
        # In a cluster of processes Bytewax loses the text of an exception.
        LOG.error("%s", message, extra={"event": "delivery_failed"})
        raise KafkaOutputError(message)


class SinkPart(StatefulSinkPartition[list[Outgoing], None]):
    """One Bytewax part; all parts of a process write through its one producer."""

    def __init__(self, deliveries: Deliveries) -> None:
        """Write through `deliveries`."""
        self._deliveries = deliveries

    def write_batch(self, values: list[list[Outgoing]]) -> None:
        """Send the records of the batches of some lanes."""
        for records in values:
            self._deliveries.write(records)

    def snapshot(self) -> None:
        """Wait for the deliveries of the epoch; there is nothing to store."""
        self._deliveries.flush()

    def close(self) -> None:
        """Flush for up to `CLOSE_SECONDS`."""
        self._deliveries.close()


class KafkaSink(FixedPartitionedSink[list[Outgoing], None]):
    """Writes a keyed stream of lists of `Outgoing`: `(lane, [records])`, the batch of a lane at once.

    Each process writes its own records. Of the `PARTS` names of parts, each process owns every `processes`-th and uses
    the first of them. The names do not depend on the number of processes, so another number can resume the store.
    Records of one key of one process keep their order.
    """

    def __init__(
        self,
        params: KafkaParams,
        topics: Mapping[str, str] | Callable[[str], str] = lambda stream: stream,
        *,
        process: int = 0,
        processes: int = 1,
        beat: Callable[[], object] = lambda: None,
        run: Callable[[], str] = lambda: "",
    ) -> None:
        """Name the topic of each stream: by a function, or a mapping (streams that it lacks: their own name).

        `beat` is called twice a second or more while the flow waits for deliveries: it is waiting, not stuck. `run`
        gives the name of the run, once the flow runs; without one records have no mark.
        """
        if not 0 <= process < processes <= PARTS:
            msg = f"process {process} of {processes}: expected 0 <= process < processes <= {PARTS}"
            raise ValueError(msg)
        self._params = params
        self._topic_of = topics if callable(topics) else lambda stream: topics.get(stream, stream)
        self._process = process
        self._processes = processes
        self._beat = beat
        self._run = run
        self._deliveries: Deliveries | None = None
        self._lock = Lock()

    def list_parts(self) -> list[str]:
        """Names of the parts of this process."""
        return [f"{n:02d}" for n in range(self._process, PARTS, self._processes)]

    def part_fn(self, item_key: str) -> int:
        """The part of this process."""
        return self._process

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> SinkPart:
        """Make a part; the first one creates the producer of the process."""
        with self._lock:
            if self._deliveries is None:
                self._deliveries = Deliveries(self._params, self._topic_of, self._beat, self._run())
        return SinkPart(self._deliveries)
