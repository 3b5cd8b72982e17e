"""Output topics that do not exist: `/readyz` names them, nothing is read before, and the process ends after a while."""

import time
from collections.abc import Callable
from threading import Event

import httpx
import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.testing import cluster_main

from flows.commands.errors import fail
from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka.status import BrokerWatch
from operators.metrics.observe import read
from tests.builders import raw
from tests.letters import MESSAGE
from tests.live import live_at, run_beside

SECONDS = 30.0
"""Bound on any wait of these tests."""
NO_TOPICS = {"allow.auto.create.topics": False}
"""A client for which the brokers create no topic."""


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
        live = live_at(broker, NO_TOPICS)
        broker._owner.produce("csq.events", raw(MESSAGE, time.time()), "c1")

        def taken() -> float:
            return sum(read(live.registry, {"csq_events_total"})["csq_events_total"].values())

        def watch() -> None:
            until(lambda: "output topic csq." in httpx.get(f"{live.web.url}/readyz").text)
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
        live = live_at(broker, NO_TOPICS, delivery_seconds=1.0)
        with pytest.raises(BytewaxRuntimeError) as raised:
            cluster_main(live.flow(), [], 0)
        live.stop.set()
    with pytest.raises(Exception, match=r"(?s)output topic csq\.turn\.scored: .*Waited 1 s for them \(kafka\.deli"):
        fail(raised.value)


def test_brokers_that_create_topics_create_them_before_reading_begins() -> None:
    with EmbeddedBroker(["csq.events"]) as broker:
        live = live_at(broker)

        def watch() -> None:
            until(lambda: httpx.get(f"{live.web.url}/readyz").status_code == 200)
            assert live.source.status.missing_outputs == {}

        run_beside(live, watch)


def test_before_the_brokers_have_answered_for_the_output_topics_it_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, may_answer, find = Event(), Event(), BrokerWatch._find_outputs

    def find_later(watch: BrokerWatch) -> None:
        asked.set()
        may_answer.wait(SECONDS)
        find(watch)

    monkeypatch.setattr(BrokerWatch, "_find_outputs", find_later)
    with EmbeddedBroker(["csq.events"]) as broker:
        live = live_at(broker)

        def watch() -> None:
            assert asked.wait(SECONDS)
            until(live.here.models.complete)
            page = httpx.get(f"{live.web.url}/readyz")
            assert page.status_code == 503
            assert page.text == "not ready:\n- Kafka: the brokers have not been asked for the output topics yet\n"
            may_answer.set()
            until(lambda: httpx.get(f"{live.web.url}/readyz").status_code == 200)

        run_beside(live, watch)
