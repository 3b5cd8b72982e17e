"""The shop of the first run: the simulator writes into the embedded broker, its last hour first, then in real time."""

import time
from collections.abc import Callable
from threading import Event, Thread

import msgspec
from confluent_kafka import Producer

from flows.settings import Settings
from operators.connectors.simulator import Simulator

PAST_SECONDS = 3600.0
"""What the shop lived through before the run begins: so every figure is there at once, and people are talking."""
MOST_UNREAD = 10_000
"""Events written ahead of the reader: the embedded broker forgets the oldest when its 5 MB per partition are full."""


class Shop(Thread):
    """Writes until `stop` is set; `read_count` tells how many events the flow has read."""

    def __init__(self, settings: Settings, read_count: Callable[[], int], stop: Event) -> None:
        super().__init__(name="csq-shop", daemon=True)
        self._topic = settings.kafka.topics[0]
        self._brokers = ",".join(settings.kafka.brokers)
        self._params = msgspec.structs.replace(settings.simulator, start=time.time() - PAST_SECONDS)
        self._read_count = read_count
        self._stop_event = stop

    def run(self) -> None:
        """Deliver each event at its time, those of the past as fast as they are read."""
        producer = Producer({"bootstrap.servers": self._brokers, "linger.ms": 5, "log_level": 2})
        for count, delivery in enumerate(Simulator(self._params, keep_books=False), 1):
            wait = delivery.time - time.time()
            if wait > 0:
                producer.poll(0)
                self._stop_event.wait(wait)
            while count - self._read_count() > MOST_UNREAD and not self._stop_event.is_set():
                producer.poll(0.01)
            if self._stop_event.is_set():
                break
            producer.produce(self._topic, delivery.raw, delivery.key)
            if count % 1000 == 0:
                producer.poll(0)
        producer.flush(2)
