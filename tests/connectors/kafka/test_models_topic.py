"""The models topic on a broker: in order, on one partition, from the start; made compacted where it is not there."""

import time
from threading import Timer
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType

from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka.errors import KafkaInputError, KafkaOutputError
from operators.connectors.kafka.models_topic import CONFIG, LAST, ModelsReader, ModelsSink, ensure
from operators.connectors.kafka.params import KafkaParams
from operators.domain.models.updates import Origin, ready_record
from tests.servers.kafka import Kafka

CLUSTER = "shop"


@pytest.fixture
def topic(broker: EmbeddedBroker) -> str:
    name = f"models-{uuid4().hex[:8]}"
    broker._owner.list_topics(name, timeout=10)  # asking for a topic makes it
    return name


def params(address: str, **changes: object) -> KafkaParams:
    return KafkaParams(brokers=(address,), librdkafka={"fetch.wait.max.ms": 10}, **changes)  # type: ignore[arg-type]  # any of its fields


def read(reader: ModelsReader, count: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    deadline = time.monotonic() + 20.0
    while len(found) < count and time.monotonic() < deadline:
        found += reader.poll()
        time.sleep(0.01)
    return found


def write(address: str, topic: str, values: list[bytes]) -> None:
    part = ModelsSink(params(address), topic).build("models", 0, 1)
    part.write_batch([[(f"key/{place}", value)] for place, value in enumerate(values)])
    part.close()


def test_a_reader_gets_what_is_written_from_its_start_on_in_order(broker: EmbeddedBroker, topic: str):
    address, values = broker.bootstrap_servers, [b"%d" % number for number in range(200)]
    write(address, topic, [b"before"] * 30)
    reader = ModelsReader(params(address), topic, CLUSTER)
    assert reader.began_at == 30
    write(address, topic, values)
    assert read(reader, 200) == list(enumerate(values, 30))
    reader.close()


def reads(address: str, topic: str, cluster: str, *, seconds: float = 60.0, ahead: float = 0.0) -> list[Any]:
    """What a process of `cluster` gets that starts `ahead` seconds from now."""
    reader = ModelsReader(params(address, fence_seconds=seconds), topic, cluster, lambda: time.time() + ahead)
    write(address, topic, [b"new"])
    try:
        return [value for _, value in read(reader, 1)]
    finally:
        reader.close()


def test_another_deployment_that_has_just_written_prevents_the_start(broker: EmbeddedBroker, topic: str):
    address = broker.bootstrap_servers
    write(address, topic, [ready_record(Origin("bank", "run", "p0"))[1]])
    with pytest.raises(
        KafkaInputError, match=r"offset 0 was written \d s ago by another deployment \(bank; .* is shop\)"
    ):
        reads(address, topic, "shop")
    assert reads(address, topic, "bank") == [b"new"]  # an earlier run of the same deployment
    assert reads(address, topic, "shop", ahead=61.0) == [b"new"]
    assert reads(address, topic, "shop", seconds=0.0) == [b"new"]


def test_only_the_last_records_show_another_deployment(broker: EmbeddedBroker, topic: str):
    address = broker.bootstrap_servers
    records = [ready_record(Origin(cluster, "run", "p0"))[1] for cluster in ("bank", *["shop"] * LAST)]
    write(address, topic, records)
    assert reads(address, topic, "shop") == [b"new"]


def test_a_topic_that_is_there_is_taken_as_it_is(broker: EmbeddedBroker, topic: str):
    ensure(params(broker.bootstrap_servers), topic)


def test_a_topic_that_another_process_makes_just_now_is_waited_for(broker: EmbeddedBroker):
    topic = f"models-{uuid4().hex[:8]}"
    making = Timer(1.0, lambda: broker._owner.list_topics(topic, timeout=10))
    making.start()
    reader = ModelsReader(params(broker.bootstrap_servers), topic, CLUSTER)
    assert reader.began_at == 0
    reader.close()
    making.join()


def test_a_topic_that_is_not_there_is_named():
    with EmbeddedBroker() as other:
        unknown = params(other.bootstrap_servers, connect_seconds=0.5)
        with pytest.raises(KafkaInputError, match=r"the end of topic csq\.none for the models cannot be read"):
            ModelsReader(unknown, "csq.none", CLUSTER)


def test_brokers_that_do_not_answer_are_reported_with_the_setting():
    with pytest.raises(KafkaInputError, match=r"topic csq\.models for the models: .*its name is kafka\.models_topic"):
        ensure(params("127.0.0.1:1", connect_seconds=0.3), "csq.models")


def test_weights_that_no_broker_takes_end_the_process():
    part = ModelsSink(params("127.0.0.1:1", delivery_seconds=0.2), "csq.models").build("models", 0, 1)
    part.write_batch([[("key", b"value")]])
    with pytest.raises(KafkaOutputError, match=r"weights for topic csq\.models were not delivered"):
        wait_for_failure(part)
    part.close()


def wait_for_failure(part: Any) -> None:
    for _ in range(50):
        part.write_batch([])
        time.sleep(0.1)


@pytest.mark.slow
def test_on_a_real_broker_it_is_made_compacted_and_with_one_partition(kafka: Kafka):
    topic = f"models-{uuid4().hex[:8]}"
    for _ in range(2):  # the second process finds it
        ensure(params(kafka.address), topic)
    assert kafka.partitions(topic) == [0]
    reader = ModelsReader(params(kafka.address), topic, CLUSTER)
    write(kafka.address, topic, [b"one", b"two"])
    assert read(reader, 2) == [(0, b"one"), (1, b"two")]
    reader.close()
    resource = ConfigResource(ResourceType.TOPIC, topic)
    found = kafka.admin.describe_configs([resource])[resource].result(20)
    assert {name: found[name].value for name in CONFIG} == CONFIG
