"""Prequential evaluation: every published score is judged against its label before a model learns from it.

Loss and accuracy fade exponentially and describe the model's recent quality; AUC and the calibration error cover the
last `WINDOW` examples. Gama, Sebastião and Rodrigues, "On evaluating stream learning algorithms" (2013), show that
fading factors converge to the same value as a window and need no memory.
"""

import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from operators.domain.stage.stage import Measurement

FADING = 0.995
"""Weight of the past at each example: a memory of about 200 examples."""
WINDOW = 1000
"""Examples that AUC and the calibration error cover."""
BINS = 10
"""Bins of the calibration error, of equal width."""
TINY = 1e-7
"""Smallest probability in a log loss, which is thereby at most 16.1."""


class Judgement(NamedTuple):
    """One published score compared with its label."""

    loss: float
    right: bool
    confidence: float | None = None
    """Probability of the predicted class, 0..1; `None` where the score is not a probability."""
    score: float | None = None
    """With `truth`: the probability of a binary label, for the AUC."""
    truth: bool = False


def log_loss_one(probability: float) -> float:
    """Log loss in nats, given the probability of the true class.

    >>> round(log_loss_one(0.5), 4), log_loss_one(0.0) < 17
    (0.6931, True)
    """
    return -math.log(min(max(probability, TINY), 1 - TINY))


def auc_of(pairs: Sequence[tuple[float, bool]]) -> float | None:
    """Area under the ROC curve of (score, truth); ties count half; `None` if one class is missing.

    >>> auc_of([(0.1, False), (0.4, True), (0.4, False), (0.9, True)])
    0.875
    """
    ordered = sorted(pairs)
    positives = sum(truth for _, truth in ordered)
    negatives = len(ordered) - positives
    if not positives or not negatives:
        return None
    starts = [0, *(i for i, (a, b) in enumerate(pairwise(ordered), 1) if a[0] != b[0]), len(ordered)]
    rank_sum = sum(
        (start + 1 + end) / 2 * sum(truth for _, truth in ordered[start:end]) for start, end in pairwise(starts)
    )
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def calibration_error_of(pairs: Sequence[tuple[float, bool]]) -> float | None:
    """Expected calibration error of (confidence, right) over ten equal bins (Naeini, Cooper and Hauskrecht, 2015)."""
    if not pairs:
        return None
    confidences, rights = zip(*pairs, strict=True)
    bins = np.minimum((np.array(confidences) * BINS).astype(np.int64), BINS - 1)
    gaps: list[float] = np.abs(np.bincount(bins, confidences) - np.bincount(bins, rights)).tolist()
    return sum(gaps) / len(pairs)


class Prequential:
    """Running evaluation of one model.

    >>> judged = Prequential("churn")
    >>> judged.add(Judgement(0.1, True, 0.9, 0.9, truth=True), delay_seconds=60.0)
    >>> judged.add(Judgement(0.7, False, 0.5, 0.5, truth=False), delay_seconds=60.0)
    >>> judged.n, round(judged.loss, 3), judged.auc()
    (2, 0.401, 1.0)
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.n = 0
        self._weight = 0.0
        self._loss = 0.0
        self._right = 0.0
        self._delay = 0.0
        self._scores: deque[tuple[float, bool]] = deque(maxlen=WINDOW)
        self._confidences: deque[tuple[float, bool]] = deque(maxlen=WINDOW)

    def add(self, judgement: Judgement, delay_seconds: float) -> None:
        """Add one judged example; `delay_seconds` lie between the score and its label."""
        self.n += 1
        self._weight = FADING * self._weight + 1
        self._loss = FADING * self._loss + judgement.loss
        self._right = FADING * self._right + judgement.right
        self._delay = FADING * self._delay + delay_seconds
        if judgement.confidence is not None:
            self._confidences.append((judgement.confidence, judgement.right))
        if judgement.score is not None:
            self._scores.append((judgement.score, judgement.truth))

    @property
    def loss(self) -> float:
        """Mean loss, faded."""
        return self._loss / self._weight

    @property
    def accuracy(self) -> float:
        """Share of right predictions, faded."""
        return self._right / self._weight

    def auc(self) -> float | None:
        """Area under the ROC curve over the last `WINDOW` examples; `None` unless both labels occur."""
        return auc_of(self._scores)

    def measure(self) -> list[Measurement]:
        """Measurements of the model; none before the first example."""
        if not self.n:
            return []
        labels = (self.model,)
        measured: list[Measurement] = [
            ("csq_model_loss", labels, self.loss),
            ("csq_model_accuracy", labels, self.accuracy),
            ("csq_model_label_delay_seconds", labels, self._delay / self._weight),
        ]
        auc, error = self.auc(), calibration_error_of(self._confidences)
        if auc is not None:
            measured.append(("csq_model_auc", labels, auc))
        if error is not None:
            measured.append(("csq_model_calibration_error", labels, error))
        return measured

    def state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "n": self.n,
            "sums": [self._weight, self._loss, self._right, self._delay],
            "scores": [list(pair) for pair in self._scores],
            "confidences": [list(pair) for pair in self._confidences],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.n = state["n"]
        self._weight, self._loss, self._right, self._delay = state["sums"]
        self._scores = deque(((score, truth) for score, truth in state["scores"]), maxlen=WINDOW)
        self._confidences = deque(((score, truth) for score, truth in state["confidences"]), maxlen=WINDOW)
