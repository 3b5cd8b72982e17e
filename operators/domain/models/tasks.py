"""What a model predicts: one of several classes, whether something happens, or a number.

The task says how a published score is judged against its label, and which figures sum up many of them.
"""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from operators.domain.models.prequential import Judgement, auc_of, log_loss_one

Figures = dict[str, float | int | None]


class Verdict(NamedTuple):
    """A published score and the label it was judged against."""

    model: str
    published: Any
    label: Any
    delay_seconds: float = 0.0
    """From the score to its label, in event time."""


class Task(ABC):
    """Judges the scores of a model."""

    @abstractmethod
    def judge_one(self, published: Any, label: Any) -> Judgement:
        """Compare a published score with its label."""

    @abstractmethod
    def figures(self, verdicts: Sequence[Verdict], earlier: Sequence[Verdict] = ()) -> Figures:
        """Sum up verdicts: their number `n`, the accuracy, and figures of the task; only `n` without verdicts.

        A baseline stands beside them: what a model that looks at labels alone would have reached. It may know those of
        the `earlier` verdicts.
        """


@dataclass(frozen=True)
class ClassesTask(Task):
    """One of `classes`; the score has a probability for each, in their order.

    >>> ClassesTask(("bad", "good")).judge_one((0.2, 0.8), "good").right
    True
    """

    classes: tuple[str, ...]

    def judge_one(self, published: Any, label: Any) -> Judgement:
        """Log loss of the true class; right if it had the highest probability.

        Raises:
            ValueError: the label is not one of the classes.
        """
        true, predicted = self.classes.index(label), self._predicted(published)
        return Judgement(log_loss_one(published[true]), predicted == true, published[predicted])

    def figures(self, verdicts: Sequence[Verdict], earlier: Sequence[Verdict] = ()) -> Figures:
        """Accuracy, that of the most frequent class, macro-F1 and mean log loss."""
        if not verdicts:
            return {"n": 0}
        predicted = [self._predicted(verdict.published) for verdict in verdicts]
        true = [self.classes.index(verdict.label) for verdict in verdicts]
        return _class_figures(predicted, true) | {"log_loss": self._mean_loss(verdicts)}

    def _predicted(self, probabilities: Sequence[float]) -> int:
        return probabilities.index(max(probabilities))

    def _mean_loss(self, verdicts: Sequence[Verdict]) -> float:
        return _mean([self.judge_one(verdict.published, verdict.label).loss for verdict in verdicts])


@dataclass(frozen=True)
class BinaryTask(Task):
    """Whether something happens; the score is its probability.

    >>> BinaryTask().judge_one(0.9, True).right
    True
    """

    def judge_one(self, published: Any, label: Any) -> Judgement:
        """Log loss; right if the probability of the label is above one half."""
        p, truth = float(published), bool(label)
        loss = log_loss_one(p if truth else 1 - p)
        return Judgement(loss, (p > 0.5) == truth, max(p, 1 - p), p, truth=truth)  # noqa: PLR2004  two classes

    def figures(self, verdicts: Sequence[Verdict], earlier: Sequence[Verdict] = ()) -> Figures:
        """Accuracy, that of the most frequent label, macro-F1, mean log loss, and the area under the ROC curve."""
        if not verdicts:
            return {"n": 0}
        judged = [self.judge_one(verdict.published, verdict.label) for verdict in verdicts]
        true = [int(verdict.label) for verdict in verdicts]
        predicted = [truth if one.right else 1 - truth for one, truth in zip(judged, true, strict=True)]
        return _class_figures(predicted, true) | {
            "log_loss": _mean([one.loss for one in judged]),
            "auc": auc_of([(verdict.published, bool(verdict.label)) for verdict in verdicts]),
        }


@dataclass(frozen=True)
class NumberTask(Task):
    """A number; a score within `tolerance` of the label is right.

    >>> NumberTask(tolerance=1.0).judge_one(2.5, 4.0)[:2]
    (1.5, False)
    """

    tolerance: float

    def judge_one(self, published: Any, label: Any) -> Judgement:
        """Absolute error; there is no confidence, so no calibration error."""
        error = abs(published - label)
        return Judgement(error, error <= self.tolerance)

    def figures(self, verdicts: Sequence[Verdict], earlier: Sequence[Verdict] = ()) -> Figures:
        """Accuracy and mean absolute error, and those of the mean of all labels before."""
        if not verdicts:
            return {"n": 0}
        judged = [self.judge_one(verdict.published, verdict.label) for verdict in verdicts]
        total, count = math.fsum(verdict.label for verdict in earlier), len(earlier)
        baseline = []
        for verdict in verdicts:
            if count:
                baseline.append(self.judge_one(total / count, verdict.label))
            total, count = total + verdict.label, count + 1
        return {
            "n": len(judged),
            "accuracy": _mean([one.right for one in judged]),
            "baseline_accuracy": _mean([one.right for one in baseline]) if baseline else None,
            "mean_absolute_error": _mean([one.loss for one in judged]),
            "baseline_mean_absolute_error": _mean([one.loss for one in baseline]) if baseline else None,
        }


def _class_figures(predicted: list[int], true: list[int]) -> Figures:
    right = [a == b for a, b in zip(predicted, true, strict=True)]
    most = Counter(true).most_common(1)[0][1]
    return {
        "n": len(true),
        "accuracy": _mean(right),
        "baseline_accuracy": most / len(true),
        "macro_f1": macro_f1(predicted, true),
    }


def macro_f1(predicted: list[int], true: list[int]) -> float:
    """Mean F1 over the classes that occur among the labels.

    >>> macro_f1([0, 0, 1], [0, 1, 1])
    0.6666666666666666
    """
    scores = []
    for label in sorted(set(true)):
        hits = sum(a == b == label for a, b in zip(predicted, true, strict=True))
        scores.append(2 * hits / (predicted.count(label) + true.count(label)))
    return sum(scores) / len(scores)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
