"""Liveness: whether the worker's loop runs, independent of Kafka, and a log line for slow snapshots.

The flow has a second input beside Kafka, `HeartbeatSource`, without data. The worker's loop asks it several times a
second. If it is not asked, the loop is blocked: by a step that does not return, or by the snapshots at the end of an
epoch.
"""

import logging
import math
import time
from collections.abc import Callable
from datetime import datetime
from threading import Event
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from operators.connectors.kafka.sink import PARTS
from operators.engine.epochs import Epochs

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 0.25
PULSE: Final = "pulse"
"""Name of this input among those whose epochs end together."""
SLOW_SHARE: Final = 0.2
"""A snapshot that takes a larger share of the time between two snapshots is logged."""
SLOW_SECONDS: Final = 1.0
"""A shorter snapshot is never logged."""
QUIET_SECONDS: Final = 60.0
"""Least time between two such log lines."""


class LivenessClock:
    """The wall clock of the flow; each reading counts as a sign of life.

    Args:
        clock: POSIX seconds.
        stopwatch: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stopwatch = stopwatch
        self._beat: float | None = None

    def __call__(self) -> float:
        """POSIX seconds."""
        self.beat()
        return self._clock()

    def now(self) -> float:
        """POSIX seconds, for threads beside the flow: reading them is no sign of life."""
        return self._clock()

    def beat(self) -> None:
        """Note a sign of life."""
        self._beat = self._stopwatch()

    def idle_seconds(self) -> float:
        """Seconds since the last sign of life; 0 before the first: a start with a large store may take minutes."""
        return 0.0 if self._beat is None else self._stopwatch() - self._beat


class HeartbeatPartition(StatefulSourcePartition[None, None]):
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
        took, self._last = now - self._last, now
        if self._epoch_ended and took > self._bound and now - self._logged_at > QUIET_SECONDS:
            self._logged_at = now
            log.warning(
                "a snapshot stopped the flow for %.1f s: large state, slow acknowledgements by brokers, or a slow disk",
                took,
                extra={"event": "snapshot_slow", "seconds": round(took, 1)},
            )
        self._epoch_ended = False
        return []

    def next_awake(self) -> datetime | None:
        """After `BEAT_SECONDS`; at the end of an epoch with all inputs."""
        return self._epochs.awake(PULSE, BEAT_SECONDS)

    def snapshot(self) -> None:
        """Note that an epoch ends."""
        self._epochs.ended(PULSE)
        self._epoch_ended = True


class HeartbeatSource(FixedPartitionedSource[None, None]):
    """One heartbeat per process, until `stop` is set.

    The names of the parts do not depend on the number of processes, as in `KafkaSink`: the recovery store holds them,
    and Bytewax refuses a name that no process has.
    """

    def __init__(
        self, alive: LivenessClock, stop: Event, snapshot_seconds: float, process: int, processes: int, epochs: Epochs
    ) -> None:
        self._epochs = epochs
        self._alive = alive
        self._stop = stop
        self._snapshot_seconds = snapshot_seconds
        self._process = process
        self._processes = processes

    def list_parts(self) -> list[str]:
        """Names of the parts of this process."""
        return [f"{n:02d}" for n in range(self._process, PARTS, self._processes)]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "HeartbeatPartition | EmptyPartition":  # noqa: ARG002 - Bytewax names them
        """The heartbeat is the first part; the others end at once."""
        if for_part != f"{self._process:02d}":
            return EmptyPartition()
        return HeartbeatPartition(self._alive, self._stop, self._snapshot_seconds, time.monotonic, self._epochs)


class EmptyPartition(StatefulSourcePartition[None, None]):
    """A part that ends at once."""

    def next_batch(self) -> list[None]:
        """End."""
        raise StopIteration

    def snapshot(self) -> None:
        """Keep nothing."""
