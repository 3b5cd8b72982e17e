"""Which offset to read from where no position is stored, or where the brokers do not hold the stored one."""

import logging

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from operators.connectors.kafka.errors import KafkaInputError, expired, lost_position, replaced
from operators.connectors.kafka.params import KafkaParams, Start, part_name
from operators.engine.positions import Position, TopicId

LOG = logging.getLogger(__name__)

HELD_SECONDS = 5.0
"""Time limit for the first and last offset of a partition."""


def start_offset(consumer: Consumer, where: TopicPartition, start: Start, params: KafkaParams) -> int:
    """The offset of `kafka.start` in a partition that has no stored position.

    Raises:
        KafkaInputError: the brokers do not answer.
    """
    if start == "earliest":
        return OFFSET_BEGINNING
    timeout = params.connect_seconds
    try:
        if start != "latest":
            where.offset = int(start * 1000)
            found = consumer.offsets_for_times([where], timeout=timeout)[0]
            if found.offset >= 0:
                return found.offset
        return consumer.get_watermark_offsets(where, timeout=timeout)[1]  # nothing is as young: the end
    except KafkaException as error:
        raise KafkaInputError(
            f"Kafka: {part_name(where.topic, where.partition)} at {','.join(params.brokers)}: no offset for "
            f"kafka.start ({start}): {error.args[0].str()}. Set kafka.start to earliest, or repair the brokers"
        ) from error


def offset_after_loss(
    consumer: Consumer, where: TopicPartition, position: Position, now: TopicId, params: KafkaParams
) -> int:
    """The offset of `kafka.on_expired_offset`, logged, where a position cannot be used any more.

    Either the topic is another one now, or the brokers do not hold the position.

    Raises:
        KafkaInputError: `kafka.on_expired_offset` is `error`.
        KafkaException: the brokers do not answer.
    """
    name = part_name(where.topic, where.partition)
    held = consumer.get_watermark_offsets(where, timeout=HELD_SECONDS, cached=False)
    is_other = position.of.differs(now)
    why = replaced(name, position, now, held) if is_other else expired(name, position.next, held)
    chosen = params.on_expired_offset_of(where.topic)
    if chosen == "error":
        raise lost_position(where.topic, why)
    offset = held[0] if chosen == "earliest" else held[1]
    LOG.warning(
        "Kafka: %s; reading continues at %d (kafka.on_expired_offset: %s)",
        why,
        offset,
        chosen,
        extra={"event": "offset_expired", "skipped": max(offset - (held[0] if is_other else position.next), 0)},
    )
    return offset
