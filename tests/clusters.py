"""`csq run` with several processes, as the tests start, watch and stop it: what it logs, what its metrics add up to."""

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from operators.metrics.catalogue import CATALOGUE
from operators.metrics.observe import Values
from tests.servers.kafka import NO_LEADER_YET
from tests.streams import ENVIRON, NAMES, ROOT, differences

START_SECONDS = 90.0
"""Bound on getting ready; a machine at rest takes some five."""
STOP_SECONDS = 60.0
COUNTED = tuple(
    metric.name
    for metric in CATALOGUE.values()
    if metric.kind in {"counter", "histogram"}
    # These depend on when a label arrived, on the wall clock, or on how often something was done.
    and metric.name not in {"csq_turns_total", "csq_churn_probability"}
    and metric.name not in {"csq_satisfaction_score", "csq_satisfaction_part"}
    and metric.name not in {"csq_event_age_seconds", "csq_snapshot_duration_seconds"}
    and not metric.name.startswith("csq_model_")
)
"""What must be the same however many processes did it."""


class Cluster:
    """A command that runs csq on the broker at `address`, and keeps its state in `folder`.

    `count` processes serve metrics, each at a port of its own.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, address: str, count: int, environ: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.count = count
        self._log = folder / f"log-{time.monotonic_ns()}"
        ours = {
            "CSQ_HTTP__PORT": "0",
            "CSQ_KAFKA__BROKERS": f"['{address}']",
            "CSQ_STATE__DIRECTORY": str(folder / "state"),
            "CSQ_STATE__SNAPSHOT_SECONDS": "0.5",
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own command
                command,
                cwd=ROOT,
                env=ENVIRON | NAMES | ours | environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()  # the others end with it
        self.process.wait(10)

    def log(self) -> str:
        """What was logged so far, by all processes."""
        return self._log.read_text(encoding="utf-8")

    def entries(self) -> list[dict[str, Any]]:
        """The lines of the log that are JSON."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def pids(self) -> list[int]:
        """Of the children, as last started."""
        return next((entry["pids"] for entry in reversed(self.entries()) if "pids" in entry), [])

    def until(self, holds: Callable[[], object], seconds: float = START_SECONDS) -> Any:
        """The first true result of `holds`; fails with the log if there is none."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{self.log()}"
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log()}"
            time.sleep(0.1)
        return found

    def urls(self) -> list[str]:
        """Where the processes that were started last serve their metrics; empty as long as not all do."""
        log = self.log().rpartition("started")[2]
        found = re.findall(r"serving metrics at (http://[\w.:]+)", log)
        return found if len(found) >= self.count else []

    def is_ready(self) -> bool:
        """Whether all processes are ready."""
        urls = self.urls()
        return bool(urls) and all(status(f"{url}/readyz") == 200 for url in urls)

    def values(self) -> Values:
        """The sum over the processes of every sample."""
        total: Values = {}
        for url in self.urls():
            for name, series in scrape(url).items():
                sums = total.setdefault(name, {})
                for labels, value in series.items():
                    sums[labels] = sums.get(labels, 0.0) + value
        return total

    def reaches(self, expected: Values) -> Values:
        """The sums, when they are the expected ones; fails with what differs, if they never are."""
        self.until(self.is_ready)
        differs = ["nothing was scraped"]
        deadline = time.monotonic() + START_SECONDS
        while differs and time.monotonic() < deadline and self.process.poll() is None:
            values = self.values()
            differs = differences(expected, values, COUNTED)
            time.sleep(0.5)
        assert not differs, "\n".join([*differs, self.log()])
        return values

    def stop(self) -> int:
        """Stop in good order; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


def taken(values: Values) -> float:
    """Number of records that were accepted or refused."""
    names = ("csq_events_total", "csq_duplicates_total", "csq_dead_letters_total")
    return sum(sum(values.get(name, {}).values()) for name in names)


def scrape(url: str) -> Values:
    """The samples of one process."""
    values: Values = {}
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310  our own server
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                values.setdefault(sample.name, {})[_in_order(sample.name, sample.labels)] = sample.value
    return values


def _in_order(sample: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Label values as the catalogue orders them; the text format orders them by name."""
    metric = CATALOGUE.get(sample) or CATALOGUE.get(re.sub("_(bucket|count|sum)$", "", sample))
    names = [*(label.name for label in metric.labels), "le"] if metric is not None else sorted(labels)
    return tuple(labels[name] for name in names if name in labels)


def status(url: str) -> int:
    """The status of a page; 0 without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  our own server
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def records(address: str, topic: str) -> list[bytes]:
    """All that a topic holds."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "log_level": 0})
    found: list[bytes] = []
    try:
        parts = [TopicPartition(topic, number) for number in consumer.list_topics(topic, 20).topics[topic].partitions]
        ends = {part.partition: _ends(consumer, part) for part in parts}
        for part in parts:
            low, high = ends[part.partition]
            consumer.assign([TopicPartition(topic, part.partition, OFFSET_BEGINNING)])
            reached, deadline = low, time.monotonic() + 20
            while reached < high and time.monotonic() < deadline:
                for message in consumer.consume(min(high - reached, 10_000), 0.5):
                    if message.error() is None and (message.offset() or 0) < high:
                        found.append(message.value() or b"")
                        reached = (message.offset() or 0) + 1
    finally:
        consumer.close()
    return found


def _ends(consumer: Consumer, part: TopicPartition) -> tuple[int, int]:
    """First offset and the next to be written; retried until the new partition has a leader."""
    deadline = time.monotonic() + 20
    while True:
        try:
            low, high = consumer.get_watermark_offsets(part, 20)
        except KafkaException as error:
            if error.args[0].code() not in NO_LEADER_YET or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return low, high


def ids_of(raws: Iterable[bytes]) -> Counter[str]:
    """Ids of events, with how often each is there."""
    return Counter(json.loads(raw)["id"] for raw in raws)
