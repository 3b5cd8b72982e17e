"""The adapter of the learn stage to Bytewax: one learner per model, the one writer of it.

A learner judges the score that was published against the label, then learns, and writes what changed into the table
that the scorers of this process read. A hello per model wakes it at the start, and with it the state it resumes from.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Stream, operator
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import KeyedStream, StatefulBatchLogic

from operators.domain.example import Example
from operators.domain.stage import Measurement, Port
from operators.lanes import port
from operators.models import Models

log = logging.getLogger(__name__)

MEASURE_EVERY = 50
"""Examples between two measurements of a model: an AUC over a thousand examples is not free."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


Verdict = tuple[str, tuple[float, ...], Any]
"""Model, what it had published, label."""


class Learner(Protocol):
    """The one writer of a model."""

    table: Any
    """What scorers of the model read."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Examples learned, refused (not finite), rolled back (weights turned bad)."""

    def judge_one(self, example: Example) -> tuple[tuple[float, ...], Any] | None:
        """Judge what was published, before learning; the (probabilities, label) that were judged."""

    def learn_one(self, example: Example) -> None:
        """Learn from the example."""

    def measure(self) -> list[Measurement]:
        """The running judgement."""

    def state(self) -> dict[str, Any]:
        """Versioned plain data."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""


class LearnLogic(StatefulBatchLogic[list[Example] | None, Port, bytes]):
    """One model. Its key is told by the hello, for Bytewax tells a logic no key."""

    def __init__(self, build: Callable[[str], Learner], models: Models, resume: bytes | None, *, keep: bool) -> None:
        self._build = build
        self._models = models
        self._resume = resume
        self._keep = keep
        self._name = ""
        self._learner: Learner | None = None
        self._told = (0, 0, 0)
        self._last = -MEASURE_EVERY

    def on_batch(self, values: list[Any]) -> tuple[Iterable[Port], bool]:
        """Take examples; a value that is a name is the hello."""
        out: list[Port] = []
        judged: list[Verdict] = []
        for value in values:
            if isinstance(value, str):
                self._wake(value)
                continue
            if self._learner is None:  # the gate lets no event through before the hellos
                raise RuntimeError("examples came before the hello of their model; the flow is wired wrongly")
            for item in value:
                try:
                    self._take(self._learner, Example(*item), judged)
                except Exception:  # whatever it is: one bad example must not end the flow
                    log.exception("model %s failed on an example; it is left out", self._name)
                    out.append(("measured", [("csq_stage_failures_total", ("learn",), 1)]))
        if judged:
            out.append(("judged", judged))
        measured = self._measure()
        if measured:
            out.append(("measured", measured))
        return out, StatefulBatchLogic.RETAIN

    def _take(self, learner: Learner, example: Example, judged: list[Verdict]) -> None:
        """Judge what was published, then learn; a weak label is only learned from."""
        if example.weight >= 1:
            verdict = learner.judge_one(example)
            if verdict is not None:
                judged.append((self._name, *verdict))
        learner.learn_one(example)

    def on_eof(self) -> tuple[Iterable[Port], bool]:
        """Measure once more, as of the last example."""
        self._last = -MEASURE_EVERY
        return [("measured", self._measure())], StatefulBatchLogic.RETAIN

    def _wake(self, name: str) -> None:
        if self._learner is None:
            self._name, self._learner = name, self._build(name)
            if self._resume:
                self._learner.restore(_decode(self._resume))
                log.info("model %s resumes after %d examples", name, self._learner.counts[0])
            self._told = self._learner.counts
            self._resume = None
        self._models[name] = self._learner.table

    def _measure(self) -> list[Measurement]:
        learner = self._learner
        if learner is None:
            return []
        names = ("csq_model_examples_total", "csq_refused_features_total", "csq_model_rollbacks_total")
        counts = learner.counts
        measured: list[Measurement] = [
            (name, (self._name,), count - told)
            for name, count, told in zip(names, counts, self._told, strict=True)
            if count > told
        ]
        self._told = counts
        if counts[0] - self._last >= MEASURE_EVERY:
            self._last = counts[0]
            measured += learner.measure()
        return measured

    def snapshot(self) -> bytes:
        """Versioned plain data as msgpack; nothing where no recovery store asks for it."""
        if not self._keep:
            return b""
        return self._resume or b"" if self._learner is None else _encode(self._learner.state())


class Hello(DynamicSource[tuple[str, str]]):
    """Says (model, model) once for each model in every process, then ends."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_HelloPartition":
        """One for every worker."""
        return _HelloPartition(self._names)


class _HelloPartition(StatelessSourcePartition[tuple[str, str]]):
    def __init__(self, names: tuple[str, ...]) -> None:
        self._names: tuple[str, ...] | None = names

    def next_batch(self) -> list[tuple[str, str]]:
        if self._names is None:
            raise StopIteration
        names, self._names = self._names, None
        return [(name, name) for name in names]


@dataclass(frozen=True)
class Learned:
    """What the learners tell of themselves."""

    measured: Stream[list[Measurement]]
    judged: Stream[list[Verdict]]


@operator
def learn(
    step_id: str,
    up: KeyedStream[Any],
    hellos: KeyedStream[str],
    build: Callable[[str], Learner],
    models: Models,
    keep: bool,
) -> Learned:
    """The learn stage.

    In: lists of examples, and hellos, keyed by model. Out: measurements, and every verdict (model, probabilities,
    label). State: one model per key, as plain numbers beside River's version; bounded by the hashed space. On resume:
    the hello brings the model back, and the table to the scorers, before the first event is read.
    """

    def shim(resume: bytes | None) -> LearnLogic:
        return LearnLogic(build, models, resume, keep=keep)

    out = op.stateful_batch("model", op.merge("labels_and_hellos", up, hellos), shim)
    return Learned(port("measured", out, "measured"), port("judged", out, "judged"))
