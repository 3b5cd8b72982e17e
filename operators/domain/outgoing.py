"""What leaves: findings of the stages in the same envelope as the events that came in, and dead letters.

The id of an outgoing event is derived from the event that caused it: sinks deliver at least once, and a consumer drops
repeats by it.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

SOURCE = "csq"
DEADLETTERS = "csq.deadletters"
STREAMS = ("csq.turn.scored", "csq.reply.measured", "csq.satisfaction.scored", "csq.churn.scored", DEADLETTERS)
"""Every stream this release writes to."""


class Outgoing(NamedTuple):
    """One record for a sink: the stream names a topic or a file; headers never carry the text of a message."""

    stream: str
    key: str
    value: bytes
    headers: tuple[tuple[str, str], ...] = ()


_encode = msgspec.json.Encoder(decimal_format="number").encode
MAX_DEAD_BYTES = 65_536


@lru_cache(maxsize=4096)
def iso(time: float) -> str:
    """RFC 3339 in UTC with milliseconds.

    >>> iso(1767600000.25)
    '2026-01-05T08:00:00.250Z'
    """
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def publish(kind: str, cause: str, time: float, key: str, data: dict[str, Any]) -> Outgoing:
    """An outgoing event of type `kind`, caused by the event named `cause` (``"source id"``), as of `time`.

    >>> publish("csq.turn.scored", "shop/1 e7", 0.0, "c1", {"polarity": 0.5}).value[:70]
    b'{"specversion":"1.0","id":"shop/1 e7#turn.scored","source":"csq","type'
    """
    event = {
        "specversion": "1.0",
        "id": f"{cause}#{kind.removeprefix('csq.')}",
        "source": SOURCE,
        "type": kind,
        "time": iso(time),
        "data": data,
    }
    return Outgoing(kind, key, _encode(event))


def dead_letter(raw: bytes, reason: str, detail: str, origin: str, position: int) -> Outgoing:
    """The raw bytes (cut at 64 KiB) with the reason, and where they were read. Kafka's own timestamp says when."""
    headers = (("reason", reason), ("detail", detail), ("origin", origin), ("position", str(position)))
    return Outgoing(DEADLETTERS, f"{origin}@{position}", raw[:MAX_DEAD_BYTES], headers)
