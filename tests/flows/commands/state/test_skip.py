"""`csq state skip`: what it refuses, and what it writes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka.skips import skips_in
from operators.documents.yaml import write
from operators.engine.locks import hold
from tests.cli import csq

BOMB = b"0" * (120 << 20)
"""More than librdkafka unpacks of zstd."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A broker whose topic has a record, one that cannot be read, and a record in partition 0."""
    with EmbeddedBroker(["csq.events"]) as broker:
        settings = {"message.max.bytes": 1_000_000_000, "compression.type": "zstd"}
        for value in (b"{}", BOMB, b"{}"):
            producer = Producer({"bootstrap.servers": broker.bootstrap_servers, **settings})
            producer.produce("csq.events", value, partition=0)
            assert producer.flush(20.0) == 0
        yield broker.bootstrap_servers


@pytest.fixture
def config(address: str, tmp_path: Path) -> Path:
    path = tmp_path / "csq.yaml"
    state = {"directory": str(tmp_path / "state")}
    path.write_text(write({"kafka": {"brokers": [address]}, "state": state}))
    return path


def skip(config: Path, *arguments: str, code: int = 1) -> str:
    """The last line of its output; it must end with `code`."""
    return csq("state", "skip", *arguments, "-c", config, code=code).output.strip().splitlines()[-1]


def test_what_cannot_be_read_is_skipped_once_and_what_can_be_is_not(config: Path, tmp_path: Path) -> None:
    assert skip(config, "csq.events", "0", "1", code=0) == (
        "csq.events[0] offset 1: skipped from the next start on; the dead letter has the reason unreadable"
    )
    [made] = skips_in(tmp_path / "state")
    assert (made.begin, made.end) == (1, 2)
    assert skip(config, "csq.events", "0", "1") == f"Error: csq.events[0] offset 1: skipped already, on {made.at}"
    assert skip(config, "csq.events", "0", "2") == "Error: csq.events[0] offset 2 can be read: nothing is skipped"
    assert len(skips_in(tmp_path / "state")) == 1


def test_the_end_may_be_given_without_trying(config: Path, tmp_path: Path) -> None:
    says = skip(config, "csq.events", "3", "40", "--until", "50", code=0)
    assert says.startswith("csq.events[3] offsets 40 to 49: ")
    assert [(made.begin, made.end) for made in skips_in(tmp_path / "state")] == [(40, 50)]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("other", "0", "1"), 1, "Error: other: not among kafka.topics (csq.events)"),
        (("csq.events", "0", "3"), 1, "Error: csq.events[0]: the broker holds 0 to 2, not 3"),
        (("csq.events", "0", "3", "--until", "3"), 2, "Error: --until 3: expected an offset behind 3"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    config: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    assert skip(config, *arguments, code=code) == says
    assert skips_in(tmp_path / "state") == ()


def test_a_store_that_is_in_use_or_not_set_is_refused(config: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    hold(tmp_path / "state", "p0")
    assert "another csq (p0) uses it now" in skip(config, "csq.events", "0", "1")
    config.write_text("{}")
    says = skip(config, "csq.events", "0", "1")
    assert says == "Error: state.directory is not set: without it csq keeps no position that could be passed"
