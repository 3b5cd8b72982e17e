"""The simulated shop's churn can be predicted from what csq sees, and csq's model learns it within the shop's past.

Three AUCs over the past that `csq run` begins with: of the true probability of leaving, which no model can beat; of a
logistic regression over csq's inputs, cross-validated; of csq's model, each label judged before it is learned. Print
them with ``.venv/bin/python -m tests.flows.test_shop_churn``.
"""

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

from flows.host.shop import PAST_SECONDS
from flows.replay import replay
from operators.domain.models import churn
from operators.domain.models.model import Example
from operators.domain.models.prequential import auc_of
from operators.simulator import Simulator, SimulatorParams
from tests.streams import NOW, SETTINGS, write

FOLDS = 10
PENALTY = 5.0
"""Of the squared weights; inputs are scaled."""


class Aucs(NamedTuple):
    """Labels, and the AUC of each way to predict them."""

    labels: int
    true: float
    regression: float
    online: float


def measure(seed: int, seconds: float, folder: Path) -> Aucs:
    """Run the shop for `seconds`, and csq over its events."""
    simulator = Simulator(SimulatorParams(seed=seed))
    end = SimulatorParams().start + seconds
    raws = []
    for delivery in simulator:
        if delivery.time > end:
            break
        raws.append(delivery.raw.replace(b"\n", b" "))
    write(folder / "shop.jsonl", raws)
    examples: list[Example] = []
    learn_one = churn.ChurnLearner.learn_one

    def spy(learner: churn.ChurnLearner, example: Example) -> None:
        examples.append(example)
        learn_one(learner, example)

    with patch.object(churn.ChurnLearner, "learn_one", spy):
        summary = replay(SETTINGS, [str(folder / "shop.jsonl")], folder / "out", batch_size=256, now=NOW)
    inputs = np.array([example.x[0] for example in examples])
    left = np.array([example.label for example in examples])
    online = summary["models"]["churn"]["auc"]
    regression = _auc(zip(_predicted(inputs, left), left, strict=True))
    return Aucs(len(examples), _auc(simulator.books.leaving), regression, online)


def _auc(pairs: Any) -> float:
    auc = auc_of([(float(score), bool(truth)) for score, truth in pairs])
    assert auc is not None
    return auc


def _predicted(inputs: NDArray[Any], left: NDArray[Any]) -> NDArray[np.float64]:
    """Logits of a logistic regression, each from the other folds."""
    deviations = inputs.std(0)
    scaled = (inputs - inputs.mean(0)) / np.where(deviations > 0, deviations, 1.0)
    x, y = np.c_[np.ones(len(inputs)), scaled], left.astype(float)
    logits = np.zeros(len(y))
    for fold in range(FOLDS):
        others = np.arange(len(y)) % FOLDS != fold
        logits[~others] = x[~others] @ _fitted(x[others], y[others])
    return logits


def _fitted(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights by Newton's method."""
    penalty = PENALTY * np.eye(x.shape[1])
    penalty[0, 0] = 0.0
    weights = np.zeros(x.shape[1])
    for _ in range(20):
        p = 1 / (1 + np.exp(-x @ weights))
        weights -= np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + penalty, x.T @ (p - y) + penalty @ weights)
    return weights


@pytest.fixture(scope="module")
def aucs(tmp_path_factory: pytest.TempPathFactory) -> Aucs:
    return measure(1, PAST_SECONDS, tmp_path_factory.mktemp("shop"))


def test_the_past_brings_enough_labels(aucs: Aucs) -> None:
    assert aucs.labels > 400


def test_churn_of_the_shop_is_as_predictable_as_that_of_a_real_one(aucs: Aucs) -> None:
    assert 0.85 < aucs.true < 0.95
    assert 0.82 < aucs.regression < aucs.true


def test_the_model_learns_it_within_the_past_of_the_demo(aucs: Aucs) -> None:
    assert aucs.online > 0.75


def main() -> None:
    """Measure seeds 1 to 8, over the demo's past and over the 20,000 events of the first replay (1,000 seconds)."""
    for seconds in (PAST_SECONDS, 1_000.0):
        found = []
        for seed in range(1, 9):
            with tempfile.TemporaryDirectory() as folder:
                found.append(measure(seed, seconds, Path(folder)))
            _say(f"{seconds:.0f} s, seed {seed}", found[-1])
        _say(f"{seconds:.0f} s, mean", np.mean(found, axis=0))


def _say(what: str, numbers: Iterable[float]) -> None:
    sys.stdout.write(f"{what}: {' '.join(f'{number:.3f}' for number in numbers)}\n")


if __name__ == "__main__":
    main()
