"""Sentiment: probabilities of negative, neutral and positive, one model per language.

The learner is a River classifier (``one_vs_rest.py``): one-vs-rest over three logistic regressions with AdaGrad. Its
weights start from the lexicon, so that the first message gets a sensible score. `SentimentWeights` hold them as float32
and score a batch with one fetch and one sum; they agree with the classifier to 1e-5.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from operators.domain.models.model import (
    MOST_WEIGHT,
    PART_FEATURES,
    Example,
    ModelKind,
    ModelLearner,
    ModelWeights,
    RefusedExampleError,
    finite_numbers,
)
from operators.domain.models.tasks import ClassesTask
from operators.domain.models.vectors import LANGUAGES, SPACE, TONES, Vector, Vectors
from operators.domain.wire.events import SENTIMENTS

CLASSES = SENTIMENTS
"""The order of every row of probabilities and weights."""
MODEL_NAMES = {language: f"sentiment/{language}" for language in LANGUAGES}
"""Language -> name of its model."""

_EXTREME = 30.0  # bound of a logit; keeps exp() finite
_NEUTRAL_BELOW = 0.05  # VADER's threshold: a smaller tone is neutral


class SentimentParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the sentiment models."""

    learning_rate: Annotated[
        float,
        Meta(
            description="AdaGrad's step; 0.12 was best on the fourth fifth of 14,640 airline tweets (0.1 to 0.15 are "
            "within the noise); higher adapts faster and forgets more",
            gt=0,
            le=10,
        ),
    ] = 0.12
    damping: Annotated[
        float,
        Meta(
            description="added to AdaGrad's sum of squared gradients; above 0 a weak example moves a new word less "
            "than a strong one; with 0 both move it by the whole learning rate",
            gt=0,
            le=100,
        ),
    ] = 0.1
    intercept_rate: Annotated[
        float, Meta(description="step of the intercepts (plain gradient descent); River's default", ge=0, le=1)
    ] = 0.01
    clip_gradient: Annotated[
        float,
        Meta(
            description="largest gradient of one example; 1 is that of an example of weight 1 with a score that was "
            "entirely wrong",
            gt=0,
            le=10,
        ),
    ] = 1.0
    prior_strength: Annotated[
        float,
        Meta(
            description="logit per unit of lexicon tone before the first example; 0 starts from equal probabilities; "
            "raise it if labels are rare, lower it if the lexicon does not fit the domain",
            ge=0,
            le=20,
        ),
    ] = 3.0


class SentimentWeights(ModelWeights):
    """A float32 weight per feature and class, and three intercepts.

    >>> SentimentWeights().score_many(Vectors.of([Vector("en", b"", 0.0, False)])).round(2).tolist()
    [[0.33, 0.33, 0.33]]
    """

    def __init__(self, _params: SentimentParams | None = None) -> None:
        # Four columns, the last one empty: a row of 16 bytes is fetched twice as fast as one of 12.
        self._rows = np.zeros((SPACE, 4), np.float32)
        self.weights = self._rows[:, : len(CLASSES)]
        self.intercepts = np.zeros(len(CLASSES))

    def score_one(self, x: bytes) -> tuple[float, ...]:
        """Return the probability of each class for the features of one message (little-endian int32)."""
        return tuple(self.score_many(Vectors.of([Vector("", x, 0.0, is_question=False)]))[0].tolist())

    def score_many(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return probabilities [messages, classes]: one-vs-rest, divided by their sum, as River does."""
        begins, ends = vectors.starts[:-1], vectors.starts[1:]
        rows = self._rows.take(vectors.features, axis=0)
        full = ends > begins
        if full.all():
            sums = np.add.reduceat(rows, begins, axis=0) if len(begins) else np.zeros((0, 4))
        else:  # reduceat would take the next message's first feature for a message that has none
            sums = np.zeros((len(begins), 4))
            if full.any():
                sums[full] = np.add.reduceat(rows, begins[full], axis=0)
        logits = (sums[:, : len(CLASSES)] + self.intercepts).clip(-_EXTREME, _EXTREME)
        votes = 1.0 / (1.0 + np.exp(-logits))
        probabilities: NDArray[np.float64] = votes / votes.sum(axis=1, keepdims=True)
        return probabilities

    def apply(self, change: Mapping[str, Any]) -> None:
        """Take over the rows of some features; other features in the range `cleared` become zero."""
        features = np.frombuffer(change["features"], "<i4")
        weights = np.frombuffer(change["weights"], "<f4").reshape(len(features), len(CLASSES))
        low, high = change["cleared"]
        if len(features) and not 0 <= features.min() <= features.max() < SPACE:
            raise ValueError(f"features of 0..{SPACE - 1} expected, got {features.min()} to {features.max()}")
        if not 0 <= low <= high <= SPACE:
            raise ValueError(f"a range within 0..{SPACE} expected, got {low} to {high}")
        if not (np.abs(weights) <= MOST_WEIGHT).all():
            raise ValueError(f"weights up to {MOST_WEIGHT:g} expected, got one that is larger or not finite")
        intercepts = np.array(finite_numbers("intercepts", change["intercepts"], len(CLASSES)))
        self.weights[low:high] = 0.0
        self.weights[features] = weights
        self.intercepts = intercepts


def score_many(weights: Mapping[str, SentimentWeights], vectors: Vectors) -> NDArray[np.float64]:
    """Return probabilities [messages, classes] of messages in several languages, with the weights of each language."""
    languages = set(vectors.languages)
    if len(languages) == 1:
        return weights[languages.pop()].score_many(vectors)
    probabilities = np.empty((len(vectors), len(CLASSES)))
    for language in languages:
        chosen, these = vectors.only(language)
        probabilities[chosen] = weights[language].score_many(these)
    return probabilities


def prior(strength: float) -> NDArray[np.float64]:
    """Return the weights [`TONES`, classes] of the tone features before the first example.

    For tone t and strength k: negative -k(t + 0.05), positive k(t - 0.05), neutral k(0.05 - |t|); so positive exceeds
    neutral from t = 0.05, the threshold of VADER's authors. Nothing in it is fitted to data.

    >>> prior(3.0)[[0, 10, 20]].round(2).tolist()
    [[2.85, -2.85, -3.15], [-0.15, 0.15, -0.15], [-3.15, -2.85, 2.85]]
    """
    tone = np.linspace(-1, 1, TONES)
    return strength * np.stack([-tone - _NEUTRAL_BELOW, _NEUTRAL_BELOW - abs(tone), tone - _NEUTRAL_BELOW], axis=1)


class SentimentLearner(ModelLearner):
    """One-vs-rest logistic regression over the hashed features of messages."""

    state_version = 2

    def __init__(self, params: SentimentParams) -> None:
        # River takes a second to import; commands without models do not need it.
        from operators.domain.models.one_vs_rest import HashedOneVsRest  # noqa: PLC0415  see above

        self.weights: SentimentWeights = SentimentWeights()
        self._changed = np.zeros(SPACE, np.bool_)
        self._known = np.zeros(SPACE, np.bool_)
        """Features that were ever written: searching the weights for them would take as long as storing them."""
        self._state: dict[str, Any] | None = None
        self.river = HashedOneVsRest(
            CLASSES,
            SPACE,
            learning_rate=params.learning_rate,
            damping=params.damping,
            intercept_rate=params.intercept_rate,
            clip_gradient=params.clip_gradient,
        )
        self.river.weights[:TONES] = prior(params.prior_strength)
        self._write(np.arange(TONES))

    def learn_one(self, example: Example) -> None:
        """Learn the label of a message from its features (little-endian int32)."""
        if example.label not in CLASSES:
            raise RefusedExampleError(f"label {example.label!r}: expected one of {', '.join(CLASSES)}")
        features = np.frombuffer(example.x, "<i4")
        if len(features) and features.view(np.uint32).max() >= SPACE:  # a negative number is a very large one
            raise RefusedExampleError(f"a feature is outside 0..{SPACE - 1}")
        self.river.learn_present(features, example.label, w=example.weight)
        self._write(features)

    def _write(self, features: NDArray[Any]) -> None:
        """Copy rows of the classifier into `weights`."""
        self.weights.weights[features] = self.river.weights.take(features, axis=0)
        self.weights.intercepts = self.river.intercepts.copy()
        self._known[features] = True
        self._changed[features] = True
        self._state = None

    def changes(self, *, whole: bool) -> Iterator[dict[str, Any]]:
        """Return the rows of all features by ranges, or of the features that changed since the last call."""
        changed = np.flatnonzero(self._changed).astype(np.int32)
        self._changed[:] = False
        if not whole:
            for start in range(0, max(len(changed), 1), PART_FEATURES):
                yield self._rows(changed[start : start + PART_FEATURES], (0, 0))
            return
        used = np.flatnonzero(self.weights.weights.any(axis=1)).astype(np.int32)
        for low in range(0, SPACE, PART_FEATURES):
            high = low + PART_FEATURES
            begin, end = np.searchsorted(used, (low, high))
            yield self._rows(used[begin:end], (low, high))

    def _rows(self, features: NDArray[np.int32], cleared: tuple[int, int]) -> dict[str, Any]:
        """Return the rows of features, and the range in which all other rows are zero."""
        return {
            "cleared": cleared,
            "features": features.astype("<i4").tobytes(),
            "weights": self.weights.weights[features].astype("<f4").tobytes(),
            "intercepts": self.weights.intercepts.tolist(),
        }

    def state(self) -> dict[str, Any]:
        """Return weights and AdaGrad's sums of squares; the same object until the next example."""
        if self._state is None:
            river = self.river
            names = np.flatnonzero(self._known)
            self._state = {
                "features": names.astype("<i4").tobytes(),
                "weights": river.weights[names].T.astype("<f8").tobytes(),
                "squares": river.squares[names].T.astype("<f8").tobytes(),
                "intercepts": river.intercepts.tolist(),
            }
        return self._state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; everything learned before is dropped.

        Raises:
            ValueError: the state holds a weight that is not finite.
        """
        names = np.frombuffer(state["features"], "<i4")
        shape = (len(CLASSES), len(names))
        weights, squares = (np.frombuffer(state[part], "<f8").reshape(shape).T for part in ("weights", "squares"))
        intercepts = np.array(state["intercepts"])
        if not (np.isfinite(weights).all() and np.isfinite(intercepts).all()):
            raise ValueError(
                "sentiment: state with weights that are not finite: start with an empty recovery directory"
            )
        river = self.river
        for table in (river.weights, river.squares, self.weights.weights):
            table[:] = 0.0
        self._known[:] = self._changed[:] = False
        river.weights[names], river.squares[names], river.intercepts = weights, squares, intercepts
        self._write(names)


KINDS = tuple(
    ModelKind(name, "sentiment", ClassesTask(CLASSES), SentimentWeights, SentimentLearner)
    for name in MODEL_NAMES.values()
)
"""One model per language, with the same settings."""
