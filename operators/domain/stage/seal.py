"""Sealed: state as bytes that tell whether they are still what was written.

A snapshot is msgpack with a checksum behind it. SQLite notices a damaged page, but not a flipped byte in the middle of
a value: with it a resume would go on with numbers that nobody ever counted.
"""

from typing import Any

import msgspec
from xxhash import xxh3_64_digest

DIGEST_BYTES = 8
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class StateDamagedError(Exception):
    """A stored state is not what was written."""


def seal(state: Any) -> bytes:
    """Plain data as msgpack, with its checksum."""
    content = _encode(state)
    return content + xxh3_64_digest(content)


def opened(sealed: bytes, what: str) -> memoryview:
    """The msgpack that was sealed, not copied. `what` names it in the error.

    Raises:
        StateDamagedError: it is not what was written.
    """
    content, digest = memoryview(sealed)[:-DIGEST_BYTES], sealed[-DIGEST_BYTES:]
    if len(digest) != DIGEST_BYTES or xxh3_64_digest(content) != digest:
        raise StateDamagedError(
            f"recovery state of {what} is damaged: its checksum does not fit what is stored. Put back a backup of the "
            "recovery directory, or name an empty one and fill it with `csq warm-start` (docs/state.md, "
            '"A damaged store")'
        )
    return content


def unseal(sealed: bytes, what: str) -> Any:
    """The data that was sealed; tuples come back as lists. `what` names it in the error.

    >>> unseal(seal({"v": 1, "reached": 12.5}), "stage queues")
    {'v': 1, 'reached': 12.5}
    >>> unseal(seal([1, 2])[:-1], "stage queues")
    Traceback (most recent call last):
    operators.domain.stage.seal.StateDamagedError: recovery state of stage queues is damaged: its checksum...

    Raises:
        StateDamagedError: it is not what was written.
    """
    return _decode(opened(sealed, what))
