"""The Kafka source hands on everything once and in order, and reports the time only when it is known."""

import itertools
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import bytewax.operators as op
import msgspec
import pytest
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main, run_main
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from operators.connectors.embedded import PARTITIONS, EmbeddedBroker
from operators.connectors.kafka import reader, status
from operators.connectors.kafka.errors import KafkaInputError, input_error
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.source import KafkaSource, KafkaSourcePart
from operators.domain.stage.seal import seal
from operators.domain.time.route import Chunk
from operators.engine.positions import Position, TopicId, kept_position, position_of
from tests.ports import deserted

FAST = {"fetch.wait.max.ms": 10}
"""The embedded broker answers a fetch only after this, even when records arrive sooner."""

DEADLINE_SECONDS = 20.0
"""Bound on any wait of these tests; they normally take milliseconds."""

SERVE = """
import sys
from operators.connectors.embedded import EmbeddedBroker
with EmbeddedBroker(["events"]) as broker:
    print(broker.bootstrap_servers, flush=True)
    sys.stdin.read()
"""

_names = (f"events-{n}" for n in itertools.count())


def params(address: str, **settings: Any) -> KafkaParams:
    return KafkaParams(brokers=(address,), **{"tick_seconds": 0.05, "librdkafka": FAST, **settings})


def new_topic(address: str, *values: tuple[int, bytes | None]) -> str:
    """Make a topic that holds (partition, value) records."""
    topic = next(_names)
    producer = Producer({"bootstrap.servers": address})
    producer.list_topics(topic, timeout=DEADLINE_SECONDS)
    produce(address, topic, *values)
    return topic


def produce(address: str, topic: str, *values: tuple[int, bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": address})
    for partition, value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(DEADLINE_SECONDS) == 0


class Reading:
    """Drives the parts of a source as one Bytewax worker does."""

    def __init__(self, source: KafkaSource, states: dict[str, int] | None = None) -> None:
        self.source = source
        self.parts: list[KafkaSourcePart] = [
            source.build_part(
                "in", name, None if states is None or name not in states else kept_position(Position(states[name]))
            )
            for name in source.list_parts()
        ]
        self.chunks: list[Chunk] = []

    def step(self) -> None:
        for part in self.parts:
            self.chunks += part.next_batch()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.source.status
            self.step()
            time.sleep(0.001)

    def until_read(self, records: int) -> None:
        self.until(lambda: len(self.records()) >= records)

    def until_ended(self) -> None:
        """Run until all partitions have reported a time from now on."""
        begun = time.time()
        self.until(lambda: all(any(c.read_until and c.read_until > begun for c in self.of(p)) for p in self.parts))

    def of(self, part: KafkaSourcePart) -> list[Chunk]:
        return [chunk for chunk in self.chunks if chunk.origin == part.name]

    def records(self) -> list[tuple[str, int, bytes | None]]:
        return [(c.origin, at, value) for c in self.chunks for at, value in zip(c.positions, c.values, strict=True)]

    def close(self) -> dict[str, int]:
        """End as Bytewax does, and give the states."""
        states = {part.name: position_of(part.snapshot(), part.name).next for part in self.parts}
        for part in self.parts:
            part.close()
        return states


def numbered(partitions: int, count: int) -> list[tuple[int, bytes | None]]:
    return [(n % partitions, b"%d" % n) for n in range(count)]


def test_everything_produced_arrives_once_and_in_the_order_of_its_partition(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topics = [new_topic(address, *numbered(PARTITIONS, 500)), new_topic(address, *numbered(1, 300))]
    reading = Reading(KafkaSource(params(address, batch_size=70), topics))
    reading.until_read(800)
    reading.until_ended()
    reading.close()
    assert sorted(reading.records()) == sorted(
        [(f"{topics[0]}[{n % PARTITIONS}]", n // PARTITIONS, b"%d" % n) for n in range(500)]
        + [(f"{topics[1]}[0]", n, b"%d" % n) for n in range(300)]
    )
    for part in reading.parts:
        positions = [at for chunk in reading.of(part) for at in chunk.positions]
        assert positions == list(range(len(positions)))
    assert max(len(chunk.values) for chunk in reading.chunks) <= 70


def test_a_part_resumes_exactly_behind_the_last_chunk_handed_on(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(PARTITIONS, 400))
    first = Reading(KafkaSource(params(address, batch_size=30), [topic]))
    first.until_read(100)
    assert len(first.records()) < 400  # more was read ahead
    states = first.close()
    second = Reading(KafkaSource(params(address), [topic]), states)
    second.until_ended()
    second.close()
    assert sorted(int(value or b"") for _, _, value in first.records() + second.records()) == list(range(400))


def test_each_part_announces_itself_before_any_data_and_waits_until_the_flow_is_ready(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(PARTITIONS, 40))
    ready = Event()
    reading = Reading(KafkaSource(params(address), [topic], ready=ready.is_set))
    hasty, *others = reading.parts
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        reading.chunks += hasty.next_batch()
        time.sleep(0.005)
    assert reading.chunks == [Chunk(hasty.name, None, [], [])]
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        reading.step()
        time.sleep(0.005)
    assert reading.chunks[1:] == [Chunk(part.name, None, [], []) for part in others]
    ready.set()
    reading.until_read(40)
    reading.close()


def test_time_is_reported_only_at_the_end_and_never_ahead_of_the_clock(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(1, 200))
    begun = time.time()
    reading = Reading(KafkaSource(params(address, batch_size=20), [topic]))
    reading.until_ended()
    busy = reading.of(reading.parts[0])
    times = [i for i, chunk in enumerate(busy) if chunk.read_until is not None]
    before = busy[: times[0] + 1]  # no time is reported before all is handed on
    assert sum(len(chunk.values) for chunk in before) == 200
    for part in reading.parts:
        times = [chunk.read_until for chunk in reading.of(part) if chunk.read_until is not None]
        assert times == sorted(times)
        assert begun <= times[0]
        assert times[-1] <= time.time()
    reading.close()


def test_time_moves_at_the_end_by_empty_chunks_every_tick(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    reading = Reading(KafkaSource(params(address, tick_seconds=0.1), [new_topic(address)]))
    reading.until_ended()
    reading.chunks.clear()
    begun = time.monotonic()
    reading.until(lambda: len(reading.of(reading.parts[0])) == 5)
    assert 0.35 <= time.monotonic() - begun <= 1.5
    assert all(chunk.values == [] and chunk.read_until is not None for chunk in reading.chunks)
    reading.close()


def test_a_tombstone_is_a_value_of_none(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, (0, b"something"), (0, None), (0, b""))
    reading = Reading(KafkaSource(params(address), [topic]))
    reading.until_read(3)
    reading.close()
    assert [value for _, _, value in reading.records()] == [b"something", None, b""]


def test_after_a_stop_nothing_more_is_handed_on_and_the_states_say_so(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(1, 100))
    stop = Event()
    reading = Reading(KafkaSource(params(address, batch_size=10), [topic], stop=stop))
    reading.until_read(10)
    stop.set()
    for part in reading.parts:
        with pytest.raises(StopIteration):
            part.next_batch()
    assert reading.close()[f"{topic}[0]"] == len(reading.records()) < 100


@pytest.mark.parametrize(("start", "expected"), [("earliest", [b"old", b"new"]), ("latest", [b"new"])])
def test_a_first_start_is_where_the_settings_say(broker: EmbeddedBroker, start: str, expected: list[bytes]) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, (0, b"old"))
    reading = Reading(KafkaSource(params(address, start={topic: start}), [topic]))
    produce(address, topic, (0, b"new"))
    reading.until_read(len(expected))
    reading.close()
    assert [value for _, _, value in reading.records()] == expected


def test_a_latest_start_is_fixed_before_the_first_record_so_that_a_crash_loses_none(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, (0, b"old"))
    crashed = Reading(KafkaSource(params(address, start="latest"), [topic]))
    states = crashed.close()
    produce(address, topic, (0, b"while away"))
    resumed = Reading(KafkaSource(params(address, start="latest"), [topic]), states)
    resumed.until_read(1)
    resumed.close()
    assert [value for _, _, value in resumed.records()] == [b"while away"]


def test_a_start_by_time_asks_the_broker_for_the_offset(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class ByTime(Consumer):
        """The embedded broker has no index of times: records are one second apart from second 0."""

        def offsets_for_times(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
            assert timeout > 0
            asked.extend(where.offset for where in partitions)
            past = [w.offset // 1000 if w.partition == 0 and w.offset < 5000 else -1 for w in partitions]
            return [TopicPartition(p.topic, p.partition, at) for p, at in zip(partitions, past, strict=True)]

    monkeypatch.setattr(reader, "Consumer", ByTime)
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(1, 5))
    for start, values in (("1970-01-01T00:00:03Z", [b"3", b"4", b"new"]), ("1970-01-01T01:00:00Z", [b"newer"])):
        reading = Reading(KafkaSource(params(address, start=start), [topic]))
        produce(address, topic, (0, values[-1]))
        reading.until_read(len(values))
        reading.close()
        assert [value for _, _, value in reading.records()] == values
    assert set(asked) == {3000, 3_600_000}


def test_an_offset_that_the_broker_lacks_ends_the_reading_with_what_to_do(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(1, 5))
    reading = Reading(KafkaSource(params(address), [topic]), {f"{topic}[0]": 500})
    lost = r"the stored position is 500, but the broker holds 0 to 4: the topic was recreated or truncated"
    with pytest.raises(KafkaInputError, match=rf"{topic}\[0\]: {lost}\..*kafka\.on_expired_offset for topic {topic}"):
        reading.until(lambda: False)
    reading.close()


@pytest.mark.parametrize(("chosen", "expected"), [("earliest", 5), ("latest", 0)])
def test_an_expired_offset_can_be_given_up_deliberately(
    broker: EmbeddedBroker, chosen: str, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(1, 5))
    source = KafkaSource(params(address, on_expired_offset={topic: chosen}), [topic])
    reading = Reading(source, {f"{topic}[0]": 500})
    reading.until(lambda: bool(caplog.records))
    reading.until_ended()
    produce(address, topic, (0, b"new"))
    reading.until_read(expected + 1)
    assert reading.close()[f"{topic}[0]"] == 6
    assert len(reading.records()) == expected + 1
    (record,) = caplog.records
    assert f"reading continues at {5 - expected} (kafka.on_expired_offset: {chosen})" in record.getMessage()


def test_what_is_expired_for_one_topic_is_no_leave_for_another() -> None:
    settings = params("127.0.0.1:1", on_expired_offset={"chat": "latest"})
    assert [settings.on_expired_offset_of(topic) for topic in ("chat", "mail")] == ["latest", "error"]


def test_a_partition_added_after_the_first_start_is_read_from_its_beginning(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic, other = new_topic(address, (0, b"old"), (1, b"new")), new_topic(address, (0, b"unknown"))
    source = KafkaSource(params(address, start="latest"), [topic, other])
    source.resume({f"{topic}[0]"})
    reading = Reading(source, {f"{topic}[0]": 1})
    reading.until_ended()
    reading.close()
    assert [value for _, _, value in reading.records()] == [b"new"]


def test_a_position_of_another_cluster_is_an_expired_offset(
    broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *[(0, b"%d" % n) for n in range(5)])
    name, stored = f"{topic}[0]", kept_position(Position(3, TopicId("elsewhere")))
    refused = KafkaSource(params(address), [topic])
    refused.list_parts()
    with pytest.raises(
        KafkaInputError, match=r"position 3 is of another Kafka cluster \(cluster id elsewhere, now mock"
    ):
        refused.build_part("in", name, stored)
    source = KafkaSource(params(address, on_expired_offset="earliest"), [topic])
    source.list_parts()
    part = source.build_part("in", name, stored)
    kept = position_of(part.snapshot() or b"", name)
    assert (kept.next, kept.choice) == (0, 1)
    assert kept.of.cluster.startswith("mockCluster")
    assert "reading continues at 0 (kafka.on_expired_offset: earliest)" in caplog.text
    part.close()


def test_ids_that_were_not_stored_are_learned(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *[(0, b"%d" % n) for n in range(5)])
    source = KafkaSource(params(address), [topic])
    source.list_parts()
    part = source.build_part("in", f"{topic}[0]", seal({"v": 1, "next": 3}))
    kept = position_of(part.snapshot() or b"", topic)
    assert (kept.next, kept.choice) == (3, 0)
    assert kept.of.cluster.startswith("mockCluster")
    part.close()


def test_a_partition_that_is_gone_is_listed_hands_on_nothing_and_keeps_its_state(
    broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    topic, stopped = new_topic(broker.bootstrap_servers), Event()
    source = KafkaSource(params(broker.bootstrap_servers), [topic], stop=stopped)
    source.resume({f"{topic}[0]", f"{topic}[9]", "left-out[2]"})
    assert source.list_parts()[-2:] == [f"{topic}[9]", "left-out[2]"]
    assert source.status.parts == PARTITIONS
    assert source.status.gone == 2
    assert f"{topic}[9], left-out[2]: a position is stored" in caplog.text
    stored = kept_position(Position(7))
    part = source.build_part("in", "left-out[2]", stored)
    assert part.next_batch() == []
    assert part.snapshot() == stored
    stopped.set()
    with pytest.raises(StopIteration):
        part.next_batch()
    part.close()


def test_other_errors_of_a_partition_name_it_and_their_reason() -> None:
    error = input_error("events[3]", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert str(error) == "Kafka: events[3] cannot be read: Broker: Topic authorization failed"


def test_settings_that_librdkafka_refuses_are_reported(broker: EmbeddedBroker) -> None:
    settings = params(broker.bootstrap_servers, librdkafka={"ssl.ca.location": "/nowhere", "security.protocol": "ssl"})
    with pytest.raises(KafkaInputError, match=r"librdkafka refuses the settings: .*ssl\.ca\.location.*kafka\.security"):
        KafkaSource(settings, ["events"]).list_parts()


def test_an_unknown_topic_is_named_with_brokers_and_topics(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    known = new_topic(address)
    source = KafkaSource(params(address), [known, "misspelt"])
    with pytest.raises(KafkaInputError, match=f"topic 'misspelt' cannot be read at {address}.*{known}, misspelt"):
        source.list_parts()


def test_brokers_that_do_not_answer_are_given_up_after_the_time_set() -> None:
    begun = time.monotonic()
    with pytest.raises(KafkaInputError, match=r"no answer from 127\.0\.0\.1:1 in 0\.5 s: .*Check kafka\.brokers"):
        KafkaSource(params("127.0.0.1:1", connect_seconds=0.5), ["events"]).list_parts()
    assert time.monotonic() - begun < 5


class SilentConsumer(Consumer):
    """librdkafka before it has reported why a connection failed."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__({**config, "error_cb": lambda _: None})


@pytest.mark.parametrize(
    ("consumer", "reason"),
    [(Consumer, r"Connect|brokers are down|no broker answers"), (SilentConsumer, r"^no broker answers$")],
    ids=["reported", "not reported"],
)
def test_time_does_not_advance_while_the_broker_is_gone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, consumer: type[Consumer], reason: str
) -> None:
    monkeypatch.setattr(status, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(status, "CAUSE_SECONDS", 0.2)
    monkeypatch.setattr(status, "Consumer", consumer)
    with EmbeddedBroker() as broker:
        source = KafkaSource(params(broker.bootstrap_servers), [new_topic(broker.bootstrap_servers)])
        reading = Reading(source)
        reading.until_ended()
        assert source.status.connected
    with deserted(broker.bootstrap_servers):
        reading.until(lambda: not source.status.connected)
        reading.chunks.clear()
        deadline = time.monotonic() + 1.5  # long enough to be asked for the ends again
        while time.monotonic() < deadline:
            reading.step()
            time.sleep(0.01)
        assert reading.chunks == []
        assert re.search(reason, source.status.reason)
        assert [r.getMessage() for r in caplog.records if "lost contact" in r.getMessage()] == caplog.messages[-1:]
        reading.close()


def test_reading_goes_on_by_itself_when_a_frozen_broker_wakes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(status, "ANSWER_SECONDS", 1.5)
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        source = KafkaSource(params(address, librdkafka={**FAST, "socket.timeout.ms": 1010}), ["events"])
        reading = Reading(source)
        reading.until_ended()
        process.send_signal(signal.SIGSTOP)
        frozen = time.time()
        reading.until(lambda: not source.status.connected)
        noticed, reason = time.time(), source.status.reason
        reading.step()
        process.send_signal(signal.SIGCONT)
        reading.until_ended()
        times = [chunk.read_until for chunk in reading.chunks if chunk.read_until is not None]
        assert noticed - frozen > 0.5
        assert "no answer" in reason or "timed out" in reason
        assert [when for when in times if frozen + 0.1 < when < noticed] == []
        reading.until(lambda: source.status.connected)
        produce(address, "events", (2, b"after"))
        reading.until_read(1)
        reading.close()
    finally:
        process.kill()
        process.communicate()


def test_what_is_read_ahead_is_bounded(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(1, 2000))
    reading = Reading(KafkaSource(params(address, batch_size=10), [topic]))
    for part in reading.parts:
        part.next_batch()
    idle = reading.parts[1:]
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        for part in idle:
            part.next_batch()
    held = len(reading.parts[0]._buffer.values)
    reading.close()
    assert 20 <= held <= 30


def test_positions_handed_on_are_committed_to_the_consumer_group(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(1, 100))
    reading = Reading(KafkaSource(params(address, batch_size=10, group_id="watched"), [topic]))
    reading.until_read(10)
    state = reading.close()[f"{topic}[0]"]
    consumer = Consumer({"bootstrap.servers": address, "group.id": "watched"})
    (committed,) = consumer.committed([TopicPartition(topic, 0)], timeout=DEADLINE_SECONDS)
    consumer.close()
    assert committed.offset == state == len(reading.records())


class _Denied(Consumer):
    """A consumer whose commits are refused as long as `denied`."""

    denied = True

    def commit(self, *args: Any, **kwargs: Any) -> Any:
        if _Denied.denied:
            raise KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
        return super().commit(*args, **kwargs)


def test_a_commit_that_fails_is_logged_once_and_ends_nothing(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reader, "Consumer", _Denied)
    caplog.set_level("INFO")
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(1, 30))
    reading = Reading(KafkaSource(params(address, batch_size=10, group_id="denied"), [topic]))
    for read in (10, 20):
        reading.until_read(read)
        assert position_of(reading.parts[0].snapshot(), topic).next == len(reading.records())
    (message,) = caplog.messages
    assert "not committed to the consumer group (kafka.group_id): Broker: Group authorization failed" in message
    _Denied.denied = False
    reading.until_read(30)
    reading.parts[0].snapshot()
    reading.until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[1] == "Kafka: positions are committed to the consumer group again"
    reading.close()


def test_without_a_group_nothing_is_committed(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Denied, "denied", True)
    monkeypatch.setattr(reader, "Consumer", _Denied)
    reading = Reading(KafkaSource(params(broker.bootstrap_servers), [new_topic(broker.bootstrap_servers, (0, b"x"))]))
    reading.until_read(1)
    reading.close()


def test_lag_is_what_was_not_handed_on_yet(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "LOOK_SECONDS", 0.05)
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(2, 100))
    ready = Event()
    source = KafkaSource(params(address), [topic], ready=ready.is_set)
    reading = Reading(source)
    whole = {f"{topic}[0]": 50, f"{topic}[1]": 50, f"{topic}[2]": 0, f"{topic}[3]": 0}
    reading.until(lambda: source.status.lags() == whole)
    ready.set()
    reading.until(lambda: source.status.lags() == dict.fromkeys(whole, 0))
    produce(address, topic, *numbered(1, 7))  # and the flow is busy with something else
    deadline = time.monotonic() + DEADLINE_SECONDS
    while source.status.lags()[f"{topic}[0]"] != 7:
        assert time.monotonic() < deadline, source.status.lags()
        time.sleep(0.01)
    reading.close()


def test_the_status_knows_where_each_part_stands(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(2, 10))
    source = KafkaSource(params(address), [topic])
    states = [source.status.connected]
    reading = Reading(source)
    states.append(source.status.connected)
    reading.until_ended()
    assert source.status.positions == {f"{topic}[0]": 5, f"{topic}[1]": 5, f"{topic}[2]": 0, f"{topic}[3]": 0}
    reading.close()
    assert [*states, source.status.connected] == [False, True, False]


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        (b'{"start": "monday"}', r"kafka\.start: got 'monday'"),
        (b'{"start": {"events": "2025-01-31T08:00:00"}}', r"kafka\.start: got '2025-01-31T08:00:00'.*zone"),
        (
            b'{"librdkafka": {"group.id": "x"}}',
            r"kafka\.librdkafka: group\.id cannot be set to x: .*kafka\.group_id instead",
        ),
        (
            b'{"librdkafka": {"auto.offset.reset": "latest"}}',
            r"auto\.offset\.reset cannot.*set kafka\.start and kafka\.on_expired_offset instead",
        ),
        (b'{"on_expired_offset": "newest"}', r"on_expired_offset"),
        (b'{"batch_size": 0}', r"\$\.batch_size"),
        (b'{"batchsize": 1}', r"batchsize"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: bytes, path: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=path):
        msgspec.json.decode(settings, type=KafkaParams)


class _Collecting(StatelessSinkPartition[Chunk]):
    def __init__(self, chunks: list[Chunk], stop: Event, enough: int) -> None:
        self._chunks, self._stop, self._enough = chunks, stop, enough

    def write_batch(self, items: list[Chunk]) -> None:
        self._chunks.extend(items)
        if sum(len(chunk.values) for chunk in self._chunks) >= self._enough:
            self._stop.set()


class Collect(DynamicSink[Chunk]):
    """Keeps chunks, and sets `stop` when they hold enough records."""

    def __init__(self, stop: Event, enough: int) -> None:
        self.chunks: list[Chunk] = []
        self._stop, self._enough = stop, enough

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Collecting:
        return _Collecting(self.chunks, self._stop, self._enough)

    def values(self) -> list[int]:
        return [int(value or b"") for chunk in self.chunks for value in chunk.values]


def flow_of(settings: KafkaParams, topic: str, enough: int) -> tuple[Dataflow, Collect]:
    stop = Event()
    sink = Collect(stop, enough)
    flow = Dataflow("test")
    op.output("out", op.input("in", flow, KafkaSource(settings, [topic], stop=stop)), sink)
    return flow, sink


def test_a_flow_that_is_stopped_and_resumed_sees_everything_exactly_once(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(PARTITIONS, 300))
    init_db_dir(tmp_path, 1)
    seen: list[int] = []
    for enough in (50, 120, 1):
        flow, sink = flow_of(params(address, batch_size=20), topic, min(enough, 300 - len(seen)))
        run_main(flow, recovery_config=RecoveryConfig(str(tmp_path)), epoch_interval=timedelta(0))
        seen += sink.values()
    flow, sink = flow_of(params(address), topic, 300 - len(seen))
    run_main(flow, recovery_config=RecoveryConfig(str(tmp_path)), epoch_interval=timedelta(0))
    assert sorted(seen + sink.values()) == list(range(300))


def test_two_workers_of_a_process_share_the_reader(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap_servers
    topic = new_topic(address, *numbered(PARTITIONS, 2000))
    flow, sink = flow_of(params(address, batch_size=50), topic, 2000)
    cluster_main(flow, [], 0, worker_count_per_proc=2)
    assert sorted(sink.values()) == list(range(2000))
