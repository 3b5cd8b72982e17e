"""With a real broker: a record that does not fit into memory is named, skipped and a dead letter."""

import resource
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from operators.documents.yaml import write
from tests.connectors.kafka.test_time import message
from tests.servers.kafka import Kafka
from tests.servers.process import Csq
from tests.streams import CSQ, ENVIRON, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MEMORY_BYTES = 720 << 20
"""Of a process; without the record it takes 550 MiB of addresses."""
RECORD_BYTES = 300 << 20
EVENTS = 300
OUTPUTS = ("turn_scored", "reply_measured", "satisfaction_scored", "churn_scored", "deadletters")


class Shop:
    """A topic with a record that unpacks to `RECORD_BYTES`, between two times `EVENTS` events."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.kafka, self.folder = kafka, folder
        self.topic = "unreadable"
        outputs = {name: f"{self.topic}.{name}" for name in OUTPUTS}
        for topic in (self.topic, *outputs.values()):
            kafka.create_topic(topic, 1)
        self.letters = outputs["deadletters"]
        self.settings = {
            "kafka": {"brokers": [kafka.address], "topics": [self.topic], "outputs": outputs},
            "state": {"directory": str(folder / "state"), "snapshot_seconds": 1.0},
        }
        self.config = folder / "csq.yaml"
        self.config.write_text(write(self.settings))
        self.produce("a")
        producer = Producer(
            {"bootstrap.servers": kafka.address, "message.max.bytes": 1_000_000_000, "compression.type": "gzip"}
        )
        producer.produce(self.topic, b"0" * RECORD_BYTES, partition=0)
        assert producer.flush(60.0) == 0
        self.produce("b")
        self._starts = 0

    def produce(self, name: str) -> None:
        events = [message(f"{name}{number}", f"c{name}{number}", "customer", time.time()) for number in range(EVENTS)]
        self.kafka.produce_to(self.topic, 0, events)

    def start(self) -> Csq:
        """Start csq with bounded memory."""
        self._starts += 1
        csq = Csq(self.folder / f"start-{self._starts}", self.settings)
        resource.prlimit(csq.process.pid, resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        return csq

    def died(self) -> int:
        """The exit code of a start."""
        with self.start() as csq:
            code = csq.process.wait(60.0)
            self.log = csq.log()
        return code

    def csq(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*CSQ, *arguments, "-c", str(self.config)]
        return subprocess.run(  # noqa: S603 - our own command
            command, cwd=ROOT, env=ENVIRON, capture_output=True, text=True, timeout=120, check=False
        )

    def skip(self, offset: int) -> "subprocess.CompletedProcess[str]":
        return self.csq("state", "skip", self.topic, "0", str(offset))

    def counted(self, csq: Csq, events: int) -> dict[str, Any]:
        values = csq.until_settled(events)
        return {
            "events": sum(values["csq_events_total"].values()),
            "repeated": sum(values["csq_duplicates_total"].values()),
            "letters": {labels[-1]: count for labels, count in values["csq_dead_letters_total"].items() if count},
        }


def test_it_is_named_and_skipped_and_nothing_else_is_lost(kafka: Kafka, tmp_path: Path):
    """Compressed by gzip: of zstd librdkafka unpacks no more than 100 MB."""
    shop = Shop(kafka, tmp_path)
    assert [shop.died() for _ in range(2)] == [-6, -6]
    assert shop.died() == 2
    assert f"Kafka: {shop.topic}[0] offset {EVENTS} cannot be read: " in shop.log
    assert f"csq state skip {shop.topic} 0 {EVENTS}, with the -c of csq run" in shop.log

    done = shop.skip(EVENTS)
    assert (done.returncode, done.stderr) == (
        0,
        f"{shop.topic}[0] offset {EVENTS}: skipped from the next start on; the dead letter has the reason unreadable\n",
    )

    for events in (2 * EVENTS, 3 * EVENTS):  # a restart passes it without a second letter
        with shop.start() as csq:
            expected = {"events": events, "repeated": 0, "letters": {"unreadable": 1}}
            assert shop.counted(csq, events + 1) == expected
            csq.stop()
        shop.produce(f"c{events}")
    letter = shop.csq("deadletters", "show", f"{shop.topic}[0]@{EVENTS}").stdout
    assert f"read from   {shop.topic}[0], position {EVENTS}" in letter
    assert "reason      unreadable: " in letter
