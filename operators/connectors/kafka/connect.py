"""The first contact with the brokers: they accept this client and have the topics, or the error says what to do."""

from collections.abc import Mapping, Sequence
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from operators.connectors.kafka.errors import KafkaInputError, refusal
from operators.connectors.kafka.params import part_name

RETRY_SECONDS = 0.2
"""Pause before the metadata of a topic without a leader is requested again."""

FIRST_WAIT_SECONDS = 1.0
"""Time limit of the first request; it doubles each time. Between two requests a refusal by the brokers is noticed."""


def partitions_of(config: Mapping[str, Any], topics: Sequence[str], seconds: float, use: str = "read") -> list[str]:
    """The names of the partitions of `topics` (`topic[n]`).

    Args:
        config: settings of a consumer, with a `group.id`.
        topics: topics that have to exist.
        seconds: time limit for all of it.
        use: what the topics are for, in the message of an error.

    Raises:
        KafkaInputError: librdkafka refuses a setting; the brokers refuse the credentials or a certificate (raised at
            once); they do not answer within `seconds`; a topic does not exist, or may not be described.
    """
    contact = _FirstContact(config, topics, seconds, use)
    try:
        return [part_name(topic, n) for topic in topics for n in contact.partitions(topic)]
    finally:
        contact.consumer.close()


class _FirstContact:
    def __init__(self, config: Mapping[str, Any], topics: Sequence[str], seconds: float, use: str) -> None:
        self._where = config["bootstrap.servers"] or "(kafka.brokers is empty)"
        self._topics = topics
        self._use = use
        self._seconds = seconds
        self._deadline = monotonic() + seconds
        self._errors: list[KafkaError] = []
        try:
            self.consumer = Consumer({**config, "error_cb": self._errors.append})
        except KafkaException as error:
            raise KafkaInputError(
                f"Kafka: librdkafka refuses the settings: {error.args[0].str()}. Correct kafka.security or "
                "kafka.librdkafka"
            ) from None

    def partitions(self, topic: str) -> list[int]:
        while True:
            found = self._ask(topic)
            if found.error is None:
                return sorted(found.partitions)
            if found.error.code() != KafkaError.LEADER_NOT_AVAILABLE or monotonic() > self._deadline:
                break
            sleep(RETRY_SECONDS)  # the topic is being created
        raise KafkaInputError(
            f"Kafka: topic {topic!r} cannot be {self._use} at {self._where}: {found.error.str()} (topics: "
            f"{', '.join(self._topics)}). Create the topic, correct its name, or allow this user to describe it"
        )

    def _ask(self, topic: str) -> Any:
        wait = FIRST_WAIT_SECONDS
        while True:
            left = self._deadline - monotonic()
            try:
                return self.consumer.list_topics(topic, timeout=max(min(wait, left), 0.001)).topics[topic]
            except KafkaException as error:
                self._raise_refusal()
                if left <= wait:
                    self._give_up(error)
            wait *= 2

    def _raise_refusal(self) -> None:
        self.consumer.poll(0)  # calls error_cb, whose errors are more precise than "timed out"
        for error in self._errors:
            if hint := refusal(error):
                raise KafkaInputError(f"Kafka: {self._where} refuses this client: {error.str()}. {hint}")

    def _give_up(self, error: KafkaException) -> None:
        reasons = {cause.code(): cause.str() for cause in self._errors or error.args[:1]}  # the last of each kind
        raise KafkaInputError(
            f"Kafka: no answer from {self._where} in {self._seconds:g} s: {'; '.join(reasons.values())}. "
            "Check kafka.brokers, and kafka.security: a listener with TLS does not answer a client without it"
        ) from error
