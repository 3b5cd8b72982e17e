"""Ids of clusters and topics: what is asked for them, and of whom."""

from unittest.mock import Mock

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka.identity import has_controller, topic_ids
from operators.engine.positions import TopicId
from tests.servers.kafka import Kafka


def test_the_embedded_broker_is_not_asked_for_what_only_a_controller_knows(broker: EmbeddedBroker) -> None:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "ids"})
    cluster = consumer.list_topics("ids", timeout=10)
    consumer.close()
    admin = Mock(spec=AdminClient)

    assert not has_controller(cluster)
    assert topic_ids(cluster, admin, ["ids"], 30.0) == {"ids": TopicId(cluster.cluster_id, "")}
    assert admin.mock_calls == []  # librdkafka would wait 30 s for a controller


@pytest.mark.slow
def test_a_real_broker_has_ids_of_topics(kafka: Kafka) -> None:
    kafka.create_topic("ids")
    cluster = kafka.admin.list_topics(timeout=10)

    assert has_controller(cluster)
    [(topic, found)] = topic_ids(cluster, kafka.admin, ["ids"], 10.0).items()
    assert (topic, found.cluster) == ("ids", cluster.cluster_id)
    assert found.topic
