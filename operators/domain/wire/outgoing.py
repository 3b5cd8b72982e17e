"""Outgoing records, the same for every sink.

The id of an outgoing event is derived from the event that caused it: sinks deliver at least once, and a consumer drops
repeats by it.
"""

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from xxhash import xxh3_128_hexdigest

SOURCE = "csq"
DEADLETTERS = "csq.deadletters"
STREAMS = ("csq.turn.scored", "csq.reply.measured", "csq.satisfaction.scored", "csq.churn.scored", DEADLETTERS)
"""Every stream this release writes to."""
MAX_DEAD_BYTES = 65_536


class Outgoing(Struct, frozen=True, gc=False):
    """The stream names a topic or a file; headers never carry the text of a message."""

    stream: str
    key: str
    value: bytes
    headers: tuple[tuple[str, str], ...] = ()


def _release() -> str:
    try:
        return version("csq")
    except PackageNotFoundError:  # a source tree that is not installed
        return "unknown"


RELEASE = _release()
"""The version of csq, a header of every dead letter: refusals may differ between releases."""


def dead_letter(
    raw: bytes,
    reason: str,
    detail: str,
    origin: str,
    position: int | str,
    *,
    now: float | None = None,
    stage: str | None = None,
) -> Outgoing:
    """The raw bytes (cut at 64 KiB) with the reason, and where they were read.

    Args:
        raw: the record as it was read; what `stage` saw where it failed on something that is no raw record any more.
        reason: one of ``decode.REASONS``.
        detail: what was expected, and behind `$` and a path where; never the text of a message.
        origin: where it was read: a partition, a file; or a stage.
        position: at which offset, in which line; or the name of the event.
        now: wall clock (POSIX seconds).
        stage: the stage that met an error on it, if `raw` is not what was read.

    >>> dict(dead_letter(b"{}", "invalid_field", "$.data.severity: too much", "csq.events[2]", 17).headers)["path"]
    '$.data.severity'
    """
    headers = [("reason", reason), ("path", detail.partition(":")[0] if detail.startswith("$") else "")]
    headers += [("detail", detail), ("origin", origin), ("position", str(position)), ("csq", RELEASE)]
    if now is not None:
        stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        headers.append(("time", stamp.replace("+00:00", "Z")))
    if stage is not None:
        headers.append(("stage", stage))
    return Outgoing(DEADLETTERS, f"{origin}@{position}", raw[:MAX_DEAD_BYTES], tuple(headers))


Responder = Literal["human", "bot"]
ReplyOutcome = Literal["met", "missed", "answered"]
"""A human's reply within the limit, or the limit passed; a bot's reply that ends the wait if it holds."""


class Probabilities(Struct, frozen=True, gc=False):
    """Of the three classes of sentiment; they add up to 1."""

    negative: float
    neutral: float
    positive: float


class TurnScored(Struct, frozen=True, gc=False):
    """A customer message was read. `polarity` = positive - negative, -1..1.

    `model_version` is here and below the number of examples that the model had learned from.
    """

    message_id: str
    conversation_id: str
    customer_id: str
    queue: str
    channel: str
    language: str
    sentiment: str
    probabilities: Probabilities
    polarity: float
    model: str
    model_version: int = 0


class ReplyMeasured(Struct, frozen=True, gc=False):
    """A reply (`reply_seconds`), a first response where no customer waited, or a passed limit of an open round.

    The latter two have no `reply_seconds`; `outcome` is `missed` for the last. A bot's reply is `answered`: it ends the
    wait unless the customer writes again, asks for people, or leaves without a solution before it holds.

    Durations are in the opening hours of the queue; a queue with a calendar has them by the wall too (`elapsed`).
    """

    conversation_id: str
    customer_id: str
    queue: str
    channel: str
    responder: Responder
    reply_seconds: float | None
    first_response_seconds: float | None
    limit_seconds: float
    outcome: ReplyOutcome | None
    reply_elapsed_seconds: float | UnsetType | None = UNSET
    first_response_elapsed_seconds: float | UnsetType | None = UNSET


class SatisfactionScored(Struct, frozen=True, gc=False):
    """How content the customer will be with a conversation: `score` and `parts` in 0..5, a part unknown is null."""

    conversation_id: str
    customer_id: str
    queue: str
    channel: str
    score: float
    parts: dict[str, float | None]
    mood_shift: float | None
    outcome: str | None
    model_version: int = 0


class Reason(Struct, frozen=True, gc=False):
    """A reason for the churn probability: an input, and its contribution to the logit."""

    because: str
    effect: float


class ChurnScored(Struct, frozen=True, gc=False):
    """How probable it is that a customer leaves, with the largest reasons."""

    customer_id: str
    segment: str
    probability: float
    at_risk: bool
    reasons: list[Reason]
    model_version: int = 0


TYPES: dict[type[Struct], str] = {
    TurnScored: "csq.turn.scored",
    ReplyMeasured: "csq.reply.measured",
    SatisfactionScored: "csq.satisfaction.scored",
    ChurnScored: "csq.churn.scored",
}
_NAMED = {kind: (name, f"#{name.removeprefix('csq.')}") for kind, name in TYPES.items()}
"""The type, and what an outgoing id adds to that of its cause."""


class _Event(Struct, frozen=True, gc=False):
    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    data: Any


_encode = msgspec.json.Encoder().encode
MAX_CAUSE = 100
fromtimestamp = datetime.fromtimestamp


def publish(data: Struct, cause: str, time: float | datetime, key: str) -> Outgoing:
    """An outgoing event, caused by the event named `cause` (``"source id"``), as of `time` (POSIX seconds, or in UTC).

    >>> data = ChurnScored("u1", "vip", 0.25, False, [])
    >>> publish(data, "shop/1 e7", 0.0, "u1").value[:80]
    b'{"specversion":"1.0","id":"shop/1 e7#churn.scored","source":"csq","type":"csq.ch'
    """
    kind, suffix = _NAMED[type(data)]
    if len(cause) > MAX_CAUSE:  # ours keep to the bound that theirs keep
        cause = xxh3_128_hexdigest(cause.encode())
    when = time if isinstance(time, datetime) else fromtimestamp(time, UTC)
    event = _Event("1.0", cause + suffix, SOURCE, kind, when, data)
    return Outgoing(kind, key, _encode(event))
