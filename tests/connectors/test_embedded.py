"""The broker inside the process is a broker to this and to other processes."""

import subprocess
import sys

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from operators.connectors.embedded import PARTITIONS, EmbeddedBroker
from tests.ports import deserted

PRODUCE_ELSEWHERE = """
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1]})
producer.produce("news", b"from another process", partition=1)
sys.exit(producer.flush(10))
"""


def test_topics_named_at_the_start_are_there_with_their_partitions() -> None:
    with EmbeddedBroker(["news", "weather"]) as broker:
        topics = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(timeout=10).topics
    sizes = {name: len(topic.partitions) for name, topic in topics.items()}
    assert sizes == {"news": PARTITIONS, "weather": PARTITIONS}


def test_a_topic_that_a_producer_asks_for_comes_into_being() -> None:
    with EmbeddedBroker() as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        producer.produce("unheard-of", b"value")
        assert producer.flush(10) == 0


def test_what_another_process_writes_can_be_read_here() -> None:
    with EmbeddedBroker(["news"]) as broker:
        command = [sys.executable, "-c", PRODUCE_ELSEWHERE, broker.bootstrap_servers]
        assert subprocess.run(command, check=False, timeout=30).returncode == 0  # noqa: S603 - our own interpreter
        consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "test"})
        consumer.assign([TopicPartition("news", 1, 0)])
        (message,) = consumer.consume(1, 10)
        consumer.close()
    assert message.value() == b"from another process"


def test_two_brokers_know_nothing_of_each_other() -> None:
    with EmbeddedBroker(["here"]) as one, EmbeddedBroker(["there"]) as other:
        assert one.bootstrap_servers != other.bootstrap_servers
        topics = AdminClient({"bootstrap.servers": one.bootstrap_servers}).list_topics(timeout=10).topics
    assert list(topics) == ["here"]


def test_a_closed_broker_answers_no_more() -> None:
    with EmbeddedBroker() as broker:
        address = broker.bootstrap_servers
    with deserted(address), pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": address, "log_level": 2}).list_topics(timeout=0.5)
