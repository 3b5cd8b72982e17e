"""With a real broker: a wall clock that steps, and records that cannot be read yet."""

import itertools
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from operators.metrics.observe import Values
from tests.servers.kafka import Kafka
from tests.servers.presence import UnavailableError, give_up
from tests.servers.process import Csq
from tests.servers.wallclock import WallClock

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ROUNDS = 20
LIMIT_SECONDS = 5.0
OUTPUTS = ("turn_scored", "reply_measured", "satisfaction_scored", "churn_scored", "deadletters")

_names = (f"time-{n}" for n in itertools.count())


class Shop:
    """A topic with one partition, and csq that reads it."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.kafka = kafka
        self.topic = next(_names)
        self._folder = folder
        self._starts = 0
        for topic in (self.topic, *self._outputs().values()):
            kafka.create_topic(topic, 1)

    def _outputs(self) -> dict[str, str]:
        return {name: f"{self.topic}.{name}" for name in OUTPUTS}

    def start(self, environ: dict[str, str] | None = None, limit: float = LIMIT_SECONDS) -> Csq:
        """Start csq, which goes on where it was stopped before; ready when this returns."""
        self._starts += 1
        settings = {
            "kafka": {"brokers": [self.kafka.address], "topics": [self.topic], "outputs": self._outputs()},
            "promises": {"limit_seconds": limit},
            "state": {"directory": str(self._folder / "state"), "snapshot_seconds": 1.0},
        }
        csq = Csq(self._folder / f"start-{self._starts}", settings, **(environ or {}))
        csq.until(lambda: csq.get("/readyz")[0] == 200)
        return csq

    def messages(self, role: str, at: float) -> list[bytes]:
        """One message in each of the conversations."""
        return [message(f"{role}-{number}-{at}", f"c{number}", role, at) for number in range(ROUNDS)]

    def produce(self, role: str, at: float | None = None) -> None:
        """Write one message in each of the conversations."""
        self.kafka.produce_to(self.topic, 0, self.messages(role, time.time() if at is None else at))


@pytest.fixture
def shop(kafka: Kafka, tmp_path: Path) -> Shop:
    return Shop(kafka, tmp_path)


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    """The wall clock of what runs in its `environ`."""
    try:
        return WallClock(tmp_path / "clock")
    except UnavailableError as error:
        give_up(error)


def message(number: str, conversation: str, role: str, at: float) -> bytes:
    data = {
        "message_id": number,
        "conversation_id": conversation,
        "customer_id": f"u{conversation}",
        "author": {"role": role, "id": role},
        "channel": "chat",
        "queue": "orders",
        "text": "hello",
    }
    event = {"specversion": "1.0", "id": number, "source": "test", "type": "csq.message.created", "data": data}
    return msgspec.json.encode({**event, "time": datetime.fromtimestamp(at, UTC)})


def total(values: Values, name: str) -> float:
    return sum(values[name].values())


def rounds(values: Values) -> dict[str, float]:
    """Rounds by outcome."""
    found = dict.fromkeys(("met", "missed"), 0.0)
    for labels, count in values.get("csq_reply_rounds_total", {}).items():
        for outcome in found.keys() & set(labels):
            found[outcome] += count
    return found


def jumps(csq: Csq) -> list[str]:
    return [text for text in csq.messages("warning") if text.startswith("the wall clock was set")]


def test_a_wall_clock_that_is_set_back_does_not_stop_the_flow(shop: Shop, clock: WallClock) -> None:
    clock.step(60.0)
    with shop.start(clock.environ) as csq:
        shop.produce("customer")
        csq.until(lambda: csq.taken() == ROUNDS)
        time.sleep(1.5)  # an epoch or two
        clock.step(-60.0)
        for number in range(1, 4):
            shop.produce("customer")
            csq.until(lambda taken=number * ROUNDS: csq.taken() >= ROUNDS + taken, 2.0)
            assert csq.get("/readyz")[0] == 200
        began = time.monotonic()
        csq.stop()
        assert time.monotonic() - began < 5.0
        (text,) = jumps(csq)
        assert "backward by 60.0 s" in text
        assert "the next snapshot is late by as much" in text
    with shop.start() as csq:  # the last snapshot is that of the stop
        time.sleep(1.0)
        assert csq.taken() == 4 * ROUNDS
        csq.stop()


def test_a_clock_that_is_ahead_for_five_seconds_leaves_no_trace(shop: Shop, clock: WallClock) -> None:
    with shop.start(clock.environ, limit=60.0) as csq:
        shop.produce("customer")
        csq.until(lambda: csq.taken() == ROUNDS)
        clock.step(100.0)
        time.sleep(5.0)
        clock.step(-100.0)
        csq.until(lambda: total(csq.values(), "csq_clock_jumps_total") == 2)
        assert rounds(csq.values()) == {"met": 0, "missed": 0}
        csq.process.kill()
    with shop.start(limit=60.0) as csq:
        shop.produce("agent")
        csq.until(lambda: rounds(csq.values())["met"] == ROUNDS)
        values = csq.values()
        assert rounds(values)["missed"] == 0
        assert total(values, "csq_late_events_total") == 0
        csq.stop()


def test_event_time_waits_for_what_an_open_transaction_hides(shop: Shop) -> None:
    with shop.start() as csq:
        shop.produce("customer")
        producer = shop.kafka.transaction()
        for raw in shop.messages("agent", time.time()):
            producer.produce(shop.topic, raw, partition=0)
        producer.flush(20)
        time.sleep(LIMIT_SECONDS + 4.0)  # past the limit, and the disorder that is allowed for
        values = csq.values()
        assert rounds(values) == {"met": 0, "missed": 0}
        assert total(values, "csq_source_lag_messages") == ROUNDS
        assert values["csq_time_held_seconds"]["open_transaction",] > LIMIT_SECONDS
        producer.commit_transaction(20)
        csq.until(lambda: rounds(csq.values())["met"] == ROUNDS)
        csq.until(lambda: csq.values()["csq_time_held_seconds"]["open_transaction",] == 0)
        assert rounds(csq.values())["missed"] == 0
        csq.stop()
