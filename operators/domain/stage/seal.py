"""Seals: snapshots with a checksum.

A sealed snapshot is msgpack followed by a checksum. SQLite detects a damaged page, but not a flipped byte in the middle
of a value: a resume would continue with wrong numbers.
"""

from typing import Any

import msgspec
from xxhash import xxh3_64_digest

DIGEST_BYTES = 8
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class StateDamagedError(Exception):
    """The checksum of a stored state does not match."""


def seal(state: Any) -> bytes:
    """Encode plain data, and append its checksum."""
    content = _encode(state)
    return content + xxh3_64_digest(content)


def opened(sealed: bytes, what: str) -> memoryview:
    """Return the msgpack of a sealed state, not copied. `what` names the state in the error.

    Raises:
        StateDamagedError: the checksum does not match.
    """
    content, digest = memoryview(sealed)[:-DIGEST_BYTES], sealed[-DIGEST_BYTES:]
    if len(digest) != DIGEST_BYTES or xxh3_64_digest(content) != digest:
        raise StateDamagedError(
            f"recovery state of {what} is damaged: its checksum does not match. Restore a backup of the "
            "recovery directory, or use an empty one and fill it with `csq warm-start` (docs/state.md, "
            '"A damaged store")'
        )
    return content


def unseal(sealed: bytes, what: str) -> Any:
    """Decode a sealed state; tuples are decoded as lists. `what` names the state in the error.

    >>> unseal(seal({"v": 1, "reached": 12.5}), "stage queues")
    {'v': 1, 'reached': 12.5}
    >>> unseal(seal([1, 2])[:-1], "stage queues")
    Traceback (most recent call last):
    operators.domain.stage.seal.StateDamagedError: recovery state of stage queues is damaged: its checksum...

    Raises:
        StateDamagedError: the checksum does not match.
    """
    return _decode(opened(sealed, what))
