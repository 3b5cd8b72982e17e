"""The Kafka sink delivers everything before an epoch ends, or reports what it could not deliver and why."""

import time
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSource, cluster_main, run_main
from confluent_kafka import Producer

from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka import sink as sink_module
from operators.connectors.kafka.errors import KafkaOutputError
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.sink import PARTS, KafkaSink, SinkPart
from operators.domain.wire.outgoing import Outgoing
from tests.letters import consume
from tests.ports import deserted

DEADLINE_SECONDS = 20.0
"""Bound on any wait of these tests; they normally take milliseconds."""

_names = (f"stream-{n}" for n in count())


@pytest.fixture
def stream(broker: EmbeddedBroker) -> str:
    name = next(_names)
    Producer({"bootstrap.servers": broker.bootstrap_servers}).list_topics(name, timeout=DEADLINE_SECONDS)
    return name


def params(address: str, **settings: Any) -> KafkaParams:
    return KafkaParams(brokers=(address,), **settings)


def part_of(sink: KafkaSink) -> SinkPart:
    return sink.build_part("out", sink.list_parts()[0], None)


def flow_into(sink: KafkaSink, batches: list[tuple[str, list[Outgoing]]]) -> Dataflow:
    flow = Dataflow("test")
    op.output("out", op.input("in", flow, TestingSource(batches, batch_size=3)), sink)
    return flow


def test_a_record_arrives_with_key_value_and_headers(broker: EmbeddedBroker, stream: str) -> None:
    part = part_of(KafkaSink(params(broker.bootstrap_servers)))
    part.write_batch([[Outgoing(stream, "refunds", b"{}", (("reason", "not_json"), ("origin", "chat[3]")))]])
    part.snapshot()
    (message,) = consume(broker.bootstrap_servers, stream)
    assert (message.key(), message.value()) == (b"refunds", b"{}")
    assert message.headers() == [("reason", b"not_json"), ("origin", b"chat[3]")]


def test_each_record_names_the_run_that_wrote_it(broker: EmbeddedBroker, stream: str) -> None:
    part = part_of(KafkaSink(params(broker.bootstrap_servers), run=lambda: "5f0c"))
    part.write_batch([[Outgoing(stream, "a", b"1"), Outgoing(stream, "a", b"2", (("reason", "not_json"),))]])
    part.snapshot()
    found = [message.headers() for message in consume(broker.bootstrap_servers, stream)]
    assert found == [[("csq-run", b"5f0c")], [("reason", b"not_json"), ("csq-run", b"5f0c")]]


def test_an_empty_key_is_no_key(broker: EmbeddedBroker, stream: str) -> None:
    part = part_of(KafkaSink(params(broker.bootstrap_servers)))
    part.write_batch([[Outgoing(stream, "", b"value")]])
    part.snapshot()
    (message,) = consume(broker.bootstrap_servers, stream)
    assert (message.key(), message.headers()) == (None, None)


def test_all_of_an_epoch_is_delivered_when_its_snapshot_is_taken(broker: EmbeddedBroker, stream: str) -> None:
    part = part_of(KafkaSink(params(broker.bootstrap_servers)))
    part.write_batch([[Outgoing(stream, f"key-{n % 9}", b"%d" % n) for n in range(1000)]])
    part.snapshot()
    messages = consume(broker.bootstrap_servers, stream)
    assert sorted(int(message.value() or b"") for message in messages) == list(range(1000))
    by_key = {key: [int(m.value() or b"") for m in messages if m.key() == key] for key in {m.key() for m in messages}}
    assert len(by_key) == 9
    assert all(numbers == sorted(numbers) for numbers in by_key.values())


def test_streams_go_to_the_topics_that_settings_name(broker: EmbeddedBroker, stream: str) -> None:
    address, other = broker.bootstrap_servers, next(_names)
    for topics in ({stream: other}, lambda name: other if name == stream else name):
        part = part_of(KafkaSink(params(address), topics))
        part.write_batch([[Outgoing(stream, "", b"mapped"), Outgoing(f"{other}-as-it-is", "", b"not mapped")]])
        part.snapshot()
    assert [message.value() for message in consume(address, other)] == [b"mapped"] * 2
    assert [message.value() for message in consume(address, f"{other}-as-it-is")] == [b"not mapped"] * 2
    assert consume(address, stream) == []


def test_a_full_queue_is_waited_for(broker: EmbeddedBroker, stream: str) -> None:
    tight = params(broker.bootstrap_servers, librdkafka={"queue.buffering.max.messages": 5})
    part = part_of(KafkaSink(tight))
    part.write_batch([[Outgoing(stream, "", b"%d" % n) for n in range(50)]])
    part.snapshot()
    assert len(consume(broker.bootstrap_servers, stream)) == 50


def test_a_record_that_is_too_large_is_an_error_without_its_content(broker: EmbeddedBroker, stream: str) -> None:
    part = part_of(KafkaSink(params(broker.bootstrap_servers)))
    with pytest.raises(KafkaOutputError, match=f"1 record for topic {stream} was not delivered: .*too large") as raised:
        part.write_batch([[Outgoing(stream, "k", b"secret" * 200_000)]])
    assert "secret" not in str(raised.value)
    part.close()


def test_an_undelivered_record_fails_the_epoch_and_closing_adds_no_second_error() -> None:
    with EmbeddedBroker() as broker:
        part = part_of(KafkaSink(params(broker.bootstrap_servers, delivery_seconds=1.0)))
        part.write_batch([[Outgoing("alerts", "a", b"first")]])
        part.snapshot()
    with deserted(broker.bootstrap_servers):
        part.write_batch([[Outgoing("alerts", "a", b"second"), Outgoing("alerts", "b", b"third")]])
        with pytest.raises(
            KafkaOutputError,
            match=r"2 records for topic alerts were not delivered: .*timed out.*1 s \(kafka\.delivery_seconds",
        ):
            part.snapshot()
        part.close()


def test_while_it_waits_for_a_broker_the_process_shows_that_it_lives() -> None:
    beats: list[float] = []
    with deserted() as address:
        part = part_of(KafkaSink(params(address, delivery_seconds=2.0), beat=lambda: beats.append(1)))
        part.write_batch([[Outgoing("alerts", "a", b"first")]])
        with pytest.raises(KafkaOutputError):
            part.snapshot()
    assert 2 <= len(beats) <= 6


def test_many_parts_close_as_fast_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "CLOSE_SECONDS", 1.0)
    with deserted() as address:
        sink = KafkaSink(params(address))
        parts = [sink.build_part("out", name, None) for name in sink.list_parts()]
        parts[0].write_batch([[Outgoing("alerts", "a", b"first")]])
        begun = time.monotonic()
        for part in parts:
            part.close()
        assert len(parts) > 30
        assert 0.8 < time.monotonic() - begun < 10


def test_a_flow_ends_with_the_error_of_its_sink() -> None:
    with deserted() as address:
        sink = KafkaSink(params(address, delivery_seconds=0.5))
        with pytest.raises(BytewaxRuntimeError) as raised:
            run_main(flow_into(sink, [("lane", [Outgoing("alerts", "a", b"value")])]))
    causes, error = [], raised.value.__cause__
    while error is not None:
        causes.append(error)
        error = error.__cause__
    assert isinstance(causes[-1], KafkaOutputError)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_flow_delivers_everything_once(broker: EmbeddedBroker, stream: str, workers: int) -> None:
    batches = [
        (f"lane-{n % 4}", [Outgoing(stream, f"{n}", b"%d" % n) for n in range(n, n + 10)]) for n in range(0, 300, 10)
    ]
    sink = KafkaSink(params(broker.bootstrap_servers))
    cluster_main(flow_into(sink, batches), [], 0, worker_count_per_proc=workers)
    values = [int(message.value() or b"") for message in consume(broker.bootstrap_servers, stream)]
    assert sorted(values) == list(range(300))


@pytest.mark.parametrize("processes", [1, 2, 3, PARTS])
def test_the_processes_share_all_part_names_and_each_writes_to_its_own(processes: int) -> None:
    sinks = [KafkaSink(KafkaParams(), process=n, processes=processes) for n in range(processes)]
    names = sorted(name for sink in sinks for name in sink.list_parts())
    assert names == sorted({f"{n:02d}" for n in range(PARTS)})
    for sink in sinks:
        assert names[sink.part_fn("any lane")] in sink.list_parts()


def test_a_process_outside_the_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match=r"process 2 of 2: expected 0 <= process < processes <= 64"):
        KafkaSink(KafkaParams(), process=2, processes=2)


def test_a_store_written_by_more_processes_can_be_resumed(broker: EmbeddedBroker, stream: str, tmp_path: Path) -> None:
    init_db_dir(tmp_path, 1)
    address = broker.bootstrap_servers
    batches: list[Any] = [
        ("lane", [Outgoing(stream, "", b"before")]),
        TestingSource.EOF(),
        ("lane", [Outgoing(stream, "", b"after")]),
    ]
    for process, processes in ((1, 2), (0, 1)):
        sink = KafkaSink(params(address), process=process, processes=processes)
        flow = flow_into(sink, batches)
        run_main(flow, recovery_config=RecoveryConfig(str(tmp_path)), epoch_interval=timedelta(0))
    assert sorted(message.value() or b"" for message in consume(address, stream)) == [b"after", b"before"]
