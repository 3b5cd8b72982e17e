"""A model in training: what the learn stage does for every model."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from operators.domain.models.model import Example, ModelKind, RefusedExampleError, WeightsNotFiniteError
from operators.domain.models.prequential import Prequential
from operators.domain.models.tasks import Verdict
from operators.domain.stage.stage import Measurement, Port, check_version

STATE_VERSION = 2
"""Version of the layout of `ModelTraining.state`, around the model's own state."""
MEASURE_EVERY = 50
"""Examples between two measurements of a model; the AUC of a thousand examples takes a millisecond."""
RIVER = version("river")


class ModelTraining:
    """Judges each published score, then trains the model on the label.

    `clock` gives POSIX seconds for the age of the weights; without one (replay) their age is not measured.
    """

    def __init__(self, kind: ModelKind, params: Any, clock: Callable[[], float] | None = None) -> None:
        self.kind = kind
        self.learner = kind.learner(params)
        self.prequential = Prequential(kind.name)
        self.learned = 0
        self.refused = 0
        """Examples with numbers that are not finite, or that did not fit the model."""
        self.rollbacks = 0
        """Examples that would have led to weights that are not finite."""
        self._clock = clock
        self._measured_version = -1
        self._measured_at = -MEASURE_EVERY
        self._counted: Counter[str] = Counter()
        self._verdicts: list[Verdict] = []

    def take(self, example: Example) -> None:
        """Judge the published score by a full label, then learn from the example. A weak label is only learned."""
        if not (is_finite(example) and 0 < example.weight <= 1):
            self._refuse()
            return
        if example.weight >= 1:
            judgement = self.kind.task.judge_one(example.published, example.label)
            self.prequential.add(judgement, example.delay_seconds)
            self._verdicts.append(Verdict(self.kind.name, example.published, example.label, example.delay_seconds))
        try:
            self.learner.learn_one(example)
        except RefusedExampleError:
            self._refuse()
        except WeightsNotFiniteError:
            self.rollbacks += 1
            self._counted["csq_model_rollbacks_total"] += 1
        else:
            self.learned += 1
            self.learner.weights.version = self.learned
            self._counted["csq_model_examples_total"] += 1

    def _refuse(self) -> None:
        self.refused += 1
        self._counted["csq_refused_features_total"] += 1

    def drain(self, *, at_end: bool = False) -> list[Port]:
        """Return verdicts and measurements since the last call; `at_end` adds the evaluation as of the last example."""
        out: list[Port] = []
        if self._verdicts:
            out.append(("judged", self._verdicts))
            self._verdicts = []
        labels = (self.kind.name,)
        measured: list[Measurement] = [(name, labels, count) for name, count in self._counted.items()]
        self._counted.clear()
        if self._clock is not None and self.learned != self._measured_version:
            self._measured_version = self.learned
            measured += age_of(self.kind.name, self.learned, self._clock())
        if at_end or self.learned - self._measured_at >= MEASURE_EVERY:
            self._measured_at = self.learned
            measured += self.prequential.measure()
        if measured:
            out.append(("measured", measured))
        return out

    def state(self) -> dict[str, Any]:
        """Return versioned plain data: the model's state, its evaluation and its counts."""
        return {
            "v": STATE_VERSION,
            "river": RIVER,
            "model": {"v": self.learner.state_version, **self.learner.state()},
            "judge": self.prequential.state(),
            "counts": [self.learned, self.refused, self.rollbacks],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned.

        Raises:
            StateVersionError: the version of the layout or of the model's state is not supported.
            ValueError: the state holds a weight that is not finite.
        """
        check_version(f"learn, model {self.kind.name}", state, STATE_VERSION)
        check_version(f"learn, model {self.kind.name}", state["model"], self.learner.state_version)
        self.learner.restore(state["model"])
        self.prequential.restore(state["judge"])
        self.learned, self.refused, self.rollbacks = state["counts"]
        self.learner.weights.version = self.learned


def age_of(model: str, examples: int, changed_at: float) -> list[Measurement]:
    """Measure the weights that a process scores with; `changed_at` is in POSIX seconds."""
    return [
        ("csq_model_version", (model,), examples),
        ("csq_model_updated_timestamp_seconds", (model,), changed_at),
    ]


def is_finite(values: Sequence[Any]) -> bool:
    """Whether no number among values, or in the tuples and lists within them, is infinite or NaN.

    >>> is_finite((1.0, None, "gold", (2.0,))), is_finite((1.0, [math.nan]))
    (True, False)
    """
    for value in values:
        if isinstance(value, float):
            if not math.isfinite(value):
                return False
        elif isinstance(value, (tuple, list)) and not is_finite(value):
            return False
    return True
