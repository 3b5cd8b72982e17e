"""What leaves: one record for a sink, whatever the sink is.

The id of an outgoing event is derived from the event that caused it: sinks deliver at least once, and a consumer drops
repeats by it.
"""

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from msgspec import Struct

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
"""The version of csq, as every dead letter tells it: what is refused changes from one release to another."""


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
        told = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        headers.append(("time", told.replace("+00:00", "Z")))
    if stage is not None:
        headers.append(("stage", stage))
    return Outgoing(DEADLETTERS, f"{origin}@{position}", raw[:MAX_DEAD_BYTES], tuple(headers))
