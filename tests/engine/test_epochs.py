"""Epochs end together: the time that inputs wait for each other does not grow, in one process and in several."""

import heapq
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, cluster_main
from hypothesis import given
from hypothesis import strategies as st

from flows.host.liveness import HeartbeatSource, LivenessClock
from flows.host.store_watch import StoreWatch
from operators.engine.epochs import (
    ALWAYS_DUE,
    LOOK_SECONDS,
    MARGIN_SECONDS,
    MAX_EXTENSION_SECONDS,
    QUIET_ROUNDS,
    Epochs,
)
from operators.engine.recovery import StoreRun

SECONDS = 3.1
REST_SECONDS = 0.005
EPOCH_SECONDS = 0.6
"""As above, in the test with Bytewax."""
COMMIT_SECONDS = 0.05
"""From the last input that ends an epoch to the end of it."""


class Input:
    """An input as Bytewax treats it: its epoch ends at the first look after the interval."""

    def __init__(self, name: str, epochs: Epochs, began: float) -> None:
        self.name = name
        self.epoch = 0
        self.started = began
        self.stood: list[float] = []
        self._epochs = epochs
        self._since: float | None = None
        epochs.begin(name)

    def look(self) -> None:
        """Be asked."""
        self._epochs.looked(self.name)

    def end(self, now: float) -> None:
        """Bytewax looked at `now`; end the epoch if it is over."""
        if self._since is not None:
            self.stood.append(now - self._since)
            self._since = None
        if now - self.started >= SECONDS:
            self.epoch, self.started, self._since = self.epoch + 1, now, now
            self._epochs.ended(self.name)


class Process:
    """Some inputs that are looked at in rounds; the first one rests for all."""

    def __init__(self, epochs: Epochs, late: Callable[[], float]) -> None:
        self.inputs: list[Input] = []
        self.epochs = epochs
        self.late = late


class Cluster:
    """Processes whose inputs hand on nothing before all have ended their last epoch."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self._processes: list[Process] = []
        self._closed: dict[int, float] = {}

    def add(self, epochs: Epochs, late: Callable[[], float], began: float = 0.0) -> list[Input]:
        """Two inputs of one process, of which the second began its first epoch so many seconds late."""
        process = Process(epochs, late)
        process.inputs += [Input("kafka", epochs, self.now), Input("pulse", epochs, self.now + began)]
        self._processes.append(process)
        return process.inputs

    def run(self, epochs: int) -> None:
        """Until all have ended so many."""
        due = [(self.now, number) for number in range(len(self._processes))]
        heapq.heapify(due)
        while min(each.epoch for each in self._inputs()) < epochs:
            self.now, number = heapq.heappop(due)
            heapq.heappush(due, (self._round(self._processes[number]), number))

    def _round(self, process: Process) -> float:
        """Look at all inputs of a process; when it does so again."""
        rest = 0.0
        for one in process.inputs:
            if not self._blocked(one.epoch):
                one.look()
                rest = rest or process.epochs.rest_seconds(REST_SECONDS)
                one.end(self.now)
        return self.now + 0.001 + rest + process.late()

    def _inputs(self) -> list[Input]:
        return [one for process in self._processes for one in process.inputs]

    def _blocked(self, epoch: int) -> bool:
        if min(each.epoch for each in self._inputs()) < epoch:
            return True
        return self.now < self._closed.setdefault(epoch, self.now + (COMMIT_SECONDS if epoch else 0.0))


def never(seconds: float = 0.0) -> Callable[[], float]:
    return lambda: seconds


def stood_of_one_process(epochs: Callable[[Callable[[], float]], Epochs]) -> list[float]:
    """How long Kafka's input stood still beside one that began later, and is looked at late by chance."""
    cluster = Cluster()
    kafka, _ = cluster.add(epochs(lambda: cluster.now), never(), began=1.1)
    cluster.run(60)
    return kafka.stood


def test_within_a_process_all_inputs_end_their_epochs_at_once() -> None:
    alone = stood_of_one_process(lambda clock: Epochs(float("inf"), clock=clock))
    assert max(alone) > 1.0  # what is mended
    together = stood_of_one_process(lambda clock: Epochs(SECONDS, clock=clock))
    assert max(together[2:]) < COMMIT_SECONDS + 0.03


@pytest.mark.parametrize("began", [0.0, 1.4])
@pytest.mark.parametrize("share", [True, False])
def test_among_processes_what_lies_between_them_stays_small(began: float, share: bool) -> None:
    cluster, chance = Cluster(), random.Random(1)  # noqa: S311 - chance, not a secret
    quick, busy = (Epochs(SECONDS, 2 if share else 1, lambda: cluster.now) for _ in range(2))
    first, _ = cluster.add(quick, never())
    # The other has more to do: its rounds take up to 40 ms longer, and it has begun later.
    for one in cluster.add(busy, lambda: chance.uniform(0.0, 0.04)):
        one.started += began
    cluster.run(150)
    last = first.stood[-20:]
    if share:
        assert max(last) < COMMIT_SECONDS + 0.3
    else:
        assert max(last) > 1.0  # what is mended


def test_a_process_never_waits_long_for_others_before_its_epoch_ends() -> None:
    now = [0.0]
    epochs = Epochs(30.0, 2, lambda: now[0])
    epochs.begin("kafka")
    epochs.ended("kafka")
    now[0] = 20.0  # stopped for 20 s, for example by a broker that accepts no records
    epochs.looked("kafka")
    now[0] = 29.995
    epochs.looked("kafka")
    assert now[0] + epochs.rest_seconds(0.0) == pytest.approx(30.0 + MAX_EXTENSION_SECONDS + MARGIN_SECONDS)


def quiet(epochs: Epochs) -> Epochs:
    """Look at its one input until the process may rest."""
    for _ in range(QUIET_ROUNDS + 1):
        epochs.looked("kafka")
    return epochs


def test_short_epochs_are_left_alone() -> None:
    epochs = Epochs(0.001, 2, lambda: 100.0)
    epochs.begin("kafka")
    assert quiet(epochs).rest_seconds(1.0) == 1.0


def test_a_process_rests_once_per_round_and_only_when_its_graph_has_nothing_to_do() -> None:
    work = [0]
    epochs = quiet(Epochs(30.0, clock=lambda: 100.0, work=lambda: work[0]))
    assert (epochs.rest_seconds(0.005), epochs.rest_seconds(0.005)) == (0.005, 0.0)
    epochs.looked("kafka")
    epochs.handed_on()
    assert epochs.rest_seconds(0.005) == 0.0
    assert quiet(epochs).rest_seconds(0.005) == 0.005
    epochs.looked("kafka")
    work[0] += 1  # a stage has got something, from another process perhaps
    assert epochs.rest_seconds(0.005) == 0.0


@given(st.lists(st.tuples(st.floats(-1e5, 1e5), st.floats(0.0, 2.0)), min_size=1, max_size=30))
def test_however_the_wall_clock_steps_a_rest_is_short(steps: list[tuple[float, float]]) -> None:
    now = [1e9]
    epochs = Epochs(10.0, 2, lambda: now[0])
    epochs.begin("kafka")
    epochs.begin("pulse")
    started = now[0]
    for step, seconds in steps:
        now[0] += step + seconds
        epochs.looked("kafka")
        assert 0.0 <= epochs.rest_seconds(0.005) <= 10.0 / 2 + MAX_EXTENSION_SECONDS + LOOK_SECONDS + MARGIN_SECONDS
        if now[0] - started >= 10.0:
            started = now[0]
            epochs.ended("kafka")
            epochs.ended("pulse")


class Steady(FixedPartitionedSource[float, None]):
    """Hands on the time, again and again, for a while."""

    def __init__(self, epochs: Epochs, seconds: float, over: threading.Event) -> None:
        self._epochs, self._seconds, self._over = epochs, seconds, over

    def list_parts(self) -> list[str]:
        """One."""
        return ["steady"]

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> "SteadyPart":
        """Begin."""
        return SteadyPart(self._epochs, time.monotonic() + self._seconds, self._over)


class SteadyPart(StatefulSourcePartition[float, None]):
    def __init__(self, epochs: Epochs, until: float, over: threading.Event) -> None:
        self._epochs, self._until, self._over = epochs, until, over
        epochs.begin("steady")

    def next_batch(self) -> list[float]:
        now = time.monotonic()
        if now > self._until:
            self._over.set()
            raise StopIteration
        self._epochs.looked("steady")
        self._epochs.handed_on()
        time.sleep(0.002)
        return [now]

    def next_awake(self) -> datetime:
        return ALWAYS_DUE

    def snapshot(self) -> None:
        self._epochs.ended("steady")


class Noted(Epochs):
    """Notes when each input ends its epochs."""

    def __init__(self) -> None:
        super().__init__(EPOCH_SECONDS)
        self.at: dict[str, list[float]] = {}

    def ended(self, name: str) -> None:
        """Note the end."""
        super().ended(name)
        self.at.setdefault(name, []).append(time.monotonic())


def test_in_bytewax_the_inputs_of_a_process_end_their_epochs_in_one_round(tmp_path: Path) -> None:
    over, epochs = threading.Event(), Noted()
    watch = StoreWatch(over.set)
    watch.run = StoreRun("ours", (), {"part-0.sqlite3": "mark-0", "part-1.sqlite3": "mark-7"})
    flow = Dataflow("both")
    op.output("out", op.input("steady", flow, Steady(epochs, 5.0, over)), TestingSink([]))
    op.input("pulse", flow, HeartbeatSource(LivenessClock(), over, 1.0, 0, 1, epochs, watch))
    init_db_dir(tmp_path, 1)  # without a store nobody waits for the pulse, which hands on nothing
    recovery = RecoveryConfig(str(tmp_path))
    cluster_main(flow, [], 0, epoch_interval=timedelta(seconds=EPOCH_SECONDS), recovery_config=recovery)
    assert set(epochs.at) == {"steady", "pulse", "mark-0", "mark-7"}
    apart = [max(ends) - min(ends) for ends in zip(*epochs.at.values(), strict=False)]
    assert len(apart) >= 4
    assert median(apart) < 0.02, apart
