"""Input and output of the soak: events of a shop as they happen, and the result of each."""

import time
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from bench.stream import SHARES, EventMaker, OpenTalk, Raw
from bench.texts import Texts
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.producer import RecordProducer

TURNS, DEAD = "csq.turn.scored", "csq.deadletters"
BLOCK_SECONDS = 0.01
"""Events are produced so many seconds' worth at a time."""
MOST_MESSAGES = 16_000_000
"""Messages of customers a soak may have: an hour at 5,000 events a second has ten million."""
ANSWER_SECONDS = 60.0


Produce = Callable[[str, bytes, bytes], None]
"""Takes topic, value and key."""


class LiveMaker(EventMaker):
    """The benchmark's shop, at the wall clock; remembers which of its records must be answered by what."""

    def __init__(self, texts: Texts, seed: int) -> None:
        super().__init__(texts, seed)
        self.asked = bytearray(MOST_MESSAGES)
        """Number of a message -> 1 if a customer wrote it."""
        self.broken = self.made = 0

    def one(self, kind: str) -> Raw:
        """An event with the present time."""
        self._time = time.time()
        self.made += 1
        raw = self._one(kind)
        self.broken += kind == "broken"
        return raw

    def kinds(self, count: int) -> list[str]:
        """The next events."""
        return self._rng.choices(list(SHARES), list(SHARES.values()), k=count)

    def _customer(self, talk: OpenTalk) -> tuple[str, dict[str, Any]]:
        made = super()._customer(talk)
        self.asked[self._messages] = 1
        return made


class Traffic(Thread):
    """Produces at a steady rate until it is stopped. Its methods may be called from other threads."""

    def __init__(self, brokers: str, topic: str, shop: LiveMaker, rate: float) -> None:
        super().__init__(name="traffic", daemon=True)
        self.shop = shop
        self.failed: list[str] = []
        """What the brokers did not take."""
        self.rate = rate
        """Events per second."""
        self._topic = topic
        self._stopping = Event()
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        params = KafkaParams(
            brokers=(brokers,),
            delivery_seconds=600.0,  # outlives every fault: what was produced must be there at the end
            librdkafka={"linger.ms": 2, "queue.buffering.max.messages": 2_000_000},
        )
        self._producer = RecordProducer(params, self._on_delivery)
        self._produce: Produce = self._producer.produce

    def burst(self, count: int) -> None:
        """Produce so many broken records as soon as possible."""
        self._calls.put(lambda: self._send_all(["broken"] * count))

    def divert(self, produce: Produce) -> None:
        """Produce what follows with another producer."""
        self._calls.put(lambda: setattr(self, "_produce", produce))

    def end_diversion(self, then: Callable[[], None]) -> None:
        """Produce what follows as before, and call `then` in between."""
        self._calls.put(then)
        self._calls.put(lambda: setattr(self, "_produce", self._producer.produce))

    def produce_all(self, records: Iterable[tuple[str, bytes, bytes]]) -> None:
        """Produce records that were diverted; called in `end_diversion`."""
        for record in records:
            self._producer.produce(*record)

    def run(self) -> None:
        """Produce."""
        began, produced = time.monotonic(), 0
        while not self._stopping.is_set():
            due = int((time.monotonic() - began) * self.rate) - produced
            self._send_all(self.shop.kinds(max(due, 0)))
            produced += max(due, 0)
            while (call := self._next_call()) is not None:
                call()
            self._producer.poll()
            time.sleep(BLOCK_SECONDS)
        if left := self._producer.flush(ANSWER_SECONDS):
            self.failed.append(f"{left} records were never taken")

    def stop(self) -> None:
        """End, with everything delivered."""
        self._stopping.set()
        self.join()

    def _next_call(self) -> Callable[[], None] | None:
        try:
            return self._calls.get_nowait()
        except Empty:
            return None

    def _send_all(self, kinds: Iterable[str]) -> None:
        for raw in map(self.shop.one, kinds):
            self._produce(self._topic, raw.value, raw.key)

    def _on_delivery(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self.failed.append(error.str())


class _Keys(msgspec.Struct):
    message_id: str


class _Turn(msgspec.Struct):
    data: _Keys


_turn = msgspec.json.Decoder(_Turn).decode


class Answers(Thread):
    """Reads what csq writes: which messages were scored, how often, and which records were refused."""

    def __init__(self, brokers: str, topics: Mapping[str, int]) -> None:
        super().__init__(name="answers", daemon=True)
        self.scored = bytearray(MOST_MESSAGES)
        """Number of a message -> 1 once it was scored."""
        self.repeats = 0
        """Repeated scores: after a crash the last seconds are published twice, with the same id."""
        self.refused: set[tuple[bytes, bytes]] = set()
        """Keys of dead letters (where their records were read) and their bytes: a new topic has the same places."""
        self._stopping = Event()
        self._consumer = Consumer({"bootstrap.servers": brokers, "group.id": "soak", "log_level": 2})
        self._consumer.assign(
            [TopicPartition(topic, part, OFFSET_BEGINNING) for topic, count in topics.items() for part in range(count)]
        )

    def run(self) -> None:
        """Read."""
        while not self._stopping.is_set():
            for message in self._consumer.consume(2_000, 0.1):
                value = message.value()
                if message.error() is not None or value is None:
                    continue
                if message.topic() == DEAD:
                    self.refused.add((message.key() or b"", value))
                else:
                    number = int(_turn(value).data.message_id.removeprefix("message-"))
                    self.repeats += self.scored[number]
                    self.scored[number] = 1
        self._consumer.close()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self.join()

    def missing(self, shop: LiveMaker) -> list[int]:
        """Messages of customers that were never scored."""
        most = shop.asked.rfind(1) + 1
        return [number for number in range(most) if shop.asked[number] and not self.scored[number]]

    def count(self) -> int:
        """Number of records that have arrived."""
        return self.scored.count(1) + len(self.refused)
