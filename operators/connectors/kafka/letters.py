"""Dead letters in their topic, and the producer that sends them again.

Receipts are records of the dead-letter topic itself: without a value, with the key of their letter and their fields in
headers. They are retained as long as the letters, every machine sees them, and they need no setup. The offset of a
consumer group could not replace them: letters are sent again by reason and source, not in order.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from time import monotonic, sleep

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from operators.connectors.files.letters import DeadLettersError, Letter, Receipt
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.producer import Headers, Sender

AT_ONCE = 500
"""Maximum number of records per request."""
POLL_SECONDS = 0.2
QUIET_SECONDS = 30.0
"""Time limit for the brokers' next record while records are expected."""
END_OF_PARTITION = KafkaError._PARTITION_EOF  # noqa: SLF001 - a public code of librdkafka, only spelled so
MARK = "csq-redriven"
"""Header of a receipt, and of an event that was sent again: how often."""
FROM = "csq-redriven-from"
"""Header of both: the place of the letter."""


class TopicBox:
    """The dead-letter topic; read from its beginning, or from `since` (POSIX seconds), to the end it has right now."""

    def __init__(self, params: KafkaParams, topic: str, since: float | None = None) -> None:
        self.name = topic
        self._params = params
        self._since = since
        self._errors: list[KafkaError] = []

    def read(self) -> Iterator[Letter | Receipt]:
        """Letters and receipts; those of one partition in their order."""
        with closing(self._consumer()) as consumer:
            ends = self._ends(consumer)
            left = {part for part, (low, high) in ends.items() if low < high}
            consumer.assign([TopicPartition(self.name, part, self._start(consumer, part)) for part in sorted(left)])
            received = monotonic()
            while left:
                for message in consumer.consume(AT_ONCE, POLL_SECONDS):
                    received = monotonic()
                    part, offset, error = message.partition(), message.offset(), message.error()
                    if part is None or offset is None or part not in left:
                        continue
                    if error is not None and error.code() != END_OF_PARTITION:
                        raise DeadLettersError(f"Kafka: {self.name}[{part}] cannot be read: {error.str()}")
                    if error is None and offset < ends[part][1]:
                        yield _read(message, f"{self.name}:{part}:{offset}")
                    if error is not None or offset >= ends[part][1] - 1:
                        left.discard(part)
                if monotonic() - received > QUIET_SECONDS:
                    raise DeadLettersError(
                        f"Kafka: {self.name}: no records from {self._where()} for {QUIET_SECONDS:g} s"
                        f"{self._because()}; try again when the brokers answer"
                    )

    def note(self, receipts: Sequence[Receipt]) -> None:
        """Write receipts to the partitions of their letters, and wait until they are acknowledged."""
        sender = Sender(self._params)
        for receipt in receipts:
            part = int(receipt.place.split(":")[-2])
            sender.send(self.name, receipt.id, None, partition=part, headers=_headers_of(receipt))
        sender.flush()

    def _consumer(self) -> Consumer:
        own = {
            "group.id": "csq-deadletters",  # librdkafka requires one; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "error_cb": self._errors.append,
        }
        return Consumer(self._params.client_config(own))

    def _ends(self, consumer: Consumer) -> dict[int, tuple[int, int]]:
        """First offset and the one behind the last, by partition."""
        seconds = self._params.connect_seconds
        try:
            deadline = monotonic() + seconds
            while True:
                found = consumer.list_topics(self.name, timeout=seconds).topics[self.name]
                if found.error is None or found.error.code() != KafkaError.LEADER_NOT_AVAILABLE:
                    break
                if monotonic() > deadline:
                    break
                sleep(POLL_SECONDS)
            if found.error is not None:
                raise DeadLettersError(
                    f"Kafka: topic {self.name!r} cannot be read at {self._where()}: {found.error.str()}. "
                    "kafka.outputs.deadletters sets its name; brokers with automatic topic creation "
                    "create it at the first letter"
                )
            return {
                part: consumer.get_watermark_offsets(TopicPartition(self.name, part), timeout=seconds)
                for part in sorted(found.partitions)
            }
        except KafkaException as error:
            consumer.poll(0)  # calls error_cb, whose errors are more precise than "timed out"
            raise DeadLettersError(
                f"Kafka: no answer from {self._where()} in {seconds:g} s: {error.args[0].str()}{self._because()}. "
                "Check kafka.brokers and kafka.security"
            ) from None

    def _start(self, consumer: Consumer, part: int) -> int:
        if self._since is None:
            return OFFSET_BEGINNING
        asked = TopicPartition(self.name, part, int(self._since * 1000))
        [found] = consumer.offsets_for_times([asked], timeout=self._params.connect_seconds)
        # No answer: no record is as young, or it is the embedded broker, which has no times. All is read then.
        return found.offset if found.offset >= 0 else OFFSET_BEGINNING

    def _where(self) -> str:
        return ",".join(self._params.brokers)

    def _because(self) -> str:
        return "".join(f"; {text}" for text in dict.fromkeys(error.str() for error in self._errors[-3:]))


def _read(message: Message, place: str) -> Letter | Receipt:
    headers = {name: _text(value) for name, value in dict(message.headers() or ()).items()}
    value = message.value()
    if value is None and MARK in headers:
        times = headers[MARK]
        return Receipt(
            _text(message.key()),
            headers.get("digest", ""),
            int(times) if times.isdecimal() else 1,
            headers.get("at", ""),
            headers.get("to", ""),
            headers.get(FROM, place),
        )
    kind, milliseconds = message.timestamp()
    return Letter(place, headers, value or b"", milliseconds / 1000 if kind else None)


def _text(value: bytes | str | None) -> str:
    return value if isinstance(value, str) else (value or b"").decode(errors="replace")


def _headers_of(receipt: Receipt) -> Headers:
    return [
        (MARK, str(receipt.times)),
        (FROM, receipt.place),
        ("digest", receipt.digest),
        ("at", receipt.at),
        ("to", receipt.to),
    ]
