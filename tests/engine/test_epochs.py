"""Epochs end together: the time that inputs wait for each other does not grow, in one process and in several."""

import heapq
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, cluster_main

from flows.host.liveness import BEAT_SECONDS, HeartbeatSource, LivenessClock
from operators.engine.epochs import MARGIN_SECONDS, MAX_EXTENSION_SECONDS, Epochs

SECONDS = 3.1
"""No multiple of the time between two beats: else they would fall together by chance."""
EPOCH_SECONDS = 0.6
"""As above, in the test with Bytewax."""
COMMIT_SECONDS = 0.05
"""From the last input that ends an epoch to the end of it."""


class Input:
    """An input as Bytewax runs it: its epoch ends at the first look after the interval."""

    def __init__(self, name: str, rest_seconds: float, late: Callable[[], float], epochs: Epochs, began: float) -> None:
        self.name = name
        self.epoch = 0
        self.started = began
        self.stood: list[float] = []
        self.late = late
        self._rest = rest_seconds
        self._epochs = epochs
        self._since: float | None = None
        epochs.begin(name)

    def look(self, now: float) -> float:
        """Look at the input; return when the next look is due."""
        if self._since is not None:
            self.stood.append(now - self._since)
            self._since = None
        self._epochs.looked(self.name)
        wanted = self._epochs.awake(self.name, self._rest)
        assert wanted is not None
        if now - self.started >= SECONDS:
            self.epoch, self.started, self._since = self.epoch + 1, now, now
            self._epochs.ended(self.name)
        return wanted.timestamp()


class Cluster:
    """Inputs of some processes, of which none hands on anything before all have ended its last epoch."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.inputs: list[Input] = []
        self._closed: dict[int, float] = {}

    def add(self, name: str, rest: float, late: Callable[[], float], epochs: Epochs, began: float = 0.0) -> Input:
        """One more, which began its first epoch so many seconds late."""
        self.inputs.append(Input(name, rest, late, epochs, self.now + began))
        return self.inputs[-1]

    def run(self, epochs: int) -> None:
        """Until all have ended so many."""
        due = [(self.now, number) for number in range(len(self.inputs))]
        heapq.heapify(due)
        while min(each.epoch for each in self.inputs) < epochs:
            at, number = heapq.heappop(due)
            one = self.inputs[number]
            self.now = max(self.now, at)
            again = self.now + 0.005 if self._blocked(one.epoch) else one.look(self.now)
            heapq.heappush(due, (max(again, self.now + 0.001) + one.late(), number))

    def _blocked(self, epoch: int) -> bool:
        if min(each.epoch for each in self.inputs) < epoch:
            return True
        return self.now < self._closed.setdefault(epoch, self.now + (COMMIT_SECONDS if epoch else 0.0))


def never(seconds: float = 0.0) -> Callable[[], float]:
    return lambda: seconds


def stood_of_one_process(epochs: Callable[[Callable[[], float]], Epochs]) -> list[float]:
    """How long Kafka's input waited for one that is looked at four times a second."""
    cluster = Cluster()
    shared = epochs(lambda: cluster.now)
    kafka = cluster.add("kafka", 0.02, never(), shared)
    cluster.add("pulse", BEAT_SECONDS, never(), shared, began=0.1)
    cluster.run(60)
    return kafka.stood


def test_within_a_process_all_inputs_end_their_epochs_at_once() -> None:
    alone = stood_of_one_process(lambda clock: Epochs(float("inf"), clock=clock))
    assert max(alone) > 1.0  # what is mended: it adds up, an eighth of a second with each epoch
    together = stood_of_one_process(lambda clock: Epochs(SECONDS, clock=clock))
    assert max(together[2:]) < COMMIT_SECONDS + 0.03


@pytest.mark.parametrize("began", [0.0, 1.4])
@pytest.mark.parametrize("share", [True, False])
def test_among_processes_what_lies_between_them_stays_small(began: float, share: bool) -> None:
    cluster, chance = Cluster(), random.Random(1)  # noqa: S311 - chance, not a secret
    quick, busy = (Epochs(SECONDS, 2 if share else 1, lambda: cluster.now) for _ in range(2))
    first = cluster.add("kafka", 0.02, never(), quick)
    cluster.add("pulse", BEAT_SECONDS, never(), quick)
    # The other has more to do: it looks at its inputs up to 40 ms late, and has begun later.
    cluster.add("kafka", 0.02, lambda: chance.uniform(0.0, 0.04), busy, began)
    cluster.add("pulse", BEAT_SECONDS, never(), busy, began)
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
    awake = epochs.awake("kafka", 20.0)
    assert awake is not None
    assert awake.timestamp() == 30.0 + MAX_EXTENSION_SECONDS + MARGIN_SECONDS


def test_short_epochs_are_left_alone() -> None:
    epochs = Epochs(0.001, 2, lambda: 100.0)
    epochs.begin("kafka")
    assert epochs.awake("kafka", 1.0) == datetime.fromtimestamp(101.0, UTC)
    assert epochs.awake("kafka", 0.0) is None


class Steady(FixedPartitionedSource[float, None]):
    """Hands on the time, again and again, for a while."""

    def __init__(self, epochs: Epochs, seconds: float, over: threading.Event) -> None:
        self.looks: list[float] = []
        self._epochs, self._seconds, self._over = epochs, seconds, over

    def list_parts(self) -> list[str]:
        """One."""
        return ["steady"]

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> "SteadyPart":
        """Begin."""
        return SteadyPart(self.looks, self._epochs, time.monotonic() + self._seconds, self._over)


class SteadyPart(StatefulSourcePartition[float, None]):
    def __init__(self, looks: list[float], epochs: Epochs, until: float, over: threading.Event) -> None:
        self._looks, self._epochs, self._until, self._over = looks, epochs, until, over
        epochs.begin("steady")

    def next_batch(self) -> list[float]:
        now = time.monotonic()
        if now > self._until:
            self._over.set()
            raise StopIteration
        self._epochs.looked("steady")
        self._looks.append(now)
        return [now]

    def next_awake(self) -> datetime | None:
        return self._epochs.awake("steady", 0.002)

    def snapshot(self) -> None:
        self._epochs.ended("steady")


def stood_in_bytewax(seconds: float, epochs: Epochs, store: Path) -> float:
    """The share of the second half of the time in which a steady input waited for the pulse."""
    over = threading.Event()
    source = Steady(epochs, seconds, over)
    flow = Dataflow("both")
    op.output("out", op.input("steady", flow, source), TestingSink([]))
    op.input("pulse", flow, HeartbeatSource(LivenessClock(), over, 1.0, 0, 1, epochs))
    init_db_dir(store, 1)  # without a store no input waits for the pulse
    recovery = RecoveryConfig(str(store))
    cluster_main(flow, [], 0, epoch_interval=timedelta(seconds=EPOCH_SECONDS), recovery_config=recovery)
    later = source.looks[len(source.looks) // 2 :]
    stood = sum(after - before for before, after in pairwise(later) if after - before > 0.05)
    return stood / (later[-1] - later[0])


def test_bytewax_itself_does_as_it_is_taken_to_do(tmp_path: Path) -> None:
    for name in ("alone", "together"):
        (tmp_path / name).mkdir()
    alone = stood_in_bytewax(5.0, Epochs(float("inf")), tmp_path / "alone")
    together = stood_in_bytewax(5.0, Epochs(EPOCH_SECONDS), tmp_path / "together")
    assert together < alone / 2, (together, alone)
