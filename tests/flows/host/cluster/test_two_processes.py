"""Several processes: the same numbers as one, a change of their number, and the exit of one of them."""

import json
import os
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from flows.host.cluster.supervise import free_addresses
from flows.settings.load import load
from operators.domain.stage.labels import AUTO, OTHER
from operators.domain.wire.outgoing import DEADLETTERS, STREAMS
from operators.metrics.observe import Values
from operators.simulator import SimulatorParams, simulate
from tests.clusters import START_SECONDS, STOP_SECONDS, Cluster, ids_of, records, scrape, status, taken
from tests.servers.kafka import Kafka
from tests.streams import CSQ, NAMES, NOW, ORIGIN, Result, event_time, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

EVENTS = 4_000
COMPARED = ("csq.turn.scored", "csq.reply.measured", "csq.satisfaction.scored")
"""Streams whose events do not depend on the models; churn is published only when it changes."""


class Topics:
    """Topics of one run on a real broker, named apart from those of other runs."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self._kafka, self._folder = kafka, folder
        self._name = uuid4().hex[:8]
        self.address = kafka.address
        self.state = folder / "state"
        self.events = f"events-{self._name}"
        self.models = f"models-{self._name}"
        kafka.create_topic(self.events, 4)
        for stream in STREAMS:
            kafka.create_topic(self.output(stream), 1)

    def output(self, stream: str) -> str:
        return f"{stream}-{self._name}"

    def run(self, *args: str, count: int, command: Sequence[str] = (*CSQ, "run"), **environ: str) -> Cluster:
        environ = {
            "CSQ_KAFKA__TOPICS": f"['{self.events}']",
            "CSQ_KAFKA__MODELS_TOPIC": self.models,
            **{
                f"CSQ_KAFKA__OUTPUTS__{stream.removeprefix('csq.').replace('.', '_').upper()}": self.output(stream)
                for stream in STREAMS
            },
            **environ,
        }
        return Cluster([*command, *args], self._folder, self.address, count, environ)

    def produce(self, values: list[tuple[str, bytes]]) -> None:
        self._kafka.produce(self.events, values)

    def produce_to(self, partition: int, values: list[bytes]) -> None:
        self._kafka.produce_to(self.events, partition, values)

    def add_partitions(self, total: int) -> None:
        self._kafka.add_partitions(self.events, total)

    def ids(self) -> dict[str, Counter[str]]:
        return {stream: ids_of(records(self.address, self.output(stream))) for stream in COMPARED}

    def dead(self) -> Counter[bytes]:
        return Counter(records(self.address, self.output(DEADLETTERS)))


class Shop(NamedTuple):
    """Events of a simulated shop, and the expected results."""

    values: list[tuple[str, bytes]]
    expected: Result

    def ids(self) -> dict[str, Counter[str]]:
        return {stream: ids_of(self.expected.published[stream]) for stream in COMPARED}


@pytest.fixture
def topics(kafka: Kafka, tmp_path: Path) -> Topics:
    return Topics(kafka, tmp_path)


@pytest.fixture(scope="module")
def shop() -> Shop:
    """The last event is after the end of all waits and windows: the live clock is years later."""
    deliveries, _ = simulate(SimulatorParams(events_per_second=4.0, broken_share=0.02), EVENTS)
    # An event of the future has a test of its own (test_order.py).
    values = [(some.key, some.raw) for some in deliveries if (event_time(some.raw) or 0.0) < NOW]
    values.append(page_view("last", NOW - 3600.0))
    return Shop(values, run({ORIGIN: [value for _, value in values]}))


def page_view(name: str, at: float) -> tuple[str, bytes]:
    stamp = datetime.fromtimestamp(at, UTC).isoformat()
    event = {"specversion": "1.0", "id": name, "source": "test", "type": "csq.behavior.page_viewed", "time": stamp}
    return "nobody", json.dumps(event | {"data": {"customer_id": "nobody"}}).encode()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_however_many_processes_count_what_a_replay_counts(topics: Topics, shop: Shop, count: int):
    topics.produce(shop.values)
    with topics.run("--processes", str(count), count=count) as cluster:
        found = cluster.reaches(shop.expected.values)
        assert cluster.stop() == 0, cluster.log()
    assert taken(found) == len(shop.values)
    assert sum(found["csq_late_events_total"].values()) == 0
    assert topics.ids() == shop.ids()
    assert topics.dead() == shop.expected.published[DEADLETTERS]


def test_two_processes_admit_the_same_names_at_the_same_moment(topics: Topics, shop: Shop):
    """The sum per label value is that of one process only if all lanes map a name from the same moment on."""
    renamed = [(key, value.replace(b'"queue":"', b'"queue":"EU ')) for key, value in shop.values]
    expected = run({ORIGIN: [value for _, value in renamed]}, settings=load(None, {})).values
    queues, channels = names_of(expected)
    assert queues == {"EU orders", "EU returns", "EU billing", "EU technical", OTHER}
    assert channels == {"chat", "email", "social", OTHER}

    topics.produce(renamed)
    with topics.run("--processes", "2", count=2, **dict.fromkeys(NAMES, AUTO)) as cluster:
        cluster.reaches(expected)
        each = cluster.each()
        assert cluster.stop() == 0, cluster.log()
    assert [names_of(values) for values in each] == [(queues, channels)] * 2


def names_of(values: Values) -> tuple[set[str], set[str]]:
    """The queues and the channels with rounds."""
    counted = [labels for labels, count in values["csq_reply_rounds_total"].items() if count]
    return {queue for queue, *_ in counted}, {channel for _, channel, *_ in counted}


def test_more_processes_than_partitions_are_no_hindrance(topics: Topics, shop: Shop):
    some = [*shop.values[:500], shop.values[-1]]
    topics.produce(some)
    with topics.run("--processes", "5", count=5) as cluster:
        cluster.reaches(run({ORIGIN: [value for _, value in some]}).values)


def test_the_number_of_processes_may_change_at_each_start(topics: Topics, shop: Shop):
    topics.produce(shop.values)
    total = len(shop.values)
    for count, share in ((2, 0.01), (1, 0.02), (3, 0.03)):
        with topics.run("--processes", str(count), count=count, CSQ_KAFKA__BATCH_SIZE="1") as cluster:
            cluster.until(cluster.is_ready)
            cluster.until(lambda: taken(cluster.values()) >= share * total)  # noqa: B023 - called at once
            assert cluster.stop() == 0, cluster.log()
    assert topics.ids() != shop.ids(), "the stops came too late to show anything"
    with topics.run("--processes", "2", count=2) as cluster:
        cluster.until(lambda: topics.ids() == shop.ids())  # each once: none lost, none repeated
        assert cluster.stop() == 0, cluster.log()
    assert topics.dead() == shop.expected.published[DEADLETTERS]


def test_a_process_that_is_killed_takes_the_others_along_and_all_go_on(topics: Topics, shop: Shop):
    topics.produce(shop.values)
    with topics.run("--processes", "2", count=2, CSQ_KAFKA__BATCH_SIZE="5") as cluster:
        cluster.until(cluster.is_ready)
        cluster.until(lambda: taken(cluster.values()) > 0)
        first = cluster.pids()
        os.kill(first[1], signal.SIGKILL)
        cluster.until(lambda: cluster.pids() != first)
        cluster.until(lambda: unique(topics.ids()) == unique(shop.ids()))
        assert cluster.stop() == 0, cluster.log()
    messages = [entry["message"] for entry in cluster.entries()]
    assert any(message.startswith("process p1 was killed by SIGKILL") for message in messages)
    assert "all processes start again in 1 s (in a row: 1)" in messages
    assert topics.dead().keys() == shop.expected.published[DEADLETTERS].keys()
    assert not any(map(is_alive, first))


def test_no_process_is_left_when_the_supervisor_is_killed(topics: Topics):
    with topics.run("--processes", "2", count=2) as cluster:
        cluster.until(cluster.is_ready)
        children = cluster.pids()
        cluster.process.kill()
        cluster.process.wait(10)
        deadline = time.monotonic() + 30.0
        while any(map(is_alive, children)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(map(is_alive, children))


def test_what_one_process_dies_of_is_logged_whole(kafka: Kafka, topics: Topics, shop: Shop):
    kafka.delete_topic(topics.output("csq.turn.scored"))
    kafka.create_topic(topics.output("csq.turn.scored"), 1, max_message_bytes="200")
    topics.produce(shop.values[:500])
    with topics.run("--processes", "2", count=2) as cluster:
        found = cluster.until(
            lambda: [entry for entry in cluster.entries() if entry["message"].startswith("process p")]
        )
    assert "exit code 1: " in found[0]["message"]
    assert f"for topic {topics.output('csq.turn.scored')}" in found[0]["message"]
    (reported, *_) = (entry for entry in cluster.entries() if entry["level"] == "critical")
    assert reported["message"].startswith("step csq.publish failed, all processes stop: Kafka: ")
    assert "Traceback" in reported["exception"]
    assert "write_batch" in reported["exception"] or "snapshot" in reported["exception"]


def test_processes_of_several_machines_find_one_another(topics: Topics, shop: Shop):
    topics.produce(shop.values)
    addresses = ",".join(free_addresses(2))
    with (
        topics.run("--process-id", "0", "--addresses", addresses, count=1) as one,
        topics.run("--process-id", "1", "--addresses", addresses, count=1) as other,
    ):
        one.until(lambda: topics.ids() == shop.ids())
        other.process.send_signal(signal.SIGTERM)  # stopping one stops all
        assert one.stop() == 0, one.log()
        assert other.process.wait(STOP_SECONDS) == 0, other.log()
    assert {entry.get("member") for entry in one.entries()} == {"p0"}


def test_processes_with_different_settings_read_nothing_and_say_what_differs(topics: Topics, shop: Shop):
    topics.produce(shop.values[:500])
    addresses = ",".join(free_addresses(2))
    with (
        topics.run("--process-id", "0", "--addresses", addresses, count=1) as one,
        topics.run(
            "--process-id",
            "1",
            "--addresses",
            addresses,
            count=1,
            CSQ_STATE__LANES="32",
            CSQ_PROMISES__LIMIT_SECONDS="1",
        ) as other,
    ):
        codes = [each.process.wait(START_SECONDS) for each in (one, other)]
        logs = [each.log() for each in (one, other)]
    assert codes == [1, 1], logs
    for log in logs:
        assert "- promises.limit_seconds: 180.0 in p0, 1.0 in p1\n- state.lanes: 64 in p0, 32 in p1\n" in log
        assert '"event":"peers_refused"' in log
        assert '"events":0' in log
    assert not any(topics.ids().values())
    assert not topics.state.exists()


def test_a_process_that_hangs_is_reported_at_once_killed_and_all_start_again(topics: Topics, shop: Shop):
    topics.produce(shop.values)
    more = [page_view(f"more-{number}", time.time()) for number in range(100)]
    with topics.run("--processes", "2", count=2) as cluster:
        cluster.until(cluster.is_ready)
        # A start has a longer limit, until the first epoch is over.
        cluster.until(lambda: all(values.get("csq_snapshot_duration_seconds_count") for values in cluster.each()))
        urls = {
            entry["member"]: found[0] for entry in cluster.entries() if (found := SERVING.findall(entry["message"]))
        }
        time.sleep(2.0)
        first = cluster.pids()
        os.kill(first[1], signal.SIGSTOP)
        began = time.monotonic()
        topics.produce(more)
        cluster.until(lambda: status(f"{urls['p0']}/readyz") == 503, 10.0)
        assert "- p1 has been silent for " in reasons(urls["p0"])
        assert scrape(urls["p0"])["csq_peers_silent"] == {(): 1.0}
        cluster.until(lambda: cluster.pids() != first, 60.0)
        assert 25.0 < time.monotonic() - began < 45.0
        cluster.until(cluster.is_ready)
        cluster.until(lambda: taken(cluster.values()) == len(shop.values) + len(more))
        assert cluster.stop() == 0, cluster.log()
    assert unique(topics.ids()) == unique(shop.ids())
    killed = [entry["message"] for entry in cluster.entries() if entry["event"] == "process_hangs"]
    assert len(killed) == 1
    assert re.fullmatch(r"process p1 was silent for 3[01] s \(runs\): killed", killed[0])
    assert not any(map(is_alive, first))


def test_a_process_that_ends_before_all_are_connected_ends_the_others(topics: Topics):
    topics.state.write_text("a file where the store of process 0 should be")
    addresses, there = ",".join(free_addresses(2)), {"CSQ_STATE__DIRECTORY": str(topics.state.with_name("there"))}
    with (
        topics.run("--process-id", "1", "--addresses", addresses, count=1, CSQ_STATE__SHARED="false", **there) as other,
        topics.run("--process-id", "0", "--addresses", addresses, count=1, CSQ_STATE__SHARED="false") as one,
    ):
        assert one.process.wait(START_SECONDS) != 0
        assert other.process.wait(START_SECONDS) == 1
        assert '"event":"peer_lost"' in other.log(), other.log()
        assert "p0 has ended before the processes had come together" in other.log()


SERVING = re.compile(r"serving metrics at (http://[\w.:]+)/metrics")


def reasons(url: str) -> str:
    """What `/readyz` says while the process is not ready."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:  # noqa: S310  our own server
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


def test_each_process_takes_changed_calendars_without_a_restart(topics: Topics, tmp_path: Path):
    path = tmp_path / "csq.yaml"
    hours = "promises:\n  calendars:\n    office: {{zone: UTC, hours: {{mon-fri: ['{}']}}}}\n  calendar: office\n"
    path.write_text(hours.format("08:00-17:00"))
    with topics.run("--processes", "2", "-c", str(path), count=2) as cluster:
        cluster.until(cluster.is_ready)
        path.write_text(hours.format("09:00-18:00"))

        def taken_by() -> set[str]:
            return {each["member"] for each in cluster.entries() if each.get("event") == "calendars_changed"}

        cluster.until(lambda: taken_by() == {"p0", "p1"}, 20.0)
        assert cluster.stop() == 0, cluster.log()
        assert "settings_changed" not in cluster.log()


def test_bytewax_has_a_runner_that_does_it_too(topics: Topics, shop: Shop):
    topics.produce(shop.values)
    addresses = ";".join(free_addresses(2))
    runner = (sys.executable, "-m", "bytewax.run", "flows.live", "-r", str(topics.state), "-s", "1", "-b", "0")
    with (
        topics.run(command=runner, count=1, BYTEWAX_PROCESS_ID="0", BYTEWAX_ADDRESSES=addresses) as one,
        topics.run(command=runner, count=1, BYTEWAX_PROCESS_ID="1", BYTEWAX_ADDRESSES=addresses) as other,
    ):
        one.until(lambda: topics.ids() == shop.ids())
        other.process.send_signal(signal.SIGTERM)
        assert one.stop() == 0, one.log()
        assert other.process.wait(STOP_SECONDS) == 0, other.log()


def unique(ids: dict[str, Counter[str]]) -> dict[str, set[str]]:
    """Without repeats: outputs are at least once after a crash, and their ids identify repeats."""
    return {stream: set(counted) for stream, counted in ids.items()}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text() if Path(f"/proc/{pid}").exists() else True
