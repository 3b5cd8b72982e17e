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
from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka.errors import KafkaOutputError
from operators.connectors.kafka.producer import RecordProducer
from operators.domain.stage.labels import AUTO, LabelsParams
from operators.simulator import NAMES, Simulator

log = logging.getLogger(__name__)

PAST_SECONDS = 1500.0
"""Length of the simulated past, so that every figure exists at the start. At 20 events a second it fits into the 5 MB
per partition of the embedded broker."""
PAST_STEP = 1_000
"""Records of that past that are read in one batch, so that their labels are learned before the next batch is scored."""


class ShopThread(Thread):
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


def embedded(settings: Settings) -> tuple[Settings, EmbeddedBroker]:
    """Start an embedded broker in place of Kafka; return it with settings that name it."""
    log.warning(
        "simulated data: kafka.brokers is not set, so csq serves the invented customers of a simulated shop; "
        "no alert fires on them",
        extra={"event": "simulated_data"},
    )
    broker = EmbeddedBroker([*settings.kafka.topics, *settings.kafka.outputs.by_stream().values()])
    kafka = msgspec.structs.replace(
        settings.kafka,
        brokers=(broker.bootstrap_servers,),
        batch_size=min(settings.kafka.batch_size, PAST_STEP),
        librdkafka={"fetch.wait.max.ms": 10, **settings.kafka.librdkafka},  # it answers only after that wait
    )
    state = settings.state
    if state.directory is not None:
        log.warning(
            "state.directory is ignored: the embedded broker keeps no events when it stops",
            extra={"event": "state_ignored"},
        )
        state = msgspec.structs.replace(state, directory=None)
    return msgspec.structs.replace(settings, kafka=kafka, state=state, labels=_shop_names(settings.labels)), broker


def _shop_names(labels: LabelsParams) -> LabelsParams:
    """The settings, with the names of the simulated shop instead of `auto`, so that its figures exist at once."""
    names = msgspec.structs.asdict(labels)
    return LabelsParams(**{key: getattr(NAMES, key) if names[key] == AUTO else names[key] for key in names})


def main() -> None:
    """Write to the brokers of the settings until SIGTERM or SIGINT; no past: a running csq would take it for late."""
    settings = load(None, os.environ)
    if not settings.kafka.brokers:
        raise SystemExit("flows.host.shop: no brokers to write to: set CSQ_KAFKA__BROKERS, such as [127.0.0.1:29092]")
    stop = Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    shop = ShopThread(settings, stop, past_seconds=0.0)
    shop.start()
    shop.join()
    if shop.has_failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
