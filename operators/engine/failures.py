"""Told: an exception is logged whole where it happens, and remembered.

In a cluster of processes Bytewax loses it: every process only says that a thread of the network has ended. So the
functions and parts of each step are wrapped before the flow runs. In a single process there is no need: there the
exception comes out whole.
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
"""Core operator of Bytewax -> its field that holds our code, methods of that, methods of what these make."""


class StepFailures:
    """The first exception of this process; each is logged with the step it happened in.

    >>> from bytewax import operators as op
    >>> from bytewax.testing import TestingSink, TestingSource
    >>> flow, told = Dataflow("shop"), StepFailures()
    >>> op.output("out", op.map("halve", op.input("in", flow, TestingSource([0])), lambda n: 1 // n), TestingSink([]))
    >>> told.listen(flow)
    """

    def __init__(self) -> None:
        self.first: Exception | None = None

    def listen(self, flow: Dataflow) -> None:
        """Wrap what the steps of `flow` call. Whoever makes a step anew has to call it again."""
        for step in _core_steps(flow.substeps):
            field, own, made = _MADE_BY.get(type(step).__name__, ("", (), ()))
            if not field:  # redistribute and merge hold no code of ours
                continue
            code = getattr(step, field)
            if own:
                self._wrap(code, own, step.step_id, made)
            else:  # a step is a frozen dataclass, made by Bytewax's own decorator: there is no other way in
                object.__setattr__(step, field, self._told(code, step.step_id, made))

    def _wrap(self, thing: object, names: tuple[str, ...], step_id: str, made: tuple[str, ...] = ()) -> object:
        for name in names:
            if hasattr(thing, name):
                setattr(thing, name, self._told(getattr(thing, name), step_id, made))
        return thing

    def _told(self, call: Callable[..., object], step_id: str, made: tuple[str, ...] = ()) -> Callable[..., object]:
        @functools.wraps(call)
        def telling(*args: object, **kwargs: object) -> object:
            try:
                result = call(*args, **kwargs)
            except StopIteration:  # how a source says that it has ended
                raise
            except Exception as error:
                self._tell(step_id, error)
                raise
            if isinstance(result, GeneratorType):  # its code has not run yet
                return self._each(result, step_id)
            return self._wrap(result, made, step_id) if made else result

        return telling

    def _each(self, items: Iterator[object], step_id: str) -> Iterator[object]:
        try:
            yield from items
        except Exception as error:
            self._tell(step_id, error)
            raise

    def _tell(self, step_id: str, error: Exception) -> None:
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
