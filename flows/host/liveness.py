"""Liveness: whether the worker's loop runs, independent of Kafka, and a log line for slow snapshots.

The flow has a second input beside Kafka, `HeartbeatSource`, without data. The worker's loop asks it in each round of
looks at its inputs. While it is not asked, something holds the whole loop up: a step that does not return, or the end
of an epoch that waits for its snapshots. A start has a limit of its own for each of its parts, since a large store
takes minutes.
"""

import logging
import math
import time
from collections.abc import Callable
from datetime import datetime
from threading import Event
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.host.store_watch import StoreWatch
from operators.connectors.kafka.sink import PARTS
from operators.domain.time.steady import SteadyClock
from operators.engine.epochs import ALWAYS_DUE, Epochs
from operators.engine.generation import mark_of

log = logging.getLogger(__name__)

REST_SECONDS: Final = 0.001
"""Rest of a process that reads no partition: what other processes send it waits for so long at most."""
PULSE: Final = "pulse"
"""Name of this input among those whose epochs end together."""
SLOW_SHARE: Final = 0.2
"""A snapshot that takes a larger share of the time between two snapshots is logged."""
SLOW_SECONDS: Final = 1.0
"""A shorter snapshot is never logged."""
QUIET_SECONDS: Final = 60.0
"""Least time between two such log lines."""
START_SECONDS: Final = 600.0
"""A start without progress for so long is stuck: in the wait for other processes, the check of the store, or the
restore of the state, which lasts until the first epoch has ended."""


class LivenessClock:
    """The clock of the flow; each reading counts as a sign of life.

    Args:
        wall: POSIX seconds.
        stopwatch: monotonic seconds.
        on_jump: called with the seconds of each step of the wall clock.
        limit_seconds: a flow that has started is stuck when it was idle for longer.
        restores: whether there may be state to restore.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
        on_jump: Callable[[float], None] = lambda _: None,
        limit_seconds: float = math.inf,
        *,
        restores: bool = True,
    ) -> None:
        self.readings = 0
        """Readings so far; the stages read it with each batch."""
        self.beats = 0
        """Signs of life so far."""
        self.moves = False
        """Whether the worker's loop has begun."""
        self.runs = False
        """Whether the start is over."""
        self.doing = "starts"
        """What it does, as words after the name of the process."""
        self._limit_seconds = limit_seconds
        self._restores = restores
        self._wall = wall
        self._clock = SteadyClock(wall, stopwatch, on_jump)
        self._stopwatch = stopwatch
        self._beat = stopwatch()

    def __call__(self) -> float:
        """POSIX seconds by the steady clock."""
        self.readings += 1
        self.beat()
        return self._clock()

    def latest(self) -> float:
        """POSIX seconds by the clock that is ahead: an event is in the future only if it is so by both.

        After a machine was suspended the steady clock is behind for a minute, and events are not.
        """
        return max(self(), self._wall())

    def now(self) -> float:
        """POSIX seconds by the steady clock, for threads beside the flow: reading them is no sign of life."""
        return self._clock()

    def beat(self) -> None:
        """Note a sign of life."""
        self.beats += 1
        self._beat = self._stopwatch()

    def begin(self, doing: str) -> None:
        """A part of the start begins, which has `START_SECONDS`."""
        self.doing = doing
        self.beat()

    def move(self) -> None:
        """The worker's loop begins: inputs are open, and state is being restored."""
        self.moves = True
        self.begin("restores its state")
        if not self._restores:
            self.run()

    def run(self) -> None:
        """The start is over."""
        self.runs = True
        self.begin("runs")

    def idle_seconds(self) -> float:
        """Seconds since the last sign of life."""
        return self._stopwatch() - self._beat

    def limit_seconds(self) -> float:
        """Idle for longer the flow is stuck."""
        return self._limit_seconds if self.runs else START_SECONDS


class HeartbeatPartition(StatefulSourcePartition[None, bytes | None]):
    """The heartbeat of one process. State: none; being asked for a snapshot marks the end of an epoch.

    Args:
        alive: gets a sign of life at each look.
        stop: ends it.
        snapshot_seconds: time between two snapshots.
        stopwatch: monotonic seconds.
        epochs: shared with the other inputs of the process.
    """

    def __init__(
        self, alive: LivenessClock, stop: Event, snapshot_seconds: float, stopwatch: Callable[[], float], epochs: Epochs
    ) -> None:
        self._alive = alive
        self._stop = stop
        self._epochs = epochs
        self._bound = max(SLOW_SECONDS, SLOW_SHARE * snapshot_seconds)
        self._stopwatch = stopwatch
        self._last = stopwatch()
        self._began = stopwatch()
        self._epoch_ended = False
        self._logged_at = -math.inf
        epochs.begin(PULSE)

    def next_batch(self) -> list[None]:
        """Note a sign of life; hand on nothing."""
        if self._stop.is_set():
            raise StopIteration
        self._alive.beat()
        self._epochs.looked(PULSE)
        now = self._stopwatch()
        if not self._alive.runs:
            self._start(now)
        took, self._last = now - self._last, now
        if self._epoch_ended and took > self._bound and now - self._logged_at > QUIET_SECONDS:
            self._logged_at = now
            log.warning(
                "a snapshot stopped the flow for %.1f s: large state, slow acknowledgements by brokers, or a slow disk",
                took,
                extra={"event": "snapshot_slow", "seconds": round(took, 1)},
            )
        self._epoch_ended = False
        if not self._epochs.rests_elsewhere:
            self._alive.now()  # notices a step; Kafka's reader does so elsewhere
            time.sleep(self._epochs.rest_seconds(REST_SECONDS))
        return []

    def _start(self, now: float) -> None:
        """Note how far the start is. Epochs end only with state restored; they may be longer than any start."""
        if not self._alive.moves:
            self._alive.move()
        elif self._epoch_ended or now - self._began > START_SECONDS:
            self._alive.run()

    def next_awake(self) -> datetime:
        """At once; the process rests in `next_batch`, here or in that of Kafka's partitions."""
        return ALWAYS_DUE

    def snapshot(self) -> None:
        """Note that an epoch ends."""
        self._epochs.ended(PULSE)
        self._epoch_ended = True


class MarkPartition(StatefulSourcePartition[None, bytes | None]):
    """Stores the mark of one file of the recovery store at the end of each epoch, until `stop` is set.

    Args:
        name: of the mark; an input of its own among those whose epochs end together.
        mark: what it stores (``operators/engine/generation.py``).
        stop: ends it.
        epochs: shared with the other inputs of the process.
        watch: says whether the store may be written, at each look and before each snapshot.
    """

    def __init__(self, name: str, mark: bytes, stop: Event, epochs: Epochs, watch: StoreWatch) -> None:
        self._name = name
        self._mark = mark
        self._watch = watch
        self._stop = stop
        self._epochs = epochs
        epochs.begin(name)

    def next_batch(self) -> list[None]:
        """Hand on nothing."""
        self._watch.look()
        if self._stop.is_set():
            raise StopIteration
        self._epochs.looked(self._name)
        return []

    def next_awake(self) -> datetime:
        """At once, as the heartbeat; the process rests elsewhere."""
        return ALWAYS_DUE

    def snapshot(self) -> bytes:
        """The mark. An error of the watch ends the flow before the stages store anything of this epoch."""
        self._epochs.ended(self._name)
        self._watch.check()
        return self._mark


class HeartbeatSource(FixedPartitionedSource[None, bytes | None]):
    """One heartbeat per process, until `stop` is set; process 0 has a part for each file of the recovery store too.

    The names of the parts do not depend on the number of processes, as in `KafkaSink`: the recovery store holds them,
    and Bytewax refuses a name that no process has.
    """

    def __init__(
        self,
        alive: LivenessClock,
        stop: Event,
        snapshot_seconds: float,
        process: int,
        processes: int,
        epochs: Epochs,
        store: StoreWatch | None = None,
    ) -> None:
        self._store = store
        self._epochs = epochs
        self._alive = alive
        self._stop = stop
        self._snapshot_seconds = snapshot_seconds
        self._process = process
        self._processes = processes

    def list_parts(self) -> list[str]:
        """Names of the parts of this process."""
        marks = [] if self._store is None else self._store.run.marks.values()
        return [*(f"{n:02d}" for n in range(self._process, PARTS, self._processes)), *marks]

    def build_part(
        self,
        step_id: str,  # noqa: ARG002 - Bytewax names it
        for_part: str,
        resume_state: bytes | None,  # noqa: ARG002 - as above
    ) -> StatefulSourcePartition[None, bytes | None]:
        """The heartbeat is the first part, marks have names of their own; the others end at once."""
        store = self._store
        if store is not None and for_part in store.run.marks.values():
            return MarkPartition(for_part, mark_of(store.run.name), self._stop, self._epochs, store)
        if for_part != f"{self._process:02d}":
            return EmptyPartition()
        return HeartbeatPartition(self._alive, self._stop, self._snapshot_seconds, time.monotonic, self._epochs)


class EmptyPartition(StatefulSourcePartition[None, bytes | None]):
    """A part that ends at once."""

    def next_batch(self) -> list[None]:
        """End."""
        raise StopIteration

    def snapshot(self) -> None:
        """Keep nothing."""
