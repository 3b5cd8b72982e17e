"""An exception in a step is logged with traceback and step, and kept for the exit code."""

from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSink, TestingSource, run_main

from operators.engine.failures import StepFailures


class FallsError(Exception):
    """What the steps of these tests die of."""


def falls(*_: Any) -> Any:
    raise FallsError("over its own feet")


class Logic(StatefulBatchLogic[Any, Any, None]):
    """Falls over its first batch."""

    on_batch = falls

    def snapshot(self) -> None:
        return None


class Source(DynamicSource[Any]):
    """Its partition falls at its first batch."""

    def build(self, *_: Any) -> "Source.Part":
        return self.Part()

    class Part(StatelessSourcePartition[Any]):
        """As its source says."""

        next_batch = falls


class Sink(DynamicSink[Any]):
    """Its partition falls at its first batch."""

    def build(self, *_: Any) -> "Sink.Part":
        return self.Part()

    class Part(StatelessSinkPartition[Any]):
        """As its sink says."""

        write_batch = falls


def in_source() -> Dataflow:
    flow = Dataflow("test")
    op.output("out", op.input("in", flow, Source()), TestingSink([]))
    return flow


def in_map() -> Dataflow:
    flow = Dataflow("test")
    op.output("out", op.map("each", op.input("in", flow, TestingSource([1])), falls), TestingSink([]))
    return flow


def in_batch() -> Dataflow:
    flow = Dataflow("test")
    op.output("out", op.flat_map_batch("some", op.input("in", flow, TestingSource([1])), falls), TestingSink([]))
    return flow


def in_building() -> Dataflow:
    flow = Dataflow("test")
    op.output(
        "out", op.stateful_batch("build", op.input("in", flow, TestingSource([("a", 1)])), falls), TestingSink([])
    )
    return flow


def in_logic() -> Dataflow:
    flow = Dataflow("test")
    made = op.stateful_batch("keep", op.input("in", flow, TestingSource([("a", 1)])), lambda _: Logic())
    op.output("out", made, TestingSink([]))
    return flow


def in_sink() -> Dataflow:
    flow = Dataflow("test")
    op.output("out", op.input("in", flow, TestingSource([1])), Sink())
    return flow


@pytest.mark.parametrize(
    ("flow", "step"),
    [
        (in_source, "test.in"),
        (in_map, "test.each.flat_map_batch"),
        (in_batch, "test.some"),
        (in_building, "test.build"),
        (in_logic, "test.keep"),
        (in_sink, "test.out"),
    ],
)
def test_it_is_logged_with_the_step_and_kept(flow: Any, step: str, caplog: pytest.LogCaptureFixture):
    failures, made = StepFailures(), flow()
    failures.watch(made)
    with pytest.raises((FallsError, BytewaxRuntimeError)):
        run_main(made)
    assert isinstance(failures.first, FallsError)
    (record, *_) = caplog.records
    assert record.getMessage() == f"step {step} failed, all processes stop: over its own feet"
    assert record.exc_info is not None
    assert record.exc_info[1] is failures.first


def test_the_end_of_an_input_is_no_failure(caplog: pytest.LogCaptureFixture):
    flow, out = Dataflow("test"), list[int]()
    op.output("out", op.map("double", op.input("in", flow, TestingSource([1, 2])), lambda n: 2 * n), TestingSink(out))
    failures = StepFailures()
    failures.watch(flow)
    run_main(flow)
    assert (out, failures.first, caplog.records) == ([2, 4], None, [])
