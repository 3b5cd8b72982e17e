"""Weights for other processes, as records of a compacted topic.

A learner announces its whole model (in parts of a few thousand features, so that each record stays far below a broker's
size limit) or what has changed since the last announcement. Records hold absolute weights, never differences: a part
that arrives twice, or after a lost one, does no harm.

The topic is compacted and keeps the last record of each key. The parts of a whole model have the same keys each time;
changes are numbered from 0 after each whole. A reader that starts at the beginning of a compacted topic therefore gets
the complete model: older changes that are left come before the whole that contains them.
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from msgspec import Struct

from operators.domain.models.model import ModelWeights
from operators.domain.models.training import ModelTraining

WIRE_VERSION = 1
CHANGES_SECONDS = 1.0
"""Seconds from the first example after an announcement to the next announcement."""
CHANGES_EXAMPLES = 1000
"""Examples after which changes are announced at once: 40 features each and three classes, about half a megabyte."""
CHANGES_PER_WHOLE = 60
"""Changes between two announcements of the whole model; bounds the length of the compacted topic."""


class UpdateError(ValueError):
    """A record of the models topic cannot be used; the text has the value and the expectation."""


class WeightsUpdate(Struct, frozen=True, tag_field="kind", tag="weights"):
    """Part `part` of `parts` of an announcement."""

    v: int
    model: str
    version: int
    """Examples the learner has learned from."""
    announced_at: float = msgspec.field(name="told_at")
    """POSIX seconds."""
    process: str
    csq: str
    river: str
    whole: bool
    """Whether the parts together are the whole model."""
    part: int
    parts: int
    weights: dict[str, Any]
    """Plain data of `ModelLearner.changes`, for `ModelWeights.apply`."""


class ProcessReady(Struct, frozen=True, tag_field="kind", tag="ready"):
    """A process has all models: the others may send it events."""

    v: int
    process: str


ModelMessage = WeightsUpdate | ProcessReady
ModelRecord = tuple[str, bytes]
"""Key and value in the models topic."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ModelMessage).decode


def ready_record(process: str) -> ModelRecord:
    """Return the record with which a process announces that it has all models."""
    return f"ready/{process}", _encode(ProcessReady(WIRE_VERSION, process))


def decode(raw: bytes) -> ModelMessage | None:
    """Read a record of the models topic; `None` if a release with another wire version wrote it.

    >>> decode(ready_record("p1")[1])
    ProcessReady(v=1, process='p1')

    Raises:
        UpdateError: it is not a record of the models topic.
    """
    try:
        message = _decode(raw)
    except msgspec.MsgspecError as error:
        raise UpdateError(f"not a record of the models topic: {error}") from None
    return message if message.v == WIRE_VERSION else None


class WeightsAnnouncer:
    """Writes records for what one model in `training` has learned; `clock` gives POSIX seconds."""

    def __init__(self, training: ModelTraining, process: str, clock: Callable[[], float]) -> None:
        self._training = training
        self._process = process
        self._clock = clock
        self._announced = -1
        self._changes = CHANGES_PER_WHOLE  # the first announcement is the whole model

    def pending(self) -> int:
        """Return the number of examples learned since the last announcement; before the first one more."""
        return self._training.learned - self._announced

    def announce(self) -> list[ModelRecord]:
        """Return the whole model, or what changed since the last call; nothing if nothing changed."""
        if not self.pending():
            return []
        whole = self._changes >= CHANGES_PER_WHOLE
        self._changes = 0 if whole else self._changes + 1
        self._announced = self._training.learned
        name, parts = self._training.kind.name, list(self._training.learner.changes(whole=whole))
        key = f"{name}/whole" if whole else f"{name}/change/{self._changes - 1:02d}"
        whose = (name, self._announced, self._clock(), self._process, _CSQ, _RIVER, whole)
        return [
            (f"{key}/{place:02d}", _encode(WeightsUpdate(WIRE_VERSION, *whose, place, len(parts), part)))
            for place, part in enumerate(parts)
        ]


class FollowedWeights:
    """Weights of a model whose learner runs in another process."""

    def __init__(self, weights: ModelWeights) -> None:
        self.weights = weights
        self.is_whole = False
        """Whether the whole model has arrived since the processes started."""
        self._missing: set[int] | None = None

    def apply(self, update: WeightsUpdate, *, is_current: bool) -> None:
        """Write an update; `is_current` if it was announced after the processes started, by a learner that runs now.

        Raises:
            UpdateError: the update does not fit this model; nothing was written.
        """
        try:
            self.weights.apply(update.weights)
        except (KeyError, TypeError, ValueError) as error:
            raise UpdateError(f"weights of model {update.model} from {update.process}: {error}") from None
        self.weights.version = update.version
        if is_current and update.whole and not self.is_whole:
            if self._missing is None or update.part == 0:
                self._missing = set(range(update.parts))
            self._missing.discard(update.part)
            self.is_whole = not self._missing


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a source tree that is not installed
        return "unknown"


_CSQ, _RIVER = _installed("csq"), _installed("river")
