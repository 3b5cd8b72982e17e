"""One Kafka partition as this process sees it: what was read and not yet handed on, where it stands, where it ended."""

from operators.connectors.kafka.params import part_name
from operators.connectors.kafka.status import SourceStatus


class Partition:
    """The consumer fills it, its part of the source empties it; both hold the lock of `Reader` while they do."""

    def __init__(self, topic: str, number: int, position: int, status: SourceStatus) -> None:
        """Stand at `position`, an offset or librdkafka's OFFSET_BEGINNING."""
        self.name = part_name(topic, number)
        self.topic = topic
        self.number = number
        self.position = position
        """The next offset to hand on."""
        self.positions: list[int] = []
        self.values: list[bytes | None] = []
        self.end: int | None = None
        """Offset at which the partition ended when last heard of; None while more is, or may be, waiting."""
        self.doubted = False
        """It was at its end when contact was lost."""
        self.heard_at: float | None = None
        """POSIX s at which its broker was last heard."""
        self.announced = False
        """Whether the flow knows that it is read here."""
        self._status = status
        self._stand_at(position)

    def take(self, size: int) -> tuple[list[int], list[bytes | None]]:
        """Up to `size` records to hand on, and go on behind them."""
        positions, values = self.positions, self.values
        self.positions, self.values = positions[size:], values[size:]
        del positions[size:], values[size:]
        ended = None if self.values else self.end
        # Past the last record there may be others that no one is given: markers of transactions, compacted ones.
        self._stand_at(positions[-1] + 1 if ended is None else max(ended, positions[-1] + 1))
        return positions, values

    def at_end(self) -> bool:
        """Whether everything that is known to be there was handed on."""
        return self.end is not None and not self.values

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
        self._status.positions[self.name] = position
