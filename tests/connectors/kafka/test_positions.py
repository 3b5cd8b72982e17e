"""With a real broker: topics that are deleted and made anew, that leave the settings, and positions that were chosen."""

import itertools
import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from flows.commands.main import main
from flows.host.cluster.supervise import free_addresses
from operators.documents.yaml import write
from operators.engine.chosen import FILES
from tests.servers.kafka import Kafka
from tests.servers.process import Csq

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

OUTPUTS = ("turn_scored", "reply_measured", "satisfaction_scored", "churn_scored", "deadletters")

_names = (f"positions-{n}" for n in itertools.count())


class Shop:
    """Topics of one test, and csq that reads them."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.kafka = kafka
        self.name = next(_names)
        self.store = folder / "state"
        self._folder = folder
        self._starts = 0
        self._events = itertools.count()
        for topic in self._outputs().values():
            kafka.create_topic(topic, 1)

    def _outputs(self) -> dict[str, str]:
        return {name: f"{self.name}.{name}" for name in OUTPUTS}

    def topic(self, name: str, partitions: int = 1) -> str:
        """A new topic of this name; one that there is is deleted first."""
        topic = f"{self.name}.{name}"
        if topic in self.kafka.admin.list_topics(timeout=10).topics:
            self.kafka.delete_topic(topic)
        self.kafka.create_topic(topic, partitions)
        return topic

    def settings(self, *topics: str, snapshot_seconds: float = 1.0, **kafka: Any) -> dict[str, Any]:
        of = {"brokers": [self.kafka.address], "topics": topics, "outputs": self._outputs(), "refresh_seconds": 1.0}
        return {
            "kafka": {**of, **kafka},
            "state": {"directory": str(self.store), "snapshot_seconds": snapshot_seconds},
        }

    def start(self, *topics: str, **settings: Any) -> Csq:
        self._starts += 1
        return Csq(self._folder / f"start-{self._starts}", self.settings(*topics, **settings))

    def check(self, *topics: str, **settings: Any) -> list[str]:
        """What `csq check` says of positions."""
        path = self._folder / "check.yaml"
        path.write_text(write({"http": {"port": 0}, **self.settings(*topics, **settings)}))
        found = json.loads(CliRunner().invoke(main, ["check", "-c", str(path), "--json"]).stdout)["checks"]
        return [f"{one['status']} {one['says']} {one['todo']}" for one in found if one["check"] == "positions"]

    def produce(self, topic: str, count: int, partition: int = 0) -> None:
        """Write so many events that were not there before."""
        self.kafka.produce_to(topic, partition, [viewed(f"{self.name}-{next(self._events)}") for _ in range(count)])


@pytest.fixture
def shop(kafka: Kafka, tmp_path: Path) -> Shop:
    return Shop(kafka, tmp_path)


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def viewed(number: str) -> bytes:
    event = {"specversion": "1.0", "id": number, "source": "test", "type": "csq.behavior.page_viewed"}
    return msgspec.json.encode(event | {"time": iso(time.time()), "data": {"customer_id": "u", "dwell_seconds": 1}})


def ready(csq: Csq) -> None:
    csq.until(lambda: csq.get("/readyz")[0] == 200)


def counted(csq: Csq) -> float:
    return sum(csq.values()["csq_events_total"].values())


def events(csq: Csq) -> dict[str, str]:
    """By event of the log: the last message at level warning or above."""
    entries = [json.loads(line) for line in csq.log().splitlines() if line.startswith("{")]
    known = [
        entry for entry in entries if entry["level"] not in {"info", "debug"} and entry["event"] != "snapshot_slow"
    ]
    return {entry["event"]: entry["message"] for entry in known}


def counts(csq: Csq, expected: int) -> None:
    """Wait until so many events were counted; no more may follow."""
    csq.until(lambda: counted(csq) >= expected)
    time.sleep(1.0)
    assert counted(csq) == expected


def test_a_topic_that_was_made_anew_while_csq_was_stopped_is_an_expired_offset(shop: Shop):
    topic = shop.topic("events")
    shop.produce(topic, 50)
    with shop.start(topic) as csq:
        counts(csq, 50)
        csq.stop()
    assert shop.check(topic) == ["ok 1 stored, all of the partitions that are there "]
    shop.topic("events")
    shop.produce(topic, 80)  # more than there were
    [finding] = shop.check(topic)
    assert finding.startswith(f"fail {topic}[0]: the stored position 50 is of another topic of this name")
    with shop.start(topic) as csq:
        assert csq.process.wait(30) == 1
    assert f"Kafka: {topic}[0]: the stored position 50 is of another topic of this name" in csq.log()
    assert f"To continue, set kafka.on_expired_offset for topic {topic} to earliest" in csq.log()
    assert "Traceback" not in csq.log()
    [finding] = shop.check(topic, on_expired_offset="earliest")
    assert finding.startswith(f"warn {topic}[0]: the stored position 50 is of another topic")
    with shop.start(topic, on_expired_offset="earliest") as csq:
        counts(csq, 130)
        csq.stop()
    assert events(csq)["offset_expired"].endswith("reading continues at 0 (kafka.on_expired_offset: earliest)")
    with shop.start(topic) as csq:  # its position is of the new topic now
        shop.produce(topic, 5)
        counts(csq, 135)
        csq.stop()
    assert events(csq) == {}


@pytest.mark.parametrize("grown", [80, 10], ids=["longer than before", "shorter"])
def test_a_topic_that_is_made_anew_while_csq_runs_is_read_from_its_beginning_if_so_chosen(shop: Shop, grown: int):
    topic = shop.topic("events")
    shop.produce(topic, 50)
    with shop.start(topic, on_expired_offset="earliest") as csq:
        counts(csq, 50)
        shop.topic("events")
        shop.produce(topic, grown)
        counts(csq, 50 + grown)
        ready(csq)
        shop.produce(topic, 5)
        counts(csq, 55 + grown)
        csq.stop()
    assert "is of another topic of this name" in events(csq)["offset_expired"]
    with shop.start(topic) as csq:
        ready(csq)
        counts(csq, 55 + grown)
        csq.stop()
    assert events(csq) == {}


def test_a_topic_that_is_made_anew_while_csq_runs_ends_it_with_the_setting_to_choose(shop: Shop):
    topic = shop.topic("events")
    shop.produce(topic, 50)
    with shop.start(topic) as csq:
        counts(csq, 50)
        shop.topic("events")
        shop.produce(topic, 80)
        assert csq.process.wait(30) == 1
    assert f"To continue, set kafka.on_expired_offset for topic {topic} to earliest" in csq.log()


def test_a_store_of_another_cluster_is_noticed(shop: Shop, tmp_path: Path):
    topic = shop.topic("events")
    shop.produce(topic, 50)
    with shop.start(topic) as csq:
        counts(csq, 50)
        csq.stop()
    with Kafka(tmp_path / "other") as other:
        shop.kafka = other
        other.create_topic(topic, 1)
        shop.produce(topic, 80)
        with shop.start(topic) as csq:
            assert csq.process.wait(30) == 1
    assert f"Kafka: {topic}[0]: the stored position 50 is of another Kafka cluster (cluster id " in csq.log()


@pytest.mark.parametrize("start", ["latest", "time"])
def test_after_a_kill_before_the_first_snapshot_it_begins_where_it_first_began(shop: Shop, start: str):
    topic = shop.topic("events", 2)
    shop.produce(topic, 20)
    time.sleep(1.1)
    setting = "latest" if start == "latest" else iso(time.time())  # nothing is as young: the end
    with shop.start(topic, start=setting, snapshot_seconds=600.0) as csq:
        ready(csq)
        csq.until(lambda: list(shop.store.glob(FILES)))
        time.sleep(1.0)
        shop.produce(topic, 30)
        counts(csq, 30)
        csq.process.kill()
    shop.produce(topic, 30, partition=1)
    with shop.start(topic, start=setting, snapshot_seconds=600.0) as csq:
        counts(csq, 60)
        csq.process.kill()
    shop.produce(topic, 5)
    with shop.start(topic, start=setting) as csq:
        counts(csq, 65)
        csq.until(lambda: not list(shop.store.glob(FILES)))  # two snapshots later
        csq.process.kill()
    shop.produce(topic, 5)
    with shop.start(topic, start=setting) as csq:
        counts(csq, 70)
        csq.stop()


def test_after_a_kill_a_position_that_was_chosen_in_the_place_of_an_expired_one_is_chosen_no_second_time(shop: Shop):
    topic = shop.topic("events")
    shop.produce(topic, 50)
    with shop.start(topic) as csq:
        counts(csq, 50)
        csq.stop()
    shop.produce(topic, 20)
    shop.kafka.delete_records(topic, {0: 60})
    with shop.start(topic, on_expired_offset="latest", snapshot_seconds=600.0) as csq:
        ready(csq)
        csq.until(lambda: "offset_expired" in events(csq))
        shop.produce(topic, 30)
        counts(csq, 80)
        csq.process.kill()
    shop.produce(topic, 30)
    with shop.start(topic, on_expired_offset="latest") as csq:
        counts(csq, 110)
        csq.stop()
    assert events(csq) == {}


def test_partitions_that_are_gone_stay_silent_and_go_on_when_they_are_back(shop: Shop):
    first, other = shop.topic("first"), shop.topic("other", 2)
    shop.produce(first, 10)
    shop.produce(other, 10, partition=1)
    with shop.start(first, other) as csq:
        counts(csq, 20)
        csq.stop()
    shop.produce(first, 10)
    shop.produce(other, 10, partition=1)
    [finding] = shop.check(first)
    assert finding.startswith(f"warn {other}[0], {other}[1]: a position is stored, but the partition does not exist")
    with shop.start(first) as csq:
        counts(csq, 30)
        assert csq.values()["csq_source_partitions_gone"][()] == 2
        time.sleep(2.0)  # some snapshots
        csq.stop()
    assert events(csq).keys() == {"partitions_gone"}
    with shop.start(first, other) as csq:
        counts(csq, 40)
        assert csq.values()["csq_source_partitions_gone"][()] == 0
        csq.stop()
    assert events(csq) == {}

    shop.topic("other", 1)  # made anew with fewer partitions
    shop.produce(other, 30)
    with shop.start(first, other, on_expired_offset="earliest") as csq:
        counts(csq, 70)
        assert csq.values()["csq_source_partitions_gone"][()] == 1
        csq.stop()
    assert f"{other}[1]: a position is stored" in events(csq)["partitions_gone"]


def test_a_topic_that_is_made_anew_with_fewer_partitions_while_csq_runs_ends_it_and_the_next_start_goes_on(shop: Shop):
    topic = shop.topic("events", 2)
    shop.produce(topic, 10)
    shop.produce(topic, 10, partition=1)
    with shop.start(topic, on_expired_offset="earliest") as csq:
        counts(csq, 20)
        shop.topic("events", 1)
        assert csq.process.wait(30) == 1
    assert f"Kafka: {topic}[1]: the topic was made anew with 1 partitions" in csq.log()
    shop.produce(topic, 5)
    with shop.start(topic, on_expired_offset="earliest") as csq:
        counts(csq, 25)
        csq.stop()


@pytest.mark.parametrize("shared", [True, False], ids=["one directory", "a directory each"])
def test_several_processes_begin_where_each_first_began_and_keep_positions_of_a_topic_that_left(
    shop: Shop, tmp_path: Path, shared: bool
):
    first, other = shop.topic("first", 4), shop.topic("other", 2)
    shop.produce(first, 20)

    @contextmanager
    def members(snapshot_seconds: float, *topics: str) -> Iterator[list[Csq]]:
        addresses = ",".join(free_addresses(2))
        with ExitStack() as all_of_them:
            started = []
            for number in (0, 1):
                settings = shop.settings(*topics, snapshot_seconds=snapshot_seconds, start="latest")
                settings["kafka"]["models_topic"] = f"{shop.name}.models"
                settings["state"]["shared"] = shared
                if number and not shared:
                    settings["state"]["directory"] = str(tmp_path / "other-state")
                place = ("--process-id", str(number), "--addresses", addresses)
                csq = Csq(tmp_path / f"member-{time.monotonic_ns()}", settings, *place)
                started.append(all_of_them.enter_context(csq))
            for csq in started:
                ready(csq)
            yield started

    def counted_by(members: list[Csq], expected: int) -> None:
        members[0].until(lambda: sum(map(counted, members)) >= expected)
        time.sleep(1.0)
        assert sum(map(counted, members)) == expected

    with members(600.0, first, other) as running:
        running[0].until(lambda: sum(1 for _ in tmp_path.rglob(FILES)) == 2)
        time.sleep(1.0)
        for partition in range(4):
            shop.produce(first, 10, partition)
        counted_by(running, 40)
        for csq in running:
            csq.process.kill()
    shop.produce(other, 10, 1)
    with members(1.0, first, other) as running:
        counted_by(running, 50)
        running[0].until(lambda: not list(tmp_path.rglob(FILES)))
        for csq in running:
            csq.process.send_signal(signal.SIGTERM)
        assert [csq.process.wait(40) for csq in running] == [0, 0]
    shop.produce(first, 10)
    shop.produce(other, 10, 1)
    with members(1.0, first) as running:
        counted_by(running, 60)
        for csq in running:
            csq.process.send_signal(signal.SIGTERM)
        assert [csq.process.wait(40) for csq in running] == [0, 0]
    assert f"{other}[0], {other}[1]: a position is stored" in events(running[0])["partitions_gone"]
    with members(1.0, first, other) as running:
        counted_by(running, 70)
