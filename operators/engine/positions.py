"""Positions of a source in a recovery store: sealed like all other state.

A plain number has no checksum. A flipped bit in it would skip events, or read them twice.
"""

from typing import Final

from operators.domain.stage.seal import seal, unseal
from operators.domain.stage.stage import StateVersionError

VERSION: Final = 1


def kept_position(position: int) -> bytes:
    """Seal the next offset of a partition; negative while none was read."""
    return seal({"v": VERSION, "next": position})


def position_of(kept: bytes, part: str) -> int:
    """Return the next offset of a partition; `part` names it in errors.

    >>> position_of(kept_position(17), "csq.events[0]")
    17

    Raises:
        StateDamagedError: the checksum does not match.
        StateVersionError: another version of csq wrote it.
    """
    stored = unseal(kept, f"the position of {part}")
    if stored["v"] != VERSION:
        raise StateVersionError(
            f"the position of {part} in the recovery store has version {stored['v']!r}, {VERSION} expected; start with "
            "the release that wrote it, or with an empty recovery directory"
        )
    return int(stored["next"])
