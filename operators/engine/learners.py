"""Models in training as Bytewax runs them: a stateful logic per model, and the input that wakes it."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from time import monotonic
from typing import Any

from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import StatefulBatchLogic

from operators.domain.models.model import Example, Models
from operators.domain.models.training import ModelTraining
from operators.domain.models.updates import CHANGES_EXAMPLES, CHANGES_SECONDS, Origin, WeightsAnnouncer
from operators.domain.stage.seal import unseal
from operators.domain.stage.stage import Port
from operators.engine.epochs import ALWAYS_DUE
from operators.engine.snapshots import Snapshots
from operators.engine.worker import keep_thread_state

log = logging.getLogger(__name__)

_AT_ONCE = float("-inf")


class WorkersError(Exception):
    """There is not exactly one worker per process."""


class LearnLogic(StatefulBatchLogic[list[Example] | None, Port, bytes]):
    """One model in training.

    Its key arrives as the first value, because Bytewax does not pass it to a logic; the model is built then, before
    the flow reads its first event, and its weights are put into `models`.

    Args:
        build: makes the model of a name.
        models: the models of this process.
        resume: the snapshot to resume from.
        take_snapshots: whether a recovery store asks for snapshots.
        clock: POSIX seconds.
        announce_as: this process, if other processes need the weights.
        timer: monotonic seconds, for the delay of announcements.
    """

    def __init__(
        self,
        build: Callable[[str], ModelTraining],
        models: Models,
        resume: bytes | None,
        *,
        take_snapshots: bool,
        clock: Callable[[], float],
        announce_as: Origin | None = None,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        self._build = build
        self._models = models
        self._resume = resume
        self._take_snapshots = take_snapshots
        self._clock = clock
        self._announce_as = announce_as
        self._timer = timer
        self._training: ModelTraining | None = None
        self._snapshots: Snapshots | None = None
        self._announcer: WeightsAnnouncer | None = None
        self._announce_at: float | None = None

    def on_batch(self, values: list[Any]) -> tuple[Iterable[Port], bool]:
        """Take lists of examples; a string is the name of the model and wakes it."""
        out: list[Port] = []
        for value in values:
            if isinstance(value, str):
                self._wake(value)
                held = ("csq_state_entries", "csq_state_entries_limit")
                out.append(("measured", [(name, ("learn",), (value, 1)) for name in held]))
                continue
            if self._training is None:  # the source reads no event before all models are there
                raise RuntimeError("examples came before the model's name; the flow is wired wrongly")
            for item in value:
                self._take(self._training, Example(*item), out)
        if self._training is not None:
            out += self._training.drain()
        if self._snapshots is not None and (cost := self._snapshots.cost()):
            out.append(("measured", cost))
        return [*out, *self._announce_if_due()], StatefulBatchLogic.RETAIN

    def _take(self, training: ModelTraining, example: Example, out: list[Port]) -> None:
        try:
            training.take(example)
        except Exception:  # one bad example must not end the flow
            log.exception(
                "model %s failed on an example; skipped it", training.kind.name, extra={"event": "example_failed"}
            )
            out.append(("measured", [("csq_stage_failures_total", ("learn",), 1)]))

    def on_eof(self) -> tuple[Iterable[Port], bool]:
        """Measure and announce what was learned up to the last example."""
        out = [] if self._training is None else self._training.drain(at_end=True)
        return [*out, *self._announce()], StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """At once, for as long as something is to be announced: the wall clock does not say when."""
        return None if self._announce_at is None else ALWAYS_DUE

    def on_notify(self) -> tuple[Iterable[Port], bool]:
        """Announce what was learned, once that is due."""
        is_due = self._announce_at is not None and self._timer() >= self._announce_at
        return self._announce() if is_due else [], StatefulBatchLogic.RETAIN

    def _announce_if_due(self) -> list[Port]:
        """Announce at once after many examples and after a start, otherwise within `CHANGES_SECONDS`."""
        if self._announcer is None or not (pending := self._announcer.pending()):
            return []
        if self._announce_at is None:
            self._announce_at = self._timer() + CHANGES_SECONDS
        return self._announce() if pending > CHANGES_EXAMPLES or self._timer() >= self._announce_at else []

    def _announce(self) -> list[Port]:
        self._announce_at = None
        records = self._announcer.announce() if self._announcer is not None else []
        return [("models", records)] if records else []

    def _wake(self, name: str) -> None:
        if self._training is None:
            self._training = self._build(name)
            self._snapshots = Snapshots("learn", name, take_snapshots=self._take_snapshots)
            if self._resume:
                self._training.restore(unseal(self._resume, f"model {name}"))
                log.info(
                    "model %s resumes after %d examples",
                    name,
                    self._training.learned,
                    extra={"event": "model_resumed"},
                )
            self._resume = None
            if self._announce_as is not None:
                self._announcer = WeightsAnnouncer(self._training, self._announce_as, self._clock)
                self._announce_at = _AT_ONCE
        self._models[name] = self._training.learner.weights
        self._models.hosted.add(name)

    def snapshot(self) -> bytes:
        """Return the sealed state; empty without a recovery store."""
        if self._training is None or self._snapshots is None:
            return self._resume or b""
        return self._snapshots.take(self._training.state)


class WakeLearners(DynamicSource[tuple[str, str]]):
    """Sends (model, model) once for each model in every process, then ends."""

    def __init__(self, names: Iterable[str], processes: int = 1) -> None:
        self._names = tuple(names)
        self._processes = processes

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_WakeLearnersPartition":
        """Return the partition of one worker.

        Raises:
            WorkersError: there is not exactly one worker per process.
        """
        if worker_count != self._processes:
            raise WorkersError(
                f"{worker_count} workers in {self._processes} process(es): csq runs one worker per process, for two "
                "threads under one interpreter lock are slower than one; start more processes instead. Under `python "
                "-m bytewax.run` leave out -w, and name the processes by BYTEWAX_PROCESS_ID and BYTEWAX_ADDRESSES in "
                "the environment: csq does not see -i and -a"
            )
        keep_thread_state()
        return _WakeLearnersPartition(self._names)


class _WakeLearnersPartition(StatelessSourcePartition[tuple[str, str]]):
    def __init__(self, names: tuple[str, ...]) -> None:
        self._names: tuple[str, ...] | None = names

    def next_batch(self) -> list[tuple[str, str]]:
        if self._names is None:
            raise StopIteration
        names, self._names = self._names, None
        return [(name, name) for name in names]
