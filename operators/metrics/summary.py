"""The summary of a replay: rounds and durations, also by queue, and the prequential figures of each model."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from operators.domain.models.registry import MODELS
from operators.domain.models.tasks import Verdict
from operators.domain.stage.stage import Measurement

QUANTILES = (10, 50, 75, 90, 99)
DURATIONS = {
    "csq_reply_seconds": "reply_seconds",
    "csq_first_response_seconds": "first_response_seconds",
    "csq_resolution_seconds": "resolution_seconds",
}
"""Histogram -> its name in the summary. Replies are those of humans."""


class Summary:
    """Collects exact values, of which metrics have buckets only."""

    def __init__(self) -> None:
        self._durations: defaultdict[tuple[str, str], array[float]] = defaultdict(lambda: array("d"))
        """(duration, queue) -> seconds."""
        self._rounds: Counter[tuple[str, str]] = Counter()
        """(queue, met or missed, or who has replied) -> rounds."""
        self.verdicts: defaultdict[str, list[Verdict]] = defaultdict(list)

    def take_measured(self, measurements: Iterable[Measurement]) -> None:
        """Collect durations and rounds."""
        for name, labels, value in measurements:
            if name in DURATIONS and (labels[-1] != "bot" or name == "csq_resolution_seconds"):
                self._durations[DURATIONS[name], labels[0]].append(value)
            if name == "csq_reply_seconds" and labels[-1] == "human":
                self._rounds[labels[0], "human"] += 1
            elif name == "csq_reply_rounds_total":
                outcome, responder = labels[2:]
                self._rounds[labels[0], outcome if responder == "human" else "bot"] += value

    def take_judged(self, verdicts: Iterable[Verdict]) -> None:
        """Collect judged examples."""
        for verdict in verdicts:
            self.verdicts[verdict.model].append(verdict)

    def as_dict(self) -> dict[str, Any]:
        """Return rounds and quantiles of durations (linear interpolation), also by queue, and figures of the models."""
        queues = sorted({queue for _, queue in self._durations} | {queue for queue, _ in self._rounds})
        figures = self._of(queues) | {"queues": {queue: self._of([queue]) for queue in queues}}
        models: dict[str, Any] = {}
        for model, verdicts in sorted(self.verdicts.items()):
            task, begin = MODELS[model].task, len(verdicts) - len(verdicts) // 5
            delays = _quantiles(np.array([verdict.delay_seconds for verdict in verdicts]))
            models[model] = task.figures(verdicts) | {
                "last_fifth": task.figures(verdicts[begin:], verdicts[:begin]),
                "label_delay_seconds": {name: delays[name] for name in ("p50", "p90")},
            }
        figures["models"] = models
        return figures

    def _of(self, queues: Sequence[str]) -> dict[str, Any]:
        names = {"answered_by_human": "human", "answered_by_bot": "bot", "met": "met", "missed": "missed"}
        rounds = {name: sum(self._rounds[queue, what] for queue in queues) for name, what in names.items()}
        figures: dict[str, Any] = {"rounds": rounds}
        for name in DURATIONS.values():
            values = [self._durations[name, queue] for queue in queues if (name, queue) in self._durations]
            figures[name] = _quantiles(np.concatenate(values) if values else np.empty(0))
        return figures


def _quantiles(values: np.ndarray) -> dict[str, float | int | None]:
    found = np.percentile(values, QUANTILES).tolist() if len(values) else [None] * len(QUANTILES)
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
