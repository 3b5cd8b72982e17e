"""Churn: the probability that a customer leaves, by incremental logistic regression, with reasons.

p = 1 / (1 + e^-(b0 + sum of b_i * x_i)). Numeric inputs are scaled by their running mean and deviation. Categories are
one-hot and not scaled: a scaler that only sees ones would map them to zero. The reasons are the largest b_i * x_i; an
input at its mean contributes nothing.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import mul, sub
from typing import Annotated, Any, Literal, NamedTuple
from zlib import crc32

from msgspec import Meta, Struct

from operators.domain.mistakes import Mistake, MistakesError
from operators.domain.models.model import (
    PART_FEATURES,
    Example,
    ModelKind,
    ModelLearner,
    ModelWeights,
    RefusedExampleError,
    WeightsNotFiniteError,
    finite_numbers,
)
from operators.domain.models.tasks import BinaryTask

log = logging.getLogger(__name__)

MODEL = "churn"
SLOTS = 1 << 16
"""Size of the hashed space of categories."""
LARGEST = 1e12
"""Largest magnitude of an input. Scores ignore larger numbers and the learner refuses them."""
MOST_IGNORED = 100
"""Names of attributes without effect that a process remembers."""

INPUTS: dict[str, str] = {
    "reply_time": "long waits for replies",
    "missed_replies": "replies that came too late",
    "mood": "their mood",
    "rating": "their ratings",
    "rated": "that they rate at all",
    "questions": "many messages",
    "conversations": "many conversations",
    "unresolved_share": "problems left unsolved",
    "complaints": "complaints",
    "severity": "grave complaints",
    "browsing_time": "time spent browsing",
    "empty_searches": "searches without result",
    "orders": "how often they buy",
    "days_since_order": "how long ago they bought",
    "never_ordered": "no order known",
    "cancellations": "cancelled orders",
    "refunds": "refunds",
}
"""Inputs of every installation, in the order of the vector, and their names in reasons."""


class ChurnParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the churn model."""

    attributes: Annotated[
        dict[str, Literal["number", "category"]],
        Meta(description="Attributes of csq.customer.updated that become inputs; others are ignored."),
    ] = {}
    learning_rate: Annotated[
        float,
        Meta(gt=0, le=10, description="AdaGrad's step. Higher learns faster from few labels and fluctuates more."),
    ] = 0.1
    base_rate: Annotated[
        float, Meta(gt=0, lt=1, description="Share of customers who leave, assumed before the first label.")
    ] = 0.2
    clip_gradient: Annotated[
        float, Meta(gt=0, description="Largest gradient of one example; limits the effect of a single label.")
    ] = 1.0
    at_risk_from: Annotated[
        float, Meta(gt=0, lt=1, description="Probability from which a customer counts as at risk: twice the base rate.")
    ] = 0.4
    publish_delta: Annotated[
        float, Meta(ge=0, le=1, description="Change of a score from which it is published again.")
    ] = 0.05

    def __post_init__(self) -> None:
        """Refuse an attribute that has the name of an input."""
        for name in self.attributes:
            if name in INPUTS:
                text = f"churn.attributes: `{name}` is the name of a built-in input; rename it"
                raise MistakesError(Mistake(("attributes", name), text))


class ChurnInputs(NamedTuple):
    """Inputs of a score: numbers in the order of `names_of`, and categories (``name=value``)."""

    numbers: tuple[float, ...]
    categories: tuple[str, ...]


def names_of(params: ChurnParams) -> tuple[str, ...]:
    """Names of the numbers: the built-in inputs, then the declared attributes."""
    return (*INPUTS, *(name for name, kind in params.attributes.items() if kind == "number"))


def categories_of(params: ChurnParams) -> tuple[str, ...]:
    """Names of the declared attributes that are categories."""
    return tuple(name for name, kind in params.attributes.items() if kind == "category")


@lru_cache(maxsize=SLOTS)
def slot_of(category: str) -> int:
    """Hash a category into a fixed space, so that the model cannot grow without bound."""
    return crc32(category.encode()) % SLOTS


class ChurnWeights(ModelWeights):
    """Weights folded with the scales of the inputs, so that a score is one sum of products."""

    def __init__(self, params: ChurnParams) -> None:
        self.names = names_of(params)
        self._labels = tuple(INPUTS.get(name, name) for name in self.names)
        self.slopes = [0.0] * len(self.names)
        self.means = [0.0] * len(self.names)
        self.base = math.log(params.base_rate / (1 - params.base_rate))
        self.categories: dict[int, float] = {}

    def score_one(self, x: ChurnInputs) -> float:
        """Return the probability that the customer leaves, 0..1.

        >>> round(ChurnWeights(ChurnParams(base_rate=0.2)).score_one(ChurnInputs((0.3,) * len(INPUTS), ())), 3)
        0.2
        """
        z = self.base + sum(map(mul, self.slopes, x.numbers))
        for category in x.categories:
            z += self.categories.get(slot_of(category), 0.0)
        return 1 / (1 + math.exp(-min(max(z, -30.0), 30.0)))

    def reasons_of(self, x: ChurnInputs, most: int = 3) -> list[tuple[str, float]]:
        """Return the `most` largest positive b_i * x_i with their names, largest first."""
        deviations = map(sub, x.numbers, self.means)
        effects = [(effect, place) for place, effect in enumerate(map(mul, self.slopes, deviations)) if effect > 0]
        effects += [
            (weight, -1 - place)
            for place, category in enumerate(x.categories)
            if (weight := self.categories.get(slot_of(category), 0.0)) > 0
        ]
        effects.sort(reverse=True)
        return [
            (self._labels[place] if place >= 0 else x.categories[-1 - place], round(effect, 4))
            for effect, place in effects[:most]
        ]

    def apply(self, change: Mapping[str, Any]) -> None:
        """Take over all numbers, and the categories within the range `cleared`."""
        if tuple(change["names"]) != self.names:
            raise ValueError("its inputs are not those of churn.attributes here; give all processes the same settings")
        slopes, means = (finite_numbers(name, change[name], len(self.names)) for name in ("slopes", "means"))
        (base,) = finite_numbers("base", [change["base"]], 1)
        slots = [slot for slot, _ in change["categories"]]
        if any(type(slot) is not int for slot in slots):
            raise ValueError("categories: whole numbers expected")
        effects = finite_numbers("categories", [effect for _, effect in change["categories"]], len(slots))
        low, high = change["cleared"]
        kept = {slot: effect for slot, effect in self.categories.items() if not low <= slot < high}
        self.slopes, self.means, self.base = slopes, means, base
        self.categories = kept | dict(zip(slots, effects, strict=True))


class ChurnScorer:
    """Scores customers with the weights in `models`, the models of this process.

    `ignored` gets the names of attributes that no setting declares and how often they came, at most `MOST_IGNORED`.
    """

    def __init__(self, params: ChurnParams, models: Mapping[str, Any], ignored: dict[str, int] | None = None) -> None:
        self._params = params
        self._ignored = {} if ignored is None else ignored
        self._models = models
        self._names = names_of(params)[len(INPUTS) :]
        self._categories = categories_of(params)

    def score_one(self, numbers: tuple[float, ...], attributes: dict[str, Any]) -> tuple[float, ChurnInputs]:
        """Return the probability that the customer leaves, and the inputs it was computed from."""
        if not self._names and not self._categories:
            categories: tuple[str, ...] = ()
        elif attributes:
            numbers = (*numbers, *(float(attributes.get(name) or 0.0) for name in self._names))
            categories = tuple(f"{name}={attributes[name]}" for name in self._categories if name in attributes)
        else:
            numbers, categories = (*numbers, *(0.0 for _ in self._names)), ()
        x = ChurnInputs(numbers, categories)
        weights: ChurnWeights = self._models[MODEL]
        return weights.score_one(x), x

    def version(self) -> int:
        """Examples that the weights have learned from."""
        weights: ChurnWeights = self._models[MODEL]
        return weights.version

    def reasons_of(self, x: ChurnInputs) -> list[tuple[str, float]]:
        """Return the largest reasons with their names."""
        weights: ChurnWeights = self._models[MODEL]
        return weights.reasons_of(ChurnInputs(*x))

    def is_news(self, before: float | None, p: float) -> bool:
        """Whether a score differs enough from the last published one to be published."""
        if before is None or abs(p - before) >= self._params.publish_delta:
            return True
        return self.at_risk(p) != self.at_risk(before)

    def at_risk(self, p: float) -> bool:
        """Whether a customer with this probability counts as at risk."""
        return p >= self._params.at_risk_from

    def inputs(self) -> list[str]:
        """Return the names of the inputs, numbers before categories."""
        return [*names_of(self._params), *(f"{name}=" for name in self._categories)]

    def declared(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return the attributes that the settings declare and whose values have the declared kind."""
        kinds = self._params.attributes
        if attributes.keys() - kinds.keys():
            self._count_ignored([name for name in attributes if name not in kinds])
        return {
            name: value
            for name, value in attributes.items()
            if name in kinds
            and (kinds[name] == "category" or (isinstance(value, int | float) and abs(value) <= LARGEST))
        }

    def _count_ignored(self, names: list[str]) -> None:
        new = [name for name in names if name not in self._ignored][: MOST_IGNORED - len(self._ignored)]
        self._ignored.update(dict.fromkeys(new, 0))
        for name in names:
            if name in self._ignored:
                self._ignored[name] += 1
        if new:
            log.info(
                "attributes %s of customers have no effect: churn.attributes does not declare them",
                ", ".join(new),
                extra={"event": "attributes_ignored", "attributes": new},
            )


class ChurnLearner(ModelLearner):
    """River's logistic regression with AdaGrad over scaled numbers and hashed categories."""

    state_version = 2

    def __init__(self, params: ChurnParams) -> None:
        # River takes a second to import; commands without models do not need it.
        from river import linear_model, optim, preprocessing  # noqa: PLC0415  see above

        self.weights: ChurnWeights = ChurnWeights(params)
        self._names = self.weights.names
        self._scaler = preprocessing.StandardScaler()
        self._model = linear_model.LogisticRegression(
            optim.AdaGrad(params.learning_rate),
            intercept_init=self.weights.base,
            clip_gradient=params.clip_gradient,
        )

    def learn_one(self, example: Example) -> None:
        """Learn whether the customer left, from the inputs as of the newest score before the label."""
        numbers, categories = example.x
        if len(numbers) != len(self._names):
            raise RefusedExampleError(f"{len(numbers)} inputs, {len(self._names)} expected")
        if not all(abs(number) <= LARGEST for number in numbers):
            raise RefusedExampleError(f"an input is beyond {LARGEST:g}")
        raw = dict(zip(self._names, numbers, strict=True))
        self._scaler.learn_one(raw)
        x = self._scaler.transform_one(raw) | dict.fromkeys(map(slot_of, categories), 1.0)
        names = list(x)
        model, squares = self._model, self._model.optimizer.g2
        before = (model._weights.to_numpy(names), [squares[name] for name in names], model.intercept)  # noqa: SLF001  River has no public way
        model.learn_one(x, example.label, w=example.weight)
        after = model._weights.to_numpy(names)  # noqa: SLF001  .weights copies them all
        if not (math.isfinite(float(after.sum())) and math.isfinite(model.intercept)):
            model._weights.update(dict(zip(names, before[0].tolist(), strict=True)))  # noqa: SLF001  as above
            squares.update(zip(names, before[1], strict=True))
            model.intercept = before[2]
            raise WeightsNotFiniteError(f"weights that are not finite after an example of {len(names)} inputs")
        self._write_numbers()
        self.weights.categories.update(
            (name, weight) for name, weight in zip(names, after.tolist(), strict=True) if isinstance(name, int)
        )

    def _write_numbers(self) -> None:
        """Fold weights and scales of the numbers into `weights`; `learn_one` writes the categories."""
        slopes = self._model._weights.to_numpy(list(self._names)).tolist()  # noqa: SLF001  .weights copies them all
        means, variances = self._scaler.means, self._scaler.vars
        weights = self.weights
        weights.means = [means[name] for name in self._names]
        weights.slopes = [
            slope / math.sqrt(variances[name]) if variances[name] > 0 else 0.0
            for name, slope in zip(self._names, slopes, strict=True)
        ]
        weights.base = self._model.intercept - sum(map(mul, weights.slopes, weights.means))

    def state(self) -> dict[str, Any]:
        """Return weights, AdaGrad's sums of squares and the scaler."""
        scaler = self._scaler
        return {
            "names": list(self._names),
            "weights": list(self._model.weights.items()),
            "intercept": self._model.intercept,
            "squares": list(self._model.optimizer.g2.items()),
            "iterations": self._model.optimizer.n_iterations,
            "scaler": [dict(scaler.counts), dict(scaler.means), dict(scaler.vars)],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; inputs that the settings no longer declare are dropped."""
        known = set(self._names)
        for name, weight in state["weights"]:
            if isinstance(name, int) or name in known:
                self._model._weights[name] = weight  # noqa: SLF001  River has no public way
                if isinstance(name, int):
                    self.weights.categories[name] = weight
        self._model.intercept = state["intercept"]
        self._model.optimizer.g2.update(dict(state["squares"]))
        self._model.optimizer.n_iterations = state["iterations"]
        for held, stored in zip(
            (self._scaler.counts, self._scaler.means, self._scaler.vars), state["scaler"], strict=True
        ):
            held.update(stored)
        if state["iterations"]:
            self._write_numbers()

    def changes(self, *, whole: bool) -> Iterator[dict[str, Any]]:
        """Return all weights, in one part unless there are many categories."""
        weights = self.weights
        step = PART_FEATURES if len(weights.categories) > PART_FEATURES else SLOTS
        numbers = {"names": list(weights.names), "slopes": weights.slopes, "means": weights.means, "base": weights.base}
        for low in range(0, SLOTS, step):
            some = [(slot, effect) for slot, effect in weights.categories.items() if low <= slot < low + step]
            yield {**numbers, "cleared": (low, low + step), "categories": some}


KIND = ModelKind(MODEL, "churn", BinaryTask(), ChurnWeights, ChurnLearner)
