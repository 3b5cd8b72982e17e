"""Puts the stream into Kafka: all at once into a real one, a little ahead of the reader into the embedded broker.

The embedded broker keeps about 5 MB per partition and drops the oldest. So it runs in a separate process, which feeds
while the measured process reads and reports its progress. It uses another core::

    python -m bench.feed FILE TOPIC     prints the broker's address; numbers of records read come on standard input
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # its stub forgets to export it

from bench import stream
from operators.connectors.embedded import PARTITIONS, EmbeddedBroker
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.producer import RecordProducer

TOPIC = "csq.bench"
AHEAD = 32_000
"""Records written ahead of the reader: 13 MB, where four partitions keep 20."""
ANSWER_SECONDS = 30.0
_LIBRDKAFKA: dict[str, str | int | float | bool] = {
    "batch.size": 200_000,
    "queue.buffering.max.messages": 1_000_000,
}


class Feeder:
    """The other process, as the measured one sees it."""

    def __init__(self, process: "subprocess.Popen[bytes]", brokers: str) -> None:
        self.brokers = brokers
        self._process = process

    def report(self, read: int) -> None:
        """So many records have been read."""
        if self._process.stdin is not None and self._process.poll() is None:
            self._process.stdin.write(b"%d\n" % read)


@contextmanager
def feeding(path: str) -> Iterator[Feeder]:
    """Feed a file into an embedded broker while the block runs.

    Raises:
        RuntimeError: the other process did not start.
    """
    command = [sys.executable, "-m", "bench.feed", path, TOPIC]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0) as process:  # noqa: S603  ours
        try:
            brokers = process.stdout.readline().decode().strip() if process.stdout is not None else ""
            if not brokers:
                raise RuntimeError("the process with the embedded broker ended before it gave an address; see above")
            yield Feeder(process, brokers)
        finally:
            process.kill()


def feed(path: Path, topic: str) -> None:
    """Run the broker, write the file into it, and wait until killed."""
    events = stream.read(path)
    with EmbeddedBroker([topic]) as broker:
        producer = _producer(broker.bootstrap_servers, compression="none")
        seen = 0
        for count, raw in enumerate(events):
            if count == AHEAD:  # the first are there before anyone reads
                producer.flush(ANSWER_SECONDS)
                _say(broker.bootstrap_servers)
            while count >= AHEAD and count - seen >= AHEAD:
                producer.poll()
                seen = int(sys.stdin.buffer.readline() or len(events))
            producer.produce(topic, raw.value, raw.key)
            if count % 1000 == 0:
                producer.poll()
        producer.flush(ANSWER_SECONDS)
        if len(events) <= AHEAD:
            _say(broker.bootstrap_servers)
        for _ in sys.stdin.buffer:  # until the reader has ended
            pass


def _producer(brokers: str, compression: str) -> RecordProducer:
    librdkafka = {**_LIBRDKAFKA, "compression.type": compression}
    return RecordProducer(KafkaParams(brokers=(brokers,), librdkafka=librdkafka), lambda *_: None)


def _say(address: str) -> None:
    print(address, flush=True)


@contextmanager
def filled(brokers: str, path: Path) -> Iterator[str]:
    """A topic of a real Kafka with the whole file; it is deleted after the block.

    Raises:
        SystemExit: the brokers do not answer, or refuse.
    """
    admin, topic = AdminClient({"bootstrap.servers": brokers, "log_level": 2}), f"{TOPIC}.{uuid4().hex[:8]}"
    try:
        admin.create_topics([NewTopic(topic, PARTITIONS)], request_timeout=ANSWER_SECONDS)[topic].result()
        producer = _producer(brokers, compression="lz4")
        for raw in stream.read(path):
            producer.produce(topic, raw.value, raw.key)
        left = producer.flush(ANSWER_SECONDS)
    except KafkaException as error:
        raise SystemExit(f"bench: topic {topic} at {brokers}: {error.args[0].str()}; check --brokers") from None
    try:
        if left:
            raise SystemExit(f"bench: {left} events were not taken by {brokers} in {ANSWER_SECONDS:g} s")
        yield topic
    finally:
        admin.delete_topics([topic])[topic].result()


if __name__ == "__main__":
    feed(Path(sys.argv[1]), sys.argv[2])
