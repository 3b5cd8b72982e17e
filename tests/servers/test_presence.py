"""A server that cannot be had is a loud skip, or a failure where servers are required; one that can be had behaves."""

from pathlib import Path

import pytest

from tests.servers import kafka as kafka_server
from tests.servers.kafka import Kafka, libraries
from tests.servers.presence import UnavailableError, give_up


def test_what_cannot_be_had_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CSQ_REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED: no Java"):
        give_up(UnavailableError("no Java"))


def test_where_servers_are_required_it_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CSQ_REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception, match="CSQ_REQUIRE_SERVERS=1, but no Java"):
        give_up(UnavailableError("no Java"))


def test_without_java_or_maven_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(kafka_server, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"Kafka needs Java 17 .*openjdk"):
        libraries()
    monkeypatch.setattr(kafka_server, "_check_java", lambda: None)
    with pytest.raises(UnavailableError, match=r"fetched by Maven.*apt install maven"):
        libraries()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_broker_that_is_killed_keeps_its_records_and_its_address(breakable_kafka: Kafka):
    breakable_kafka.create_topic("kept", 2)
    breakable_kafka.produce_to("kept", 1, [b"%d" % n for n in range(100)])
    breakable_kafka.kill()
    breakable_kafka.start()
    breakable_kafka.delete_records("kept", {1: 40})
    assert breakable_kafka.ends("kept") == {0: (0, 0), 1: (40, 100)}
    assert [message.value() for message in breakable_kafka.read("kept")] == [b"%d" % n for n in range(40, 100)]
