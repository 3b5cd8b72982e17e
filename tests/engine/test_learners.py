"""Models in training inside Bytewax: one writer, resumed before the first event, announced to other processes."""

from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

from flows.settings.model import Settings
from operators.domain.models.model import Example, Models
from operators.domain.models.registry import training_of
from operators.domain.models.training import ModelTraining
from operators.domain.models.updates import CHANGES_EXAMPLES, CHANGES_SECONDS, Origin, WeightsUpdate, decode
from operators.domain.stage.seal import seal
from operators.domain.stage.stage import Port, StateVersionError
from operators.engine.epochs import ALWAYS_DUE
from operators.engine.learners import LearnLogic, WakeLearners
from operators.learn import learn

NAME = "satisfaction"
START = 1_700_000_000.0


class Adapter:
    """A logic with the trainings it built, and clocks that a test moves."""

    def __init__(
        self,
        resume: bytes | None = None,
        *,
        take_snapshots: bool = True,
        wake: bool = True,
        announce_as: Origin | None = None,
    ) -> None:
        self.models = Models((NAME,))
        self.built: list[ModelTraining] = []
        self.seconds = 0.0
        self.wall = START
        self.logic = LearnLogic(
            self._build,
            self.models,
            resume,
            take_snapshots=take_snapshots,
            clock=lambda: self.wall + self.seconds,
            announce_as=announce_as,
            timer=lambda: 50.0 + self.seconds,
        )
        self.first = list(self.logic.on_batch([NAME])[0]) if wake else []

    def _build(self, name: str) -> ModelTraining:
        self.built.append(training_of(name, Settings()))
        return self.built[-1]

    def take(self, *ratings: Any) -> list[Port]:
        return list(self.logic.on_batch([[example(rating) for rating in ratings]])[0])


def example(rating: Any) -> Example:
    return Example((1.0, 5.0, None, None, None), 0.5, rating, 1.0, 3.0)


def measured(ports: Iterable[Port]) -> dict[str, Any]:
    return {name: value for port, values in ports if port == "measured" for name, _, value in values}


def judged(ports: Iterable[Port]) -> list[Any]:
    return [verdict for port, values in ports if port == "judged" for verdict in values]


def announced(ports: Iterable[Port]) -> list[WeightsUpdate]:
    updates = [decode(raw) for port, records in ports if port == "models" for _, raw in records]
    assert all(isinstance(update, WeightsUpdate) for update in updates)
    return updates  # type: ignore[return-value]  # all are updates by now


def test_verdicts_and_counts_go_out() -> None:
    ports = Adapter().take(4.0, 2.0)
    assert judged(ports) == [(NAME, 0.5, 4.0, 3.0), (NAME, 0.5, 2.0, 3.0)]
    assert measured(ports)["csq_model_examples_total"] == 2


def test_the_weights_of_the_learner_are_those_of_the_scorers_of_this_process() -> None:
    adapter = Adapter()
    assert adapter.models.complete()
    assert NAME in adapter.models.hosted
    before = adapter.models[NAME].weights
    adapter.take(4.0)
    assert adapter.models[NAME] is adapter.built[0].learner.weights
    assert adapter.models[NAME].weights != before


def test_flat_tuples_from_another_process_are_examples() -> None:
    adapter = Adapter()
    adapter.logic.on_batch([[tuple(example(4.0))]])
    assert adapter.built[0].learned == 1


def test_an_example_on_which_a_model_fails_is_skipped(caplog: pytest.LogCaptureFixture) -> None:
    adapter = Adapter()
    ports = adapter.take(4.0, "secret", 3.0)
    assert adapter.built[0].learned == 2
    assert measured(ports)["csq_stage_failures_total"] == 1
    assert f"model {NAME} failed on an example" in caplog.text


def test_examples_before_the_name_of_the_model_say_that_the_flow_is_wired_wrongly() -> None:
    with pytest.raises(RuntimeError, match="before the model's name"):
        Adapter(wake=False).take(1.0)


def test_a_second_name_does_not_reset_the_model() -> None:
    adapter = Adapter()
    adapter.take(4.0)
    adapter.logic.on_batch([NAME])
    assert len(adapter.built) == 1
    assert adapter.models[NAME].version == 1


def test_the_name_brings_back_what_was_learned() -> None:
    first = Adapter()
    first.take(4.0, 3.0, float("nan"))
    resumed = Adapter(first.logic.snapshot())
    assert resumed.models[NAME].weights == first.models[NAME].weights
    assert resumed.models[NAME].version == 2
    assert measured(resumed.take(1.0))["csq_model_examples_total"] == 1
    first.take(1.0)
    assert first.logic.snapshot() == resumed.logic.snapshot()


def test_without_a_recovery_store_nothing_is_written() -> None:
    adapter = Adapter(take_snapshots=False)
    adapter.take(4.0)
    assert adapter.logic.snapshot() == b""


def test_a_snapshot_before_the_name_is_the_one_to_resume_from() -> None:
    first = Adapter()
    first.take(4.0)
    assert Adapter(first.logic.snapshot(), wake=False).logic.snapshot() == first.logic.snapshot()


def test_a_state_of_another_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(StateVersionError, match="version 1 found, 2 expected; start with the release"):
        Adapter(seal({"v": 1}))


def test_later_learning_does_not_show_in_a_snapshot() -> None:
    adapter = Adapter()
    adapter.take(4.0)
    before = adapter.logic.snapshot()
    copy = bytes(before)
    adapter.take(1.0)
    assert before == copy


# ---- announcements


def test_a_single_process_announces_nothing() -> None:
    adapter = Adapter()
    assert announced([*adapter.first, *adapter.take(4.0), *adapter.logic.on_eof()[0]]) == []
    assert adapter.logic.notify_at() is None


def test_the_whole_model_is_announced_at_the_start() -> None:
    adapter = Adapter(announce_as=Origin("c", "r", "p1"))
    (update,) = announced(adapter.first)
    assert (update.model, update.version, update.process, update.whole) == (NAME, 0, "p1", True)
    assert update.announced_at == START


def test_changes_are_announced_after_a_second_of_the_monotonic_clock() -> None:
    adapter = Adapter(announce_as=Origin("c", "r", "p1"))
    assert announced(adapter.take(4.0)) == []
    assert adapter.logic.notify_at() == ALWAYS_DUE  # Bytewax would compare a later moment with the wall clock
    adapter.wall -= 3_600.0  # the wall clock was set back
    adapter.seconds = CHANGES_SECONDS / 2
    assert announced(adapter.take(4.0)) == []
    assert announced(adapter.logic.on_notify()[0]) == []
    adapter.seconds = CHANGES_SECONDS
    (update,) = announced(adapter.take(4.0))
    assert (update.version, update.whole) == (3, False)
    assert adapter.logic.notify_at() is None


def test_a_notification_announces_what_is_pending() -> None:
    adapter = Adapter(announce_as=Origin("c", "r", "p1"))
    adapter.take(4.0)
    adapter.seconds = CHANGES_SECONDS
    (update,) = announced(adapter.logic.on_notify()[0])
    assert update.version == 1
    assert announced(adapter.logic.on_notify()[0]) == []


def test_many_examples_are_announced_at_once() -> None:
    adapter = Adapter(announce_as=Origin("c", "r", "p1"))
    (update,) = announced(adapter.take(*[4.0] * (CHANGES_EXAMPLES + 1)))
    assert update.version == CHANGES_EXAMPLES + 1


def test_the_end_of_the_input_announces_what_is_pending() -> None:
    adapter = Adapter(announce_as=Origin("c", "r", "p1"))
    adapter.take(4.0)
    (update,) = announced(adapter.logic.on_eof()[0])
    assert update.version == 1


def test_inside_bytewax_the_name_comes_first_and_the_model_is_there() -> None:
    models, verdicts = Models((NAME,)), list[Any]()

    class AfterWaking(TestingSource):  # type: ignore[type-arg]  # a test's stand-in
        """In place of the source, which reads examples only when the models are loaded."""

    flow = Dataflow("test")
    names = op.input("hello", flow, WakeLearners(models.expected))
    fed = op.flat_map("then", names, lambda item: [item, (item[0], [example(4.0)]), (item[0], [example(2.0)])])
    nothing = op.input("none", flow, AfterWaking([]))
    out = learn("learn", nothing, fed, Settings(), models, False, lambda: START, False, None)
    op.output("judged", op.flat_map("each", out.judged, lambda verdict: [verdict]), TestingSink(verdicts))
    op.output("measured", out.measured, TestingSink([]))
    run_main(flow)
    assert models[NAME].version == 2
    assert [label for group in verdicts for _, _, label, _ in group] == [4.0, 2.0]
