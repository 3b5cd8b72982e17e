"""Follow: weights of the models that other processes train.

The models topic is an input of the flow and not a thread, so that weights never change while a batch is scored.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from time import monotonic
from typing import Any, Protocol

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream, operator
from bytewax.inputs import DynamicSource, StatelessSourcePartition

from operators.domain.models.model import Models
from operators.domain.models.registry import MODELS, weights_of
from operators.domain.models.training import age_of
from operators.domain.models.updates import (
    FollowedWeights,
    ModelRecord,
    Origin,
    RefusalReason,
    UpdateError,
    WeightsUpdate,
    check_origin,
    decode,
    ready_record,
)
from operators.domain.stage.stage import Measurement, Port
from operators.engine.epochs import ALWAYS_DUE, Epochs

log = logging.getLogger(__name__)

INPUT = "models"
"""Name of this input in `Epochs`."""
REFUSED_SECONDS = 60.0
"""Time between two log lines about refused records."""
REST_SECONDS = 0.02
"""Seconds between two polls; each takes some microseconds."""


class ModelsTopic(Protocol):
    """The source of the records of the models topic that were written since the start."""

    def poll(self) -> list[tuple[int, bytes]]:
        """Return new records as (offset, value), in order."""

    def close(self) -> None:
        """Stop reading."""


class RefusedRecords:
    """Counts records that are refused, and logs them: the first at once, further ones together, once a minute."""

    def __init__(self, stopwatch: Callable[[], float] = monotonic) -> None:
        self._stopwatch = stopwatch
        self._log_at = -math.inf
        self._counted: Counter[RefusalReason] = Counter()
        self._unlogged: Counter[RefusalReason] = Counter()
        self._last = ""

    def add(self, offset: int, error: UpdateError) -> None:
        """Note a record."""
        self._counted[error.reason] += 1
        self._unlogged[error.reason] += 1
        self._last = f"offset {offset}: {error}"

    def drain(self) -> list[Measurement]:
        """Return what was counted since the last call; logs it if that is due."""
        if self._unlogged and (now := self._stopwatch()) >= self._log_at:
            reasons = ", ".join(f"{reason} {count}" for reason, count in self._unlogged.most_common())
            text = "models topic: %d records refused (%s); the last one: %s"
            log.warning(text, self._unlogged.total(), reasons, self._last, extra={"event": "model_update_refused"})
            self._log_at = now + REFUSED_SECONDS
            self._unlogged.clear()
        counted, self._counted = self._counted, Counter()
        return [("csq_model_updates_refused_total", (reason,), count) for reason, count in counted.items()]


class ModelsFollower:
    """Writes the weights that other processes announce into `models`, and tracks which processes are ready.

    A record counts if it is of this deployment, of this run and of the process that trains the model: the first one
    that has announced it in this run, because each model has one learner.

    Args:
        models: the models of this process.
        settings: parameters of the models.
        origin: this process.
        members: names of all processes.
        refused: gets the other records.
    """

    def __init__(
        self, models: Models, settings: Any, origin: Origin, members: Iterable[str], refused: RefusedRecords
    ) -> None:
        self._models = models
        self._settings = settings
        self._origin = origin
        self._members = frozenset(members)
        self._refused = refused
        self._followed: dict[str, FollowedWeights] = {}
        self._learners: dict[str, str] = {}
        """Model -> the process that trains it."""
        self._announced_ready = False
        models.waits_for = tuple(sorted(self._members - {origin.process}))

    def take(self, offset: int, raw: bytes) -> list[Measurement]:
        """Take a record; return measurements of the model it updates."""
        try:
            message = decode(raw)
            check_origin(message, self._origin, self._members)
            if isinstance(message, WeightsUpdate):
                return self._apply(message)
            self._models.waits_for = tuple(name for name in self._models.waits_for if name != message.process)
        except UpdateError as error:
            self._refused.add(offset, error)
        return []

    def _apply(self, update: WeightsUpdate) -> list[Measurement]:
        models, name = self._models, update.model
        if name not in MODELS:
            raise UpdateError("unusable", f"weights of model {name}, which this release does not have")
        own = self._origin.process if name in models.hosted else update.process
        if (learner := self._learners.setdefault(name, own)) != update.process:
            raise UpdateError("other_process", f"weights of model {name} from {update.process}; {learner} trains it")
        if name in models.hosted:
            return []
        if name not in self._followed:
            self._followed[name] = FollowedWeights(weights_of(name, self._settings))
        followed = self._followed[name]
        followed.apply(update)
        if not followed.is_whole:
            return []
        if name not in models:
            log.info(
                "model %s loaded from %s, which has learned from %d examples",
                name,
                update.process,
                update.version,
                extra={"event": "model_followed"},
            )
            models[name] = followed.weights
        return age_of(name, update.version, update.announced_at)

    def announce_ready(self) -> list[ModelRecord]:
        """Return the record for the other processes once this one has all models, and only once."""
        if self._announced_ready or self._models.missing():
            return []
        self._announced_ready = True
        return [ready_record(self._origin)]


class FollowSource(DynamicSource[Port]):
    """Reads the models topic until `stop` is set; emits measurements and this process's ready record."""

    def __init__(
        self,
        topic: ModelsTopic,
        models: Models,
        settings: Any,
        origin: Origin,
        members: Iterable[str],
        stop: Event,
        epochs: Epochs,
    ) -> None:
        self._topic = topic
        self._stop = stop
        self._epochs = epochs
        self._refused = RefusedRecords()
        self._follower = ModelsFollower(models, settings, origin, members, self._refused)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_FollowPartition":
        """Return the partition of this process's worker."""
        return _FollowPartition(self._topic, self._follower, self._refused, self._stop, self._epochs)


class _FollowPartition(StatelessSourcePartition[Port]):
    def __init__(
        self,
        topic: ModelsTopic,
        follower: ModelsFollower,
        refused: RefusedRecords,
        stop: Event,
        epochs: Epochs,
    ) -> None:
        self._topic = topic
        self._follower = follower
        self._refused = refused
        self._stop = stop
        self._epochs = epochs
        self._next_poll = -math.inf
        epochs.begin(INPUT)

    def next_batch(self) -> list[Port]:
        if self._stop.is_set():
            raise StopIteration
        if self._epochs.is_over(INPUT):  # Bytewax does not notify inputs without state
            self._epochs.begin(INPUT)
        if monotonic() < self._next_poll:
            return []
        records = self._topic.poll()
        if not records:
            self._next_poll = monotonic() + REST_SECONDS
        measured = [one for offset, raw in records for one in self._follower.take(offset, raw)]
        measured += self._refused.drain()
        ready = self._follower.announce_ready()
        if measured or ready:
            self._epochs.handed_on()
        return [*([("measured", measured)] if measured else []), *([("models", ready)] if ready else [])]

    def next_awake(self) -> datetime:
        return ALWAYS_DUE

    def close(self) -> None:
        self._topic.close()


@dataclass(frozen=True)
class FollowStreams:
    """Streams of the follow stage."""

    measured: Stream[list[Measurement]]
    announced: Stream[list[ModelRecord]]


@operator
def follow(step_id: str, flow: Dataflow, source: FollowSource) -> FollowStreams:
    """Follow the models that other processes train.

    In: the models topic. Out: versions and ages of the weights, and one record when this process has all models. No
    key, no state: the learners announce whole models at every start. Weights are written between batches of events.
    """
    out = op.input("topic", flow, source)
    return FollowStreams(
        op.flat_map("measured", out, lambda item: [item[1]] if item[0] == "measured" else []),
        op.flat_map("told", out, lambda item: [item[1]] if item[0] == "models" else []),
    )
