"""The adapter of the learn stage: judged before learned, one writer, resumed before the first event."""

from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

from operators.domain.models.example import Example
from operators.domain.models.holder import Models
from operators.domain.stage.seal import seal
from operators.domain.stage.stage import Measurement, Port, StateVersionError, check_version
from operators.learn import MEASURE_EVERY, LearnLogic, WakeLearners, learn


class Table(dict[str, float]):
    """What scorers read."""

    version = 0


class Mean:
    """A model that learns the mean of its labels. A label of None is refused, one below 0 rolled back, a text is an error."""

    def __init__(self) -> None:
        self.table = Table(mean=0.0)
        self.counts = (0, 0, 0)
        self.log: list[Any] = []

    @property
    def examples(self) -> int:
        return self.counts[0]

    def judge_one(self, example: Example) -> tuple[tuple[float, ...], Any] | None:
        self.log.append(("judged", example.published, example.label, self.table["mean"]))
        return None if example.label is None else ((example.published,), example.label)

    def learn_one(self, example: Example) -> None:
        self.log.append(("learned", example.label))
        learned, refused, rolled_back = self.counts
        if example.label is None:
            self.counts = (learned, refused + 1, rolled_back)
        elif example.label < 0:
            self.counts = (learned, refused, rolled_back + 1)
        else:
            self.counts = (learned + 1, refused, rolled_back)
            self.table["mean"] += (example.label - self.table["mean"]) / self.counts[0]

    def measure(self) -> list[Measurement]:
        return [("csq_model_loss", ("mean",), self.table["mean"])]

    def state(self) -> dict[str, Any]:
        return {"v": 1, "counts": list(self.counts), "mean": self.table["mean"]}

    def restore(self, state: dict[str, Any]) -> None:
        check_version("mean", state, 1)
        self.counts = tuple(state["counts"])
        self.table["mean"] = state["mean"]


class Adapter:
    """A logic with what it built."""

    def __init__(self, resume: bytes | None = None, *, keep: bool = True, hello: bool = True) -> None:
        self.models = Models(("mean",))
        self.built: list[Mean] = []
        self.logic = LearnLogic(self._build, self.models, resume, keep=keep)
        if hello:
            self.logic.on_batch(["mean"])

    def _build(self, name: str) -> Mean:
        assert name == "mean"
        self.built.append(Mean())
        return self.built[-1]

    def take(self, *labels: Any, weight: float = 1.0) -> Iterable[Port]:
        return self.logic.on_batch([[example(label, weight) for label in labels]])[0]


def example(label: Any, weight: float = 1.0, published: float = 0.5) -> Example:
    return Example((1.0,), published, label, weight, 3.0)


def measured(ports: Iterable[Port]) -> dict[str, Any]:
    return {name: value for port, values in ports if port == "measured" for name, _, value in values}


def judged(ports: Iterable[Port]) -> list[Any]:
    return [verdict for port, values in ports if port == "judged" for verdict in values]


def test_an_example_is_judged_as_published_before_anything_is_learned_from_it() -> None:
    adapter = Adapter()
    ports = adapter.take(4.0, 8.0)
    assert adapter.built[0].log == [
        ("judged", 0.5, 4.0, 0.0),
        ("learned", 4.0),
        ("judged", 0.5, 8.0, 4.0),
        ("learned", 8.0),
    ]
    assert judged(ports) == [("mean", (0.5,), 4.0), ("mean", (0.5,), 8.0)]


def test_a_weak_example_is_learned_and_not_judged() -> None:
    adapter = Adapter()
    assert judged(adapter.take(4.0, weight=0.5)) == []
    assert adapter.built[0].log == [("learned", 4.0)]


def test_what_is_learned_is_there_for_the_scorers_of_this_process() -> None:
    adapter = Adapter()
    assert adapter.models.complete()
    adapter.take(4.0)
    assert adapter.models["mean"] == {"mean": 4.0}


def test_examples_refusals_and_rollbacks_are_counted_once() -> None:
    adapter = Adapter()
    counts = measured(adapter.take(4.0, None, -1.0, 5.0))
    assert counts["csq_model_examples_total"] == 2
    assert (counts["csq_refused_features_total"], counts["csq_model_rollbacks_total"]) == (1, 1)
    assert {name for name in measured(adapter.take(6.0)) if name.endswith("_total")} == {"csq_model_examples_total"}


def test_a_model_is_measured_every_so_many_examples_and_at_the_end() -> None:
    adapter = Adapter()
    seen = [place for place in range(3 * MEASURE_EVERY) if "csq_model_loss" in measured(adapter.take(1.0))]
    assert len(seen) == 3
    adapter.take(7.0)
    assert measured(adapter.logic.on_eof()[0])["csq_model_loss"] == adapter.models["mean"]["mean"]


def test_flat_tuples_from_another_process_are_examples() -> None:
    adapter = Adapter()
    adapter.logic.on_batch([[tuple(example(4.0))]])
    assert adapter.models["mean"] == {"mean": 4.0}


def test_an_example_on_which_a_model_fails_is_left_out_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    adapter = Adapter()
    ports = adapter.take(4.0, "geheim", 6.0)
    assert adapter.models["mean"] == {"mean": 5.0}
    assert measured(ports)["csq_stage_failures_total"] == 1
    assert "model mean failed" in caplog.text


def test_examples_before_the_hello_say_that_the_flow_is_wired_wrongly() -> None:
    with pytest.raises(RuntimeError, match="before the hello of their model"):
        Adapter(hello=False).take(1.0)


def test_a_second_hello_does_not_begin_anew() -> None:
    adapter = Adapter()
    adapter.take(4.0)
    adapter.logic.on_batch(["mean"])
    assert (adapter.models["mean"], len(adapter.built)) == ({"mean": 4.0}, 1)


def test_the_hello_brings_back_what_was_learned() -> None:
    first = Adapter()
    first.take(4.0, 8.0, None)
    resumed = Adapter(first.logic.snapshot())
    assert resumed.models["mean"] == {"mean": 6.0}
    assert measured(resumed.take(9.0))["csq_model_examples_total"] == 1  # and not the ones from before
    first.take(9.0)
    assert first.logic.snapshot() == resumed.logic.snapshot()


def test_without_a_recovery_store_nothing_is_written() -> None:
    adapter = Adapter(keep=False)
    adapter.take(4.0)
    assert adapter.logic.snapshot() == b""


def test_a_snapshot_before_the_hello_keeps_what_was_learned() -> None:
    first = Adapter()
    first.take(4.0)
    assert Adapter(first.logic.snapshot(), hello=False).logic.snapshot() == first.logic.snapshot()


def test_a_state_of_another_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(StateVersionError, match="stage mean: version 2 found, 1 expected; start with the release"):
        Adapter(seal({"v": 2}))


def test_later_learning_does_not_show_in_a_snapshot() -> None:
    adapter = Adapter()
    adapter.take(4.0)
    before = adapter.logic.snapshot()
    copy = bytes(before)
    adapter.take(100.0)
    assert before == copy


def test_inside_bytewax_the_hello_comes_first_and_the_model_is_there() -> None:
    models, built, verdicts = Models(("mean",)), list[Mean](), list[Any]()

    def build(name: str) -> Mean:
        built.append(Mean())
        return built[-1]

    class AfterHello(TestingSource):  # type: ignore[type-arg]  # a test's stand-in
        """Stands for the gate: the source of examples begins when the models are there."""

    flow = Dataflow("test")
    hellos = op.input("hello", flow, WakeLearners(models.expected))
    told = op.flat_map("then", hellos, lambda item: [item, (item[0], [example(4.0)]), (item[0], [example(8.0)])])
    nothing = op.input("none", flow, AfterHello([]))
    out = learn("learn", nothing, told, build, models, False, None, None)
    op.output("judged", op.flat_map("each", out.judged, lambda verdict: [verdict]), TestingSink(verdicts))
    op.output("measured", out.measured, TestingSink([]))
    run_main(flow)
    assert models["mean"] == {"mean": 6.0}
    assert [label for group in verdicts for _, _, label in group] == [4.0, 8.0]
    assert len(built) == 1
