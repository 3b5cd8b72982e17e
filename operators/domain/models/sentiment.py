"""Sentiment: negative, neutral or positive, with probabilities, one model per language.

A `Learner` is a River classifier (``hashed.py``): one-vs-rest over three logistic regressions with AdaGrad. It begins
with the lexicon's opinion as weights, so that the first message is scored sensibly. It is the one writer of its
`Table`, from which a whole batch is scored with one fetch and one sum; table and classifier agree to 1e-5.
"""

import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from operators.domain.models.vectors import LANGUAGES, SPACE, TONES, Vector, Vectors
from operators.domain.stage.stage import check_version
from operators.domain.wire.events import SENTIMENTS

CLASSES = SENTIMENTS
"""The order of every row of probabilities and weights."""
MODELS = {language: f"sentiment/{language}" for language in LANGUAGES}
"""Language -> name of its model."""
STATE_VERSION = 1

_EXTREME = 30.0  # a logit beyond is as good as certain; keeps exp() finite
_NEUTRAL_BELOW = 0.05  # VADER's own threshold: a smaller tone is neutral


class SentimentParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the models."""

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
            description="largest gradient of one example; 1 is that of an example of weight 1 that was entirely wrong",
            gt=0,
            le=10,
        ),
    ] = 1.0
    prior_strength: Annotated[
        float,
        Meta(
            description="logit per unit of lexicon tone before anything is learned; 0 starts without an opinion; raise "
            "it where labels are rare, lower it where the lexicon does not fit the trade",
            ge=0,
            le=20,
        ),
    ] = 3.0


class Change(NamedTuple):
    """Weights that changed, for tables of other processes. `weights` are float32 [len(features), 3]."""

    features: NDArray[np.int32]
    weights: NDArray[np.float32]
    intercepts: NDArray[np.float64]


class Table:
    """What a scorer needs of a model: a float32 weight per feature and class, and three intercepts.

    >>> learner = Learner(SentimentParams())
    >>> learner.table.score_many(Vectors.of([Vector("en", b"", 0.0, False)])).round(2).tolist()
    [[0.33, 0.33, 0.33]]
    """

    def __init__(self) -> None:
        # Four columns, the last one empty: a row of 16 bytes is fetched twice as fast as one of 12.
        self._rows = np.zeros((SPACE, 4), np.float32)
        self.weights = self._rows[:, : len(CLASSES)]
        self.intercepts = np.zeros(len(CLASSES))
        self.version = 0
        """Examples that these weights have learned from."""

    def apply(self, change: Change) -> None:
        """Take over weights that a learner has changed."""
        self.weights[change.features] = change.weights
        self.intercepts = change.intercepts.copy()

    def score_many(self, vectors: Vectors) -> NDArray[np.float64]:
        """Probabilities [messages, classes]: one-vs-rest, divided by their sum, as River does."""
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


def score_many(tables: Mapping[str, Table], vectors: Vectors) -> NDArray[np.float64]:
    """Probabilities [messages, classes] of messages in several languages; `tables` are by language."""
    spoken = set(vectors.languages)
    if len(spoken) == 1:
        return tables[spoken.pop()].score_many(vectors)
    probabilities = np.empty((len(vectors), len(CLASSES)))
    for language in spoken:
        chosen, these = vectors.only(language)
        probabilities[chosen] = tables[language].score_many(these)
    return probabilities


def prior(strength: float) -> NDArray[np.float64]:
    """Weights [`TONES`, classes] of the tone features before anything is learned.

    For tone t and strength k: negative -k(t + 0.05), positive k(t - 0.05), neutral k(0.05 - |t|); so positive overtakes
    neutral at t = 0.05, where VADER's authors put the border. Nothing in it is fitted to data.

    >>> prior(3.0)[[0, 10, 20]].round(2).tolist()
    [[2.85, -2.85, -3.15], [-0.15, 0.15, -0.15], [-3.15, -2.85, 2.85]]
    """
    tone = np.linspace(-1, 1, TONES)
    return strength * np.stack([-tone - _NEUTRAL_BELOW, _NEUTRAL_BELOW - abs(tone), tone - _NEUTRAL_BELOW], axis=1)


class Learner:
    """One model, and the table it keeps up to date. `learned`, `refused`, `rollbacks` count examples."""

    def __init__(self, params: SentimentParams) -> None:
        # River takes a second to import, which commands without models need not wait for.
        from operators.domain.models.one_vs_rest import HashedOneVsRest  # noqa: PLC0415  see above

        self.table = Table()
        self.learned = self.refused = self.rollbacks = 0
        self._changed = np.zeros(SPACE, np.bool_)
        self._known = np.zeros(SPACE, np.bool_)
        """Features that were ever written: to look for them in the weights would take as long as to store them."""
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

    def learn_one(self, vector: Vector, label: str, weight: float = 1.0) -> bool:
        """Learn that the message is `label`; `weight` > 0, 1 for a label, less for a hint. False if it was not."""
        if label not in CLASSES:
            raise ValueError(f"sentiment: label {label!r}: expected one of {', '.join(CLASSES)}")
        features = vector.indices()
        if not (math.isfinite(weight) and weight > 0) or (
            len(features) and features.view(np.uint32).max() >= SPACE  # a negative number is a very large one
        ):
            self.refused += 1
            return False
        try:
            self.river.learn_present(features, label, w=weight)
        except ArithmeticError:  # it keeps its last good weights
            self.rollbacks += 1
            return False
        self._write(features)
        self.learned += 1
        return True

    def _write(self, features: NDArray[Any]) -> None:
        """Bring the table up to date."""
        self.table.weights[features] = self.river.weights.take(features, axis=0)
        self.table.intercepts = self.river.intercepts.copy()
        self._known[features] = True
        self._changed[features] = True
        self._state = None

    def changes(self) -> Change:
        """What changed since this was last asked for, the prior included; for tables of other processes."""
        features = np.flatnonzero(self._changed).astype(np.int32)
        self._changed[:] = False
        return Change(features, self.table.weights[features], self.table.intercepts.copy())

    def state(self) -> dict[str, Any]:
        """Everything that was learned, as plain data; the same object until something is learned again."""
        if self._state is None:
            river = self.river
            names = np.flatnonzero(self._known)
            self._state = {
                "v": STATE_VERSION,
                "river": version("river"),
                "features": names.astype("<i4").tobytes(),
                "weights": river.weights[names].T.astype("<f8").tobytes(),
                "squares": river.squares[names].T.astype("<f8").tobytes(),
                "intercepts": river.intercepts.tolist(),
                "learned": self.learned,
                "refused": self.refused,
                "rollbacks": self.rollbacks,
            }
        return self._state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up where `state` was taken; whatever was learned here before is gone.

        Raises:
            StateVersionError: another release wrote it.
            ValueError: it holds a weight that is not finite.
        """
        check_version("sentiment", dict(state), STATE_VERSION)
        names = np.frombuffer(state["features"], "<i4")
        shape = (len(CLASSES), len(names))
        weights, squares = (np.frombuffer(state[part], "<f8").reshape(shape).T for part in ("weights", "squares"))
        intercepts = np.array(state["intercepts"])
        if not (np.isfinite(weights).all() and np.isfinite(intercepts).all()):
            raise ValueError(
                "sentiment: state with weights that are not finite: start with an empty recovery directory"
            )
        river = self.river
        for table in (river.weights, river.squares, self.table.weights):
            table[:] = 0.0
        self._known[:] = self._changed[:] = False
        river.weights[names], river.squares[names], river.intercepts = weights, squares, intercepts
        self.learned, self.refused, self.rollbacks = state["learned"], state["refused"], state["rollbacks"]
        self._write(names)
