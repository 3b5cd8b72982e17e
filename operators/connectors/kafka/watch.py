"""A look at the brokers every two seconds, beside the flow: do they answer, what do they hold, what is new.

Why a thread and a client of its own: the consumer speaks only while the flow polls it, and a flow that waits for its
output does not. Loss, lag and new partitions must be seen then too.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from threading import Event, Thread
from time import monotonic
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from operators.connectors.kafka.errors import ALL_DOWN, TIMED_OUT
from operators.connectors.kafka.params import part_name, topic_and_partition
from operators.connectors.kafka.status import SourceStatus

LOG = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Pause between two looks; a quarter of it while the brokers are lost."""

ANSWER_SECONDS = 5.0
"""An answer that takes longer is none: with the pause, a broker that is frozen is seen as lost within 7 s."""


class Watch:
    """Watches `topics`, of which `parts` (`topic[n]`, of all processes) are read; writes to `status` until it ends."""

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Collection[str],
        parts: Collection[str],
        status: SourceStatus,
        stop: Event,
        refresh_seconds: float,
    ) -> None:
        """Begin to look."""
        self._topics = tuple(topics)
        self._parts = frozenset(parts)
        self._status = status
        self._stop = stop
        self._refresh = refresh_seconds
        self._refresh_at = 0.0
        self._trouble: list[KafkaError] = []
        self._consumer = Consumer({**config, "error_cb": self._trouble.append})
        Thread(target=self._run, name="csq-kafka-watch", daemon=True).start()

    def _run(self) -> None:
        while not self._over():
            self._look()
            self._stop.wait(LOOK_SECONDS if self._status.connected else LOOK_SECONDS / 4)
        self._consumer.close()

    def _over(self) -> bool:
        return self._stop.is_set() or self._status.ended

    def _look(self) -> None:
        asked_at = monotonic()
        try:
            if asked_at >= self._refresh_at:
                self._count_partitions()
                self._refresh_at = asked_at + self._refresh
            self._measure()
        except KafkaException as error:
            self._consumer.poll(0)  # calls error_cb, which knows more than "timed out"
            if not self._over():
                self._status.lose(self._reason(error.args[0]))
        else:
            if not self._over():
                self._status.answer(asked_at)
                self._status.tell(self._status)
        self._trouble.clear()

    def _reason(self, error: KafkaError) -> str:
        told = [cause for cause in self._trouble if cause.code() != ALL_DOWN] or self._trouble
        if told:
            return told[-1].str()
        return f"no answer in {ANSWER_SECONDS:g} s" if error.code() in TIMED_OUT else error.str()

    def _measure(self) -> None:
        """Ask where the partitions of this process begin and end."""
        positions = self._status.positions.copy()
        if not positions:  # this process has none: only whether somebody answers
            self._consumer.list_topics(self._topics[0], timeout=ANSWER_SECONDS)
            return
        high = self._ask(list(positions), OFFSET_END)
        low = self._ask([name for name, position in positions.items() if position < 0], OFFSET_BEGINNING)
        self._status.ends = {name: (low.get(name, 0), end) for name, end in high.items()}

    def _ask(self, names: Sequence[str], at: int) -> dict[str, int]:
        """Offset at one end of each partition: in Kafka's protocol the ends are times that are negative."""
        wanted = [TopicPartition(*topic_and_partition(name), at) for name in names]
        found = self._consumer.offsets_for_times(wanted, timeout=ANSWER_SECONDS) if wanted else []
        for part in found:
            if part.error is not None:
                raise KafkaException(part.error)
        return {part_name(part.topic, part.partition): part.offset for part in found}

    def _count_partitions(self) -> None:
        for topic in self._topics:
            found = self._consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
            new = [name for name in (part_name(topic, n) for n in found.partitions) if name not in self._parts]
            if new and len(new) != self._status.unread.get(topic):
                LOG.warning(
                    "Kafka: topic %s has partitions that are not read yet: %s; the next start takes them up from their "
                    "beginning",
                    topic,
                    ", ".join(sorted(new)),
                    extra={"event": "partitions_unread"},
                )
            self._status.unread[topic] = len(new)
