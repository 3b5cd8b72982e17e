"""What leaves: one record for a sink, whatever the sink is.

The id of an outgoing event is derived from the event that caused it: sinks deliver at least once, and a consumer drops
repeats by it.
"""

from typing import NamedTuple

SOURCE = "csq"
DEADLETTERS = "csq.deadletters"
STREAMS = ("csq.turn.scored", "csq.reply.measured", "csq.satisfaction.scored", "csq.churn.scored", DEADLETTERS)
"""Every stream this release writes to."""
MAX_DEAD_BYTES = 65_536


class Outgoing(NamedTuple):
    """The stream names a topic or a file; headers never carry the text of a message."""

    stream: str
    key: str
    value: bytes
    headers: tuple[tuple[str, str], ...] = ()


def dead_letter(raw: bytes, reason: str, detail: str, origin: str, position: int) -> Outgoing:
    """The raw bytes (cut at 64 KiB) with the reason, and where they were read. Kafka's own timestamp says when."""
    headers = (("reason", reason), ("detail", detail), ("origin", origin), ("position", str(position)))
    return Outgoing(DEADLETTERS, f"{origin}@{position}", raw[:MAX_DEAD_BYTES], headers)
