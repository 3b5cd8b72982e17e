"""What is watched in a drill: a real `csq run` in a process of its own, a broker, and the shop that writes to it."""

import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any, Self
from urllib.parse import urlsplit

from flows.settings.model import Settings
from operators.connectors.embedded import EmbeddedBroker
from operators.simulator import SimulatorParams
from tests.drills.shop import Shop, reconnecting
from tests.servers.kafka import Kafka
from tests.servers.process import Csq
from tests.streams import SETTINGS

TOPIC = "csq.events"
READY_SECONDS = 90.0
FETCH_MILLISECONDS = 25
OPEN_SECONDS = 5_400.0
"""Of the shop's own time, before csq sees it live: an hour and a half of labels, after which the models are good."""
PAUSE_SECONDS = 2.0
"""Between two looks at the models: a page of metrics is work for csq."""
MODELS = (("sentiment/en",), ("sentiment/zh",), ("churn",))
"""Those with an objective, the one with most labels first."""
FEW, ENOUGH, ACCURACY = 10, 30, 0.65
"""The drill waits until the first has had enough labels, and each that has had more than a few is right so often:
before its first labels no model is any good, and the alerts say so."""


def settings(brokers: str, by: float) -> dict[str, Any]:
    """Default settings, with limits of waits and of disorder that are shorter by the factor of the shop's day."""
    usual = Settings()
    # Kafka answers a fetch as soon as there is something, the embedded broker when its time is over.
    client = {"fetch.wait.max.ms": FETCH_MILLISECONDS} | reconnecting(by)
    return {
        "kafka": {"brokers": [brokers], "topics": [TOPIC], "librdkafka": client},
        "order": {"out_of_order_seconds": usual.order.out_of_order_seconds / by},
        "labels": {label: list(getattr(SETTINGS.labels, label)) for label in ("queues", "channels", "segments")},
        "promises": {
            "limit_seconds": usual.promises.limit_seconds / by,
            "grace_seconds": usual.promises.grace_seconds / by,
        },
    }


STOPPED = Event()
"""Set when the drills are aborted: all waits end, and servers are stopped."""


class StoppedError(RuntimeError):
    """The drills were aborted."""


def go_on() -> None:
    """Raise if the drills were aborted."""
    if STOPPED.is_set():
        raise StoppedError("the drills were given up")


class Ground:
    """A shop whose day passes `by` times faster, and csq over it; with `real_kafka` a broker that can be killed."""

    def __init__(self, folder: Path, by: float, params: SimulatorParams, *, real_kafka: bool) -> None:
        self.by = by
        self._params = params
        self._folder = folder
        self._real_kafka = real_kafka
        self._stack = ExitStack()
        self.kafka: Kafka | None = None
        self.shop: Shop
        self.csq: Csq

    @property
    def target(self) -> str:
        """host:port of csq's metrics."""
        return urlsplit(self.csq.url()).netloc

    def __enter__(self) -> Self:
        try:
            brokers = self._broker()
            self.csq = self._stack.enter_context(Csq(self._folder / "csq", settings(brokers, self.by)))
            self.csq.until(self._is_ready, READY_SECONDS)
            self.shop = Shop(brokers, TOPIC, self._params, self.by, OPEN_SECONDS)
            self.shop.start()
            self._stack.callback(self.shop.close)
            self.csq.until(self._has_learned, READY_SECONDS)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _is_ready(self) -> bool:
        go_on()
        return self.csq.get("/readyz")[0] == 200

    def _has_learned(self) -> bool:
        go_on()
        time.sleep(PAUSE_SECONDS)
        if not self.shop.is_live:
            return False
        values = self.csq.values()
        examples, accuracy = values["csq_model_examples_total"], values.get("csq_model_accuracy", {})
        judged = [model for model in MODELS if examples.get(model, 0) > FEW]
        return examples.get(MODELS[0], 0) >= ENOUGH and all(accuracy.get(model, 0) >= ACCURACY for model in judged)

    def _broker(self) -> str:
        topics = [TOPIC, *Settings().kafka.outputs.by_stream().values()]
        if not self._real_kafka:
            return self._stack.enter_context(EmbeddedBroker(topics)).bootstrap_servers
        self.kafka = self._stack.enter_context(Kafka(self._folder / "kafka"))
        for topic in topics:
            self.kafka.create_topic(topic)
        return self.kafka.address
