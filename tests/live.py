"""A live process in this thread over an embedded broker, with a test that watches it from another thread."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from bytewax.testing import cluster_main

from flows.live import Live
from flows.settings.load import load
from operators.connectors.embedded import EmbeddedBroker


def live_at(broker: EmbeddedBroker, librdkafka: Mapping[str, Any] | None = None, **kafka: Any) -> Live:
    """A live process with default settings, and these under `kafka`, that serves its pages on a free port."""
    settings = load(None, {})
    client = {"fetch.wait.max.ms": 10, **(librdkafka or {})}  # the embedded broker answers only after that wait
    connection = msgspec.structs.replace(
        settings.kafka, brokers=(broker.bootstrap_servers,), librdkafka=client, **kafka
    )
    http = msgspec.structs.replace(settings.http, port=0)
    return Live(msgspec.structs.replace(settings, kafka=connection, http=http))


def run_beside(live: Live, watch: Callable[[], None]) -> None:
    """Run the flow in this thread and `watch` in another; the flow ends when `watch` returns or fails."""
    failed: list[BaseException] = []

    def watching() -> None:
        try:
            watch()
        except BaseException as error:  # noqa: BLE001 - raised again, in the test's own thread
            failed.append(error)
        live.stop.set()

    watcher = threading.Thread(target=watching)
    live.web.start()
    watcher.start()
    try:
        cluster_main(live.flow(), [], 0)
    finally:
        live.stop.set()
        watcher.join()
        live.web.stop()
    if failed:
        raise failed[0]
