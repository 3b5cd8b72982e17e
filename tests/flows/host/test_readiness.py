"""`/readyz` gives each reason why a process is not ready; reading begins without any of them."""

from threading import Event

import pytest

from flows.host.readiness import Readiness
from operators.connectors.kafka.errors import KafkaOutputError
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.source import KafkaSource
from operators.connectors.kafka.status import SourceStatus
from operators.domain.models.model import Models


def connected(missing: dict[str, str] | None) -> SourceStatus:
    status = SourceStatus()
    status.begin()
    status.missing_outputs = missing
    return status


def test_before_the_brokers_are_asked_for_the_output_topics_it_is_not_ready() -> None:
    readiness = Readiness(Models(()), Event(), 60.0)
    assert readiness.obstacles(connected(None)) == ["Kafka: the brokers have not been asked for the output topics yet"]
    assert not readiness.may_read(connected(None))
    assert readiness.obstacles(connected({})) == []
    assert readiness.may_read(connected({}))


def test_a_source_without_output_topics_does_not_wait_for_an_answer() -> None:
    source = KafkaSource(KafkaParams(brokers=("127.0.0.1:1",)), ["csq.events"])
    assert source.status.missing_outputs == {}


def test_a_missing_topic_is_a_reason_and_after_the_wait_an_error() -> None:
    now = 100.0
    readiness = Readiness(Models(()), Event(), 60.0, lambda: now)
    status = connected({"csq.deadletters": "Broker: Unknown topic or partition"})
    assert [reason.split(":")[1] for reason in readiness.obstacles(status)] == [" output topic csq.deadletters"]
    assert not readiness.may_read(status)
    now += 61.0
    with pytest.raises(KafkaOutputError, match=r"Waited 60 s for them \(kafka.delivery_seconds\)"):
        readiness.may_read(status)


def test_a_process_that_stops_is_not_ready() -> None:
    stop = Event()
    stop.set()
    assert Readiness(Models(()), stop, 60.0).obstacles(connected({})) == ["stopping"]
