"""Heart: whether the worker's loop still turns, whatever Kafka does, and what holds it up.

The flow has a second input beside Kafka, `Pulse`, which has nothing to say and says it several times a second. As long
as the loop turns it is asked; where it is not, something holds all of it up: a step that does not come back, or the end
of an epoch that waits for its snapshots.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from operators.connectors.kafka.sink import PARTS
from operators.engine.epochs import Epochs

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 0.25
PULSE: Final = "pulse"
"""This input among those whose epochs end together."""
SLOW_SHARE: Final = 0.2
"""Of the time between two snapshots: a snapshot that takes more is told."""
SLOW_SECONDS: Final = 1.0
"""The least that is told, however short that time is."""
QUIET_SECONDS: Final = 60.0
"""At most one slow snapshot is told in so long."""


class LivenessClock:
    """Wall time; whoever asks it shows that the flow still moves."""

    def __init__(self) -> None:
        self._beat: float | None = None

    def __call__(self) -> float:
        """POSIX seconds."""
        self.beat()
        return time.time()

    def beat(self) -> None:
        """Show that the flow moves."""
        self._beat = time.monotonic()

    def idle_seconds(self) -> float:
        """Seconds since the last beat; 0 before the first: a start with a large store may take minutes."""
        return 0.0 if self._beat is None else time.monotonic() - self._beat


class HeartbeatPartition(StatefulSourcePartition[None, None]):
    """The pulse of one process. State: none; that it is asked for it tells where an epoch ends."""

    def __init__(
        self, heart: LivenessClock, stop: Event, snapshot_seconds: float, clock: Callable[[], float], epochs: Epochs
    ) -> None:
        self._heart = heart
        self._stop = stop
        self._epochs = epochs
        self._bound = max(SLOW_SECONDS, SLOW_SHARE * snapshot_seconds)
        self._clock = clock
        self._last = clock()
        self._epoch_ended = False
        self._told_at = float("-inf")
        epochs.begin(PULSE)

    def next_batch(self) -> list[None]:
        """Beat, and hand on nothing."""
        if self._stop.is_set():
            raise StopIteration
        self._heart.beat()
        self._epochs.looked(PULSE)
        now = self._clock()
        took, self._last = now - self._last, now
        if self._epoch_ended and took > self._bound and now - self._told_at > QUIET_SECONDS:
            self._told_at = now
            log.warning(
                "a snapshot held the flow up for %.1f s: state, brokers that take records slowly, or the disk",
                took,
                extra={"event": "snapshot_slow", "seconds": round(took, 1)},
            )
        self._epoch_ended = False
        return []

    def next_awake(self) -> datetime | None:
        """Some time later; when the epoch ends, with all other inputs."""
        return self._epochs.awake(PULSE, datetime.now(UTC) + timedelta(seconds=BEAT_SECONDS))

    def snapshot(self) -> None:
        """Note that an epoch ends."""
        self._epochs.ended(PULSE)
        self._epoch_ended = True


class HeartbeatSource(FixedPartitionedSource[None, None]):
    """One part of each process beats, until `stop` is set.

    The names of the parts are the same for any number of processes, as in `KafkaSink`: the recovery store remembers
    them, and Bytewax refuses one that nobody has any more.
    """

    def __init__(
        self, heart: LivenessClock, stop: Event, snapshot_seconds: float, process: int, processes: int, epochs: Epochs
    ) -> None:
        self._epochs = epochs
        self._heart = heart
        self._stop = stop
        self._snapshot_seconds = snapshot_seconds
        self._process = process
        self._processes = processes

    def list_parts(self) -> list[str]:
        """Give this process's own share of all names."""
        return [f"{n:02d}" for n in range(self._process, PARTS, self._processes)]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "HeartbeatPartition | Silence":  # noqa: ARG002 - Bytewax names them
        """Begin to beat, with the first of them."""
        if for_part != f"{self._process:02d}":
            return Silence()
        return HeartbeatPartition(self._heart, self._stop, self._snapshot_seconds, time.monotonic, self._epochs)


class Silence(StatefulSourcePartition[None, None]):
    """A part that ends at once."""

    def next_batch(self) -> list[None]:
        """End."""
        raise StopIteration

    def snapshot(self) -> None:
        """Keep nothing."""
