"""All records of csq go through one producer, which waits while its queue is full, up to a limit."""

import re
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka.errors import KafkaOutputError
from operators.connectors.kafka.models_topic import ModelsSink
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.producer import QueueFullError, RecordProducer, Sender
from tests.letters import consume
from tests.ports import deserted
from tests.streams import ROOT

_names = (f"produced-{n}" for n in count())


def tight(address: str, seconds: float = 30.0, **more: str | float) -> KafkaParams:
    """Room for five records in the queue."""
    librdkafka = {"queue.buffering.max.messages": 5, **more}
    return KafkaParams(brokers=(address,), delivery_seconds=seconds, librdkafka=librdkafka)


def never_fails(error: object, message: object) -> None:
    assert error is None


def test_a_full_queue_is_waited_for_and_every_record_arrives(broker: EmbeddedBroker) -> None:
    topic, pauses = next(_names), count()
    producer = RecordProducer(tight(broker.bootstrap_servers), never_fails, while_full=lambda: next(pauses))
    for number in range(50):
        producer.produce(topic, b"%d" % number, "key")
    assert producer.flush(20.0) == 0
    assert [message.value() for message in consume(broker.bootstrap_servers, topic)] == [b"%d" % n for n in range(50)]
    assert next(pauses) > 0


def test_a_queue_that_stays_full_is_an_error_with_its_topic_and_setting() -> None:
    with deserted() as address:
        producer = RecordProducer(tight(address, 60.0), never_fails)
        producer._seconds = 0.5  # the records that fill the queue expire later than the wait for room
        for number in range(5):
            producer.produce("alerts", b"%d" % number)
        began = time.monotonic()
        with pytest.raises(
            QueueFullError, match=r"Kafka: topic alerts: the producer's queue was full for 0\.5 s \(kafka\.delivery_sec"
        ):
            producer.produce("alerts", b"one too many")
        assert 0.5 <= time.monotonic() - began < 5.0


def test_the_sink_of_the_models_topic_waits_for_room_as_well(
    broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    topic = next(_names)
    part = ModelsSink(tight(broker.bootstrap_servers, **{"linger.ms": 50}), topic).build("models", 0, 1)
    part.write_batch([[(f"key/{number}", b"%d" % number) for number in range(50)]])
    part.close()
    assert [message.value() for message in consume(broker.bootstrap_servers, topic)] == [b"%d" % n for n in range(50)]
    assert [vars(record)["event"] for record in caplog.records] == ["models_topic_full"]


def test_weights_without_room_end_the_process_with_a_message_and_no_traceback_of_a_full_buffer() -> None:
    beats = count()
    with deserted() as address:
        part: Any = ModelsSink(tight(address, 60.0), "csq.models", lambda: next(beats)).build("models", 0, 1)
        part._producer._seconds = 0.5  # as above
        with pytest.raises(KafkaOutputError, match=r"topic csq\.models: .* was full for 0\.5 s .*old weights"):
            part.write_batch([[(f"key/{number}", b"value") for number in range(6)]])
    assert next(beats) > 0


def test_a_sender_reports_the_first_record_that_was_not_delivered() -> None:
    with deserted() as address:
        sender = Sender(KafkaParams(brokers=(address,), delivery_seconds=0.3))
        for number in range(3):
            sender.send("alerts", f"k{number}", b"secret")
        with pytest.raises(
            KafkaOutputError, match=r"topic alerts, key 'k\d', was not delivered: .*\(and 2 more\)"
        ) as raised:
            sender.flush()
    assert sender.delivered == 0
    assert "secret" not in str(raised.value)


def test_a_sender_counts_and_calls_back_for_each_record_that_was_delivered(broker: EmbeddedBroker) -> None:
    topic, arrived = next(_names), []
    sender = Sender(KafkaParams(brokers=(broker.bootstrap_servers,)))
    for number in range(10):
        sender.send(topic, "key", b"%d" % number, delivered=lambda number=number: arrived.append(number))
    sender.flush()
    assert sender.delivered == 10
    assert arrived == list(range(10))


def test_no_other_module_calls_produce_of_librdkafka() -> None:
    sources = [path for folder in ("operators", "flows", "bench") for path in (ROOT / folder).rglob("*.py")]
    makers = [path.relative_to(ROOT) for path in sources if re.search(r"\bimport\b.*\bProducer\b", path.read_text())]
    assert makers == [Path("operators/connectors/embedded.py"), Path("operators/connectors/kafka/producer.py")]
    assert ".produce(" not in (ROOT / "operators/connectors/embedded.py").read_text()
    assert Producer  # the name that is searched for
