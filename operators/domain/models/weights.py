"""Weights: what a learner tells the scorers of other processes, as plain bytes.

A model is told whole (in parts of `RANGE` features, so that each stays far below a broker's limit for a message) or as
what has changed since it was last told. Weights are always told as they are, never as differences: a part that comes
twice, or of which an earlier one is missing, does no harm.

The keys are made for a compacted topic, which keeps the last record of each key. The parts of a whole have the same
keys each time; changes are numbered from 0 after each whole. So whoever reads what compaction left, from the start and
in order, has the model: what is left of older changes comes before the whole that contains them.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from operators.domain.models import churn, satisfaction, sentiment
from operators.domain.models.vectors import SPACE

WIRE_VERSION = 1
RANGE = 4096
"""Features in one part: 16 bytes each, so at most 64 KiB; brokers take 1 MiB."""
CHANGES_SECONDS = 1.0
"""Changed weights are told so long after the first of them; nobody's mood depends on a younger weight."""
CHANGES_EXAMPLES = 1000
"""Or after so many examples: 40 features each and three classes, about half a megabyte."""
CHANGES_PER_WHOLE = 60
"""After so many changes all is told again, so that the topic stays short once it is compacted."""

_SPACE_PARTS = SPACE // RANGE


class WeightsError(ValueError):
    """An update that no scorer can use; the text says what came and what was expected."""


class Update(Struct, frozen=True, tag_field="kind", tag="weights"):
    """A part of what a learner tells: `part` of `parts`. `weights` are plain data, by the kind of the model."""

    v: int
    model: str
    version: int
    """Examples the learner has learned from."""
    told_at: float
    """Wall time at which it was told, POSIX seconds."""
    process: str
    csq: str
    river: str
    whole: bool
    part: int
    parts: int
    weights: dict[str, Any]


class Ready(Struct, frozen=True, tag_field="kind", tag="ready"):
    """A process has all models: the others may send it events."""

    v: int
    process: str


ModelMessage = Update | Ready
ModelRecord = tuple[str, bytes]
"""Key and value in the models topic."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ModelMessage).decode


def ready_record(process: str) -> ModelRecord:
    """What a process says when it has all models."""
    return f"ready/{process}", _encode(Ready(WIRE_VERSION, process))


def decode(raw: bytes) -> ModelMessage | None:
    """Read a record of the models topic; `None` if another release wrote it.

    >>> decode(ready_record("p1")[1])
    Ready(v=1, process='p1')

    Raises:
        WeightsError: it is none.
    """
    try:
        told = _decode(raw)
    except msgspec.MsgspecError as error:
        raise WeightsError(f"not a record of the models topic: {error}") from None
    return told if told.v == WIRE_VERSION else None


class Teller:
    """What the learner of `model` tells, and when. `learner` has a `table`, `counts`, and for sentiment `changes`."""

    def __init__(self, model: str, learner: Any, process: str) -> None:
        self._model = model
        self._learner = learner
        self._process = process
        self._told = -1
        self._changes = CHANGES_PER_WHOLE  # the first word is the whole

    def pending(self) -> int:
        """Examples learned that nobody was told of."""
        return int(self._learner.counts[0]) - self._told

    def tell(self, now: float) -> list[ModelRecord]:
        """Everything, or what changed since the last call; nothing if nothing did. `now` is wall time."""
        learned = int(self._learner.counts[0])
        if learned == self._told:
            return []
        whole = self._changes >= CHANGES_PER_WHOLE
        parts = list(_parts_of(self._learner, whole=whole))
        self._changes = 0 if whole else self._changes + 1
        self._told = learned
        kind = "whole" if whole else f"change/{self._changes - 1:02d}"
        return [
            (f"{self._model}/{kind}/{number:02d}", self._encoded(now, number, len(parts), part, whole=whole))
            for number, part in enumerate(parts)
        ]

    def _encoded(self, now: float, number: int, count: int, weights: dict[str, Any], *, whole: bool) -> bytes:
        whose = (self._model, self._told, now, self._process, _CSQ, _RIVER)
        return _encode(Update(WIRE_VERSION, *whose, whole, number, count, weights))


class Listener:
    """A model that another process learns, put together from what comes.

    >>> class Learned:
    ...     table, counts = satisfaction.Table(), (7, 0, 0)
    >>> listener = Listener(satisfaction.Table())
    >>> for _, raw in Teller("satisfaction", Learned(), "p0").tell(0.0):
    ...     listener.hear(decode(raw), is_of_now=True)
    >>> listener.is_whole, listener.table.version
    (True, 7)
    """

    def __init__(self, table: Any) -> None:
        self.table = table
        self.is_whole = False
        """Whether all of the model has come since the processes started."""
        self._missing: set[int] | None = None

    def hear(self, update: Update, *, is_of_now: bool) -> None:
        """Take over weights; `is_of_now` if they were told after the processes started, by the learner of now.

        Raises:
            WeightsError: they are no weights of this model.
        """
        try:
            _apply(self.table, update)
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"weights of model {update.model} from {update.process}: {error}") from None
        self.table.version = update.version
        if is_of_now and update.whole and not self.is_whole:
            if self._missing is None or update.part == 0:
                self._missing = set(range(update.parts))
            self._missing.discard(update.part)
            self.is_whole = not self._missing


def tables_of(params: churn.ChurnParams) -> dict[str, Callable[[], Any]]:
    """How an empty table of each model is made."""
    tables: dict[str, Callable[[], Any]] = dict.fromkeys(sentiment.MODELS.values(), sentiment.Table)
    tables[satisfaction.MODEL] = satisfaction.Table
    tables[churn.MODEL] = lambda: churn.Table(churn.names_of(params), 0.0)
    return tables


def _parts_of(learner: Any, *, whole: bool) -> Iterator[dict[str, Any]]:
    table = learner.table
    if isinstance(table, sentiment.Table):
        yield from _whole_sentiment(learner) if whole else _changed_sentiment(learner)
    elif isinstance(table, churn.Table):
        yield from _whole_churn(table)
    else:
        yield {"weights": list(table.weights)}


def _whole_sentiment(learner: Any) -> Iterator[dict[str, Any]]:
    learner.changes()  # they are in what follows
    table = learner.table
    used = np.flatnonzero(table.weights.any(axis=1)).astype(np.int32)
    bounds = np.searchsorted(used, np.arange(0, SPACE + 1, RANGE))
    for part in range(_SPACE_PARTS):
        yield _rows(table, used[bounds[part] : bounds[part + 1]], (part * RANGE, (part + 1) * RANGE))


def _whole_churn(table: churn.Table) -> Iterator[dict[str, Any]]:
    step = RANGE if len(table.categories) > RANGE else churn.SLOTS
    numbers = {"names": list(table.names), "slopes": table.slopes, "means": table.means, "base": table.base}
    for low in range(0, churn.SLOTS, step):
        some = [(slot, effect) for slot, effect in table.categories.items() if low <= slot < low + step]
        yield {**numbers, "cleared": (low, low + step), "categories": some}


def _changed_sentiment(learner: Any) -> Iterator[dict[str, Any]]:
    features = learner.changes().features
    for start in range(0, max(len(features), 1), RANGE):
        yield _rows(learner.table, features[start : start + RANGE], (0, 0))


def _rows(table: sentiment.Table, features: Any, cleared: tuple[int, int]) -> dict[str, Any]:
    """Rows of a table; those of the range `cleared` that are not among them are zero."""
    return {
        "cleared": cleared,
        "features": features.astype("<i4").tobytes(),
        "weights": table.weights[features].astype("<f4").tobytes(),
        "intercepts": table.intercepts.tolist(),
    }


def _apply(table: Any, update: Update) -> None:
    weights = update.weights
    if isinstance(table, sentiment.Table):
        _apply_rows(table, weights)
    elif isinstance(table, churn.Table):
        _apply_churn(table, weights)
    else:
        numbers = _finite("weights", weights["weights"], len(satisfaction.PARTS))
        table.weights = tuple(numbers)


def _apply_rows(table: sentiment.Table, told: Mapping[str, Any]) -> None:
    features = np.frombuffer(told["features"], "<i4")
    weights = np.frombuffer(told["weights"], "<f4").reshape(len(features), len(sentiment.CLASSES))
    low, high = told["cleared"]
    if len(features) and not 0 <= features.min() <= features.max() < SPACE:
        raise ValueError(f"features of 0..{SPACE - 1} expected, got {features.min()} to {features.max()}")
    if not 0 <= low <= high <= SPACE:
        raise ValueError(f"a range within 0..{SPACE} expected, got {low} to {high}")
    if not np.isfinite(weights).all():
        raise ValueError("a weight is not finite")
    intercepts = np.array(_finite("intercepts", told["intercepts"], len(sentiment.CLASSES)))
    table.weights[low:high] = 0.0
    table.apply(sentiment.Change(features, weights, intercepts))


def _apply_churn(table: churn.Table, told: Mapping[str, Any]) -> None:
    if tuple(told["names"]) != table.names:
        raise ValueError("its inputs are not those of churn.attributes here; give all processes the same settings")
    slopes, means = (_finite(name, told[name], len(table.names)) for name in ("slopes", "means"))
    (base,) = _finite("base", [told["base"]], 1)
    slots = [slot for slot, _ in told["categories"]]
    effects = _finite("categories", [effect for _, effect in told["categories"]], len(slots))
    low, high = told["cleared"]
    kept = {slot: effect for slot, effect in table.categories.items() if not low <= slot < high}
    table.slopes, table.means, table.base = slopes, means, base
    table.categories = kept | dict(zip(slots, effects, strict=True))


def _finite(name: str, numbers: Any, count: int) -> list[float]:
    array = np.array(numbers, np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise ValueError(f"{name}: {count} finite numbers expected")
    listed: list[float] = array.tolist()
    return listed


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a source tree that is not installed
        return "unknown"


_CSQ, _RIVER = _installed("csq"), _installed("river")
