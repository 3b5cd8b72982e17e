"""Dead letters for tests: made as csq makes them, in files as `csq replay` writes them and in topics as `csq run` does."""

import gzip
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from operators.connectors.files.jsonl import dead_letter_line
from operators.domain.wire.decode import Door, Refusal
from operators.domain.wire.outgoing import Outgoing, dead_letter
from tests.builders import START, raw

DEADLINE_SECONDS = 20.0
FAST = "{fetch.wait.max.ms: 10}"
"""Settings for a command on an embedded broker, which answers a fetch only after this time."""
COMPLAINT, MESSAGE = "csq.complaint.opened", "csq.message.created"
STRICT = Door(65_536, 300.0, 946_080_000.0)


def refused(value: bytes, position: int, origin: str = "csq.events[2]", now: float = START) -> Outgoing:
    """The dead letter of a value that decode refuses, or, if it does not, one that it refused before it was mended."""
    decoded = STRICT.decode_one(value, now)
    why = decoded if isinstance(decoded, Refusal) else Refusal("time_in_future", "$.time: more than 300 s ahead")
    return dead_letter(value, why.reason, why.detail, origin, position, now=now)


def mended(name: str, position: int, **more: Any) -> Outgoing:
    """A letter that is accepted now: its time was in the future when it was refused."""
    return refused(raw(MESSAGE, START, name), position, **more)


def broken(name: str, position: int, **more: Any) -> Outgoing:
    """A letter that is never accepted."""
    return refused(raw(COMPLAINT, START, name, severity=9), position, **more)


STAGE = dead_letter(
    b"[1.0]", "stage_failed", "stage queues: KeyError; see the log", "queues", "shop/1 e7", stage="queues"
)
CUT = dead_letter(b"x" * 70_000, "too_large", "70000 bytes; expected at most 65536", "csq.events[0]", 4)
BINARY = dead_letter(
    b"\xff\x00\x1b[31m", "not_json", "UnicodeDecodeError; expected one JSON object", "csq.events[0]", 5
)


def write(path: Path, letters: Sequence[Outgoing]) -> Path:
    """A file of dead letters; `.gz` is compressed."""
    data = b"".join(dead_letter_line(letter) + b"\n" for letter in letters)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def produce(address: str, topic: str, letters: Sequence[Outgoing], at: Sequence[float] = ()) -> None:
    """Dead letters into a topic, by key; `at` are their times (POSIX seconds), else now."""
    producer = Producer({"bootstrap.servers": address})
    times = [*at, *[time.time()] * (len(letters) - len(at))]
    for letter, when in zip(letters, times, strict=True):
        headers = list(letter.headers)
        producer.produce(topic, letter.value, letter.key, headers=headers, timestamp=int(when * 1000))
    assert producer.flush(DEADLINE_SECONDS) == 0


def consume(address: str, topic: str) -> list[Message]:
    """All that a topic holds."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "fetch.wait.max.ms": 10})
    found = consumer.list_topics(topic, timeout=DEADLINE_SECONDS).topics[topic].partitions
    parts = [TopicPartition(topic, n, 0) for n in found]
    expected = sum(consumer.get_watermark_offsets(part, timeout=DEADLINE_SECONDS)[1] for part in parts)
    consumer.assign(parts)
    messages = consumer.consume(expected, DEADLINE_SECONDS) if expected else []
    consumer.close()
    assert len(messages) == expected
    return messages
