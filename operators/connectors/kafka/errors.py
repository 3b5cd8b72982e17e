"""Kafka's errors as messages: where, what the broker answered, and what to do."""

import logging

from confluent_kafka import KafkaError

from operators.engine.positions import Position, TopicId

LOG = logging.getLogger(__name__)

UNREACHABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - public codes of librdkafka, only spelled with an underscore
        KafkaError._TRANSPORT,  # noqa: SLF001 - as above
        KafkaError._RESOLVE,  # noqa: SLF001 - as above
        KafkaError._TIMED_OUT,  # noqa: SLF001 - as above
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - as above
        KafkaError._SSL,  # noqa: SLF001 - as above
    }
)
"""Codes of a connection that is lost or was never there; librdkafka retries by itself."""

ALL_DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - as above
"""No broker can be reached."""

NO_SUCH_OFFSET = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001 - as above
"""A fetch from an offset that the broker does not have, where no reset is allowed."""

TIMED_OUT = frozenset({KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT})  # noqa: SLF001 - as above
"""No answer in time."""

NO_BROKER_ASKED = frozenset(
    {
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - as above
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - as above
        KafkaError._TRANSPORT,  # noqa: SLF001 - as above
    }
)
"""The client found no leader or no connection: the partition does not exist, or no broker could be asked."""

END_OF_PARTITION = KafkaError._PARTITION_EOF  # noqa: SLF001 - as above
"""Not an error: the partition has been read to its end."""

UNREADABLE = frozenset(
    {
        KafkaError._BAD_COMPRESSION,  # noqa: SLF001 - as above
        KafkaError._BAD_MSG,  # noqa: SLF001 - as above
        KafkaError._NOT_IMPLEMENTED,  # noqa: SLF001 - as above
        KafkaError.INVALID_MSG,
    }
)
"""A batch that cannot be unpacked: damaged, too large, or compressed in a way that librdkafka does not know."""

_AUTHENTICATION = KafkaError._AUTHENTICATION  # noqa: SLF001 - as above
_SSL = KafkaError._SSL  # noqa: SLF001 - as above
_UNDELIVERED = KafkaError._MSG_TIMED_OUT  # noqa: SLF001 - as above


class KafkaInputError(RuntimeError):
    """Reading from Kafka cannot continue until the settings, the topic or the rights are corrected."""


class UnreadableError(KafkaInputError):
    """A record cannot be read, at this start or another."""


class KafkaOutputError(RuntimeError):
    """A record was not delivered to Kafka."""


def logged(error: KafkaInputError) -> KafkaInputError:
    """Log an error that is about to be raised: in a cluster of processes Bytewax loses the text of an exception."""
    LOG.error("%s", error, extra={"event": "reading_failed"})
    return error


def input_error(name: str | None, error: KafkaError | str) -> KafkaInputError:
    """The error of a partition, or (None) of the whole cluster.

    >>> print(input_error("csq.events[2]", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    Kafka: csq.events[2] cannot be read: Broker: Topic authorization failed
    """
    why = error if isinstance(error, str) else error.str()
    return KafkaInputError(f"Kafka: {name or 'the cluster'} cannot be read: {why}")


def unreadable_error(name: str, offset: int, why: str) -> UnreadableError:
    """The error of a record that cannot be read, with its coordinates and the command that skips it.

    >>> print(unreadable_error("csq.events[2]", 17, "damaged"))
    Kafka: csq.events[2] offset 17 cannot be read: damaged. To go on without it: csq state skip csq.events 2 17, \
with the -c of csq run. A dead letter (unreadable) with its coordinates then stands for it
    """
    topic, _, partition = name.removesuffix("]").rpartition("[")
    return UnreadableError(
        f"Kafka: {name} offset {offset} cannot be read: {why}. To go on without it: csq state skip {topic} {partition} "
        f"{offset}, with the -c of csq run. A dead letter (unreadable) with its coordinates then stands for it"
    )


def expired(name: str, position: int, held: tuple[int, int]) -> str:
    """Describe a stored position that the broker does not hold; `held` is its first offset and the next to be written.

    >>> expired("csq.events[2]", 17, (40, 90))
    'csq.events[2]: the stored position is 17, but the broker holds 40 to 89: 23 events have expired unread'
    >>> expired("csq.events[2]", 17, (3, 3))
    'csq.events[2]: the stored position is 17, but the broker holds nothing: the topic was recreated or truncated'
    """
    low, _ = held
    why = f"{low - position} events have expired unread" if position < low else "the topic was recreated or truncated"
    return f"{name}: the stored position is {position}, but the broker holds {_range(held)}: {why}"


def replaced(name: str, position: Position, now: TopicId, held: tuple[int, int] | None = None) -> str:
    """Describe a stored position of another topic with the same name; `held` is what the present one holds.

    >>> replaced("csq.events[2]", Position(17, TopicId("c1", "t1")), TopicId("c1", "t2"), (0, 90))
    'csq.events[2]: the stored position 17 is of another topic of this name, which was deleted and made anew (topic id \
t1, now t2); the broker holds 0 to 89'
    >>> replaced("csq.events[2]", Position(17, TopicId("c1")), TopicId("c2"))
    'csq.events[2]: the stored position 17 is of another Kafka cluster (cluster id c1, now c2)'
    """
    of = position.of
    if of.cluster and now.cluster and of.cluster != now.cluster:
        what = f"another Kafka cluster (cluster id {of.cluster}, now {now.cluster})"
    else:
        what = f"another topic of this name, which was deleted and made anew (topic id {of.topic}, now {now.topic})"
    holds = "" if held is None else f"; the broker holds {_range(held)}"
    return f"{name}: the stored position {position.next} is of {what}{holds}"


def _range(held: tuple[int, int]) -> str:
    low, high = held
    return f"{low} to {high - 1}" if high > low else "nothing"


def lost_position(topic: str, why: str) -> KafkaInputError:
    """The error of a position that cannot be used any more, and which setting continues nevertheless."""
    return KafkaInputError(
        f"Kafka: {why}. To continue, set kafka.on_expired_offset for topic {topic} to earliest (the oldest event that "
        "is left) or latest (only new events); the events between are lost. The other state in the recovery store is "
        "kept"
    )


def refusal(error: KafkaError) -> str | None:
    """What to check when a broker answers but rejects this client; None when it may only be unreachable.

    >>> refusal(KafkaError(KafkaError._AUTHENTICATION))
    'Check sasl.mechanism, sasl.username and sasl.password under kafka.security'
    >>> refusal(KafkaError(KafkaError._TRANSPORT, "Connection refused"))
    """
    code, text = error.code(), error.str()
    if code == _AUTHENTICATION:
        return "Check sasl.mechanism, sasl.username and sasl.password under kafka.security"
    if "SSL alert" in text:
        return "Check ssl.certificate.location and ssl.key.location under kafka.security: the broker requires them"
    if code == _SSL and "Disconnected" not in text:  # which a broker that is shutting down does too
        return "Check security.protocol and ssl.ca.location under kafka.security, and the names in kafka.brokers"
    return None


def record_failure(topic: str | None, key: str, error: KafkaError) -> str:
    """Describe a record that was not delivered; without its value, which may be a customer's words.

    >>> record_failure("csq.alerts", "refunds", KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    "Kafka: a record for topic csq.alerts, key 'refunds', was not delivered: Broker: Message size too large"
    """
    return f"Kafka: a record for topic {topic}, key {key!r}, was not delivered: {error.str()}"


def delivery_failure(topic: str | None, records: int, error: KafkaError, seconds: float) -> str:
    """Describe records that were not delivered: how many, why, and what to do.

    >>> print(delivery_failure("csq.alerts", 3, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), 120))
    Kafka: 3 records for topic csq.alerts were not delivered: Broker: Topic authorization failed. Allow this user to \
write to the topic
    """
    what = "1 record" if records == 1 else f"{records} records"
    were = "was" if records == 1 else "were"
    text = f"Kafka: {what} for topic {topic} {were} not delivered: {error.str()}"
    return f"{text}. {_delivery_hint(error, seconds)}"


def missing_output(topic: str, answer: str) -> str:
    """Describe an output topic that does not exist, and what to do.

    >>> print(missing_output("csq.alerts", "Broker: Unknown topic or partition"))
    Kafka: output topic csq.alerts: Broker: Unknown topic or partition. Create it (kafka-topics.sh --create --topic \
csq.alerts), or correct its name under kafka.outputs
    """
    create = f"Create it (kafka-topics.sh --create --topic {topic}), or correct its name under kafka.outputs"
    return f"Kafka: output topic {topic}: {answer}. {create}"


def _delivery_hint(error: KafkaError, seconds: float) -> str:
    match error.code():
        case code if code == _UNDELIVERED:
            acknowledged = f"No broker acknowledged it within {seconds:g} s (kafka.delivery_seconds)"
            return f"{acknowledged}. Start again when the brokers answer"
        case KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return "Allow this user to write to the topic"
        case KafkaError.MSG_SIZE_TOO_LARGE:
            return "Raise max.message.bytes of the topic, and message.max.bytes under kafka.librdkafka"
        case KafkaError.UNKNOWN_TOPIC_OR_PART | KafkaError._UNKNOWN_TOPIC:  # noqa: SLF001 - a public code, as above
            return "Create the topic, or correct its name under kafka.outputs"
        case _:
            return "Correct the cause and start again"
