"""A fourth model is one module and one line in the registry: everything around it works without knowing it."""

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from flows.process import replay_process
from flows.settings.closed_sets import closed_sets
from flows.settings.model import Settings
from operators.domain.models.model import Example, ModelKind, ModelLearner, Models, ModelWeights
from operators.domain.models.registry import MODELS, training_of, weights_of
from operators.domain.models.tasks import NumberTask
from operators.domain.models.training import ModelTraining
from operators.domain.models.updates import CHANGES_SECONDS, Origin
from operators.domain.stage.stage import Port
from operators.engine.learners import LearnLogic
from operators.follow import ModelsFollower, RefusedRecords
from operators.metrics.observe import Observer, read
from operators.metrics.summary import Summary

NAME = "effort"
SETTINGS = SimpleNamespace(effort=SimpleNamespace(start=2.0))


class EffortWeights(ModelWeights):
    """The mean of the labels, independent of the inputs."""

    def __init__(self, params: Any) -> None:
        self.mean: float = params.start

    def score_one(self, x: Any) -> float:
        return self.mean

    def apply(self, change: Mapping[str, Any]) -> None:
        self.mean = float(change["mean"])


class EffortLearner(ModelLearner):
    """Learns the mean."""

    state_version = 1

    def __init__(self, params: Any) -> None:
        self.weights: EffortWeights = EffortWeights(params)
        self._n = 0

    def learn_one(self, example: Example) -> None:
        self._n += 1
        self.weights.mean += (example.label - self.weights.mean) / self._n

    def state(self) -> dict[str, Any]:
        return {"mean": self.weights.mean, "n": self._n}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.weights.mean, self._n = state["mean"], state["n"]

    def changes(self, *, whole: bool) -> Iterator[dict[str, Any]]:
        yield {"mean": self.weights.mean}


KIND = ModelKind(NAME, "effort", NumberTask(tolerance=1.0), EffortWeights, EffortLearner)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, NAME, KIND)  # the one line


def build(name: str) -> ModelTraining:
    return training_of(name, SETTINGS, lambda: 1_000.0)


def awake(
    resume: bytes | None = None, announce_as: Origin | None = None, timer: Callable[[], float] = lambda: 5.0
) -> tuple[LearnLogic, Models, list[Port]]:
    models = Models((NAME,))
    logic = LearnLogic(
        build, models, resume, take_snapshots=True, clock=lambda: 1_000.0, announce_as=announce_as, timer=timer
    )
    return logic, models, list(logic.on_batch([NAME])[0])


def learn(logic: LearnLogic, models: Models, *labels: float) -> list[Port]:
    examples = [Example((), models[NAME].score_one(()), label, 1.0, 60.0) for label in labels]
    return list(logic.on_batch([examples])[0])


def test_it_learns_and_scores_in_the_learn_stage() -> None:
    logic, models, _ = awake()
    assert models.complete()
    assert models[NAME].score_one(()) == 2.0
    ports = learn(logic, models, 4.0, 5.0)
    assert models[NAME].score_one(()) == 4.5
    assert models[NAME].version == 2
    assert dict(ports)["judged"] == [(NAME, 2.0, 4.0, 60.0), (NAME, 2.0, 5.0, 60.0)]


def test_it_goes_on_from_its_snapshot() -> None:
    logic, models, _ = awake()
    learn(logic, models, 4.0, 5.0)
    again, restored, _ = awake(logic.snapshot())
    assert (restored[NAME].score_one(()), restored[NAME].version) == (4.5, 2)
    assert again.snapshot() == logic.snapshot()
    learn(logic, models, 0.0)
    learn(again, restored, 0.0)
    assert again.snapshot() == logic.snapshot()


def test_a_follower_scores_with_its_weights() -> None:
    now = [5.0]
    logic, models, ports = awake(announce_as=Origin("c", "r", "p0"), timer=lambda: now[0])
    followed = Models((NAME,))
    follower = ModelsFollower(followed, SETTINGS, Origin("c", "r", "p1"), ["p0"], RefusedRecords())
    learned = [*ports, *learn(logic, models, 4.0, 5.0), *logic.on_notify()[0]]
    now[0] += CHANGES_SECONDS
    learned += logic.on_notify()[0]
    records = [record for port, values in learned if port == "models" for record in values]
    assert [key for key, _ in records] == [f"{NAME}/whole/00", f"{NAME}/change/00/00"]
    measured = [follower.take(offset, raw) for offset, (_, raw) in enumerate(records)]
    assert not followed.missing()
    assert (followed[NAME].score_one(()), followed[NAME].version) == (4.5, 2)
    assert ("csq_model_version", (NAME,), 2) in measured[-1]


def test_its_metrics_and_its_summary_have_its_name() -> None:
    logic, models, ports = awake()
    ports += [*learn(logic, models, 4.0, 5.0), *logic.on_eof()[0]]
    registry = CollectorRegistry()
    observer = Observer(registry, closed_sets(Settings()), strict=True)
    summary = Summary()
    for port, values in ports:
        if port == "measured":
            observer.record(values)
        elif port == "judged":
            summary.take_judged(values)
    values = read(registry)
    assert values["csq_model_examples_total"][NAME,] == 2
    assert values["csq_model_version"][NAME,] == 2
    assert values["csq_model_loss"][NAME,] == pytest.approx(2.5, abs=0.01)
    assert summary.as_dict()["models"][NAME] == {
        "n": 2,
        "label_delay_seconds": {"p50": 60.0, "p90": 60.0},
        "accuracy": 0.0,
        "baseline_accuracy": 1.0,
        "mean_absolute_error": 2.5,
        "baseline_mean_absolute_error": 1.0,
        "last_fifth": {"n": 0},
    }


def test_a_process_expects_it() -> None:
    assert NAME in replay_process(Settings(), 0.0, tick_records=1).models.missing()


def test_weights_before_the_first_example_are_those_of_the_settings() -> None:
    assert weights_of(NAME, SETTINGS).score_one(()) == 2.0


def test_a_model_that_is_not_registered_is_an_error() -> None:
    with pytest.raises(KeyError):
        training_of("loyalty", SETTINGS)


def test_every_registered_model_has_a_section_in_the_settings() -> None:
    for name, kind in MODELS.items():
        if name != NAME:
            assert kind.params(Settings()) is not None
            assert kind.name == name
