"""Partitions that are added while several processes run: their supervisor starts all again, and they are read."""

import re
import time
from pathlib import Path

import pytest

from flows.host.cluster.supervise import free_addresses
from tests.clusters import Cluster, taken
from tests.connectors.kafka.test_time import message
from tests.flows.host.cluster.test_two_processes import Topics, is_alive
from tests.servers.kafka import Kafka

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

BEFORE, AFTER = 4, 6
RESTART_SECONDS = 40.0
"""Bound on a restart; a machine at rest takes some six."""
SOON = {"CSQ_KAFKA__REFRESH_SECONDS": "1"}


@pytest.fixture
def topics(kafka: Kafka, tmp_path: Path) -> Topics:
    return Topics(kafka, tmp_path)


class Customers:
    """Customers who write now, to all partitions: the conversations of each are its own."""

    def __init__(self, topics: Topics, partitions: int = BEFORE) -> None:
        self._topics = topics
        self.partitions = partitions
        self.written = 0

    def write(self, each: int = 5) -> bool:
        """Write some messages to each partition; true, for a condition that is awaited."""
        for partition in range(self.partitions):
            numbers = range(self.written, self.written + each)
            values = [message(f"m{n}", f"c{n % 7}-{partition}", "customer", time.time()) for n in numbers]
            self._topics.produce_to(partition, values)
            self.written += each
        return True


def unread(cluster: Cluster) -> list[float]:
    """Partitions that are not read, as each process counts them."""
    return [sum(values.get("csq_source_partitions_unread", {}).values()) for values in cluster.each()]


def test_new_partitions_are_read_after_a_restart_of_all_and_every_event_counts_once(topics: Topics):
    customers = Customers(topics)
    with topics.run("--processes", "2", count=2, **SOON) as cluster:
        cluster.until(cluster.is_ready)
        cluster.until(lambda: customers.write() and taken(cluster.values()) > 100)
        first = cluster.pids()
        topics.add_partitions(AFTER)
        customers.partitions = AFTER
        cluster.until(lambda: customers.write() and cluster.pids() != first, RESTART_SECONDS)
        cluster.until(lambda: customers.write() and cluster.is_ready(), RESTART_SECONDS)
        cluster.until(lambda: customers.write() and taken(cluster.values()) > customers.written - 500)
        assert unread(cluster) == [0.0, 0.0]
        found = cluster.until(lambda: (now := cluster.values()) and taken(now) >= customers.written and now)
        assert cluster.stop() == 0, cluster.log()
    assert sum(found["csq_events_total"].values()) == customers.written
    assert sum(found["csq_late_events_total"].values()) == 0
    scored = topics.ids()["csq.turn.scored"]
    assert (len(scored), scored.total()) == (customers.written, customers.written)
    entries = cluster.entries()
    (asked,) = (entry["message"] for entry in entries if entry["event"] == "restarting")
    assert re.fullmatch(f"process p[01] reports new partitions of {topics.events}; all .* start again", asked)
    (warned,) = {entry["message"] for entry in entries if entry["event"] == "partitions_unread"}
    assert f"new partitions: {topics.events}[4], {topics.events}[5]; the next start reads them" in warned
    assert warned.endswith("from their beginning: csq starts again by itself")
    assert not [entry for entry in entries if entry["level"] in {"error", "critical"}]
    assert not [entry for entry in entries if entry["event"] == "processes_restart"]
    assert not any(map(is_alive, first))


def test_without_a_store_the_processes_go_on_and_the_log_asks_for_a_restart(topics: Topics):
    with topics.run("--processes", "2", count=2, CSQ_STATE__DIRECTORY="null", **SOON) as cluster:
        is_left_to_a_person(topics, [cluster])


def test_on_several_machines_the_processes_go_on_and_the_log_asks_for_a_restart(topics: Topics):
    addresses = ",".join(free_addresses(2))
    with (
        topics.run("--process-id", "0", "--addresses", addresses, count=1, **SOON) as one,
        topics.run("--process-id", "1", "--addresses", addresses, count=1, **SOON) as other,
    ):
        is_left_to_a_person(topics, [one, other])


def is_left_to_a_person(topics: Topics, clusters: list[Cluster]) -> None:
    """Partitions are added, and counted as unread; nothing stops or starts."""
    for cluster in clusters:
        cluster.until(cluster.is_ready)
    topics.add_partitions(AFTER)
    for cluster in clusters:
        cluster.until(lambda: set(unread(cluster)) == {float(AFTER - BEFORE)})  # noqa: B023 - called at once
    time.sleep(5.0)
    for cluster in clusters:
        assert cluster.is_ready()
        events = [entry["event"] for entry in cluster.entries() if "event" in entry]
        assert events.count("start") == cluster.count
        assert not {"restarting", "stopping"}.intersection(events)
        warned = [entry["message"] for entry in cluster.entries() if entry["event"] == "partitions_unread"]
        assert len(warned) == cluster.count
        assert all(line.endswith("reads them from their beginning: restart all processes") for line in warned)
