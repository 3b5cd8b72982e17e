"""Forgotten ids: what is left of a person, so that a replay or a redrive does not bring the person back.

An id is kept as a keyed digest with the time up to which it is forgotten. The key is random and belongs to one table.
With both an id can be tested, but ids cannot be listed.
"""

import math
import secrets
from hashlib import blake2b

from msgspec import Struct
from xxhash import xxh3_64_hexdigest

KEY_BYTES = DIGEST_BYTES = 16


def trace(name: str) -> str:
    """A hash of an id or of the name of an event, where only whether it is the same matters: the state keeps no id."""
    return xxh3_64_hexdigest(name.encode("utf-8", "surrogatepass"))


class StoredForgotten(Struct, array_like=True):
    """A snapshot of `ForgottenIds`."""

    key: bytes
    until: dict[bytes, float]


class ForgottenIds:
    """The forgotten ids of a lane; false while there are none.

    >>> ids = ForgottenIds()
    >>> ids.add("u17", 100.0)
    >>> ids.covers("u17", 100.0), ids.covers("u17", 100.5), ids.covers("u18", 1.0), "u17" in ids
    (True, False, False, True)
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(KEY_BYTES)
        self._until: dict[bytes, float] = {}
        self._oldest = math.inf

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._digest(name) in self._until

    def add(self, name: str, time: float) -> None:
        """Forget what happened to `name` up to `time` (POSIX seconds)."""
        digest = self._digest(name)
        self._until[digest] = max(time, self._until.get(digest, time))
        self._oldest = min(self._oldest, time)

    def covers(self, name: str, time: float) -> bool:
        """Return whether what happened to `name` at `time` is forgotten."""
        return time <= self.until(name)

    def until(self, name: str) -> float:
        """Return the time up to which `name` is forgotten; minus infinity where it is not."""
        return self._until.get(self._digest(name), -math.inf)

    def expire_before(self, time: float) -> None:
        """Drop ids that were forgotten before `time`."""
        if self._oldest < time:
            self._until = {digest: until for digest, until in self._until.items() if until >= time}
            self._oldest = min(self._until.values(), default=math.inf)

    def snapshot(self) -> StoredForgotten:
        """Return the state, to be encoded at once."""
        return StoredForgotten(self._key, self._until)

    def restore(self, stored: StoredForgotten | None) -> None:
        """Continue from a snapshot; `None` is one without forgotten ids."""
        if stored is not None:
            self._key, self._until = stored.key, stored.until
            self._oldest = min(self._until.values(), default=math.inf)

    def _digest(self, name: str) -> bytes:
        return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES, key=self._key).digest()
