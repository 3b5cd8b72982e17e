"""Positions of a source in a recovery store: sealed like all other state, with the ids of the topic that they count in.

A plain number has no checksum: a flipped bit in it would skip events, or read them twice. Without the ids a position
would be used in another topic of the same name, and skip its first events.
"""

from typing import Any, Final, NamedTuple

from operators.domain.stage.seal import seal, unseal
from operators.domain.stage.stage import StateVersionError

VERSION: Final = 1


class TopicId(NamedTuple):
    """What tells a topic from another of the same name; empty where unknown."""

    cluster: str = ""
    """Id of the Kafka cluster."""
    topic: str = ""
    """Id that the cluster gave the topic when it was made."""

    def differs(self, other: "TopicId") -> bool:
        """Whether an id that both have is another one.

        >>> TopicId("a", "1").differs(TopicId("a", "2")), TopicId("a", "").differs(TopicId("a", "2"))
        (True, False)
        """
        return any(ours and theirs and ours != theirs for ours, theirs in zip(self, other, strict=True))

    def completed(self, other: "TopicId") -> "TopicId":
        """Take from `other` what is unknown here.

        >>> TopicId("a").completed(TopicId("b", "2"))
        TopicId(cluster='a', topic='2')
        """
        return TopicId(self.cluster or other.cluster, self.topic or other.topic)


class Position(NamedTuple):
    """Where a partition is to be read on."""

    next: int
    """The next offset; negative while none was read."""
    of: TopicId = TopicId()
    """The topic that it counts in."""
    choice: int = 0
    """Number of the last choice before it (``chosen.py``); 0: there was none."""


def kept_position(position: Position) -> bytes:
    """Seal a position."""
    return seal({"v": VERSION, **plain(position)})


def position_of(kept: bytes, part: str) -> Position:
    """Return the position of a partition; `part` names it in errors.

    >>> position_of(kept_position(Position(17, TopicId("a", "1"))), "csq.events[0]")
    Position(next=17, of=TopicId(cluster='a', topic='1'), choice=0)

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
    return from_plain(stored)


def plain(position: Position) -> dict[str, Any]:
    """A position as plain data."""
    cluster, topic = position.of
    return {"next": position.next, "cluster": cluster, "topic": topic, "choice": position.choice}


def from_plain(stored: dict[str, Any]) -> Position:
    """A position from plain data; the ids are unknown where they were not stored.

    >>> from_plain({"next": 17})
    Position(next=17, of=TopicId(cluster='', topic=''), choice=0)
    """
    of = TopicId(stored.get("cluster", ""), stored.get("topic", ""))
    return Position(int(stored["next"]), of, stored.get("choice", 0))
