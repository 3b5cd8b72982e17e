"""The ids of clusters and topics, which tell a topic from another of the same name."""

from collections.abc import Collection
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final, cast

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ClusterMetadata  # type: ignore[attr-defined] # public, as in `csq check`

from operators.engine.positions import TopicId

NO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"
"""What brokers without topic ids answer: 16 bytes of 0."""


def has_controller(cluster: ClusterMetadata) -> bool:
    """Whether brokers can be asked to describe topics: librdkafka asks the controller, and waits until there is one.

    The embedded broker has none, and names 0, which is no broker of its cluster.
    """
    return cluster.controller_id in cluster.brokers


def topic_ids(
    cluster: ClusterMetadata, admin: AdminClient, topics: Collection[str], seconds: float
) -> dict[str, TopicId]:
    """The ids of `topics`; unknown where the brokers have none, or do not answer.

    Args:
        cluster: metadata that the brokers have just answered.
        admin: a client to ask with.
        topics: names.
        seconds: time limit.
    """
    found: dict[str, str] = {}
    if has_controller(cluster):
        futures = admin.describe_topics(TopicCollection(list(topics)), request_timeout=seconds)
        for topic, future in futures.items():
            try:
                found[topic] = str(future.result(seconds + 1).topic_id)
            except (KafkaException, FutureTimeoutError):  # it does not exist at the moment
                continue
    of = cast("str | None", cluster.cluster_id)  # declared as None
    known = {topic: "" if its == NO_ID else its for topic, its in found.items()}
    return {topic: TopicId(of or "", known.get(topic, "")) for topic in topics}
