"""One Kafka partition as a part of a Bytewax source."""

from datetime import datetime
from time import monotonic

from bytewax.inputs import StatefulSourcePartition

from operators.connectors.kafka.partition import Partition
from operators.connectors.kafka.reader import Reader
from operators.domain.time.route import Chunk
from operators.engine.epochs import Epochs

COMMIT_AGAIN_SECONDS = 3_600.0
"""A consumer group forgets a position that is not committed for a week, also where nothing comes."""


class Part(StatefulSourcePartition[Chunk, int]):
    """Hands on what the reader has read of a partition. State: the next offset to hand on."""

    def __init__(self, reader: Reader, partition: Partition, epochs: Epochs) -> None:
        """Have `partition` read from now on."""
        self.name = partition.name
        self._reader = reader
        self._partition = partition
        self._epochs = epochs
        self._told = float("-inf")
        self._next_tick = 0.0
        self._committed = -1
        self._commit_at = 0.0
        reader.add(partition)
        epochs.begin(self.name)

    def next_batch(self) -> list[Chunk]:
        """Hand on one chunk, or nothing."""
        reader, partition = self._reader, self._partition
        if reader.stop.is_set():
            raise StopIteration
        self._epochs.looked(self.name)
        if not partition.announced:
            partition.announced = True
            return [Chunk(self.name, None, [], [])]
        if not partition.values:
            reader.poll()
        if partition.values:
            return [self._take()]
        return self._tick()

    def _take(self) -> Chunk:
        with self._reader.lock:  # worker threads of one process share the reader
            positions, values = self._partition.take(self._reader.batch_size)
            ended = self._partition.at_end()
        return Chunk(self.name, self._tell() if ended else None, positions, values)

    def _tick(self) -> list[Chunk]:
        if self._partition.end is None or monotonic() < self._next_tick:
            return []
        before = self._told
        now = self._tell()
        return [] if now is None or now <= before else [Chunk(self.name, now, [], [])]

    def _tell(self) -> float | None:
        """Up to when everything has been read, given that the partition is at its end."""
        drained_at, heard_at = self._reader.drained_at, self._partition.heard_at
        if drained_at is None or heard_at is None:
            return None
        self._told = max(self._told, min(drained_at, heard_at))
        self._next_tick = monotonic() + self._reader.tick_seconds
        return self._told

    def next_awake(self) -> datetime | None:
        """At once while records are here, else when the reader polls next; when the epoch ends, with all others."""
        at_once = self._partition.values or not self._partition.announced
        return self._epochs.awake(self.name, None if at_once else self._reader.awake_at)

    def snapshot(self) -> int:
        """Give the next offset to hand on; also tell it to the consumer group, if there is one.

        So what is committed was handed to the flow and is in the epoch that now ends. The flow may still be busy with
        it, and after a crash the store may begin before it: the group is for lag tools, the store for resuming.
        """
        self._epochs.ended(self.name)
        position = self._partition.position
        if self._reader.commits and position >= 0:
            now = monotonic()
            if position != self._committed or now > self._commit_at:
                self._committed, self._commit_at = position, now + COMMIT_AGAIN_SECONDS
                self._reader.commit(self._partition)
        return position

    def close(self) -> None:
        """Leave the reader; the last one closes the consumer."""
        self._reader.remove(self._partition)
