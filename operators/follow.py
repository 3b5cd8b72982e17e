"""Follow: weights of the models that other processes train.

The models topic is an input of the flow and not a thread, so that weights never change while a batch is scored.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from threading import Event
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
    ProcessReady,
    UpdateError,
    WeightsUpdate,
    decode,
    ready_record,
)
from operators.domain.stage.stage import Measurement, Port
from operators.engine.epochs import Epochs

log = logging.getLogger(__name__)

INPUT = "models"
"""Name of this input in `Epochs`."""
REST_SECONDS = 0.02
"""Seconds between two polls; each takes some microseconds."""


class ModelsTopic(Protocol):
    """The source of the records of the models topic."""

    began_at: int
    """Offset of the first record that a learner which runs now can have written."""

    def poll(self) -> list[tuple[int, bytes]]:
        """Return new records as (offset, value), in order."""

    def close(self) -> None:
        """Stop reading."""


class ModelsFollower:
    """Writes the weights that other processes announce into `models`, and tracks which processes are ready."""

    def __init__(self, models: Models, settings: Any, began_at: int, process: str, others: Iterable[str]) -> None:
        self._models = models
        self._settings = settings
        self._began_at = began_at
        self._process = process
        self._followed: dict[str, FollowedWeights] = {}
        self._announced_ready = False
        models.waits_for = tuple(others)

    def take(self, offset: int, raw: bytes) -> list[Measurement]:
        """Take a record; return measurements of the model it updates."""
        is_current = offset >= self._began_at
        try:
            message = decode(raw)
            if isinstance(message, ProcessReady) and is_current:
                self._models.waits_for = tuple(name for name in self._models.waits_for if name != message.process)
            elif isinstance(message, WeightsUpdate):
                return self._apply(message, is_current=is_current)
        except UpdateError as error:
            log.warning("models topic, offset %d: %s; skipped", offset, error, extra={"event": "model_update_refused"})
        return []

    def _apply(self, update: WeightsUpdate, *, is_current: bool) -> list[Measurement]:
        models, name = self._models, update.model
        if name in models.hosted or name not in MODELS:
            self._followed.pop(name, None)
            return []
        if name not in self._followed:
            self._followed[name] = FollowedWeights(weights_of(name, self._settings))
        followed = self._followed[name]
        followed.apply(update, is_current=is_current)
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
        return [ready_record(self._process)]


class FollowSource(DynamicSource[Port]):
    """Reads the models topic until `stop` is set; emits measurements and this process's ready record."""

    def __init__(
        self,
        topic: ModelsTopic,
        models: Models,
        settings: Any,
        process: int,
        processes: int,
        stop: Event,
        epochs: Epochs,
    ) -> None:
        self._topic = topic
        self._stop = stop
        self._epochs = epochs
        others = [f"p{number}" for number in range(processes) if number != process]
        self._follower = ModelsFollower(models, settings, topic.began_at, f"p{process}", others)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_FollowPartition":
        """Return the partition of this process's worker."""
        return _FollowPartition(self._topic, self._follower, self._stop, self._epochs)


class _FollowPartition(StatelessSourcePartition[Port]):
    def __init__(
        self,
        topic: ModelsTopic,
        follower: ModelsFollower,
        stop: Event,
        epochs: Epochs,
    ) -> None:
        self._topic = topic
        self._follower = follower
        self._stop = stop
        self._epochs = epochs
        self._rest_seconds = 0.0
        epochs.begin(INPUT)

    def next_batch(self) -> list[Port]:
        if self._stop.is_set():
            raise StopIteration
        if self._epochs.is_over(INPUT):  # Bytewax does not notify inputs without state
            self._epochs.begin(INPUT)
        records = self._topic.poll()
        self._rest_seconds = 0.0 if records else REST_SECONDS
        measured = [one for offset, raw in records for one in self._follower.take(offset, raw)]
        ready = self._follower.announce_ready()
        return [*([("measured", measured)] if measured else []), *([("models", ready)] if ready else [])]

    def next_awake(self) -> datetime | None:
        return self._epochs.awake(INPUT, self._rest_seconds)

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
    key, no state: the topic is read from its beginning at every start. Weights are written between batches of events.
    """
    out = op.input("topic", flow, source)
    return FollowStreams(
        op.flat_map("measured", out, lambda item: [item[1]] if item[0] == "measured" else []),
        op.flat_map("told", out, lambda item: [item[1]] if item[0] == "models" else []),
    )
