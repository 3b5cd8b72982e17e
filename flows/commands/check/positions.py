"""What `csq check` says of stored positions: partitions that are gone, topics that were made anew."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from flows.commands.check.finding import Finding
from operators.connectors.kafka.errors import replaced
from operators.connectors.kafka.params import SOURCE_STEP, KafkaParams, topic_and_partition
from operators.domain.stage.seal import StateDamagedError
from operators.engine.chosen import ChosenPositions
from operators.engine.positions import Position, TopicId, position_of
from operators.engine.store import StoreError, snaps_of


def stored_positions(directory: str | None) -> dict[str, Position]:
    """Where the next start would read on, by partition; empty where there is no store, or none that can be read."""
    found: dict[str, Position] = {}
    if directory is not None:
        with suppress(StoreError, StateDamagedError, OSError):  # the check of the store reports it
            chosen = ChosenPositions(Path(directory))
            chosen.load()
            for snap in snaps_of(Path(directory), SOURCE_STEP):
                if snap.value is not None:
                    found[snap.key] = position_of(snap.value, snap.key)
            for name in found.keys() | chosen.parts():
                if (newest := chosen.newest(name, found.get(name))) is not None:
                    found[name] = newest
    return found


def check_positions(
    stored: Mapping[str, Position], there: Collection[str], ids: Mapping[str, TopicId], kafka: KafkaParams
) -> Iterator[Finding]:
    """Compare stored positions with the topics.

    Args:
        stored: positions by partition.
        there: partitions of the topics that are read.
        ids: by topic.
        kafka: says what happens to a position of another topic.
    """
    gone = sorted(stored.keys() - set(there))
    if gone:
        yield Finding.warn(
            "positions",
            f"{', '.join(gone)}: a position is stored, but the partition does not exist, or its topic is not in "
            "kafka.topics.",
            "csq reads nothing from it and keeps the position. Put the topic back into kafka.topics to read on there.",
        )
    others: dict[str, str] = {}
    for name in sorted(stored.keys() & set(there)):
        topic, _ = topic_and_partition(name)
        now = ids.get(topic, TopicId())
        if stored[name].next >= 0 and stored[name].of.differs(now):
            others.setdefault(topic, f"{replaced(name, stored[name], now)}.")
    for topic, says in others.items():
        chosen = kafka.on_expired_offset_of(topic)
        if chosen == "error":
            todo = f"csq would not start. Set kafka.on_expired_offset for topic {topic} to earliest or latest."
            yield Finding.fail("positions", says, todo)
        else:
            todo = f"csq begins at the {chosen} event of the topic (kafka.on_expired_offset)."
            yield Finding.warn("positions", says, todo)
    if stored and not gone and not others:
        yield Finding.ok("positions", f"{len(stored)} stored, all of the partitions that are there")
