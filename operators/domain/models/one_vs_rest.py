"""One-vs-rest logistic regression over a hashed space: a River classifier with the weights of all classes in one array.

Its numbers equal those of River's ``OneVsRestClassifier(LogisticRegression(AdaGrad(...)))`` to seven digits; a test
compares both. River keeps weights and sums of squares in six dictionaries, and with a quarter of a million features
nearly each of 40 x 6 look-ups misses the processor's caches: 200 us per example. Here a feature is one row.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from operators.domain.models.model import WeightsNotFiniteError

_EXTREME = 500.0
"""Bound of a logit: exp() overflows beyond 709."""


class HashedOneVsRest(base.Classifier):
    """Learns one example at a time; features are integers in ``range(space)``, with values.

    Args:
        classes: all classes.
        space: number of features.
        learning_rate: AdaGrad's step (Duchi, Hazan and Singer, 2011).
        damping: added to AdaGrad's sums of squared gradients.
        intercept_rate: step of the intercepts, which take plain gradient descent.
        clip_gradient: largest gradient of one example.

    >>> model = HashedOneVsRest(("bad", "good"), 8)
    >>> model.learn_one({3: 1.0}, "good")
    >>> model.predict_one({3: 1.0})
    'good'
    """

    def __init__(
        self,
        classes: Sequence[str],
        space: int,
        learning_rate: float = 0.1,
        damping: float = 1e-8,
        intercept_rate: float = 0.01,
        clip_gradient: float = 1e12,
    ) -> None:
        self.classes, self.space = classes, space
        self.learning_rate, self.damping = learning_rate, damping
        self.intercept_rate, self.clip_gradient = intercept_rate, clip_gradient
        self.weights: NDArray[np.float64] = np.zeros((space, len(classes)))
        self.squares: NDArray[np.float64] = np.zeros((space, len(classes)))
        """Sums of squared gradients."""
        self.intercepts: NDArray[np.float64] = np.zeros(len(classes))

    @property
    def _multiclass(self) -> bool:
        return True

    def learn_one(self, x: dict[Any, Any], y: Any, w: float = 1.0) -> None:
        """Take one step towards `y`, an example of weight `w`.

        Raises:
            WeightsNotFiniteError: the step would lead to numbers that are not finite; nothing was learned.
            ValueError: `y` is not a class.
        """
        self._learn(*_arrays(x), y, w)

    def learn_present(self, features: NDArray[Any], y: Any, w: float = 1.0) -> None:
        """The same for an example whose features, each named once, all have the value 1.

        Raises:
            WeightsNotFiniteError, ValueError: as `learn_one`.
        """
        self._learn(features, None, y, w)

    @np.errstate(over="ignore", invalid="ignore")  # the end checks for numbers that are not finite
    def _learn(self, features: NDArray[Any], values: NDArray[np.float64] | None, y: Any, w: float) -> None:
        weights = self.weights.take(features, axis=0)
        logits = weights.sum(axis=0) if values is None else values @ weights
        clip, truth = self.clip_gradient, self.classes.index(y)
        # For three numbers Python is faster than numpy, which has a cost per call.
        slopes = np.array(
            [
                min(max((_sigmoid_one(logit) - (place == truth)) * w, -clip), clip)
                for place, logit in enumerate((logits + self.intercepts).tolist())
            ]
        )
        gradients = slopes if values is None else values[:, None] * slopes
        squares = self.squares.take(features, axis=0) + gradients * gradients
        weights -= self.learning_rate / np.sqrt(squares + self.damping) * gradients
        intercepts = self.intercepts - self.intercept_rate * slopes
        if not math.isfinite(float(weights.sum()) + float(squares.sum()) + float(intercepts.sum())):
            what = f"an example of {len(features)} features, weight {w}"
            raise WeightsNotFiniteError(f"weights that are not finite after {what}")
        self.weights[features], self.squares[features], self.intercepts = weights, squares, intercepts

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        """Return the probability of each class: one-vs-rest, divided by their sum."""
        features, values = _arrays(x)
        votes = _sigmoid(values @ self.weights[features] + self.intercepts)
        return dict(zip(self.classes, (votes / votes.sum()).tolist(), strict=True))


def _arrays(x: dict[Any, Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return np.fromiter(x, np.int64, len(x)), np.fromiter(x.values(), np.float64, len(x))


def _sigmoid_one(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(min(-logit, _EXTREME)))


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    probabilities: NDArray[np.float64] = 1.0 / (1.0 + np.exp(np.minimum(-logits, _EXTREME)))
    return probabilities
