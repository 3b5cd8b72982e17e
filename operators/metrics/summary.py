"""The summary of a replay: quantiles of waiting times, and the prequential figures of each model."""

from array import array
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from operators.domain.models.registry import MODELS
from operators.domain.models.tasks import Verdict
from operators.domain.stage.stage import Measurement

QUANTILES = (10, 50, 75, 90, 99)
WAITS = {"csq_reply_seconds": "reply_seconds", "csq_first_response_seconds": "first_response_seconds"}


class Summary:
    """Collects exact values, of which metrics have buckets only."""

    def __init__(self) -> None:
        self.waits = {name: array("d") for name in WAITS.values()}
        self.verdicts: defaultdict[str, list[Verdict]] = defaultdict(list)

    def take_measured(self, measurements: Iterable[Measurement]) -> None:
        """Collect reply times of human agents."""
        for name, labels, value in measurements:
            if name in WAITS and labels[-1] == "human":
                self.waits[WAITS[name]].append(value)

    def take_judged(self, verdicts: Iterable[Verdict]) -> None:
        """Collect judged examples."""
        for verdict in verdicts:
            self.verdicts[verdict.model].append(verdict)

    def as_dict(self) -> dict[str, Any]:
        """Return waits by quantile (linear interpolation), and the figures of each model."""
        figures: dict[str, Any] = {name: _quantiles(values) for name, values in self.waits.items()}
        models: dict[str, Any] = {}
        for model, verdicts in sorted(self.verdicts.items()):
            task, last_fifth = MODELS[model].task, verdicts[len(verdicts) - len(verdicts) // 5 :]
            models[model] = task.figures(verdicts) | {"last_fifth": task.figures(last_fifth)}
        figures["models"] = models
        return figures


def _quantiles(values: "array[float]") -> dict[str, float | int | None]:
    found = np.percentile(np.array(values), QUANTILES).tolist() if values else [None] * len(QUANTILES)
    return {"count": len(values)} | {f"p{at}": value for at, value in zip(QUANTILES, found, strict=True)}


class TakeSink(DynamicSink[Any]):
    """Hands every item of a stream to a function of the process."""

    def __init__(self, take: Any) -> None:
        self._take = take

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_Take":
        """One for every worker."""
        return _Take(self._take)


class _Take(StatelessSinkPartition[Any]):
    def __init__(self, take: Any) -> None:
        self._take = take

    def write_batch(self, items: list[Any]) -> None:
        for item in items:
            self._take(item)
