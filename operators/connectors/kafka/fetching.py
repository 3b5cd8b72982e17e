"""The offsets that a process fetches, in a file beside the recovery store: a start sees where the last one died.

librdkafka ends its process when a record does not fit into memory, and a kernel may do so earlier. Nothing can be
written then. So the file is mapped into memory, and has for each partition the next offset to receive before it is
fetched. A process that is killed leaves what it wrote to such memory in the cache of the system; only a power failure
loses it, and that is not the record's doing. So nothing is synced, and a write costs as much as one to memory.
"""

import mmap
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from operators.connectors.kafka.errors import KafkaInputError

DEATHS: Final = 2
"""So many starts in a row that end at a partition without an offset beyond that of the first make it a suspect."""
_READING, _ENDED = b"r", b"e"
_SLOT: Final = struct.Struct(">q")


class Reached(Struct, array_like=True):
    """How far a partition was received."""

    furthest: int
    """Next offset of the run that came furthest; negative: its beginning."""
    deaths: int
    """Runs in a row that ended without good order, none beyond `furthest`."""


class FetchedOffsets:
    """The file of one process.

    A line of JSON has what earlier runs reached, by partition. Behind it are a byte, whether reading goes on, and an
    offset for each of these partitions.
    """

    def __init__(self, path: Path) -> None:
        """Read what the last run left; a file that is missing or damaged is no history."""
        self._path = path
        self._history: dict[str, Reached] = {}
        self._slots: dict[str, int] = {}
        self._map: mmap.mmap | None = None
        self._flag = 0
        with suppress(OSError, ValueError, msgspec.MsgspecError, struct.error):
            self._history = _history_of(path.read_bytes())

    def suspects(self) -> dict[str, int]:
        """Partitions at which the last runs died without progress, with the next offset of each."""
        return {name: reached.furthest for name, reached in self._history.items() if reached.deaths >= DEATHS}

    def begin(self, positions: Mapping[str, int]) -> None:
        """Note that reading begins at these offsets.

        Raises:
            KafkaInputError: the file cannot be written.
        """
        known = {name: self._history.get(name, Reached(position, 0)) for name, position in positions.items()}
        head = msgspec.json.encode(known) + b"\n"
        self._flag = len(head)
        self._slots = {name: len(head) + 1 + _SLOT.size * number for number, name in enumerate(known)}
        try:
            self._path.write_bytes(head + _READING + b"".join(map(_SLOT.pack, positions.values())))
            with self._path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), 0)
        except OSError as error:
            raise KafkaInputError(
                f"{self._path}: cannot be written: {error.strerror}. csq notes there what it fetches; it has to be a "
                "file of the user of csq"
            ) from error

    def note(self, name: str, offset: int) -> None:
        """Note the next offset that is received of a partition."""
        if self._map is not None:
            _SLOT.pack_into(self._map, self._slots[name], offset)

    def end(self) -> None:
        """Note that reading ended in good order."""
        if self._map is not None:
            self._map[self._flag : self._flag + 1] = _ENDED


def _history_of(content: bytes) -> dict[str, Reached]:
    head, _, body = content.partition(b"\n")
    before = msgspec.json.decode(head, type=dict[str, Reached])
    offsets = dict(zip(before, (offset for (offset,) in _SLOT.iter_unpack(body[1:])), strict=True))
    if body[:1] != _READING:
        return {name: Reached(offset, 0) for name, offset in offsets.items()}
    return {
        name: Reached(offset, 1)
        if offset > before[name].furthest or not before[name].deaths
        else Reached(before[name].furthest, before[name].deaths + 1)
        for name, offset in offsets.items()
    }
