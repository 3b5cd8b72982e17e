"""Events that leave: the data of each outgoing type, in the envelope of those that came in."""

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct
from xxhash import xxh3_128_hexdigest

from operators.domain.outgoing import SOURCE, Outgoing

Responder = Literal["human", "bot"]


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
    """A reply came (`reply_seconds`), or the limit of an open round passed (`outcome` missed, no `reply_seconds`)."""

    conversation_id: str
    customer_id: str
    queue: str
    channel: str
    responder: Responder
    reply_seconds: float | None
    first_response_seconds: float | None
    limit_seconds: float
    outcome: Literal["met", "missed"] | None


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
    """What speaks for leaving, and how much it adds to the logit."""

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


def publish(data: Struct, cause: str, time: float, key: str) -> Outgoing:
    """An outgoing event, caused by the event named `cause` (``"source id"``), as of `time` (POSIX seconds).

    >>> data = ChurnScored("u1", "vip", 0.25, False, [])
    >>> publish(data, "shop/1 e7", 0.0, "u1").value[:80]
    b'{"specversion":"1.0","id":"shop/1 e7#churn.scored","source":"csq","type":"csq.ch'
    """
    kind, suffix = _NAMED[type(data)]
    if len(cause) > MAX_CAUSE:  # ours keep to the bound that theirs keep
        cause = xxh3_128_hexdigest(cause.encode())
    event = _Event("1.0", cause + suffix, SOURCE, kind, fromtimestamp(time, UTC), data)
    return Outgoing(kind, key, _encode(event))
