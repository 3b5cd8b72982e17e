"""Weights for other processes, as records of a compacted topic.

A learner announces its whole model (in parts of a few thousand features, so that each record stays far below a broker's
size limit) or what has changed since the last announcement. Records hold absolute weights, never differences: a part
that arrives twice, or after a lost one, does no harm.

The topic is compacted and keeps the last record of each key. The parts of a whole model have the same keys each time;
changes are numbered from 0 after each whole. A reader that starts at the beginning of a compacted topic therefore gets
the complete model: older changes that are left come before the whole that contains them.
"""

from collections.abc import Callable, Container
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta, Struct

from operators.domain.models.model import ModelWeights
from operators.domain.models.training import ModelTraining

WIRE_VERSION = 2
CHANGES_SECONDS = 1.0
"""Seconds from the first example after an announcement to the next announcement."""
CHANGES_EXAMPLES = 1000
"""Examples after which changes are announced at once: 40 features each and three classes, about half a megabyte."""
MOST_PARTS = 4_096
"""Parts of an announcement; the largest model has 64."""
CHANGES_PER_WHOLE = 60
"""Changes between two announcements of the whole model; bounds the length of the compacted topic."""


RefusalReason = Literal["not_a_record", "other_version", "other_cluster", "other_run", "other_process", "unusable"]
"""Why a record of the models topic is refused: it is none; of another release; of another deployment; of another run of
this one; of a process that does not train the model; or its weights cannot be used."""
REFUSAL_REASONS: tuple[RefusalReason, ...] = get_args(RefusalReason)


class UpdateError(ValueError):
    """A record of the models topic cannot be used; the text has the value and the expectation."""

    def __init__(self, reason: RefusalReason, text: str) -> None:
        super().__init__(text)
        self.reason: RefusalReason = reason


class Origin(NamedTuple):
    """Who writes a record."""

    cluster: str
    """The deployment."""
    run: str
    """The run of all of its processes."""
    process: str


_Name = Annotated[str, Meta(max_length=64)]


class WeightsUpdate(Struct, frozen=True, tag_field="kind", tag="weights"):
    """Part `part` of `parts` of an announcement."""

    v: int
    cluster: _Name
    run: _Name
    process: _Name
    """The one that trains the model."""
    model: _Name
    version: Annotated[int, Meta(ge=0, le=1 << 53)]
    """Examples the learner has learned from."""
    announced_at: Annotated[float, Meta(ge=0, le=1e11)] = msgspec.field(name="told_at")
    """POSIX seconds."""
    csq: str
    river: str
    whole: bool
    """Whether the parts together are the whole model."""
    part: Annotated[int, Meta(ge=0, lt=MOST_PARTS)]
    parts: Annotated[int, Meta(ge=1, le=MOST_PARTS)]
    weights: dict[str, Any]
    """Plain data of `ModelLearner.changes`, for `ModelWeights.apply`."""


class ProcessReady(Struct, frozen=True, tag_field="kind", tag="ready"):
    """A process has all models: the others may send it events."""

    v: int
    cluster: _Name
    run: _Name
    process: _Name


class _Head(Struct):
    v: int


ModelMessage = WeightsUpdate | ProcessReady
ModelRecord = tuple[str, bytes]
"""Key and value in the models topic."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ModelMessage).decode
_decode_head = msgspec.msgpack.Decoder(_Head).decode


def ready_record(origin: Origin) -> ModelRecord:
    """Return the record with which a process announces that it has all models."""
    return f"ready/{origin.process}", _encode(ProcessReady(WIRE_VERSION, *origin))


def decode(raw: bytes) -> ModelMessage:
    """Read a record of the models topic.

    >>> decode(ready_record(Origin("a", "b", "p1"))[1])
    ProcessReady(v=2, cluster='a', run='b', process='p1')

    Raises:
        UpdateError: it is not a record of the models topic, or of a release with another wire version.
    """
    try:
        version = _decode_head(raw).v
        if version != WIRE_VERSION:
            raise UpdateError("other_version", f"a record of version {version}, {WIRE_VERSION} expected")
        message: ModelMessage = _decode(raw)
    except msgspec.MsgspecError as error:
        raise UpdateError("not_a_record", f"not a record of the models topic: {error}") from None
    if isinstance(message, WeightsUpdate) and not isfinite(message.announced_at):
        raise UpdateError("not_a_record", f"not a record of the models topic: written at {message.announced_at}")
    return message


def check_origin(message: ModelMessage, own: Origin, members: Container[str]) -> None:
    """Refuse a record of another deployment, of another run of this one, or of a process that is no member.

    Raises:
        UpdateError: it is one.
    """
    if message.cluster != own.cluster:
        raise UpdateError("other_cluster", f"a record of another deployment ({message.cluster}; this is {own.cluster})")
    if message.run != own.run:
        raise UpdateError("other_run", f"a record of run {message.run} of this deployment (this is {own.run})")
    if message.process not in members:
        raise UpdateError("other_process", f"a record of {message.process}, which is not one of this cluster")


class WeightsAnnouncer:
    """Writes records for what one model in `training` has learned; `clock` gives POSIX seconds."""

    def __init__(self, training: ModelTraining, origin: Origin, clock: Callable[[], float]) -> None:
        self._training = training
        self._origin = origin
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
        whose = (*self._origin, name, self._announced, self._clock(), _CSQ, _RIVER, whole)
        return [
            (f"{key}/{place:02d}", _encode(WeightsUpdate(WIRE_VERSION, *whose, place, len(parts), part)))
            for place, part in enumerate(parts)
        ]


class FollowedWeights:
    """Weights of a model whose learner runs in another process."""

    def __init__(self, weights: ModelWeights) -> None:
        self.weights = weights
        self.is_whole = False
        """Whether the whole model has arrived."""
        self._missing: set[int] | None = None

    def apply(self, update: WeightsUpdate) -> None:
        """Write an update.

        Raises:
            UpdateError: the update does not fit this model; nothing was written.
        """
        try:
            self.weights.apply(update.weights)
        except (KeyError, TypeError, ValueError) as error:
            raise UpdateError("unusable", f"weights of model {update.model} from {update.process}: {error}") from None
        self.weights.version = update.version
        if update.whole and not self.is_whole:
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
