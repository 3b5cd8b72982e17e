"""`csq send`: events of files in a topic, by the key that csq expects, each acknowledged; bad lines are reported."""

import gzip
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from flows.commands.main import main
from operators.connectors.embedded import EmbeddedBroker
from operators.domain.wire.key import key_in, key_of
from operators.simulator import SimulatorParams, simulate
from tests.builders import START, raw
from tests.letters import COMPLAINT, MESSAGE, STRICT, consume
from tests.ports import deserted
from tests.servers.kafka import Kafka

EVENTS = [raw(MESSAGE, START, f"e{n}", conversation_id=f"c{n % 3}") for n in range(9)]
BROKEN = raw(COMPLAINT, START, "e2", severity=9)

_names = (f"sent-{n}" for n in count())


@pytest.fixture
def topic(broker: EmbeddedBroker) -> str:
    name = next(_names)
    Producer({"bootstrap.servers": broker.bootstrap_servers}).list_topics(name, timeout=20)  # which creates it
    return name


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.jsonl"
    path.write_bytes(b"\n".join(EVENTS) + b"\n\n")
    return path


def csq(*arguments: object, address: str = "", topic: str = "", given: bytes | None = None, **env: str) -> Result:
    env |= {"CSQ_KAFKA__BROKERS": f"['{address}']"} if address else {}
    env |= {"CSQ_KAFKA__TOPICS": f"['{topic}', other]"} if topic else {}
    return CliRunner().invoke(main, ["send", *map(str, arguments)], env=env, input=given)


def test_events_arrive_as_they_are_with_their_key_and_in_the_order_of_it(
    broker: EmbeddedBroker, topic: str, file: Path
) -> None:
    address = broker.bootstrap_servers
    result = csq(file, address=address, topic=topic)

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"9 events sent to {topic} in ")
    messages = consume(address, topic)
    by_key: dict[Any, list[Any]] = {}
    for message in messages:
        by_key.setdefault(message.key(), []).append(message.value())
    assert by_key == {b"c%d" % n: EVENTS[n::3] for n in range(3)}


def test_a_compressed_file_and_standard_input_go_to_the_topic_that_is_named(
    broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    packed = tmp_path / "shop.jsonl.gz"
    packed.write_bytes(gzip.compress(b"\n".join(EVENTS[:4])))
    result = csq(packed, "-", "--topic", topic, address=broker.bootstrap_servers, given=b"\r\n".join(EVENTS[4:]))

    assert result.exit_code == 0, result.output
    assert sorted(m.value() for m in consume(broker.bootstrap_servers, topic)) == sorted(EVENTS)


def test_bad_lines_are_skipped_and_reported_with_place_value_and_expectation(
    broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"\n".join([EVENTS[0], BROKEN, b"no JSON", b"", *[b"{}"] * 30, EVENTS[1]]))
    result = csq(path, address=broker.bootstrap_servers, topic=topic)

    assert result.exit_code == 0, result.output
    assert f"2 events sent to {topic} in " in result.stdout
    assert result.stdout.endswith("; 32 lines skipped\n")
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f'{path}:2: invalid_field: $.data.severity: Expected `int` <= 5; got \'{{"specversion"')
    assert lines[1].startswith(f"{path}:3: not_json: ")
    assert lines[1].endswith("; expected one JSON object in UTF-8; got 'no JSON'")
    assert lines[2].startswith(f"{path}:5: not_an_event: ")
    assert lines[-1] == "and 12 more bad lines"
    assert len(lines) == 21


def test_strict_stops_at_the_first_bad_line_and_says_what_was_delivered(
    broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"\n".join([EVENTS[0], BROKEN, EVENTS[1]]))
    result = csq(path, "--strict", address=broker.bootstrap_servers, topic=topic)

    assert result.exit_code == 1
    assert f"Error: {path}:2: invalid_field" in result.stderr
    assert "1 events were delivered before; the file can be sent again" in result.stderr
    assert [m.value() for m in consume(broker.bootstrap_servers, topic)] == [EVENTS[0]]


def test_unchecked_sends_every_line_with_the_key_that_can_be_read(
    broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"\n".join([BROKEN, b"no JSON"]))
    result = csq(path, "--unchecked", address=broker.bootstrap_servers, topic=topic)

    assert result.exit_code == 0, result.output
    found = {m.value(): m.key() for m in consume(broker.bootstrap_servers, topic)}
    assert found == {BROKEN: key_in(BROKEN).encode(), b"no JSON": b""}


def test_a_line_that_was_cut_is_never_sent(broker: EmbeddedBroker, topic: str, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(b"x" * (2 << 20))
    result = csq(path, "--unchecked", address=broker.bootstrap_servers, topic=topic)
    assert f"{path}:1: longer than 1,048,576 bytes; got 'xxx" in result.stderr
    assert consume(broker.bootstrap_servers, topic) == []


def test_the_rate_bounds_events_per_second(broker: EmbeddedBroker, topic: str, file: Path) -> None:
    began = time.monotonic()
    assert csq(file, "--rate", 10, address=broker.bootstrap_servers, topic=topic).exit_code == 0
    assert time.monotonic() - began >= 0.8  # nine events, the first at once


def test_a_full_queue_is_waited_for(broker: EmbeddedBroker, topic: str, file: Path) -> None:
    small = {"CSQ_KAFKA__LIBRDKAFKA": "{queue.buffering.max.messages: 2}"}
    result = csq(file, address=broker.bootstrap_servers, topic=topic, **small)
    assert result.exit_code == 0, result.output
    assert len(consume(broker.bootstrap_servers, topic)) == 9


# ---- what can be wrong


def test_without_brokers_in_the_settings_it_says_what_to_set(file: Path) -> None:
    result = csq(file)
    assert result.exit_code == 1
    assert "the settings name no brokers (kafka.brokers) to send to: name settings with -c" in result.stderr


def test_a_topic_that_does_not_exist_is_named_with_what_to_do(broker: EmbeddedBroker, file: Path) -> None:
    result = csq(file, "--topic", "misspelt", address=broker.bootstrap_servers)
    assert result.exit_code == 1
    assert "Kafka: topic 'misspelt' cannot be written to at 127.0.0.1:" in result.stderr
    assert "Unknown topic or partition" in result.stderr
    assert "Create the topic, correct its name" in result.stderr


def test_brokers_that_do_not_answer_are_named(file: Path) -> None:
    result = csq(file, address="127.0.0.1:1", CSQ_KAFKA__CONNECT_SECONDS="0.3")
    assert result.exit_code == 1
    assert "Kafka: no answer from 127.0.0.1:1 in 0.3 s" in result.stderr
    assert "Check kafka.brokers" in result.stderr


def test_brokers_that_go_away_end_it_with_how_many_were_delivered(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.commands.send.partitions_of", lambda *_, **__: [])  # they were there a moment ago
    with deserted() as address:
        result = csq(file, address=address, CSQ_KAFKA__DELIVERY_SECONDS="0.3")
    assert result.exit_code == 1
    assert "Error: Kafka: a record for topic csq.events, key 'c0', was not delivered: " in result.stderr
    assert "0 events were delivered before; the file can be sent again" in result.stderr


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jsonl.gz"
    damaged.write_bytes(gzip.compress(b"\n".join(EVENTS))[:-10])
    with EmbeddedBroker(["csq.events"]) as broker:
        result = csq(damaged, address=broker.bootstrap_servers)
    assert result.exit_code == 1
    assert f"{damaged}: cannot be read to its end" in result.stderr
    assert "cannot be read: No such file" in csq(tmp_path / "missing.jsonl").stderr


# ---- keys


def test_the_key_is_the_conversation_else_the_customer_as_the_shop_writes_it() -> None:
    deliveries, _ = simulate(SimulatorParams(broken_share=0.0), 3_000)
    without = 0
    for delivery in deliveries:
        _, event = STRICT.decode_one(delivery.raw, delivery.time)
        assert key_of(event) == key_in(delivery.raw)
        if hasattr(event.data, "conversation_id") or hasattr(event.data, "customer_id"):
            assert key_of(event) == delivery.key
        else:  # of an agent
            without += 1
            assert key_of(event) == event.data.queue
    assert 0 < without < len(deliveries) / 10


@pytest.mark.slow
def test_to_a_real_broker_by_the_partitioner_of_java(kafka: Kafka, tmp_path: Path) -> None:
    topic, path = next(_names), tmp_path / "shop.jsonl"
    kafka.create_topic(topic, 4)
    deliveries, _ = simulate(SimulatorParams(broken_share=0.0), 2_000)
    path.write_bytes(b"".join(delivery.raw + b"\n" for delivery in deliveries))
    result = csq(path, address=kafka.address, topic=topic)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"2,000 events sent to {topic} in ")

    own = next(_names)
    kafka.create_topic(own, 4)
    kafka.produce(own, [(key_in(delivery.raw), delivery.raw) for delivery in deliveries])
    assert {(m.partition(), m.key(), m.value()) for m in kafka.read(topic)} == {
        (m.partition(), m.key(), m.value()) for m in kafka.read(own)
    }
