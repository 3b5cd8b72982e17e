"""What the learn stage does for every model: judged before learned, refused, counted, measured, restored."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from operators.domain.models.model import (
    Example,
    ModelKind,
    ModelLearner,
    ModelWeights,
    RefusedExampleError,
    WeightsNotFiniteError,
    finite_numbers,
)
from operators.domain.models.tasks import NumberTask
from operators.domain.models.training import MEASURE_EVERY, ModelTraining
from operators.domain.stage.stage import Port, StateVersionError

LOG: list[tuple[Any, ...]] = []


class MeanWeights(ModelWeights):
    """The mean of the labels."""

    def __init__(self, _params: None = None) -> None:
        self.mean = 0.0

    def score_one(self, x: Any) -> float:
        return self.mean

    def apply(self, change: Mapping[str, Any]) -> None:
        (self.mean,) = finite_numbers("mean", [change["mean"]], 1)


class MeanLearner(ModelLearner):
    """Refuses labels above 100, rolls back labels below 0, fails on texts."""

    state_version = 3

    def __init__(self, _params: None) -> None:
        self.weights: MeanWeights = MeanWeights()
        self.n = 0
        self.log: list[tuple[Any, ...]] = []

    def learn_one(self, example: Example) -> None:
        self.log.append(("learned", example.label))
        if example.label > 100:
            raise RefusedExampleError("a label above 100")
        if example.label < 0:
            raise WeightsNotFiniteError("a label below 0")
        self.n += 1
        self.weights.mean += (example.label - self.weights.mean) / self.n

    def state(self) -> dict[str, Any]:
        return {"mean": self.weights.mean, "n": self.n}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.weights.apply(state)
        self.n = state["n"]

    def changes(self, *, whole: bool) -> Iterator[dict[str, Any]]:
        yield {"mean": self.weights.mean}


class LoggedTask(NumberTask):
    """Notes the order of judging and learning."""

    def judge_one(self, published: Any, label: Any) -> Any:
        LOG.append((published, label))
        return super().judge_one(published, label)


KIND = ModelKind("mean", "mean", LoggedTask(1.0), MeanWeights, MeanLearner)


def training(clock: float | None = None) -> ModelTraining:
    LOG.clear()
    return ModelTraining(KIND, None, None if clock is None else lambda: clock)


def example(label: Any, weight: float = 1.0, published: Any = 0.5, x: Any = (1.0,)) -> Example:
    return Example(x, published, label, weight, 3.0)


def measured(ports: list[Port]) -> dict[str, Any]:
    return {name: value for port, values in ports if port == "measured" for name, _, value in values}


def test_a_published_score_is_judged_before_the_model_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    model = training()
    monkeypatch.setattr(model.learner, "log", LOG)
    model.take(example(4.0))
    model.take(example(8.0))
    assert LOG == [(0.5, 4.0), ("learned", 4.0), (0.5, 8.0), ("learned", 8.0)]
    assert dict(model.drain())["judged"] == [("mean", 0.5, 4.0, 3.0), ("mean", 0.5, 8.0, 3.0)]


def test_a_weak_example_is_learned_and_not_judged() -> None:
    model = training()
    model.take(example(4.0, weight=0.5))
    assert "judged" not in dict(model.drain())
    assert (model.learned, model.prequential.n) == (1, 0)


@pytest.mark.parametrize(
    "bad",
    [
        example(math.nan),
        example(4.0, published=math.nan),
        example(4.0, published=(0.5, math.inf)),
        example(4.0, x=(1.0, math.inf)),
        example(4.0, x=((1.0, math.nan), ("plan=gold",))),
        example(4.0, x=[None, math.nan]),
        *(example(4.0, weight=weight) for weight in (math.nan, math.inf, 0.0, -1.0, 1.5)),
    ],
)
def test_numbers_that_are_not_finite_and_weights_outside_0_to_1_are_refused(bad: Example) -> None:
    model = training()
    model.take(bad)
    assert (model.learned, model.refused, model.prequential.n) == (0, 1, 0)
    assert model.learner.state()["n"] == 0
    assert measured(model.drain()) == {"csq_refused_features_total": 1}


def test_examples_refusals_and_rollbacks_are_counted_once() -> None:
    model = training()
    for label in (4.0, 101.0, -1.0, 5.0):
        model.take(example(label))
    counts = measured(model.drain())
    assert counts["csq_model_examples_total"] == 2
    assert (counts["csq_refused_features_total"], counts["csq_model_rollbacks_total"]) == (1, 1)
    model.take(example(6.0))
    assert measured(model.drain()) == {"csq_model_examples_total": 1}


def test_the_version_of_the_weights_is_the_number_of_examples_learned() -> None:
    model = training()
    versions = []
    for label in (4.0, 101.0, 5.0):
        model.take(example(label))
        versions.append(model.learner.weights.version)
    assert versions == [1, 1, 2]


def test_draining_changes_no_weights_and_no_version() -> None:
    model = training(clock=1_000.0)
    model.take(example(4.0))
    before = msgspec.msgpack.encode(model.state()), model.learner.weights.version
    model.drain()
    model.drain(at_end=True)
    assert before == (msgspec.msgpack.encode(model.state()), model.learner.weights.version)


def test_the_age_of_the_weights_is_measured_when_they_changed_and_not_in_a_replay() -> None:
    live, replayed = training(clock=1_000.0), training()
    for model in (live, replayed):
        model.drain()
        model.take(example(4.0))
    ages = measured(live.drain())
    assert (ages["csq_model_version"], ages["csq_model_updated_timestamp_seconds"]) == (1, 1_000.0)
    assert live.drain() == []
    assert "csq_model_version" not in measured(replayed.drain())


def test_a_model_is_measured_every_so_many_examples_and_at_the_end() -> None:
    model, seen = training(), 0
    for _ in range(3 * MEASURE_EVERY):
        model.take(example(1.0))
        seen += "csq_model_loss" in measured(model.drain())
    assert seen == 3
    model.take(example(7.0))
    assert measured(model.drain(at_end=True))["csq_model_loss"] == model.prequential.loss


def test_a_restored_model_goes_on_exactly() -> None:
    first, resumed = training(), training()
    for label in (4.0, 8.0, 101.0, -1.0):
        first.take(example(label))
    resumed.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.state())))
    assert resumed.learner.weights.version == 2
    for model in (first, resumed):
        model.take(example(9.0))
    assert first.state() == resumed.state()
    assert measured(resumed.drain())["csq_model_examples_total"] == 1  # those before the snapshot were counted then


@pytest.mark.parametrize(
    ("changes", "expected"), [({"v": 99}, 2), ({"v": None}, 2), ({"model": {"v": 2, "mean": 1.0, "n": 1}}, 3)]
)
def test_a_state_of_another_version_is_refused(changes: dict[str, Any], expected: int) -> None:
    model = training()
    with pytest.raises(StateVersionError, match=rf"learn, model mean: version .* found, {expected} expected"):
        model.restore(model.state() | changes)
    assert model.learned == 0
