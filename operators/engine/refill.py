"""Writing snapshots into an empty recovery store, through Bytewax, which decides where each is stored."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream, operator
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import KeyedStream, StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig
from bytewax.testing import cluster_main


class StoredValue(NamedTuple):
    """A snapshot to be stored: full name of the step, key, and what its `snapshot` returned."""

    step: str
    key: str
    value: Any


def refill(folder: Path, snapshots: Iterable[StoredValue]) -> None:
    """Store the snapshots as the first run of an empty store; the next run resumes from them.

    Raises:
        ValueError: the steps are not those of one flow.
    """
    by_step: dict[str, list[tuple[str, Any]]] = {}
    for step, key, value in snapshots:
        by_step.setdefault(step, []).append((key, value))
    roots = {step.split(".", 1)[0] for step in by_step}
    if len(roots) != 1:
        raise ValueError(f"steps of one flow expected, got those of {', '.join(sorted(roots)) or 'none'}")
    flow = Dataflow(roots.pop())
    for number, (step, pairs) in enumerate(by_step.items()):
        up = op.input(f"refill_{number}", flow, _Once(pairs))
        op.output(f"refilled_{number}", _within(up, step.split(".")[1:]), _Nowhere())
    cluster_main(flow, [], 0, recovery_config=RecoveryConfig(str(folder)))


def _within(up: KeyedStream[Any], names: Sequence[str]) -> Stream[Any]:
    """A step that stores what it receives, under a name of several parts."""
    name, *rest = names
    if not rest:
        return op.stateful_batch(name, up, _Keep)
    return _nested(name, up, lambda inner: _within(inner, rest))


@operator
def _nested(step_id: str, up: KeyedStream[Any], inside: Callable[[Any], Stream[Any]]) -> Stream[Any]:
    """The streams of `inside`, one name deeper."""
    return inside(up)


class _Keep(StatefulBatchLogic[Any, None, Any]):
    def __init__(self, resume: Any) -> None:
        self._value = resume

    def on_batch(self, values: list[Any]) -> tuple[Iterable[None], bool]:
        self._value = values[-1]
        return (), StatefulBatchLogic.RETAIN

    def snapshot(self) -> Any:
        return self._value


class _Once(DynamicSource[tuple[str, Any]]):
    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self._pairs = pairs

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_OncePart":
        return _OncePart(self._pairs)


class _OncePart(StatelessSourcePartition[tuple[str, Any]]):
    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self._pairs = iter([pairs])

    def next_batch(self) -> list[tuple[str, Any]]:
        return next(self._pairs)


class _Nowhere(DynamicSink[Any]):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_NowherePart":
        return _NowherePart()


class _NowherePart(StatelessSinkPartition[Any]):
    def write_batch(self, items: list[Any]) -> None:
        pass
