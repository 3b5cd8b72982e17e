"""Failures of steps in a cluster: an exception is logged with its traceback where it happens, and kept.

In a cluster of processes Bytewax loses it: every process only reports that a thread of the network has ended. So the
functions and parts of each step are wrapped before the flow runs. A single process needs no wrapping: there Bytewax
raises the exception with its cause.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from types import GeneratorType

from bytewax.dataflow import Dataflow, Operator

log = logging.getLogger(__name__)

_MADE_BY = {
    "flat_map_batch": ("mapper", (), ()),
    "stateful_batch": ("builder", (), ("on_batch", "on_notify", "on_eof", "notify_at", "snapshot")),
    "input": ("source", ("list_parts", "build", "build_part"), ("next_batch", "next_awake", "snapshot")),
    "output": ("sink", ("list_parts", "build", "build_part", "part_fn"), ("write_batch", "snapshot")),
}
"""Core operator of Bytewax -> its field with our code, methods of that, methods of the objects that these return."""


class StepFailures:
    """The first exception of this process; each is logged with its step.

    >>> from bytewax import operators as op
    >>> from bytewax.testing import TestingSink, TestingSource
    >>> flow, failures = Dataflow("shop"), StepFailures()
    >>> op.output("out", op.map("halve", op.input("in", flow, TestingSource([0])), lambda n: 1 // n), TestingSink([]))
    >>> failures.watch(flow)
    """

    def __init__(self) -> None:
        self.first: Exception | None = None

    def watch(self, flow: Dataflow) -> None:
        """Wrap the code of all steps of `flow`; steps that are added later are not watched."""
        for step in _core_steps(flow.substeps):
            field, own, made = _MADE_BY.get(type(step).__name__, ("", (), ()))
            if not field:  # redistribute and merge hold no code of ours
                continue
            code = getattr(step, field)
            if own:
                self._wrap(code, own, step.step_id, made)
            else:  # a step is a frozen dataclass of Bytewax: it has no setter
                object.__setattr__(step, field, self._watched(code, step.step_id, made))

    def _wrap(self, thing: object, names: tuple[str, ...], step_id: str, made: tuple[str, ...] = ()) -> object:
        for name in names:
            if hasattr(thing, name):
                setattr(thing, name, self._watched(getattr(thing, name), step_id, made))
        return thing

    def _watched(self, call: Callable[..., object], step_id: str, made: tuple[str, ...] = ()) -> Callable[..., object]:
        @functools.wraps(call)
        def call_and_report(*args: object, **kwargs: object) -> object:
            try:
                result = call(*args, **kwargs)
            except StopIteration:  # a source has ended
                raise
            except Exception as error:
                self._report(step_id, error)
                raise
            if isinstance(result, GeneratorType):  # its code has not run yet
                return self._each(result, step_id)
            return self._wrap(result, made, step_id) if made else result

        return call_and_report

    def _each(self, items: Iterator[object], step_id: str) -> Iterator[object]:
        try:
            yield from items
        except Exception as error:
            self._report(step_id, error)
            raise

    def _report(self, step_id: str, error: Exception) -> None:
        if self.first is None:
            self.first = error
        log.critical(
            "step %s failed, all processes stop: %s", step_id, error, exc_info=error, extra={"event": "step_failed"}
        )


def _core_steps(steps: Sequence[Operator]) -> Iterator[Operator]:
    for step in steps:
        if step.substeps:
            yield from _core_steps(step.substeps)
        else:
            yield step
