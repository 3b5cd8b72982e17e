"""Satisfaction S(x) = sum of w_i * f_i(x): how satisfied a customer will be with a conversation, 0 to 5.

Each part f_i lies in 0..5. The weights are a convex combination, before and after each rating. The weight of an unknown
part is distributed over the known ones. Two errors of the literature are avoided: raw minutes do not raise
satisfaction (the response part falls with the wait), and 0.6*2 + 0.4*4 is 2.8.

>>> SatisfactionWeights().score_one((2.0, 4.0, None, None, None))
2.8
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from operators.domain.models.model import (
    Example,
    ModelKind,
    ModelLearner,
    ModelWeights,
    RefusedExampleError,
    finite_numbers,
)
from operators.domain.models.tasks import NumberTask

PARTS = ("response", "attitude", "mood", "resolution", "effort")
START = (0.6, 0.4, 0.0, 0.0, 0.0)
"""Weights before the first rating."""
TOP = 5.0
MODEL = "satisfaction"

Parts = Sequence[float | None]
"""One value in 0..5 for each of `PARTS`, or `None` where it is not known."""


class SatisfactionParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the satisfaction model."""

    learning_rate: Annotated[
        float, Meta(gt=0, le=1, description="Step of the weights per rating. Higher adapts faster and fluctuates more.")
    ] = 0.02


def response_part(wait_seconds: float, limit_seconds: float) -> float:
    """Return the response part: 5 without a wait, 2.5 at the limit, towards 0 beyond it.

    >>> response_part(0.0, 180.0), response_part(180.0, 180.0)
    (5.0, 2.5)
    """
    return TOP / (1 + wait_seconds / limit_seconds)


def attitude_part(attitude: float) -> float:
    """Convert an attitude of 1..5 to the scale 0..5."""
    return (attitude - 1) * TOP / 4


def mood_part(polarity: float) -> float:
    """Convert a polarity of -1..1 to the scale 0..5."""
    return (polarity + 1) * TOP / 2


def resolution_part(outcome: str | None, reopenings: int) -> float | None:
    """Return 5 for solved, 2.5 for partial, 0 for unsolved, abandoned, forgotten; each reopening halves it.

    `None` while it is not known: without an end, or if the conversation ended by silence.
    """
    if outcome in {None, "silent"}:
        return None
    return {"solved": TOP, "partial": TOP / 2}.get(outcome or "", 0.0) * 0.5**reopenings


def effort_part(rounds: int, handoffs: int, reopenings: int) -> float:
    """Return the effort part: 5 for one round; each further round, hand-off and reopening lowers it."""
    return TOP / (1 + 0.25 * max(rounds - 1, 0) + 0.5 * handoffs + reopenings)


def project(weights: Sequence[float]) -> tuple[float, ...]:
    """Return the nearest convex combination.

    Duchi et al., "Efficient projections onto the l1-ball" (ICML 2008), figure 1.

    >>> project([0.5, 0.7, -0.1])
    (0.4, 0.6, 0.0)
    """
    ordered = sorted(weights, reverse=True)
    total, theta = 0.0, 0.0
    for count, weight in enumerate(ordered, 1):
        total += weight
        if weight > (total - 1) / count:
            theta = (total - 1) / count
    projected = [round(max(weight - theta, 0.0), 12) for weight in weights]
    scale = math.fsum(projected)
    return tuple(weight / scale for weight in projected)


class SatisfactionWeights(ModelWeights):
    """Five weights, one for each of `PARTS`."""

    def __init__(self, _params: SatisfactionParams | None = None) -> None:
        self.weights: tuple[float, ...] = START

    def score_one(self, x: Parts) -> float | None:
        """Return S in 0..5; `None` if nothing was said: neither wait nor attitude nor mood is known.

        The weights of unknown parts are distributed over the known ones. If none of these has a weight, as at first
        where only a bot has replied, they count alike.
        """
        if x[0] is None and x[1] is None and x[2] is None:
            return None
        total = weight_sum = 0.0
        for weight, part in zip(self.weights, x, strict=True):
            if part is not None:
                total += weight * part
                weight_sum += weight
        if weight_sum > 0.0:
            return total / weight_sum
        known = [part for part in x if part is not None]
        return sum(known) / len(known)

    def apply(self, change: Mapping[str, Any]) -> None:
        """Take over all weights."""
        self.weights = tuple(finite_numbers("weights", change["weights"], len(PARTS)))


class SatisfactionScorer:
    """Scores conversations with the weights in `models`, the models of this process."""

    def __init__(self, models: Mapping[str, Any]) -> None:
        self._models = models

    def version(self) -> int:
        """Examples that the weights have learned from."""
        weights: SatisfactionWeights = self._models[MODEL]
        return weights.version

    def score_one(
        self,
        *,
        wait_seconds: float | None,
        limit_seconds: float,
        attitude: float | None,
        mood: float | None,
        outcome: str | None,
        reopenings: int,
        rounds: int,
        handoffs: int,
    ) -> tuple[float | None, dict[str, float | None]]:
        """Return S in 0..5 (`None` if nothing was said) and the parts by name."""
        parts = [
            None if wait_seconds is None else response_part(wait_seconds, limit_seconds),
            None if attitude is None else attitude_part(attitude),
            None if mood is None else mood_part(mood),
            resolution_part(outcome, reopenings),
            effort_part(rounds, handoffs, reopenings),
        ]
        weights: SatisfactionWeights = self._models[MODEL]
        return weights.score_one(parts), dict(zip(PARTS, parts, strict=True))


class SatisfactionLearner(ModelLearner):
    """Projected gradient descent on the squared error against the rating (0..5)."""

    state_version = 2

    def __init__(self, params: SatisfactionParams) -> None:
        self._rate = params.learning_rate
        self.weights: SatisfactionWeights = SatisfactionWeights()

    def learn_one(self, example: Example) -> None:
        """Move the weights of the known parts towards the rating."""
        weights = self.weights
        score = weights.score_one(example.x)
        if score is None:
            raise RefusedExampleError("neither wait nor attitude nor mood is known")
        step = self._rate * (score - example.label) / TOP
        weights.weights = project(
            [
                weight - step * (part - score) / TOP if part is not None else weight
                for weight, part in zip(weights.weights, example.x, strict=True)
            ]
        )

    def state(self) -> dict[str, Any]:
        """Return the weights."""
        return {"weights": list(self.weights.weights)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.weights.apply(state)

    def changes(self, *, whole: bool) -> Iterator[dict[str, Any]]:
        """Return all weights; five numbers need no smaller changes."""
        yield self.state()


KIND = ModelKind(MODEL, "satisfaction", NumberTask(tolerance=1.0), SatisfactionWeights, SatisfactionLearner)
