"""Follow: the models that other processes learn, as they learn them.

An input of the flow and not a thread, so that scorers and what they read are never touched at once.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Any, Protocol

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream, operator
from bytewax.inputs import DynamicSource, StatelessSourcePartition

from operators.domain.models.holder import Models
from operators.domain.models.weights import Listener, ModelRecord, Ready, Update, WeightsError, decode, ready_record
from operators.domain.stage.stage import Measurement, Port
from operators.engine.epochs import Epochs
from operators.learn import age_of

log = logging.getLogger(__name__)

MODELS = "models"
"""This input among those whose epochs end together."""
REST_SECONDS = 0.02
"""Between two looks; each costs some microseconds."""


class Reader(Protocol):
    """Where the records of the models topic come from."""

    began_at: int
    """Offset of the first record that the learners of now can have told."""

    def poll(self) -> list[tuple[int, bytes]]:
        """What has come, as (offset, value), in order."""

    def close(self) -> None:
        """Read no more."""


class Follower:
    """Hears what learners of other processes tell, and when the other processes are ready."""

    def __init__(
        self,
        models: Models,
        tables: Mapping[str, Callable[[], Any]],
        began_at: int,
        process: str,
        others: Iterable[str],
    ) -> None:
        self._models = models
        self._tables = tables
        self._began_at = began_at
        self._process = process
        self._listeners: dict[str, Listener] = {}
        self._said_ready = False
        models.waits_for = tuple(others)

    def hear(self, offset: int, raw: bytes) -> list[Measurement]:
        """Take a record; what is to be shown of it."""
        try:
            told = decode(raw)
            if isinstance(told, Ready) and offset >= self._began_at:
                self._models.waits_for = tuple(name for name in self._models.waits_for if name != told.process)
            elif isinstance(told, Update):
                return self._take(told, is_of_now=offset >= self._began_at)
        except WeightsError as error:
            log.warning("models topic, offset %d: %s; left out", offset, error, extra={"event": "model_update_refused"})
        return []

    def _take(self, update: Update, *, is_of_now: bool) -> list[Measurement]:
        models, name = self._models, update.model
        if name in models.hosted or name not in self._tables:
            self._listeners.pop(name, None)  # what is learned here is known here; a model that is no more is of no use
            return []
        listener = self._listeners.get(name)
        if listener is None:
            listener = self._listeners[name] = Listener(self._tables[name]())
        listener.hear(update, is_of_now=is_of_now)
        if not listener.is_whole:
            return []
        if name not in models:
            log.info(
                "model %s is here, as %s has learned it from %d examples",
                name,
                update.process,
                update.version,
                extra={"event": "model_followed"},
            )
            models[name] = listener.table
        return age_of(name, update.version, update.told_at)

    def say_ready(self) -> list[ModelRecord]:
        """What is to be told to the others when all models are here: once."""
        if self._said_ready or self._models.missing():
            return []
        self._said_ready = True
        return [ready_record(self._process)]


class Follow(DynamicSource[Port]):
    """Reads the models topic until `stop`: measurements, and the word that this process is ready."""

    def __init__(
        self,
        reader: Reader,
        models: Models,
        tables: Mapping[str, Callable[[], Any]],
        process: int,
        processes: int,
        stop: Event,
        epochs: Epochs,
    ) -> None:
        self._reader = reader
        self._stop = stop
        self._epochs = epochs
        others = [f"p{number}" for number in range(processes) if number != process]
        self._follower = Follower(models, tables, reader.began_at, f"p{process}", others)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_FollowPart":
        """One for the worker of this process."""
        return _FollowPart(self._reader, self._follower, self._stop, self._epochs)


class _FollowPart(StatelessSourcePartition[Port]):
    def __init__(self, reader: Reader, follower: Follower, stop: Event, epochs: Epochs) -> None:
        self._reader = reader
        self._follower = follower
        self._stop = stop
        self._epochs = epochs
        self._rest_seconds = 0.0
        epochs.begin(MODELS)

    def next_batch(self) -> list[Port]:
        if self._stop.is_set():
            raise StopIteration
        if self._epochs.is_over(MODELS):  # Bytewax does not say so where nothing is kept
            self._epochs.begin(MODELS)
        records = self._reader.poll()
        self._rest_seconds = 0.0 if records else REST_SECONDS
        measured = [one for offset, raw in records for one in self._follower.hear(offset, raw)]
        ready = self._follower.say_ready()
        return [*([("measured", measured)] if measured else []), *([("models", ready)] if ready else [])]

    def next_awake(self) -> datetime | None:
        return self._epochs.awake(MODELS, self._rest_seconds)

    def close(self) -> None:
        self._reader.close()


@dataclass(frozen=True)
class Followed:
    """What comes of following."""

    measured: Stream[list[Measurement]]
    told: Stream[list[ModelRecord]]


@operator
def follow(step_id: str, flow: Dataflow, source: Follow) -> Followed:
    """The models that other processes learn.

    In: the models topic. Out: their versions and ages, and one word when this process has all models. No key; no state
    that outlives the process: it is read anew from the start of the topic. What is read goes to the tables of this
    process, between two batches of events.
    """
    out = op.input("topic", flow, source)
    return Followed(
        op.flat_map("measured", out, lambda item: [item[1]] if item[0] == "measured" else []),
        op.flat_map("told", out, lambda item: [item[1]] if item[0] == "models" else []),
    )
