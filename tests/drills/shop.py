"""The shop of a drill: the simulator's, but its day passes as many times faster as the rules' windows are shorter.

Every time that is written in an event is moved towards the start of the shop by the same factor, so what took a minute
takes a second, on the wire as in life: csq and Prometheus see true events at their true times.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Event, Thread

import msgspec
from confluent_kafka import Producer

from operators.simulator import Scenario, Simulator, SimulatorParams

STAMP = re.compile(rb'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"')
"""A time as the simulator writes it, also in an event that is broken elsewhere."""

RECONNECT_SECONDS = 10.0
"""librdkafka's longest."""
LINGER_MILLISECONDS = 5
"""A producer's own, as librdkafka has it."""
LIVE_SECONDS = 0.1
"""Within so much of the clock the shop has written its past."""


def faster(raw: bytes, start: float, by: float) -> bytes:
    """The event with all its times nearer to `start` (POSIX seconds).

    >>> faster(b'{"time":"2026-01-05T08:01:00.000Z"}', 1_767_600_000.0, 60)
    b'{"time":"2026-01-05T08:00:01.000000Z"}'
    """

    def moved(found: "re.Match[bytes]") -> bytes:
        at = datetime.fromisoformat(found[1].decode()).timestamp()
        sooner = datetime.fromtimestamp(start + (at - start) / by, UTC)
        return b'"%s"' % sooner.isoformat(timespec="microseconds").replace("+00:00", "Z").encode()

    return STAMP.sub(moved, raw)


def reconnecting(by: float) -> dict[str, int]:
    """A client's pause before it tries a lost broker again, `by` times shorter than librdkafka's own."""
    return {"reconnect.backoff.max.ms": round(RECONNECT_SECONDS * 1000 / by)}


class Shop(Thread):
    """Writes events to `topic`, each at its time, until `close`; `change` sets the scenario of the shop.

    It has been open for `past_seconds` of its own time: what happened in them is written at once, before `is_live`.
    """

    def __init__(self, brokers: str, topic: str, params: SimulatorParams, by: float, past_seconds: float) -> None:
        super().__init__(name="shop", daemon=True)
        self.behind_seconds = 0.0
        """How late an event was written at most: more than moments, and the machine is too busy for this."""
        self.is_live = False
        self._topic = topic
        self._by = by
        self._params = msgspec.structs.replace(params, start=round(time.time() - past_seconds / by, 3))
        config = {"bootstrap.servers": brokers, "linger.ms": LINGER_MILLISECONDS, "log_level": 0}
        self._producer = Producer(config | reconnecting(by))
        self._orders: SimpleQueue[Callable[[Simulator], None]] = SimpleQueue()
        self._closed = Event()

    def change(self, scenario: Scenario) -> None:
        """Begin a scenario now, or end the present one with `normal`."""
        self._orders.put(lambda simulator: simulator.change(scenario))

    def close(self) -> None:
        """Stop writing."""
        self._closed.set()
        self.join(10)

    def run(self) -> None:
        """Deliver each event at its time."""
        start = self._params.start
        simulator = Simulator(self._params, keep_books=False)
        for delivery in simulator:
            due = start + (delivery.time - start) / self._by
            while (wait := due - time.time()) > 0 and not self._closed.is_set():
                self._closed.wait(min(wait, 0.1))
            if self._closed.is_set():
                break
            self.is_live = self.is_live or -wait < LIVE_SECONDS
            self.behind_seconds = max(self.behind_seconds, -wait)
            self._producer.produce(self._topic, faster(delivery.raw, start, self._by), delivery.key)
            self._producer.poll(0)  # what was delivered leaves the queue
            self._take_orders(simulator)
        self._producer.purge()

    def _take_orders(self, simulator: Simulator) -> None:
        while True:
            try:
                self._orders.get_nowait()(simulator)
            except Empty:
                return
