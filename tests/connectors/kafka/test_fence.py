"""Two deployments do not write to one set of outputs: the second does not start, or the first stops."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka import fence
from operators.connectors.kafka.errors import KafkaOutputError
from operators.connectors.kafka.fence import (
    HEADER,
    LAST,
    Marked,
    OutputFence,
    OutputsInUseError,
    OutputsSharedError,
)
from operators.connectors.kafka.params import KafkaParams
from operators.engine.store import read_manifest
from tests.ports import deserted
from tests.servers.process import Csq

_names = (f"fenced-{n}" for n in count())


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(["csq.events"]) as broker:
        yield broker


@pytest.fixture
def topic(broker: EmbeddedBroker) -> str:
    name = next(_names)
    Producer({"bootstrap.servers": broker.bootstrap_servers}).list_topics(name, timeout=20.0)
    return name


@pytest.fixture
def write(broker: EmbeddedBroker, topic: str) -> Callable[..., None]:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})

    def written(run: str | None, records: int = 1, partition: int = 0) -> None:
        headers = [] if run is None else [("other", b"x"), (HEADER, run.encode())]
        for _ in range(records):
            producer.produce(topic, b"{}", partition=partition, headers=headers)
        assert producer.flush(20.0) == 0

    return written


@pytest.fixture
def fenced(broker: EmbeddedBroker, topic: str) -> Callable[..., OutputFence]:
    def make(earlier: tuple[str, ...] = (), clock: Callable[[], float] = time.time, **settings: Any) -> OutputFence:
        params = KafkaParams(brokers=(broker.bootstrap_servers,), librdkafka={"fetch.wait.max.ms": 10}, **settings)
        return OutputFence(params, [topic], "ours", earlier, clock)

    return make


def test_outputs_without_marks_are_free(fenced: Callable[..., OutputFence], write: Callable[..., None]) -> None:
    assert fenced().check()
    write(None, 3)
    assert fenced().check()


def test_outputs_of_another_deployment_are_refused(
    fenced: Callable[..., OutputFence], write: Callable[..., None], topic: str
) -> None:
    write("other", partition=2)
    write(None, LAST - 1, partition=2)  # processes but the first write without a mark
    write("earlier", 5)
    with pytest.raises(
        OutputsInUseError,
        match=rf"the record at {topic}\[2\] offset 0 was written \d s ago by run other, which is no earlier run of this "
        r"store.* Stop it, or give each .* wait 60 s, or set kafka\.fence_seconds to 0 for one start",
    ):
        fenced(("earlier",)).check()


def test_outputs_of_earlier_runs_of_the_store_are_ours(
    fenced: Callable[..., OutputFence], write: Callable[..., None]
) -> None:
    write("a")
    write("b")
    assert fenced(("a", "b")).check()


def test_outputs_that_another_deployment_left_are_free_after_a_while_or_where_the_settings_say_so(
    fenced: Callable[..., OutputFence], write: Callable[..., None]
) -> None:
    write("other")
    assert fenced(clock=lambda: time.time() + 61.0).check()
    assert fenced(fence_seconds=0.0).check()
    with pytest.raises(OutputsInUseError):
        fenced(clock=lambda: time.time() + 50.0).check()


def test_topics_that_do_not_exist_are_left_out(broker: EmbeddedBroker) -> None:
    params = KafkaParams(brokers=(broker.bootstrap_servers,), librdkafka={"allow.auto.create.topics": False})
    assert OutputFence(params, [], "ours", ()).check()


def test_brokers_that_do_not_answer_end_the_start() -> None:
    params = KafkaParams(brokers=(f"127.0.0.1:{deserted()}",), connect_seconds=0.3)
    with pytest.raises(KafkaOutputError, match="the output topics cannot be read"):
        OutputFence(params, ["csq.turn.scored"], "ours", ()).check()


def test_a_user_who_may_not_read_the_outputs_gets_a_warning_and_continues(
    fenced: Callable[..., OutputFence], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = fenced()

    def denied() -> Iterator[Marked]:
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    monkeypatch.setattr(one, "_look", denied)
    assert not one.check()
    assert "may not read the output topics" in caplog.text


def watched(one: OutputFence) -> tuple[threading.Event, list[OutputsSharedError]]:
    stop, found = threading.Event(), []

    def on_found(error: OutputsSharedError) -> None:
        found.append(error)
        stop.set()

    one.watch(stop, on_found)
    return stop, found


def test_a_deployment_that_begins_to_write_is_noticed(
    fenced: Callable[..., OutputFence],
    write: Callable[..., None],
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fence, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(fence, "GRACE_SECONDS", 0.0)
    write("before")
    one = fenced(("before",))
    one.check()
    stop, found = watched(one)
    for _ in range(5):
        write("ours")
        write(None)
    assert not stop.wait(0.5)
    write("before", partition=1)  # an earlier run that goes on, or a copy of the store
    assert stop.wait(20.0)
    assert f"{topic}[1] offset 0 was written by run before while this run, ours, writes to the same" in str(found[0])


def test_a_deployment_that_is_replaced_has_a_moment_to_notice(
    fenced: Callable[..., OutputFence], write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "LOOK_SECONDS", 0.05)
    one = fenced()
    one.check()
    stop, found = watched(one)
    write("other")
    assert not stop.wait(0.5)
    stop.set()
    assert found == []


# ---- as processes


def event(number: int) -> bytes:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    data = {"customer_id": "u1", "conversation_id": f"v{number}", "message_id": f"m{number}", "channel": "chat"}
    data |= {"author": {"role": "customer", "id": "u1"}, "queue": "orders", "text": "where is my parcel"}
    kind = {"specversion": "1.0", "id": f"e{number}", "source": "r/1", "type": "csq.message.created", "time": now}
    return msgspec.json.encode({**kind, "data": data})


@pytest.mark.slow
def test_a_second_deployment_does_not_start_and_a_restart_of_the_first_does(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    def settings(name: str) -> dict[str, Any]:
        state = {"directory": str(tmp_path / name), "snapshot_seconds": 1.0}
        return {"kafka": {"brokers": [broker.bootstrap_servers]}, "state": state}

    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    with Csq(tmp_path / "first", settings("one")) as first:
        first.until(lambda: first.get("/readyz")[0] == 200)
        for number in range(20):
            producer.produce("csq.events", event(number))
        producer.flush(20.0)
        first.until_settled(20)
        manifest = read_manifest(tmp_path / "one")
        assert manifest is not None
        with Csq(tmp_path / "second", settings("two")) as second:
            assert second.process.wait(40) == 1
            assert f"by run {manifest.runs[-1]}, which is no earlier run of this store" in second.log()
        first.process.kill()
    with Csq(tmp_path / "again", settings("one")) as again:  # its own records are no reason to refuse
        again.until_settled(20)
        again.stop()
