"""Satisfaction S(x) = sum of w_i * f_i(x): how content a customer will be with a conversation, 0 to 5.

Each part f_i lies in 0..5; the weights are a convex combination that moves with each rating and stays one. A part that
is not known of a conversation gives its weight to the others. Two slips of the literature are not repeated here: raw
minutes do not raise satisfaction (the response part falls with the wait), and 0.6*2 + 0.4*4 is 2.8.

>>> table = Table()
>>> table.score_one((2.0, 4.0, None, None, None))
2.8
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from operators.domain.models.example import Example
from operators.domain.models.prequential import Prequential
from operators.domain.stage.stage import Measurement, check_version

PARTS = ("response", "attitude", "mood", "resolution", "effort")
START = (0.6, 0.4, 0.0, 0.0, 0.0)
TOP = 5.0
MODEL = "satisfaction"

Parts = Sequence[float | None]
"""One value in 0..5 for each of `PARTS`, or `None` where it is not known."""


class SatisfactionParams(Struct, frozen=True, forbid_unknown_fields=True):
    """How fast the weights follow the ratings."""

    learning_rate: Annotated[
        float, Meta(gt=0, le=1, description="Step of the weights per rating. Higher follows faster and trembles more.")
    ] = 0.02


def response_part(wait_seconds: float, limit_seconds: float) -> float:
    """Falls with the wait: 5 at once, 2.5 at the limit, towards 0 after.

    >>> response_part(0.0, 180.0), response_part(180.0, 180.0)
    (5.0, 2.5)
    """
    return TOP / (1 + wait_seconds / limit_seconds)


def attitude_part(attitude: float) -> float:
    """An attitude of 1 to 5 on the scale of 0 to 5."""
    return (attitude - 1) * TOP / 4


def mood_part(polarity: float) -> float:
    """A polarity of -1 to 1 on the scale of 0 to 5."""
    return (polarity + 1) * TOP / 2


def resolution_part(outcome: str | None, reopenings: int) -> float | None:
    """Solved 5, partly 2.5, unsolved or abandoned 0; each reopening halves it."""
    if outcome is None:
        return None
    return {"solved": TOP, "partial": TOP / 2}.get(outcome, 0.0) * 0.5**reopenings


def effort_part(rounds: int, handoffs: int, reopenings: int) -> float:
    """What the customer had to do: falls with each further round, hand-off and reopening."""
    return TOP / (1 + 0.25 * max(rounds - 1, 0) + 0.5 * handoffs + reopenings)


def project(weights: Sequence[float]) -> tuple[float, ...]:
    """The nearest convex combination (Duchi et al., "Efficient projections onto the l1-ball", ICML 2008, figure 1).

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


class Table:
    """What a scorer needs: the weights."""

    def __init__(self) -> None:
        self.weights: tuple[float, ...] = START
        self.version = 0
        """Examples that these weights have learned from."""

    def score_one(self, parts: Parts) -> float | None:
        """S in 0..5; `None` when nothing with a weight is known of the conversation."""
        total = weight_sum = 0.0
        for weight, part in zip(self.weights, parts, strict=True):
            if part is not None:
                total += weight * part
                weight_sum += weight
        return total / weight_sum if weight_sum > 0 else None


class Scorer:
    """Scores conversations with the table that `table_of` gives: the one this process holds at the moment."""

    def __init__(self, table_of: Callable[[], Table]) -> None:
        self._table_of = table_of

    def version(self) -> int:
        """Examples that the weights have learned from."""
        return self._table_of().version

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
        """S in 0..5 (`None` when nothing with a weight is known) and its parts by name."""
        parts = [
            None if wait_seconds is None else response_part(wait_seconds, limit_seconds),
            None if attitude is None else attitude_part(attitude),
            None if mood is None else mood_part(mood),
            resolution_part(outcome, reopenings),
            effort_part(rounds, handoffs, reopenings),
        ]
        return self._table_of().score_one(parts), dict(zip(PARTS, parts, strict=True))


class Learner:
    """The one writer of the weights: projected gradient descent on the squared error against the rating."""

    version = 1

    def __init__(self, params: SatisfactionParams) -> None:
        self._params = params
        self.table = Table()
        self.judge = Prequential(MODEL)
        self.examples = 0
        self.refused = 0
        self.rollbacks = 0

    @property
    def counts(self) -> tuple[int, int, int]:
        """Examples learned, refused, rolled back."""
        return self.examples, self.refused, self.rollbacks

    def judge_one(self, example: Example) -> tuple[tuple[float, ...], Any] | None:
        """Judge the published S against the rating (both 0..5): within one point counts as right."""
        error = abs(example.published - example.label)
        self.judge.judge_one(
            loss=error, right=error <= 1, confidence=1 - error / TOP, delay_seconds=example.delay_seconds
        )
        return (example.published,), example.label

    def learn_one(self, example: Example) -> None:
        """Move the weights towards the rating; parts that are not known stay out of it."""
        score = self.table.score_one(example.x)
        numbers = [part for part in example.x if part is not None]
        if score is None or not all(map(math.isfinite, (*numbers, example.label))):
            self.refused += 1
            return
        step = self._params.learning_rate * (score - example.label) / TOP
        self.table.weights = project(
            [
                weight - step * (part - score) / TOP if part is not None else weight
                for weight, part in zip(self.table.weights, example.x, strict=True)
            ]
        )
        self.examples += 1

    def measure(self) -> list[Measurement]:
        """What ``observe`` exports."""
        return self.judge.measure()

    def state(self) -> dict[str, Any]:
        """Versioned plain data."""
        return {
            "v": self.version,
            "weights": list(self.table.weights),
            "judge": self.judge.state(),
            "counts": [self.examples, self.refused],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        check_version(MODEL, state, self.version)
        self.table.weights = tuple(state["weights"])
        self.judge.restore(state["judge"])
        self.examples, self.refused = state["counts"]
