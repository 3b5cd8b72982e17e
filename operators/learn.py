"""The adapter of the learn stage to Bytewax: one learner per model, the one writer of it.

A learner judges the score that was published against the label, then learns, and writes what changed into the table
that the scorers of this process read. A hello per model wakes it at the start, and with it the state it resumes from.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import bytewax.operators as op
from bytewax.dataflow import Stream, operator
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import KeyedStream, StatefulBatchLogic

from operators.domain.models.example import Example
from operators.domain.models.holder import Models
from operators.domain.models.prequential import Verdict
from operators.domain.models.weights import CHANGES_EXAMPLES, CHANGES_SECONDS, ModelRecord, Teller
from operators.domain.stage.seal import unseal
from operators.domain.stage.stage import Measurement, Port
from operators.engine.lanes import port
from operators.engine.snapshots import Snapshots
from operators.engine.worker import keep_thread_state

log = logging.getLogger(__name__)

MEASURE_EVERY = 50
"""Examples between two measurements of a model: an AUC over a thousand examples is not free."""

_AT_ONCE = datetime.min.replace(tzinfo=UTC)


class WorkersError(Exception):
    """There are more workers than processes, or this process was not told of the others."""


class Learner(Protocol):
    """The one writer of a model."""

    table: Any
    """What scorers of the model read; its `version` is the number of examples learned."""

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
    """One model. Its key is told by the hello, for Bytewax tells a logic no key.

    With a `clock` it says how old the weights are; with the name of its process, `share`, it tells other processes what
    it learned.
    """

    def __init__(
        self,
        build: Callable[[str], Learner],
        models: Models,
        resume: bytes | None,
        *,
        keep: bool,
        clock: Callable[[], float] | None = None,
        share: str | None = None,
    ) -> None:
        self._build = build
        self._models = models
        self._resume = resume
        self._keep = keep
        self._snapshots: Snapshots | None = None
        self._clock = clock
        self._share = share
        self._teller: Teller | None = None
        self._tell_at: datetime | None = None
        self._version = -1
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
                held = ("csq_state_entries", "csq_state_entries_limit")
                out.append(("measured", [(name, ("learn",), (value, 1)) for name in held]))
                continue
            if self._learner is None:  # the gate lets no event through before the hellos
                raise RuntimeError("examples came before the hello of their model; the flow is wired wrongly")
            for item in value:
                try:
                    self._take(self._learner, Example(*item), judged)
                except Exception:  # whatever it is: one bad example must not end the flow
                    log.exception(
                        "model %s failed on an example; it is left out", self._name, extra={"event": "example_failed"}
                    )
                    out.append(("measured", [("csq_stage_failures_total", ("learn",), 1)]))
        if judged:
            out.append(("judged", judged))
        measured = self._measure()
        if self._snapshots is not None:
            measured += self._snapshots.cost()
        if measured:
            out.append(("measured", measured))
        return [*out, *self._tell_if_due()], StatefulBatchLogic.RETAIN

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
        return [("measured", self._measure()), *self._tell()], StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """When other processes are to be told of what was learned."""
        return self._tell_at

    def on_notify(self) -> tuple[Iterable[Port], bool]:
        """Tell them."""
        return self._tell(), StatefulBatchLogic.RETAIN

    def _tell_if_due(self) -> list[Port]:
        """Tell at once what is much, or was never told; else soon."""
        if self._teller is None or not (pending := self._teller.pending()):
            return []
        if pending > CHANGES_EXAMPLES or self._tell_at == _AT_ONCE:
            return self._tell()
        if self._tell_at is None:
            self._tell_at = datetime.now(UTC) + timedelta(seconds=CHANGES_SECONDS)
        return []

    def _tell(self) -> list[Port]:
        self._tell_at = None
        records = self._teller.tell(time.time()) if self._teller is not None else []
        return [("models", records)] if records else []

    def _wake(self, name: str) -> None:
        if self._learner is None:
            self._name, self._learner = name, self._build(name)
            self._snapshots = Snapshots("learn", name, keep=self._keep)
            if self._resume:
                self._learner.restore(unseal(self._resume, f"model {name}"))
                log.info(
                    "model %s resumes after %d examples",
                    name,
                    self._learner.counts[0],
                    extra={"event": "model_resumed"},
                )
            self._told = self._learner.counts
            self._resume = None
            if self._share is not None:
                self._teller, self._tell_at = Teller(name, self._learner, self._share), _AT_ONCE
        self._models[name] = self._learner.table
        self._models.hosted.add(name)

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
        if counts[0] != self._version:
            self._version = learner.table.version = counts[0]
            if self._clock is not None:
                measured += age_of(self._name, counts[0], self._clock())
        if counts[0] - self._last >= MEASURE_EVERY:
            self._last = counts[0]
            measured += learner.measure()
        return measured

    def snapshot(self) -> bytes:
        """Versioned plain data as msgpack; nothing where no recovery store asks for it."""
        learner = self._learner
        if learner is None or self._snapshots is None:
            return self._resume or b""
        return self._snapshots.take(learner.state)


def age_of(model: str, version: int, changed_at: float) -> list[Measurement]:
    """What is shown of the weights that a process scores with."""
    return [
        ("csq_model_version", (model,), version),
        ("csq_model_updated_timestamp_seconds", (model,), changed_at),
    ]


class WakeLearners(DynamicSource[tuple[str, str]]):
    """Says (model, model) once for each model in every process, then ends."""

    def __init__(self, names: Iterable[str], processes: int = 1) -> None:
        self._names = tuple(names)
        self._processes = processes

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_HelloPartition":
        """One for every worker.

        Raises:
            WorkersError: there is not one worker for each process.
        """
        if worker_count != self._processes:
            raise WorkersError(
                f"{worker_count} workers in {self._processes} process(es): csq runs one worker per process, for two "
                "threads under one interpreter lock are slower than one; start more processes instead. Under `python "
                "-m bytewax.run` leave out -w, and name the processes by BYTEWAX_PROCESS_ID and BYTEWAX_ADDRESSES in "
                "the environment: csq does not see -i and -a"
            )
        keep_thread_state()
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
    told: Stream[list[ModelRecord]]
    """Weights for the scorers of other processes."""


@operator
def learn(
    step_id: str,
    up: KeyedStream[Any],
    hellos: KeyedStream[str],
    build: Callable[[str], Learner],
    models: Models,
    keep: bool,
    clock: Callable[[], float] | None,
    share: str | None,
) -> Learned:
    """The learn stage.

    In: lists of examples, and hellos, keyed by model. Out: measurements, every verdict (model, probabilities, label),
    and, where this process is one of several (`share` is its name), weights for the others. State: one model per key,
    as plain numbers beside River's version; bounded by the hashed space. On resume: the hello brings the model back,
    and the table to the scorers, before the first event is read.
    """

    def shim(resume: bytes | None) -> LearnLogic:
        return LearnLogic(build, models, resume, keep=keep, clock=clock, share=share)

    out = op.stateful_batch("model", op.merge("labels_and_hellos", up, hellos), shim)
    return Learned(port("measured", out, "measured"), port("judged", out, "judged"), port("models", out, "models"))
