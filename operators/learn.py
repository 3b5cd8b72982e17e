"""Learn: one model per key, judged by each label before it learns from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from operators.domain.models.model import Models
from operators.domain.models.registry import training_of
from operators.domain.models.tasks import Verdict
from operators.domain.models.updates import ModelRecord, Origin
from operators.domain.stage.stage import Measurement
from operators.engine.lanes import port
from operators.engine.learners import LearnLogic


@dataclass(frozen=True)
class LearnStreams:
    """Streams of the learn stage."""

    measured: Stream[list[Measurement]]
    judged: Stream[list[Verdict]]
    announced: Stream[list[ModelRecord]]
    """Weights for the scorers of other processes."""


@operator
def learn(
    step_id: str,
    up: KeyedStream[Any],
    names: KeyedStream[str],
    settings: Any,
    models: Models,
    take_snapshots: bool,
    clock: Callable[[], float],
    shows_age: bool,
    announce_as: Origin | None,
) -> LearnStreams:
    """Train the models.

    In: lists of examples, and names that wake the models, keyed by model. Out: measurements, verdicts, and, if other
    processes need them (`announce_as` is this one), records with weights. State: one model per key as plain
    numbers with River's version; bounded by the hashed space. On resume: a name builds its model from the snapshot and
    puts its weights into `models` before the source reads the first event.

    `settings` have a section per model. `clock` gives POSIX seconds; with `shows_age` the version and the age of the
    weights are measured, which a replay does not do.
    """

    def shim(resume: bytes | None) -> LearnLogic:
        return LearnLogic(
            lambda name: training_of(name, settings, clock if shows_age else None),
            models,
            resume,
            take_snapshots=take_snapshots,
            clock=clock,
            announce_as=announce_as,
        )

    out = op.stateful_batch("model", op.merge("labels_and_hellos", up, names), shim)
    return LearnStreams(port("measured", out, "measured"), port("judged", out, "judged"), port("models", out, "models"))
