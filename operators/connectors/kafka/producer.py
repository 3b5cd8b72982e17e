"""Producers: the only module of csq that calls librdkafka's `produce`, so a full queue is handled in one place."""

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from operators.connectors.kafka.errors import KafkaOutputError, delivery_failure, record_failure
from operators.connectors.kafka.params import KafkaParams

LOG = logging.getLogger(__name__)

FULL_WAIT_SECONDS = 0.05
"""Pause before a record is offered again to librdkafka's full queue."""

FLUSH_STEP_SECONDS = 0.5
"""Longest call of librdkafka's `flush`: signals and callbacks run between two of them."""

ANY_PARTITION = -1
"""The partitioner chooses by key."""

Headers = Sequence[tuple[str, str | bytes | None]]
OnDelivery = Callable[[KafkaError | None, Message], None]


class QueueFullError(KafkaOutputError):
    """librdkafka's queue had no room for a record within `kafka.delivery_seconds`."""


class RecordProducer:
    """A librdkafka producer whose records are acknowledged by all in-sync replicas, without repeats from retries.

    Args:
        params: connection, and `delivery_seconds`: the bound on each delivery and on each wait for room in the queue.
        on_delivery: called with the error and the record of each delivery report, inside `produce`, `poll` and `flush`.
        all_reports: whether `on_delivery` is also called for records that were delivered.
        while_full: called after each pause while the queue is full.
    """

    def __init__(
        self,
        params: KafkaParams,
        on_delivery: OnDelivery,
        *,
        all_reports: bool = False,
        while_full: Callable[[], object] = lambda: None,
    ) -> None:
        self._seconds = params.delivery_seconds
        self._on_delivery = on_delivery
        self._while_full = while_full
        own = {
            "enable.idempotence": True,  # implies acks=all, and keeps the order over retries
            "compression.type": "lz4",
            "linger.ms": 5,
            "message.timeout.ms": int(params.delivery_seconds * 1000),
            "partitioner": "murmur2_random",  # the same key, the same partition as Java producers
            "delivery.report.only.error": not all_reports,
            "error_cb": _log_error,
        }
        self._producer = Producer(params.client_config(own))

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: str | bytes | None = None,
        *,
        partition: int = ANY_PARTITION,
        headers: Headers = (),
        on_delivery: OnDelivery | None = None,
    ) -> None:
        """Put a record into the queue; wait while the queue is full.

        Raises:
            QueueFullError: the queue was full for `kafka.delivery_seconds`.
            KafkaOutputError: librdkafka refuses the record.
        """
        report = on_delivery or self._on_delivery
        deadline: float | None = None
        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition, on_delivery=report, headers=list(headers) if headers else None
                )
            except BufferError:
                deadline = monotonic() + self._seconds if deadline is None else deadline
                self._wait_for_room(topic, deadline)
            except KafkaException as error:
                raise KafkaOutputError(delivery_failure(topic, 1, error.args[0], self._seconds)) from None
            else:
                return

    def _wait_for_room(self, topic: str, deadline: float) -> None:
        self._producer.poll(FULL_WAIT_SECONDS)
        self._while_full()
        if monotonic() > deadline:
            raise QueueFullError(
                f"Kafka: topic {topic}: the producer's queue was full for {self._seconds:g} s "
                "(kafka.delivery_seconds); the brokers accept no records, or too slowly"
            )

    def poll(self) -> None:
        """Run the callbacks of delivery reports that have arrived."""
        self._producer.poll(0)

    def flush(self, seconds: float) -> int:
        """Wait up to `seconds` for all deliveries; returns how many records are left."""
        return self._producer.flush(seconds)


def _log_error(error: KafkaError) -> None:
    LOG.debug("Kafka: %s", error.str())  # delivery reports say what it does to records


class Sender:
    """Sends records for a command: the first record that is not delivered ends it with an error."""

    def __init__(self, params: KafkaParams) -> None:
        self._producer = RecordProducer(params, self._on_report, all_reports=True)
        self._failed: list[str] = []
        self.delivered = 0
        """Records that the brokers have acknowledged."""

    def send(
        self,
        topic: str,
        key: str,
        value: bytes | None,
        *,
        partition: int = ANY_PARTITION,
        headers: Headers = (),
        delivered: Callable[[], None] = lambda: None,
    ) -> None:
        """Queue a record; `delivered` is called inside a later `send` or `flush`, once it is acknowledged.

        Raises:
            KafkaOutputError: the queue stays full, or an earlier record was not delivered.
        """

        def report(error: KafkaError | None, message: Message) -> None:
            self._on_report(error, message)
            if error is None:
                delivered()

        self._producer.produce(topic, value, key, partition=partition, headers=headers, on_delivery=report)
        self._producer.poll()
        self._raise_failed()

    def flush(self) -> None:
        """Wait until every record is acknowledged; each has its own time limit, `kafka.delivery_seconds`.

        Raises:
            KafkaOutputError: a record was not delivered.
        """
        while self._producer.flush(FLUSH_STEP_SECONDS):
            pass
        self._raise_failed()

    def _on_report(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.delivered += 1
        else:
            self._failed.append(record_failure(message.topic(), _text(message.key()), error))

    def _raise_failed(self) -> None:
        if self._failed:
            more = f" (and {len(self._failed) - 1} more)" if len(self._failed) > 1 else ""
            raise KafkaOutputError(self._failed[0] + more)


def _text(key: Any) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key or "")
