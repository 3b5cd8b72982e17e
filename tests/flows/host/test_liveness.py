"""Liveness while the worker's loop runs, independent of Kafka; slow snapshots are logged."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from flows import live as live_module
from flows.host.liveness import QUIET_SECONDS, START_SECONDS, HeartbeatPartition, LivenessClock
from operators.connectors.embedded import EmbeddedBroker
from operators.engine.epochs import Epochs
from tests.live import live_at, run_beside


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def beats(clock: Clock, snapshot_seconds: float) -> Callable[[float], None]:
    """Let so many seconds pass until the next beat, with the end of an epoch in between."""
    part = HeartbeatPartition(LivenessClock(), threading.Event(), snapshot_seconds, clock, Epochs(snapshot_seconds))

    def epoch(seconds: float) -> None:
        part.next_batch()
        part.snapshot()
        clock.now += seconds
        part.next_batch()

    return epoch


@pytest.mark.parametrize(("snapshot_seconds", "quick", "slow"), [(10.0, 1.9, 2.1), (1.0, 0.9, 1.1), (60.0, 11.0, 13.0)])
def test_a_snapshot_that_takes_a_fifth_of_the_time_is_reported(
    caplog: pytest.LogCaptureFixture, snapshot_seconds: float, quick: float, slow: float
) -> None:
    epoch = beats(Clock(), snapshot_seconds)
    epoch(quick)
    assert caplog.records == []
    epoch(slow)
    assert [(vars(record)["event"], vars(record)["seconds"]) for record in caplog.records] == [("snapshot_slow", slow)]


def test_slow_snapshots_are_reported_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    epoch = beats(clock, 10.0)
    for _ in range(5):
        epoch(3.0)
    assert len(caplog.records) == 1
    clock.now += QUIET_SECONDS
    epoch(3.0)
    assert len(caplog.records) == 2


def test_a_pause_without_a_snapshot_is_not_its_fault(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    part = HeartbeatPartition(LivenessClock(), threading.Event(), 10.0, clock, Epochs(10.0))
    part.next_batch()
    clock.now += 30.0
    part.next_batch()
    assert caplog.records == []


def test_before_the_first_beat_nothing_is_wrong() -> None:
    stopwatch = Clock()
    alive = LivenessClock(lambda: 5.0, stopwatch)
    assert alive.idle_seconds() == 0.0
    alive.beat()
    stopwatch.now += 3.0
    assert alive.idle_seconds() == 3.0


def test_a_start_has_ten_minutes_until_its_first_epoch_is_over() -> None:
    clock = Clock()
    alive = LivenessClock(lambda: 5.0, clock, limit_seconds=30.0)
    part = HeartbeatPartition(alive, threading.Event(), 10.0, clock, Epochs(10.0))
    assert (alive.moves, alive.runs, alive.limit_seconds()) == (False, False, START_SECONDS)
    part.next_batch()
    part.next_batch()
    assert (alive.moves, alive.runs, alive.limit_seconds()) == (True, False, START_SECONDS)
    part.snapshot()
    assert not alive.runs
    part.next_batch()
    assert (alive.runs, alive.limit_seconds()) == (True, 30.0)


def test_an_epoch_that_is_longer_than_a_start_does_not_prolong_it() -> None:
    clock = Clock()
    alive = LivenessClock(lambda: 5.0, clock, limit_seconds=30.0)
    part = HeartbeatPartition(alive, threading.Event(), 3600.0, clock, Epochs(3600.0))
    part.next_batch()
    clock.now += START_SECONDS + 1.0
    part.next_batch()
    assert alive.runs


def test_without_state_to_restore_a_start_is_over_when_the_loop_begins() -> None:
    alive = LivenessClock(limit_seconds=30.0, restores=False)
    HeartbeatPartition(alive, threading.Event(), 10.0, Clock(), Epochs(10.0)).next_batch()
    assert (alive.moves, alive.runs, alive.doing) == (True, True, "runs")


def test_the_flow_that_reads_the_time_is_alive_and_a_thread_beside_it_says_nothing() -> None:
    stopwatch = Clock()
    alive = LivenessClock(lambda: stopwatch.now + 5.0, stopwatch)
    assert alive() == 1_005.0
    stopwatch.now += 3.0
    assert alive.now() == 1_008.0
    assert alive.idle_seconds() == 3.0


def test_an_event_is_in_the_future_only_by_both_clocks() -> None:
    stopwatch, ahead = Clock(), Clock()
    alive = LivenessClock(lambda: stopwatch.now + ahead.now, stopwatch)
    ahead.now += 3_600.0  # the machine was suspended
    assert (alive(), alive.latest()) == (2_000.0, 5_600.0)
    ahead.now -= 7_200.0
    assert (alive(), alive.latest()) == (2_000.0, 2_000.0)


def answer(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as found:  # noqa: S310 - our own server
            return found.status, found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(url: str, code: int, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while (found := answer(url))[0] != code and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found[0] == code, found
    return found[1]


@pytest.mark.slow
def test_without_brokers_it_is_healthy_and_not_ready_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "IDLE_LIMIT_SECONDS", 1.5)
    broker = EmbeddedBroker(["csq.events"])
    live = live_at(broker)

    def watch() -> None:
        until(f"{live.web.url}/readyz", 200, 30.0)
        broker.close()
        assert "- Kafka: " in until(f"{live.web.url}/readyz", 503, 20.0)
        for _ in range(40):
            assert answer(f"{live.web.url}/healthz")[0] == 200
            time.sleep(0.1)

    run_beside(live, watch)


@pytest.mark.slow
def test_a_loop_that_is_stuck_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "IDLE_LIMIT_SECONDS", 1.0)
    monkeypatch.setattr(live_module, "STILL_SECONDS", 0.5)
    stuck, free = threading.Event(), threading.Event()
    beat = HeartbeatPartition.next_batch

    def hang(part: HeartbeatPartition) -> list[None]:
        if stuck.is_set():
            free.wait(20.0)
        return beat(part)

    monkeypatch.setattr(HeartbeatPartition, "next_batch", hang)
    with EmbeddedBroker(["csq.events"]) as broker:
        live = live_at(broker)

        def watch() -> None:
            until(f"{live.web.url}/readyz", 200, 30.0)
            stuck.set()
            text = until(f"{live.web.url}/healthz", 503, 10.0)
            assert text.startswith("not healthy: the flow has not moved for ")
            assert "- the flow has not moved for " in until(f"{live.web.url}/readyz", 503, 1.0)
            stuck.clear()
            free.set()
            until(f"{live.web.url}/healthz", 200, 10.0)

        run_beside(live, watch)
