"""Live running: the same numbers as a replay, and metrics, health, logs and signals of the process."""

import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from flows import live as live_module
from flows.live import Live
from operators.connectors.embedded import EmbeddedBroker
from operators.domain.wire.outgoing import DEADLETTERS
from operators.engine.guard import StoreGoneError
from operators.metrics.catalogue import CATALOGUE
from operators.metrics.observe import Values, read
from operators.simulator import SimulatorParams, simulate
from tests.letters import consume
from tests.ports import deserted
from tests.streams import (
    CSQ,
    ENVIRON,
    NOW,
    ORIGIN,
    ROOT,
    SERVICE,
    SETTINGS,
    SMOOTHED,
    differences,
    event_time,
    run,
    with_settings,
)

READY_SECONDS = 30.0
"""What the first run promises: by then every metric has moved."""
STOP_SECONDS = 8.0
MOVES_RARELY = {
    "csq_late_events_total": "the simulated shop keeps within the bound of disorder",
    "csq_last_resolution_seconds": "measured when a conversation is forgotten, after two weeks",
    "csq_early_facts_total": "no lane of the shop holds so many facts",
    "csq_stage_failures_total": "a defect",
    "csq_refused_measurements_total": "a defect",
    "csq_refused_features_total": "no feature of the shop is not finite",
    "csq_model_rollbacks_total": "no weight turns bad",
    "csq_labels_unmatched_total": "every label of the shop has its turn",
    "csq_state_evicted_total": "no lane is full",
    "csq_snapshot_duration_seconds": "without a recovery store there are no snapshots",
    "csq_state_bytes": "as above",
    "csq_peers_silent": "a single process has no peers",
    "csq_model_updates_refused_total": "as above, and no models topic",
    "csq_source_lag_messages": "the simulated shop is read as fast as it writes",
    "csq_clock_jumps_total": "no clock steps",
    "csq_time_held_seconds": "the shop writes no transactions, and all of its partitions are read",
    "csq_source_partitions_unread": "the embedded broker gets no new partitions",
    "csq_source_partitions_gone": "as above, and there are no stored positions",
    "csq_forgotten_events_total": "the shop forgets no customer",
    "csq_clock_disorder_total": "the clocks of the shop agree",
    "csq_message_changes_total": "the shop repeats and changes no message",
    "csq_feedback_corrections_total": "its customers correct no rating",
    "csq_resolutions_total": "counted when the customer comes back, or after a week",
    "csq_waits_after_close": "few of its customers write after the end",
    "csq_calendar_last_holiday_timestamp_seconds": "the shop never closes",
    "csq_closed_replies_total": "as above",
    "csq_closed_waits_total": "as above",
    **{name: "as above" for name in CATALOGUE if name.endswith("_elapsed_seconds")},
}
WITH_TIME = {
    "csq_oldest_open_wait_seconds": "live, the clock stands some seconds after the last event",
    "csq_newest_event_timestamp_seconds": "as above",
    "csq_service_level_ratio": "stands as last shown once its window is empty, and live it was shown more often",
}


# The same numbers as a replay.


class Recorded:
    """A stream in an embedded broker, and a live process that reads it soon after it ended."""

    def __init__(self, broker: EmbeddedBroker, values: list[tuple[str, bytes]], last_time: float) -> None:
        self.count = len(values)
        self._ahead = last_time + SETTINGS.order.out_of_order_seconds + 5.0 - time.time()
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        for key, value in values:
            producer.produce("csq.events", value, key)
        assert producer.flush(10) == 0
        kafka = msgspec.structs.replace(
            SETTINGS.kafka,
            brokers=(broker.bootstrap_servers,),
            tick_seconds=0.05,
            batch_size=50,
            librdkafka={"fetch.wait.max.ms": 10},
        )
        http = msgspec.structs.replace(SETTINGS.http, port=0)
        self.live = Live(msgspec.structs.replace(SETTINGS, kafka=kafka, http=http), clock=self.clock)

    def clock(self) -> float:
        """A wall clock that was a little before the last event when the process began."""
        return time.time() + self._ahead

    def run(self) -> Values:
        """Run until everything is read and nothing changes any more."""
        watcher = threading.Thread(target=self._stop_when_settled)
        watcher.start()
        try:
            self.live.run()
        finally:
            self.live.stop.set()
            watcher.join()
        return read(self.live.registry)

    def _stop_when_settled(self) -> None:
        names = {*SERVICE, "csq_reply_seconds_count"}
        deadline, before, since = time.monotonic() + 40.0, None, time.monotonic()
        while time.monotonic() < deadline and not self.live.stop.is_set():
            values = read(self.live.registry, names)
            if values != before or taken(values) < self.count:
                before, since = values, time.monotonic()
            elif time.monotonic() - since > 1.5:
                break
            time.sleep(0.1)
        self.live.stop.set()


def taken(values: Values) -> float:
    """Number of records that were accepted or refused."""
    names = ("csq_events_total", "csq_duplicates_total", "csq_dead_letters_total")
    return sum(sum(values[name].values()) for name in names)


@pytest.fixture
def _signals() -> Iterator[None]:
    """Handlers are put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def last_event(time_: float) -> tuple[str, bytes]:
    stamp = datetime.fromtimestamp(time_, UTC).isoformat()
    event = {"specversion": "1.0", "id": "last", "source": "test", "type": "csq.behavior.page_viewed", "time": stamp}
    return "nobody", json.dumps(event | {"data": {"customer_id": "nobody"}}).encode()


@pytest.mark.usefixtures("_signals")
def test_live_measures_what_a_replay_measures():
    deliveries, books = simulate(SimulatorParams(events_per_second=4.0, broken_share=0.02), 3_000)
    # An event of the future has its own test (test_order.py). The last event is after the end of all waits, so the time
    # between it and the live clock does not matter.
    last = books.clock + 7_200.0
    values = [(some.key, some.raw) for some in deliveries if (event_time(some.raw) or 0.0) < NOW] + [last_event(last)]
    expected = run({ORIGIN: [value for _, value in values]})
    with EmbeddedBroker(["csq.events", *SETTINGS.kafka.outputs.by_stream().values()]) as broker:
        recorded = Recorded(broker, values, last)
        actual = recorded.run()
        published = {
            name: sorted(message.value() for message in consume(broker.bootstrap_servers, name))
            for name in ("csq.reply.measured", "csq.turn.scored", DEADLETTERS)
        }
    names = [name for name in (*SERVICE, *SMOOTHED) if name not in WITH_TIME]
    assert differences(expected.values, actual, names) == []
    assert actual["csq_late_events_total"][()] == 0
    assert actual["csq_simulated"][()] == 0
    for name in ("csq.reply.measured", DEADLETTERS):
        assert sorted(expected.published[name].elements()) == published[name]
    assert sum(expected.published["csq.turn.scored"].values()) == len(published["csq.turn.scored"])


# The process.


class Started:
    """`csq run` as a process without a terminal."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self._log = folder / "stderr"
        with self._log.open("wb") as errors, (folder / "stdout").open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603  our own command
                [*CSQ, "run"], cwd=ROOT, env=ENVIRON | environ, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
            )
        self.output = folder / "stdout"
        self.began = time.monotonic()

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def url(self) -> str:
        """The address in its log."""
        found = self.until(lambda: re.search(r"http://[\w.:]+", self.log()), 30.0)
        assert found, self.log()
        return found[0]

    def until(self, holds: Callable[[], object], seconds: float) -> object:
        """The first true result of `holds`, or the last result."""
        deadline = time.monotonic() + seconds
        while not (found := holds()) and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.2)
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own server
        return answer.status, answer.read().decode()


def unmoved(url: str) -> set[str]:
    """Metrics of the catalogue none of whose series has moved from 0."""
    moved = set()
    for family in text_string_to_metric_families(get(f"{url}/metrics")[1]):
        if any(sample.value for sample in family.samples):
            moved |= {family.name, f"{family.name}_total"}
    return CATALOGUE.keys() - moved


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    process = Started(tmp_path_factory.mktemp("live"), CSQ_HTTP__PORT="0")
    yield process
    process.end()


def test_within_half_a_minute_every_metric_has_moved(started: Started):
    url = started.url()
    still = set(CATALOGUE) - MOVES_RARELY.keys()

    def all_have_moved() -> bool:
        still.intersection_update(unmoved(url))  # a gauge that has moved may be 0 again when it is looked at next
        return not still

    started.until(all_have_moved, READY_SECONDS - (time.monotonic() - started.began))
    assert still == set()


def test_it_says_that_it_is_healthy_and_ready(started: Started):
    url = started.url()
    assert get(f"{url}/healthz")[0] == 200
    assert get(f"{url}/readyz") == (200, "ready\n")


def test_without_brokers_it_says_that_its_customers_are_invented(started: Started):
    assert "\ncsq_simulated 1.0\n" in get(f"{started.url()}/metrics")[1]


def test_a_second_process_on_the_same_port_says_what_to_do(started: Started, tmp_path: Path):
    port = started.url().rsplit(":", 1)[1]
    second = Started(tmp_path, CSQ_HTTP__PORT=port)
    try:
        assert second.process.wait(30) == 1
    finally:
        second.end()
    assert second.output.read_bytes() == b""
    assert f"cannot serve metrics at 127.0.0.1:{port}: Address already in use." in second.log()
    assert "Set http.port to a free port" in second.log()
    assert "Traceback" not in second.log()


def test_sigterm_ends_it_within_seconds_and_without_complaint(started: Started):
    started.url()
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(STOP_SECONDS) == 0
    assert started.output.read_bytes() == b""


def test_its_logs_are_json_lines_and_name_no_customer(started: Started):
    started.process.wait(STOP_SECONDS)
    entries = [json.loads(line) for line in started.log().splitlines()]
    assert len(entries) >= 3
    assert all(entry.keys() >= {"time", "level", "logger", "message"} for entry in entries)
    warned = [entry["event"] for entry in entries if entry["level"] in {"warning", "error"}]
    assert warned == ["simulated_data"]
    assert entries[-1]["message"] == "stopped"
    assert any("SIGTERM" in entry["message"] for entry in entries)
    assert re.findall(r"\b[ucm]\d+-[0-9a-f]{6,}-\d+", started.log()) == []


def test_a_second_signal_ends_it_at_once(tmp_path: Path):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:  # a broker that takes calls and never answers
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        process = Started(tmp_path, CSQ_HTTP__PORT="0", CSQ_KAFKA__BROKERS=f"[{address}]")
        try:
            process.url()
            time.sleep(1.0)
            process.process.send_signal(signal.SIGTERM)
            assert process.until(lambda: "a second signal aborts" in process.log(), 5.0)
            assert process.process.poll() is None
            process.process.send_signal(signal.SIGTERM)
            assert process.process.wait(5) == 128 + signal.SIGTERM
        finally:
            process.end()


def test_brokers_that_are_not_there_are_named(tmp_path: Path):
    process = Started(
        tmp_path, CSQ_HTTP__PORT="0", CSQ_KAFKA__BROKERS="['127.0.0.1:1']", CSQ_KAFKA__CONNECT_SECONDS="1"
    )
    try:
        assert process.process.wait(30) == 1
    finally:
        process.end()
    assert "Kafka: no answer from 127.0.0.1:1 in 1 s" in process.log()
    assert "Check kafka.brokers" in process.log()
    assert "Traceback" not in process.log()


def test_a_restart_in_place_is_refused_on_a_store_that_went_away_with_the_last_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "state"
    brokers = (f"127.0.0.1:{deserted()}",)
    live = Live(with_settings(kafka={"brokers": brokers}, http={"port": 0}, state={"directory": str(folder)}))

    def go(*_: object, **__: object) -> None:
        live.observe_source(live.source.status)
        folder.rename(tmp_path / "aside")

    monkeypatch.setattr(live_module, "cluster_main", go)
    live.source.status.unread = {"csq.events": 1}
    with pytest.raises(StoreGoneError):
        live.run()
    assert live.restarts
    assert not folder.exists()
