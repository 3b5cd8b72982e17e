"""Reading a partition in a process of its own, which may die of what it reads.

librdkafka ends its process when a compressed batch does not fit into memory. So records around such a batch are read
by a small process with bounded memory, one batch at a time. What it read before it died is received.
"""

import os
import re
import resource
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import IO, Any, Final, Literal, NamedTuple, Self, cast

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition
from msgspec import Struct

from operators.connectors.kafka.errors import END_OF_PARTITION, NO_SUCH_OFFSET, UNREACHABLE, UNREADABLE, input_error
from operators.connectors.kafka.params import part_name

MEMORY_MIB: Final = 128
"""Memory for one batch, above that of the process itself. Brokers take batches of 1 MB unless set otherwise."""
TRIES: Final = 2
"""So many processes die at one offset before the record there counts as unreadable."""
START_SECONDS: Final = 30.0
"""Time limit for the first answer of a process."""
POLL_SECONDS: Final = 0.2
READ_BYTES: Final = 1 << 20
_HEAD: Final = 4
"""Bytes of the length before each answer."""


Kind = Literal["record", "end", "unreadable", "expired", "failed"]


class Asked(Struct):
    """What a process is to read: from `begin` on, up to but not including `until`, or to the end."""

    config: dict[str, Any]
    """Settings of librdkafka, secrets too: they go through a pipe, and not into arguments."""
    topic: str
    partition: int
    begin: int
    until: int | None


class Answer(NamedTuple):
    """A record; that there are no more before `until` or the end; a batch that cannot be unpacked; or an error."""

    kind: Kind
    offset: int
    content: bytes | None
    """Value of the record, or text of the error."""


class ApartReader:
    """Reads one partition by a process of its own; use it in a ``with`` block or close it.

    Args:
        config: settings of a consumer, without callbacks.
        topic, partition: what is read.
        begin, until: first offset, and the first one that is not read; `None`: on to the end of the partition.
    """

    def __init__(self, config: Mapping[str, Any], topic: str, partition: int, begin: int, until: int | None) -> None:
        self._left = b""
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it ends with its parent, not with Ctrl-C
        )
        self._in, self._out = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        os.set_blocking(self._out.fileno(), False)
        asked = Asked(one_batch_at_a_time(config), topic, partition, begin, until)
        with suppress(BrokenPipeError):  # it has ended already
            self._in.write(msgspec.json.encode(asked) + b"\n")
            self._in.flush()

    def answers(self) -> list[Answer] | None:
        """What has come since the last call, without waiting; `None` once the process has ended and nothing is left."""
        read = self._out.read(READ_BYTES)
        if read == b"":
            return None
        left, found, at = self._left + (read or b""), [], 0
        while len(left) - at >= _HEAD:
            end = at + _HEAD + int.from_bytes(left[at : at + _HEAD], "big")
            if end > len(left):
                break
            found.append(_decode(left[at + _HEAD : end]))
            at = end
        self._left = left[at:]
        return found

    def until(self, deadline: float) -> Iterator[Answer]:
        """Each answer as it comes, until the process has ended or `deadline` (`monotonic`) has passed."""
        while (found := self.answers()) is not None and monotonic() < deadline:
            yield from found
            if not found:
                select.select([self._out], [], [], POLL_SECONDS)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._in, self._out):
            with suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def first_unreadable(
    config: Mapping[str, Any], topic: str, partition: int, begin: int, *, most_bytes: int, deadline: float
) -> int | None:
    """The first offset from `begin` on whose record cannot be read; `None` if none was found.

    The search ends at the end of the partition, after `most_bytes` of records, or at `deadline` (`monotonic`).

    Raises:
        KafkaInputError: the partition cannot be read for another reason.
    """
    at, tries, size = begin, 0, 0
    while tries < TRIES:
        with ApartReader(config, topic, partition, at, None) as reader:
            for answer in reader.until(deadline):
                match answer.kind:
                    case "record":
                        at, tries, size = answer.offset + 1, 0, size + len(answer.content or b"")
                    case "unreadable":
                        return max(at, answer.offset)  # that of the whole batch, perhaps before `begin`
                    case "failed":
                        raise input_error(part_name(topic, partition), (answer.content or b"").decode())
                    case "end" | "expired":
                        return None
                if size > most_bytes:
                    return None
        if monotonic() >= deadline:
            return None
        tries += 1
    return at


def is_readable(config: Mapping[str, Any], topic: str, partition: int, offset: int) -> bool:
    """Whether a record at `offset` or behind it can be read, or the partition ends there.

    Raises:
        KafkaInputError: the partition cannot be read for another reason.
    """
    name, deadline = part_name(topic, partition), monotonic() + START_SECONDS
    for _ in range(TRIES):
        with ApartReader(config, topic, partition, offset, None) as reader:
            for answer in reader.until(deadline):
                if answer.kind in {"expired", "failed"}:
                    raise input_error(name, (answer.content or b"").decode())
                return answer.kind != "unreadable"
        if monotonic() >= deadline:
            raise input_error(name, f"no answer in {START_SECONDS:g} s")
    return False


def end_of_unreadable(config: Mapping[str, Any], topic: str, partition: int, begin: int, end: int) -> int:
    """The first offset behind the batch that cannot be read at `begin`; `end` is that of the partition.

    A fetch in the middle of a batch gets the whole batch. So an offset behind it is found by doubling the distance, and
    the first one by halving it.

    Raises:
        KafkaInputError: as `is_readable`.
    """
    bad, step = begin, 1
    while (good := min(begin + step, end)) < end and not is_readable(config, topic, partition, good):
        bad, step = good, step * 2
    while good - bad > 1:
        middle = (bad + good) // 2
        bad, good = (bad, middle) if is_readable(config, topic, partition, middle) else (middle, good)
    return good


def one_batch_at_a_time(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a consumer that fetches the next batch only when the last one was taken.

    A broker sends at least one batch, whatever the limit.
    """
    own = {
        "queued.min.messages": 1,
        "fetch.message.max.bytes": 1,
        "statistics.interval.ms": 0,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
    }
    return {name: value for name, value in config.items() if name != "max.partition.fetch.bytes"} | own


def main() -> None:
    """Answer what standard input asks, on standard output; ends with either."""
    asked = msgspec.json.decode(sys.stdin.buffer.readline(), type=Asked)
    consumer = Consumer(asked.config)
    _bound_memory()
    consumer.assign([TopicPartition(asked.topic, asked.partition, asked.begin)])
    while not select.select([sys.stdin], [], [], 0)[0]:
        for message in consumer.consume(1, POLL_SECONDS):
            answer = _answer(message)
            if answer is None:
                continue
            if answer.kind == "record" and asked.until is not None and answer.offset >= asked.until:
                answer = Answer("end", answer.offset, None)
            _say(answer)
            if answer.kind != "record":
                return


def _answer(message: Message) -> Answer | None:
    """The answer for what librdkafka gives; `None` while it connects again by itself."""
    offset, error = message.offset() or 0, message.error()
    if error is None:
        return Answer("record", offset, message.value())
    code = error.code()
    if code == END_OF_PARTITION:
        return Answer("end", offset, None)
    if code in UNREACHABLE:
        return None
    kind = "unreadable" if code in UNREADABLE else "expired" if code == NO_SUCH_OFFSET else "failed"
    return Answer(cast("Kind", kind), offset, error.str().encode())


def _say(answer: Answer) -> None:
    encoded = msgspec.msgpack.encode(answer)
    sys.stdout.buffer.write(len(encoded).to_bytes(_HEAD, "big") + encoded)
    sys.stdout.buffer.flush()


def _bound_memory() -> None:
    """Let an allocation beyond `MEMORY_MIB` fail; before the system ends another process for it."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmData:\s+(\d+)", status.read_text())):
        most = (int(found[1]) << 10) + (MEMORY_MIB << 20)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


_decode = msgspec.msgpack.Decoder(Answer).decode


if __name__ == "__main__":
    main()
