"""The shop of the first run: the simulator writes into the embedded broker, its past first, then in real time.

``python -m flows.host.shop`` writes to the brokers of the settings, from now on: for a trial with a Kafka of its own.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from threading import Event, Thread

import msgspec

from flows.settings.load import load
from flows.settings.model import Settings
from operators.connectors.kafka.errors import KafkaOutputError
from operators.connectors.kafka.producer import RecordProducer
from operators.simulator import Simulator

log = logging.getLogger(__name__)

PAST_SECONDS = 1500.0
"""Length of the simulated past, so that every figure exists at the start. At 20 events a second it fits into the 5 MB
per partition of the embedded broker."""
PAST_STEP = 1_000
"""Records of that past that are read in one batch, so that their labels are learned before the next batch is scored."""


class Shop(Thread):
    """Writes until `stop` is set; `is_present` is set when its past is written.

    Reading should begin after that: event time of a partition that was read to its end is the wall clock, and further
    events of the past would be late.
    """

    def __init__(
        self,
        settings: Settings,
        stop: Event,
        past_seconds: float = PAST_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name="csq-shop", daemon=True)
        self.is_present = Event()
        self.has_failed = False
        self._topic = settings.kafka.topics[0]
        self._kafka = settings.kafka
        self._params = msgspec.structs.replace(settings.simulator, start=clock() - past_seconds)
        self._stop_event = stop
        self._clock = clock

    def run(self) -> None:
        """Deliver each event at its time, those of the past at once."""
        try:
            self._write()
        except KafkaOutputError as error:
            log.warning("the simulated shop has ended: %s", error, extra={"event": "shop_ended"})
            self.has_failed = True

    def _write(self) -> None:
        producer = RecordProducer(self._kafka, lambda *_: None)  # no event of the shop is worth stopping for
        for count, delivery in enumerate(Simulator(self._params, keep_books=False)):
            wait = delivery.time - self._clock()
            if wait > 0:
                if not self.is_present.is_set():
                    producer.flush(self._kafka.delivery_seconds)
                    self.is_present.set()
                producer.poll()
                self._stop_event.wait(wait)
            if self._stop_event.is_set():
                break
            producer.produce(self._topic, delivery.raw, delivery.key)
            if count % 1000 == 0:
                producer.poll()
        producer.flush(2)


def main() -> None:
    """Write to the brokers of the settings until SIGTERM or SIGINT; no past: a running csq would take it for late."""
    settings = load(None, os.environ)
    if not settings.kafka.brokers:
        raise SystemExit("flows.host.shop: no brokers to write to: set CSQ_KAFKA__BROKERS, such as [127.0.0.1:29092]")
    stop = Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    shop = Shop(settings, stop, past_seconds=0.0)
    shop.start()
    shop.join()
    if shop.has_failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
