"""Lanes: shares of the state, which are distributed over processes.

Bytewax never drops a key, so its keys are lanes, not customers: ``lane = crc32(entity id) % lanes``, the same in every
process and every release, unlike ``hash()``. A lane holds bounded tables of its entities. A lane has the same key in
every stage and so stays on one process.
"""

from functools import lru_cache
from zlib import crc32

QUEUE_LANES = 8
"""Lanes of queues: there are few queues, and every lane gets ticks, with or without queues."""


class Lanes:
    """The names of the lanes, and the lane of an entity.

    >>> lanes = Lanes(64)
    >>> lanes.of("conversation-1"), len(lanes.names)
    ('60', 64)
    """

    def __init__(self, count: int) -> None:
        width = len(str(count - 1))
        self.count = count
        self.names = tuple(f"{number:0{width}d}" for number in range(count))
        # Queues, and entities with an open conversation, are looked up again and again.
        self.of = lru_cache(maxsize=65_536)(self._of)

    def _of(self, entity_id: str) -> str:
        return self.names[crc32(entity_id.encode()) % self.count]

    def of_bytes(self, raw: bytes) -> str:
        """Return the lane of a record that names no entity."""
        return self.names[crc32(raw) % self.count]


def queue_lanes(lanes: Lanes) -> Lanes:
    """Return the lanes of queues in a cluster with so many lanes of conversations."""
    return Lanes(min(lanes.count, QUEUE_LANES))
