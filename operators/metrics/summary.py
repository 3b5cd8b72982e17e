"""The summary of a replay: how long people waited, how good the models were (scored before learned)."""

from array import array
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from operators.domain.models.prequential import Verdict, auc_of, log_loss_one
from operators.domain.models.sentiment import CLASSES
from operators.domain.stage.stage import Measurement

QUANTILES = (10, 50, 75, 90, 99)
WAITS = {"csq_reply_seconds": "reply_seconds", "csq_first_response_seconds": "first_response_seconds"}


class Summary:
    """Collects exact values where metrics only keep buckets."""

    def __init__(self) -> None:
        self.waits = {name: array("d") for name in WAITS.values()}
        self.verdicts: defaultdict[str, list[tuple[tuple[float, ...], Any]]] = defaultdict(list)

    def take_measured(self, measurements: Iterable[Measurement]) -> None:
        """Keep each human reply time."""
        for name, labels, value in measurements:
            if name in WAITS and labels[-1] == "human":
                self.waits[WAITS[name]].append(value)

    def take_judged(self, verdicts: Iterable[Verdict]) -> None:
        """Keep each judged example."""
        for model, published, label in verdicts:
            self.verdicts[model].append((published, label))

    def as_dict(self) -> dict[str, Any]:
        """Waits by quantile (linear interpolation), and each model's prequential figures."""
        figures: dict[str, Any] = {name: _quantiles(values) for name, values in self.waits.items()}
        models = {}
        for model, verdicts in sorted(self.verdicts.items()):
            models[model] = _figures(verdicts) | {
                "last_fifth": _figures(verdicts[len(verdicts) - len(verdicts) // 5 :])
            }
        figures["models"] = models
        return figures


def _quantiles(values: "array[float]") -> dict[str, float | int | None]:
    found = np.percentile(np.array(values), QUANTILES).tolist() if values else [None] * len(QUANTILES)
    return {"count": len(values)} | {f"p{at}": value for at, value in zip(QUANTILES, found, strict=True)}


def _figures(verdicts: list[tuple[tuple[float, ...], Any]]) -> dict[str, float | int | None]:
    """Accuracy and the rest, as far as they apply to what the model says."""
    if not verdicts:
        return {"n": 0}
    label = verdicts[0][1]
    if isinstance(label, str):
        return _of_classes([(published, CLASSES.index(label)) for published, label in verdicts])
    if isinstance(label, bool):
        return _of_two([(published[0], label) for published, label in verdicts])
    errors = [abs(published[0] - label) for published, label in verdicts]
    return {
        "n": len(errors),
        "accuracy": sum(error <= 1 for error in errors) / len(errors),
        "mean_absolute_error": sum(errors) / len(errors),
    }


def _of_classes(judged: list[tuple[tuple[float, ...], int]]) -> dict[str, float | int | None]:
    said = [max(range(len(CLASSES)), key=published.__getitem__) for published, _ in judged]
    true = [label for _, label in judged]
    return {
        "n": len(judged),
        "accuracy": sum(a == b for a, b in zip(said, true, strict=True)) / len(judged),
        "macro_f1": _macro_f1(said, true),
        "log_loss": sum(log_loss_one(published[label]) for published, label in judged) / len(judged),
    }


def _of_two(judged: list[tuple[float, bool]]) -> dict[str, float | int | None]:
    said = [int(p > 0.5) for p, _ in judged]  # noqa: PLR2004  the likelier of two
    true = [int(label) for _, label in judged]
    return {
        "n": len(judged),
        "accuracy": sum(a == b for a, b in zip(said, true, strict=True)) / len(judged),
        "macro_f1": _macro_f1(said, true),
        "log_loss": sum(log_loss_one(p if label else 1 - p) for p, label in judged) / len(judged),
        "auc": auc_of(judged),
    }


def _macro_f1(said: list[int], true: list[int]) -> float:
    """Mean F1 over the classes that occur in the labels."""
    scores = []
    for label in sorted(set(true)):
        hits = sum(a == b == label for a, b in zip(said, true, strict=True))
        scores.append(2 * hits / (said.count(label) + true.count(label)))
    return sum(scores) / len(scores)


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
