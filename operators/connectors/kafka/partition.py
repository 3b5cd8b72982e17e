"""The buffer of one Kafka partition: records read and not yet handed on, the position, and the known end."""

from operators.connectors.kafka.params import part_name
from operators.connectors.kafka.status import SourceStatus
from operators.connectors.kafka.visible import VisibleTime
from operators.engine.positions import Position


class PartitionBuffer:
    """Filled by `Reader`, emptied by a `KafkaSourcePart`; both hold the lock of `Reader` while they do.

    Args:
        topic, number: the partition.
        position: where to begin, at an offset or at librdkafka's OFFSET_BEGINNING.
        status: gets every change of the position.
    """

    def __init__(self, topic: str, number: int, position: Position, status: SourceStatus) -> None:
        self.name = part_name(topic, number)
        self.topic = topic
        self.number = number
        self.position = position.next
        """The next offset to hand on."""
        self.of = position.of
        """The topic that offsets count in."""
        self.choice = position.choice
        """Number of the last choice before the position."""
        self.positions: list[int] = []
        """Offsets of `values`."""
        self.values: list[bytes | None] = []
        self.end: int | None = None
        """Offset at which the partition ended when last reported; None while there are, or may be, more records."""
        self.doubted = False
        """The partition was at its end when a broker was lost."""
        self.answered_at: float | None = None
        """POSIX seconds at which its broker last answered."""
        self.visible = VisibleTime()
        """Up to when all of its records could be read."""
        self.announced = False
        """Whether its first, empty chunk was handed on."""
        self._status = status
        self._move_to(position.next)

    def kept(self) -> Position:
        """The position, as it is stored."""
        return Position(self.position, self.of, self.choice)

    def take(self, size: int) -> tuple[list[int], list[bytes | None]]:
        """Remove up to `size` records, returned as (offsets, values), and move the position past them."""
        positions, values = self.positions, self.values
        self.positions, self.values = positions[size:], values[size:]
        del positions[size:], values[size:]
        ended = None if self.values else self.end
        # Behind the last record there may be offsets without one: markers of transactions, compacted records.
        self._move_to(positions[-1] + 1 if ended is None else max(ended, positions[-1] + 1))
        return positions, values

    def at_end(self) -> bool:
        """Whether every known record was handed on."""
        return self.end is not None and not self.values

    def next_unread(self) -> int:
        """The next offset to read, behind the buffered records."""
        return self.positions[-1] + 1 if self.positions else self.position

    def ended_at(self, offset: int) -> None:
        """Note that `offset` is the next to be written."""
        self.end = offset
        self.doubted = False
        if not self.values:
            self._move_to(offset)

    def begin_at(self, chosen: Position) -> None:
        """Continue at a chosen position, once no record is buffered."""
        self.of, self.choice = chosen.of, chosen.choice
        self.skip_to(chosen.next)

    def skip_to(self, offset: int) -> None:
        """Continue at `offset`: what is before it is not read."""
        self.end = None
        if not self.values:
            self._move_to(offset)

    def doubt(self) -> None:
        """Forget the end, if it is known: a broker was lost, and there may be more records."""
        if self.end is not None:
            self.end, self.doubted = None, True

    def _move_to(self, position: int) -> None:
        self.position = position
        self._status.positions[self.name] = position
