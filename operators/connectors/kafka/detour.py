"""The way around offsets that are skipped: records before them are read apart, one dead letter stands for them.

librdkafka fetches ahead. It would fetch what is skipped before it could be stopped. So it does not read the partition
until the skip has been passed.
"""

import logging
from collections.abc import Mapping
from typing import Any

from operators.connectors.kafka.apart import TRIES, Answer, ApartReader
from operators.connectors.kafka.errors import input_error, unreadable_error
from operators.connectors.kafka.partition import PartitionBuffer
from operators.connectors.kafka.skips import Skip
from operators.domain.wire.decode import UnreadRecord

LOG = logging.getLogger(__name__)


class Detour:
    """Fills the buffer of a partition up to a skip, and then with the dead letter.

    Args:
        partition: its next offset is not behind the end of `skip`.
        skip: what is not read.
        config: settings of a consumer, without callbacks.
    """

    def __init__(self, partition: PartitionBuffer, skip: Skip, config: Mapping[str, Any]) -> None:
        self.partition = partition
        self.next_offset = skip.end
        """Where reading continues."""
        self._skip = skip
        self._config = config
        self._reader: ApartReader | None = None
        self._deaths = 0
        self._all_read = False
        """Whether there is no further record before the skip."""

    def is_over(self) -> bool:
        """Take what was read; whether the skip has been passed.

        Raises:
            KafkaInputError: a record before the skip cannot be read.
        """
        partition, skip = self.partition, self._skip
        while (at := partition.next_unread()) < skip.begin and not self._all_read:
            if self._reader is None:
                self._reader = ApartReader(self._config, partition.topic, partition.number, at, skip.begin)
            answers = self._reader.answers()
            if answers is None:  # the process has ended: it has read all, or died of what it fetched ahead
                self.close()
                self._deaths += 1
                if self._deaths > TRIES:
                    raise unreadable_error(partition.name, max(at, 0), "the process that read it was killed")
                continue
            for answer in answers:
                if self._is_left(answer):
                    self.close()
                    return True
            return False
        self.close()
        if at <= skip.begin:
            self._put(skip.begin, UnreadRecord(f"{skip}: skipped with csq state skip on {skip.at}".encode()))
        else:
            partition.skip_to(skip.end)
        LOG.warning("Kafka: %s skipped; reading continues at %d", skip, skip.end, extra={"event": "record_skipped"})
        return True

    def _is_left(self, answer: Answer) -> bool:
        """Take an answer; whether the partition does not have the offsets before the skip."""
        match answer.kind:
            case "record":
                self._deaths = 0
                self._put(answer.offset, answer.content)
            case "end":
                self._all_read = answer.offset >= self._skip.begin
                self.next_offset = self.next_offset if self._all_read else answer.offset
                return not self._all_read
            case "expired":
                self.next_offset = self.partition.next_unread()
                return True
            case "unreadable":
                raise unreadable_error(self.partition.name, answer.offset, (answer.content or b"").decode())
            case "failed":
                raise input_error(self.partition.name, (answer.content or b"").decode())
        return False

    def _put(self, offset: int, value: bytes | None) -> None:
        self.partition.positions.append(offset)
        self.partition.values.append(value)

    def close(self) -> None:
        """End the process that reads."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
