"""Both ways of reading the stream from Kafka: the source of csq, and a bare consumer loop."""

from collections.abc import Callable, Iterator
from threading import Event

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.source import KafkaSource
from operators.domain.time.route import Chunk

WAIT_SECONDS = 0.001
"""`consume` waits so long for a whole batch; longer and it would rest although records are there."""


class Positions(dict[str, int]):
    """Progress of the source in each partition; it stops when all records were handed on."""

    def __init__(self, total: int, stop: Event, report: Callable[[int], None]) -> None:
        super().__init__()
        self._total, self._stop, self._report = total, stop, report

    def __setitem__(self, name: str, position: int) -> None:
        super().__setitem__(name, position)
        read = sum(max(each, 0) for each in self.values())  # where to begin is a negative number
        if read:
            self._report(read)
        if read >= self._total:
            self._stop.set()


def source(
    params: KafkaParams, topic: str, total: int, ready: Callable[[], bool], report: Callable[[int], None]
) -> KafkaSource:
    """The product's source, that ends after `total` records."""
    stop = Event()
    made = KafkaSource(params, [topic], ready=ready, stop=stop)
    made.status.positions = Positions(total, stop, report)
    return made


def bare_chunks(params: KafkaParams, topic: str, total: int, report: Callable[[int], None]) -> Iterator[list[Chunk]]:
    """Records of a plain consumer, a batch at a time, by partition.

    Raises:
        KafkaException: an error of the broker.
    """
    own = {
        "group.id": "csq-bench",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": params.queue_kbytes,
        "fetch.wait.max.ms": 100,
    }
    consumer = Consumer(params.client_config(own))
    try:
        partitions = consumer.list_topics(topic, timeout=params.connect_seconds).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        read = 0
        while read < total:
            messages = consumer.consume(params.batch_size, WAIT_SECONDS)
            if messages:
                read += len(messages)
                report(read)
                yield _dealt(messages)
    finally:
        consumer.close()


def _dealt(messages: list[Message]) -> list[Chunk]:
    chunks: dict[int | None, Chunk] = {}
    for message in messages:
        if (error := message.error()) is not None:
            raise KafkaException(error)
        number = message.partition()
        chunk = chunks.get(number)
        if chunk is None:
            chunk = chunks[number] = Chunk(f"{message.topic()}[{number}]", None, [], [])
        chunk.positions.append(message.offset())  # type: ignore[arg-type]  # a record has an offset
        chunk.values.append(message.value())
    return list(chunks.values())
