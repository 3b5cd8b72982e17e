"""One Kafka partition as a part of a Bytewax source: what was read of it and not yet handed on."""

from datetime import datetime
from time import monotonic

from bytewax.inputs import StatefulSourcePartition

from operators.connectors.kafka.params import part_name
from operators.connectors.kafka.reader import Reader
from operators.domain.route import Chunk

COMMIT_AGAIN_SECONDS = 3_600.0
"""A consumer group forgets a position that is not committed for a week, also where nothing comes."""


class Part(StatefulSourcePartition[Chunk, int]):
    """One partition: records that were read and not yet handed on. State: the next offset to hand on."""

    def __init__(self, reader: Reader, topic: str, partition: int, position: int) -> None:
        """Stand at `position`, an offset or librdkafka's OFFSET_BEGINNING."""
        self.name = part_name(topic, partition)
        self.topic = topic
        self.partition = partition
        self.position = position
        self.positions: list[int] = []
        self.values: list[bytes | None] = []
        self.end: int | None = None
        """Offset at which the partition ended when last heard of; None while more is, or may be, waiting."""
        self.doubted = False
        """It was at its end when contact was lost."""
        self.heard_at: float | None = None
        """POSIX s at which its broker was last heard."""
        self.announced = False
        self._told = float("-inf")
        self._next_tick = 0.0
        self._committed = -1
        self._commit_at = 0.0
        self._reader = reader
        reader.add(self)

    def next_batch(self) -> list[Chunk]:
        """Hand on one chunk, or nothing."""
        reader = self._reader
        if reader.stop.is_set():
            raise StopIteration
        if not self.announced:
            self.announced = True
            return [Chunk(self.name, None, [], [])]
        if not self.values:
            reader.poll()
        if self.values:
            return [self._take()]
        return self._tick()

    def _take(self) -> Chunk:
        size = self._reader.batch_size
        with self._reader.lock:  # worker threads of one process share the reader
            positions, values = self.positions, self.values
            self.positions, self.values = positions[size:], values[size:]
            del positions[size:], values[size:]
            ended = None if self.values else self.end
            # Past the last record there may be others that no one is given: markers of transactions, compacted ones.
            self._stand_at(positions[-1] + 1 if ended is None else max(ended, positions[-1] + 1))
        return Chunk(self.name, None if ended is None else self._tell(), positions, values)

    def _tick(self) -> list[Chunk]:
        if self.end is None or monotonic() < self._next_tick:
            return []
        before = self._told
        now = self._tell()
        return [] if now is None or now <= before else [Chunk(self.name, now, [], [])]

    def _tell(self) -> float | None:
        """Up to when everything has been read, given that the partition is at its end."""
        if self._reader.drained_at is None or self.heard_at is None:
            return None
        self._told = max(self._told, min(self._reader.drained_at, self.heard_at))
        self._next_tick = monotonic() + self._reader.tick_seconds
        return self._told

    def next_awake(self) -> datetime | None:
        """At once while records are here, else when the reader polls next."""
        return None if self.values or not self.announced else self._reader.awake_at

    def snapshot(self) -> int:
        """Give the next offset to hand on; also tell it to the consumer group, if there is one.

        So what is committed was handed to the flow and is in the epoch that now ends. The flow may still be busy with
        it, and after a crash the store may begin before it: the group is for lag tools, the store for resuming.
        """
        if self._reader.commits and self.position >= 0:
            now = monotonic()
            if self.position != self._committed or now > self._commit_at:
                self._committed, self._commit_at = self.position, now + COMMIT_AGAIN_SECONDS
                self._reader.commit(self)
        return self.position

    def close(self) -> None:
        """Leave the reader; the last one closes the consumer."""
        self._reader.remove(self)

    def next_unread(self) -> int:
        """Next offset to read, behind what is buffered."""
        return self.positions[-1] + 1 if self.positions else self.position

    def ended_at(self, offset: int) -> None:
        """Note that the partition ends before `offset`."""
        self.end = offset
        self.doubted = False
        if not self.values:
            self._stand_at(offset)

    def skip_to(self, offset: int) -> None:
        """Go on at `offset`: what the position names is not held by the broker."""
        self.end = None
        if not self.values:
            self._stand_at(offset)

    def doubt(self) -> None:
        """Forget the end, if it is there: contact to a broker was lost, and more may be waiting."""
        if self.end is not None:
            self.end, self.doubted = None, True

    def _stand_at(self, position: int) -> None:
        self.position = position
        self._reader.status.positions[self.name] = position
