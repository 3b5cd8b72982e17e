"""Churn: the probability that a customer leaves, by incremental logistic regression, with its reasons.

p = 1 / (1 + e^-(b0 + sum of b_i * x_i)). Numeric inputs are scaled by their running mean and deviation; categories are
one-hot and are not: a scaler that only ever sees their ones sends them to zero. The reasons are the largest b_i * x_i,
an input at its mean counting nothing.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from operator import mul, sub
from typing import Annotated, Any, Literal, NamedTuple
from zlib import crc32

from msgspec import Meta, Struct

from operators.domain.models.example import Example
from operators.domain.models.prequential import Prequential, log_loss_one
from operators.domain.stage.stage import Measurement, check_version

MODEL = "churn"
SLOTS = 1 << 16
"""Categories that are told apart."""
LARGEST = 1e12
"""A number beyond it is a mistake: it is left out of scores and refused by the learner."""

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
"""The inputs that every shop has, in the order of their vector, and how they are called in a reason."""


class ChurnParams(Struct, frozen=True, forbid_unknown_fields=True):
    """The churn model."""

    attributes: Annotated[
        dict[str, Literal["number", "category"]],
        Meta(description="Attributes of csq.customer.updated that become inputs; others are ignored."),
    ] = {}
    learning_rate: Annotated[
        float, Meta(gt=0, le=10, description="AdaGrad's step. Higher learns faster from few labels, and trembles.")
    ] = 0.1
    base_rate: Annotated[
        float, Meta(gt=0, lt=1, description="Share of customers who leave, as believed before any label came.")
    ] = 0.2
    clip_gradient: Annotated[
        float, Meta(gt=0, description="Largest gradient of one example: no single label moves the model further.")
    ] = 1.0
    at_risk_from: Annotated[
        float, Meta(gt=0, lt=1, description="Probability from which a customer counts as at risk: twice the base rate.")
    ] = 0.4
    publish_delta: Annotated[
        float, Meta(ge=0, le=1, description="A score is published again when it moved by so much.")
    ] = 0.05

    def __post_init__(self) -> None:
        """Refuse an attribute that would take the place of an input."""
        for name in self.attributes:
            if name in INPUTS:
                raise ValueError(f"churn.attributes: `{name}` is the name of an input that every shop has; rename it")


class Inputs(NamedTuple):
    """What a score is made from: numbers in the order of the model's names, and categories (``name=value``)."""

    numbers: tuple[float, ...]
    categories: tuple[str, ...]


def names_of(params: ChurnParams) -> tuple[str, ...]:
    """Names of the numbers: every shop's, then the declared attributes."""
    return (*INPUTS, *(name for name, kind in params.attributes.items() if kind == "number"))


def categories_of(params: ChurnParams) -> tuple[str, ...]:
    """Names of the declared attributes that are categories."""
    return tuple(name for name, kind in params.attributes.items() if kind == "category")


@lru_cache(maxsize=SLOTS)
def slot_of(category: str) -> int:
    """The feature of a category: hashed into a fixed space, so that no input makes the model grow without bound."""
    return crc32(category.encode()) % SLOTS


class Table:
    """What a scorer needs: the weights folded with the scales, so that a score is one sum of products."""

    def __init__(self, names: Sequence[str], intercept: float) -> None:
        self.names = tuple(names)
        self._words = tuple(INPUTS.get(name, name) for name in names)
        self.slopes = [0.0] * len(self.names)
        self.means = [0.0] * len(self.names)
        self.base = intercept
        self.categories: dict[int, float] = {}
        self.version = 0
        """Examples that these weights have learned from."""

    def score_one(self, x: Inputs) -> float:
        """Probability in 0..1.

        >>> Table(("mood",), 0.0).score_one(Inputs((0.3,), ()))
        0.5
        """
        z = self.base + sum(map(mul, self.slopes, x.numbers))
        for category in x.categories:
            z += self.categories.get(slot_of(category), 0.0)
        return 1 / (1 + math.exp(-min(max(z, -30.0), 30.0)))

    def reasons_of(self, x: Inputs, most: int = 3) -> list[tuple[str, float]]:
        """The largest b_i * x_i that speak for leaving, in words, largest first."""
        deviations = map(sub, x.numbers, self.means)
        effects = [(effect, place) for place, effect in enumerate(map(mul, self.slopes, deviations)) if effect > 0]
        effects += [
            (weight, -1 - place)
            for place, category in enumerate(x.categories)
            if (weight := self.categories.get(slot_of(category), 0.0)) > 0
        ]
        effects.sort(reverse=True)
        return [
            (self._words[place] if place >= 0 else x.categories[-1 - place], round(effect, 4))
            for effect, place in effects[:most]
        ]


class Scorer:
    """Scores customers with the table that `table_of` gives: the one this process holds at the moment."""

    def __init__(self, params: ChurnParams, table_of: Callable[[], Table]) -> None:
        self._params = params
        self._table_of = table_of
        self._names = names_of(params)[len(INPUTS) :]
        self._categories = categories_of(params)

    def score_one(self, numbers: tuple[float, ...], attributes: dict[str, Any]) -> tuple[float, Inputs]:
        """Probability that the customer leaves, and the inputs it was made from."""
        if not self._names and not self._categories:
            categories: tuple[str, ...] = ()
        elif attributes:
            numbers = (*numbers, *(float(attributes.get(name) or 0.0) for name in self._names))
            categories = tuple(f"{name}={attributes[name]}" for name in self._categories if name in attributes)
        else:
            numbers, categories = (*numbers, *(0.0 for _ in self._names)), ()
        x = Inputs(numbers, categories)
        return self._table_of().score_one(x), x

    def version(self) -> int:
        """Examples that the weights have learned from."""
        return self._table_of().version

    def reasons_of(self, x: Inputs) -> list[tuple[str, float]]:
        """The largest reasons, in words."""
        return self._table_of().reasons_of(Inputs(*x))

    def is_news(self, before: float | None, p: float) -> bool:
        """Whether a score is worth publishing after the last published one."""
        if before is None or abs(p - before) >= self._params.publish_delta:
            return True
        return self.at_risk(p) != self.at_risk(before)

    def at_risk(self, p: float) -> bool:
        """Whether a customer with this probability counts as at risk."""
        return p >= self._params.at_risk_from

    def declared(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Those attributes that the settings declare; a declared number that is none is left out."""
        kinds = self._params.attributes
        return {
            name: value
            for name, value in attributes.items()
            if name in kinds
            and (kinds[name] == "category" or (isinstance(value, int | float) and abs(value) <= LARGEST))
        }


class Learner:
    """The one writer of the churn model."""

    version = 1

    def __init__(self, params: ChurnParams) -> None:
        # River takes a second to import, which commands without models need not wait for.
        from river import linear_model, preprocessing  # noqa: PLC0415  see above

        from operators.domain.models.adagrad import AdaGrad  # noqa: PLC0415  see above

        self._params = params
        self._names = names_of(params)
        self._scaler = preprocessing.StandardScaler()
        self._model = linear_model.LogisticRegression(
            AdaGrad(params.learning_rate),
            intercept_init=math.log(params.base_rate / (1 - params.base_rate)),
            clip_gradient=params.clip_gradient,
        )
        self.table = Table(self._names, self._model.intercept)
        self.judge = Prequential(MODEL)
        self.examples = 0
        self.refused = 0
        self.rollbacks = 0

    @property
    def counts(self) -> tuple[int, int, int]:
        """Examples learned, refused, rolled back."""
        return self.examples, self.refused, self.rollbacks

    def judge_one(self, example: Example) -> tuple[tuple[float, ...], Any]:
        """Judge the published probability against whether the customer left."""
        p, left = example.published, example.label
        self.judge.judge_one(
            loss=log_loss_one(p if left else 1 - p),
            right=(p > 0.5) == left,  # noqa: PLR2004  the likelier of two classes
            confidence=max(p, 1 - p),
            score=p,
            truth=left,
            delay_seconds=example.delay_seconds,
        )
        return (p,), left

    def learn_one(self, example: Example) -> None:
        """Learn whether the customer left, from the inputs as of the newest score before the label."""
        numbers, categories = example.x
        plausible = len(numbers) == len(self._names) and all(abs(number) <= LARGEST for number in numbers)
        if not plausible or not 0 < example.weight <= 1:
            self.refused += 1
            return
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
            self.rollbacks += 1
            return
        self.examples += 1
        self._write_table()
        self.table.categories.update(
            (name, weight) for name, weight in zip(names, after.tolist(), strict=True) if isinstance(name, int)
        )

    def _write_table(self) -> None:
        """Fold weights and scales of the numbers into the table; categories are written as they are learned."""
        weights = self._model._weights.to_numpy(list(self._names)).tolist()  # noqa: SLF001  .weights copies them all
        means, variances = self._scaler.means, self._scaler.vars
        table = self.table
        table.means = [means[name] for name in self._names]
        table.slopes = [
            weight / math.sqrt(variances[name]) if variances[name] > 0 else 0.0
            for name, weight in zip(self._names, weights, strict=True)
        ]
        table.base = self._model.intercept - sum(map(mul, table.slopes, table.means))

    def measure(self) -> list[Measurement]:
        """What ``observe`` exports."""
        return self.judge.measure()

    def state(self) -> dict[str, Any]:
        """Versioned plain data beside River's version."""
        scaler = self._scaler
        return {
            "v": self.version,
            "river": version("river"),
            "names": list(self._names),
            "weights": list(self._model.weights.items()),
            "intercept": self._model.intercept,
            "squares": list(self._model.optimizer.g2.items()),
            "iterations": self._model.optimizer.n_iterations,
            "scaler": [dict(scaler.counts), dict(scaler.means), dict(scaler.vars)],
            "judge": self.judge.state(),
            "counts": [self.examples, self.refused, self.rollbacks],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; inputs that the settings no longer declare are dropped."""
        check_version(MODEL, state, self.version)
        known = set(self._names)
        for name, weight in state["weights"]:
            if isinstance(name, int) or name in known:
                self._model._weights[name] = weight  # noqa: SLF001  River has no public way in
                if isinstance(name, int):
                    self.table.categories[name] = weight
        self._model.intercept = state["intercept"]
        self._model.optimizer.g2.update(dict(state["squares"]))
        self._model.optimizer.n_iterations = state["iterations"]
        for kept, stored in zip(
            (self._scaler.counts, self._scaler.means, self._scaler.vars), state["scaler"], strict=True
        ):
            kept.update(stored)
        self.judge.restore(state["judge"])
        self.examples, self.refused, self.rollbacks = state["counts"]
        if self.examples:
            self._write_table()
