"""Output topics that do not exist: `/readyz` names them, nothing is read before, and the process ends after a while."""

import threading
import time
from collections.abc import Callable

import httpx
import msgspec
import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.testing import cluster_main

from flows.commands.errors import fail
from flows.live import Live
from flows.settings.load import load
from operators.connectors.embedded import EmbeddedBroker
from operators.metrics.observe import read
from tests.builders import raw
from tests.letters import MESSAGE

SECONDS = 30.0
"""Bound on any wait of these tests."""


def live_at(broker: EmbeddedBroker, delivery_seconds: float = 60.0) -> Live:
    """A process whose brokers create no topic by themselves."""
    settings = load(None, {})
    kafka = msgspec.structs.replace(
        settings.kafka,
        brokers=(broker.bootstrap_servers,),
        delivery_seconds=delivery_seconds,
        librdkafka={"fetch.wait.max.ms": 10, "allow.auto.create.topics": False},
    )
    http = msgspec.structs.replace(settings.http, port=0)
    return Live(msgspec.structs.replace(settings, kafka=kafka, http=http))


def run_beside(live: Live, watch: Callable[[], None]) -> None:
    """Run the flow in this thread and `watch` in another, which ends the flow."""
    failed: list[BaseException] = []

    def watching() -> None:
        try:
            watch()
        except BaseException as error:  # noqa: BLE001 - raised again, in the test's own thread
            failed.append(error)
        live.stop.set()

    watcher = threading.Thread(target=watching)
    live.web.start()
    watcher.start()
    try:
        cluster_main(live.flow(), [], 0)
    finally:
        live.stop.set()
        watcher.join()
        live.web.stop()
    if failed:
        raise failed[0]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_missing_output_topic_is_named_and_nothing_is_read_until_it_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "operators.connectors.kafka.status")
    with EmbeddedBroker(["csq.events", "csq.turn.scored", "csq.reply.measured", "csq.satisfaction.scored"]) as broker:
        live = live_at(broker)
        broker._owner.produce("csq.events", raw(MESSAGE, time.time()), "c1")

        def taken() -> float:
            return sum(read(live.registry, {"csq_events_total"})["csq_events_total"].values())

        def watch() -> None:
            until(lambda: "output topic" in httpx.get(f"{live.web.url}/readyz").text)
            page = httpx.get(f"{live.web.url}/readyz")
            assert page.status_code == 503
            assert "- Kafka: output topic csq.churn.scored: Broker: Unknown topic or partition. Create it" in page.text
            assert "--topic csq.deadletters), or correct its name under kafka.outputs" in page.text
            assert httpx.get(f"{live.web.url}/healthz").status_code == 200
            assert taken() == 0
            for topic in ("csq.churn.scored", "csq.deadletters"):
                broker._owner.list_topics(topic, timeout=10)  # asking for a topic creates it
            until(lambda: httpx.get(f"{live.web.url}/readyz").status_code == 200)
            until(lambda: taken() == 1)

        run_beside(live, watch)
    events = [vars(record)["event"] for record in caplog.records]
    assert (events.count("outputs_missing"), events.count("outputs_found")) == (1, 1)


def test_after_a_while_the_process_ends_with_the_topics_and_what_to_do() -> None:
    with EmbeddedBroker(["csq.events"]) as broker:
        live = live_at(broker, delivery_seconds=1.0)
        with pytest.raises(BytewaxRuntimeError) as raised:
            cluster_main(live.flow(), [], 0)
        live.stop.set()
    with pytest.raises(Exception, match=r"(?s)output topic csq\.turn\.scored: .*Waited 1 s for them \(kafka\.deli"):
        fail(raised.value)


def test_brokers_that_create_topics_create_them_before_reading_begins() -> None:
    with EmbeddedBroker(["csq.events"]) as broker:
        live = live_at(broker)
        kafka = msgspec.structs.replace(live.settings.kafka, librdkafka={"fetch.wait.max.ms": 10})
        live = Live(msgspec.structs.replace(live.settings, kafka=kafka))

        def watch() -> None:
            until(lambda: httpx.get(f"{live.web.url}/readyz").status_code == 200)
            until(lambda: live.source.status.missing_outputs is not None)  # not asked yet; nothing is read until then
            assert live.source.status.missing_outputs == {}

        run_beside(live, watch)
