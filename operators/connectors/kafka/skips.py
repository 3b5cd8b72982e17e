"""Offsets that are not read, because their records cannot be: written by `csq state skip`, read at each start.

They stay in the file: a start on an older backup passes them again.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from operators.connectors.kafka.errors import KafkaInputError
from operators.connectors.kafka.params import part_name
from operators.documents.durable import replace_file
from operators.engine.positions import TopicId

UNKNOWN: Final = TopicId()
FILE: Final = "skips.json"
"""Name in `state.directory`."""


class Skip(Struct, frozen=True, forbid_unknown_fields=True):
    """Offsets of a partition from `begin` on; reading continues at `end`."""

    topic: str
    partition: int
    begin: int
    end: int
    at: str
    """When it was written, in UTC."""
    of: TopicId = UNKNOWN
    """The topic that the offsets count in: one that is made anew is read whole."""

    def __str__(self) -> str:
        """The offsets in words.

        >>> print(Skip("csq.events", 0, 17, 18, ""), Skip("csq.events", 0, 17, 20, ""), sep="; ")
        csq.events[0] offset 17; csq.events[0] offsets 17 to 19
        """
        name = part_name(self.topic, self.partition)
        if self.end - self.begin == 1:
            return f"{name} offset {self.begin}"
        return f"{name} offsets {self.begin} to {self.end - 1}"


def skips_in(folder: Path | None) -> tuple[Skip, ...]:
    """The skips beside a recovery store.

    Raises:
        KafkaInputError: the file cannot be read.
    """
    if folder is None or not (path := folder / FILE).exists():
        return ()
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Skip, ...])
    except (OSError, msgspec.MsgspecError) as error:
        raise KafkaInputError(f"{path}: expected the offsets that `csq state skip` writes: {error}") from None


def add_skip(folder: Path, skip: Skip) -> None:
    """Add a skip to those beside a recovery store.

    Raises:
        KafkaInputError: the file cannot be read.
        OSError: it cannot be written.
    """
    replace_file(folder / FILE, msgspec.json.format(msgspec.json.encode([*skips_in(folder), skip])) + b"\n")


def next_skip(skips: Iterable[Skip], topic: str, partition: int, position: int, of: TopicId = UNKNOWN) -> Skip | None:
    """The first skip of a partition of the topic `of` that ends behind `position`.

    >>> skips = [Skip("a", 0, 9, 12, ""), Skip("a", 0, 5, 6, "")]
    >>> [str(next_skip(skips, "a", 0, position)) for position in (-2, 5, 6, 11, 12)]
    ['a[0] offset 5', 'a[0] offset 5', 'a[0] offsets 9 to 11', 'a[0] offsets 9 to 11', 'None']
    """
    of_it = [skip for skip in skips if (skip.topic, skip.partition) == (topic, partition) and not skip.of.differs(of)]
    return min((skip for skip in of_it if skip.end > position), key=lambda skip: skip.begin, default=None)
