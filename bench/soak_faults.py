"""Faults of the soak: what happens to csq, its brokers, its topic, its clock and its store while records keep coming.

Each fault returns when it is over. What csq must do meanwhile, besides losing nothing, is checked here.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.soak_process import REFRESH_SECONDS, TOPIC, Csq
from bench.soak_traffic import Answers, Traffic

if TYPE_CHECKING:
    from tests.servers.kafka import Kafka
    from tests.servers.wallclock import WallClock

BURST = 5_000
HELD_SECONDS = 5.0
DOWN_SECONDS = 12.0
AHEAD_SECONDS, BACK_SECONDS = 100.0, 60.0
"""By how much the wall clock is wrong."""
WRONG_SECONDS = 8.0
"""How long it is wrong."""
OPEN_SECONDS = 8.0
"""How long a transaction stays open."""
LIMIT_SECONDS = 60.0
"""Within so many csq has to react to a fault."""
MORE_PARTITIONS = 2
SETTLE_SECONDS = 3.0
"""From when nothing waits to be read until all that was read is published."""


class Fault(NamedTuple):
    """A fault at a share of the whole time."""

    share: float
    name: str
    do: Callable[[], None]


class Faults:
    """The faults, in their order.

    Args:
        kafka: the broker.
        csq: what they happen to.
        traffic: what produces the records.
        answers: what csq has made of them.
        clock: the wall clock of csq.
        partitions: of the topic.
    """

    def __init__(
        self, kafka: "Kafka", csq: Csq, traffic: Traffic, answers: Answers, clock: "WallClock", partitions: int
    ) -> None:
        self._kafka, self._csq, self._traffic, self._answers, self._clock = kafka, csq, traffic, answers, clock
        self._partitions = partitions
        self.wrong: list[str] = []
        """What csq did not do."""

    def planned(self) -> list[Fault]:
        """All of them. The last process starts with the clock of the machine."""
        return [
            Fault(0.08, "kill -9", self._kill),
            Fault(0.12, f"{BURST:,} broken records at once", lambda: self._traffic.burst(BURST)),
            Fault(0.16, f"clock {AHEAD_SECONDS:g} s ahead for {WRONG_SECONDS:g} s", lambda: self._step(AHEAD_SECONDS)),
            Fault(0.20, f"clock {BACK_SECONDS:g} s back for {WRONG_SECONDS:g} s", lambda: self._step(-BACK_SECONDS)),
            Fault(0.25, f"held still for {HELD_SECONDS:g} s", lambda: self._csq.hold(HELD_SECONDS)),
            Fault(0.30, f"transaction open for {OPEN_SECONDS:g} s", self._transaction),
            Fault(0.35, f"broker down for {DOWN_SECONDS:g} s", self._broker_down),
            Fault(0.40, f"{MORE_PARTITIONS} partitions added", self._add_partitions),
            Fault(0.44, "topic deleted and made anew", self._recreate_topic),
            Fault(0.48, "store removed and put back", self._remove_store),
            Fault(0.55, "kill -9", self._kill_last),
        ]

    def _kill(self) -> None:
        self._csq.kill()
        self._csq.start()

    def _kill_last(self) -> None:
        self._csq.environ = {}
        self._kill()

    def _step(self, seconds: float) -> None:
        self._clock.step(seconds)
        before = self._answers.count()
        time.sleep(WRONG_SECONDS)
        if self._answers.count() == before:
            self.wrong.append(f"nothing was published while the wall clock was wrong by {seconds:+g} s")
        self._clock.step(-seconds)

    def _transaction(self) -> None:
        transaction = self._kafka.transaction()

        def produce(topic: str, value: bytes, key: bytes) -> None:
            transaction.produce(topic, value, key)
            transaction.poll(0)

        self._traffic.divert(produce)
        time.sleep(OPEN_SECONDS)
        self._traffic.end_diversion(transaction.commit_transaction)

    def _broker_down(self) -> None:
        self._kafka.stop()
        time.sleep(DOWN_SECONDS)
        self._kafka.start()

    def _add_partitions(self) -> None:
        """Add partitions. csq reads them after a restart in place, which takes the same process."""
        self._kafka.add_partitions(TOPIC, self._partitions + MORE_PARTITIONS)
        self._partitions += MORE_PARTITIONS
        time.sleep(REFRESH_SECONDS)
        self._wait_for(f"csq does not read all {self._partitions} partitions", self._reads_all)

    def _reads_all(self) -> bool:
        values = self._csq.scrape()
        return values is not None and len(values.get("csq_source_lag_messages", {})) >= self._partitions

    def _recreate_topic(self) -> None:
        """Make the topic anew once all of it is read. Records that come meanwhile are produced after that."""
        waiting: list[tuple[str, bytes, bytes]] = []
        self._traffic.divert(lambda *record: waiting.append(record))
        if self._wait_for("csq does not read the topic to its end", lambda: self._lag() == 0):
            time.sleep(SETTLE_SECONDS)
            self._kafka.delete_topic(TOPIC)
            self._kafka.create_topic(TOPIC, self._partitions)
        before = self._answers.count()
        self._traffic.end_diversion(lambda: self._traffic.produce_all(waiting))
        self._wait_for("csq does not read the new topic", lambda: self._answers.count() > before)

    def _lag(self) -> float | None:
        values = self._csq.scrape()
        return None if values is None else sum(values.get("csq_source_lag_messages", {"": math.nan}).values())

    def _remove_store(self) -> None:
        """Rename the store. csq has to end by itself; with the store put back it goes on."""
        with _renamed(self._csq.store):
            code = self._csq.wait(LIMIT_SECONDS)
        if not code:
            self.wrong.append(f"the store was removed, and csq ended with {code}")
            self._csq.kill()
        self._csq.start()

    def _wait_for(self, otherwise: str, is_so: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not is_so():
            if time.monotonic() > deadline:
                self.wrong.append(f"{otherwise} after {LIMIT_SECONDS:g} s")
                return False
            time.sleep(0.2)
        return True


@contextmanager
def _renamed(folder: Path) -> Iterator[None]:
    elsewhere = folder.with_name(f"{folder.name}-removed")
    folder.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(folder)
