"""csq against a real Kafka: the numbers of a replay under faults of the brokers, and clear errors where it ends."""

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer

from operators.connectors.kafka import reader
from operators.connectors.kafka.errors import KafkaInputError
from operators.connectors.kafka.fence import HEADER
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.source import KafkaSource
from operators.domain.wire.outgoing import DEADLETTERS
from operators.engine.lease import read_lease
from operators.engine.store import read_manifest
from operators.metrics.observe import Values
from operators.simulator import SimulatorParams, simulate
from tests.servers import kcat
from tests.servers.kafka import PASSWORD, USER, Kafka
from tests.servers.process import Csq, replayed
from tests.streams import NOW, SERVICE, differences, event_time, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

EVENTS = 6_000
DOUBT_SECONDS = 20.0
"""Within this all ends are known again after a loss."""
LOST_SECONDS = 10.0
"""Within this a lost broker must be seen."""
WITH_TIME = {
    "csq_newest_event_timestamp_seconds": "an event of the future moves it, and here the present is another",
    "csq_service_level_ratio": "stands as last shown once its window is empty, and live it was shown more often",
}
OUTPUTS = {
    "csq.turn.scored": "turn_scored",
    "csq.reply.measured": "reply_measured",
    "csq.satisfaction.scored": "satisfaction_scored",
    "csq.churn.scored": "churn_scored",
    DEADLETTERS: "deadletters",
}

_names = (f"events-{n}" for n in itertools.count())


class Shop:
    """Topics of one test, and the settings that read and write them."""

    def __init__(self, kafka: Kafka, folder: Path, partitions: int = 4) -> None:
        self.kafka = kafka
        self.folder = folder
        self.topic = next(_names)
        self._starts = 0
        kafka.create_topic(self.topic, partitions)
        for name in OUTPUTS:
            kafka.create_topic(self.output(name), 2)

    def output(self, stream: str) -> str:
        """Topic of an outgoing stream."""
        return f"{self.topic}.{stream}"

    def start(self, **kafka: Any) -> Csq:
        """Start csq, which resumes."""
        self._starts += 1
        settings = {
            "kafka": {
                "brokers": [self.kafka.address],
                "topics": [self.topic],
                "outputs": {key: self.output(name) for name, key in OUTPUTS.items()},
                **kafka,
            },
            "state": {"directory": str(self.folder / "state"), "snapshot_seconds": 1.0},
        }
        return Csq(self.folder / f"start-{self._starts}", settings)

    def produce(self, values: list[tuple[str, bytes]]) -> None:
        """Write (key, raw event) as a producer does."""
        self.kafka.produce(self.topic, values)

    def published(self, stream: str) -> Counter[bytes]:
        """Records that a stream has published, without repeats."""
        messages = self.kafka.read(self.output(stream))
        seen = {(message.key(), message.value()) for message in messages}
        return Counter(value for _, value in seen)

    def ids(self, stream: str) -> set[str]:
        """The ids of the events that a stream has published."""
        return {json.loads(message.value())["id"] for message in self.kafka.read(self.output(stream))}


def message(number: int, conversation: str = "") -> tuple[str, bytes]:
    """What a customer writes now."""
    conversation = conversation or f"c{number % 50}"
    event = {
        "specversion": "1.0",
        "id": f"m{number}",
        "source": "test",
        "type": "csq.message.created",
        "time": datetime.now(UTC).isoformat(),
        "data": {
            "message_id": f"m{number}",
            "conversation_id": conversation,
            "customer_id": f"u{conversation}",
            "author": {"role": "customer", "id": f"u{conversation}"},
            "channel": "chat",
            "queue": "orders",
            "text": "where is my parcel",
        },
    }
    return conversation, json.dumps(event).encode()


def runs(store: Path) -> list[str]:
    """Names of the runs of a store."""
    manifest = read_manifest(store)
    assert manifest is not None
    return manifest.runs


def lease_of(store: Path) -> tuple[str, bool]:
    """The run that has a store, and whether it has given it back."""
    lease = read_lease(store)
    assert lease is not None
    return lease.run, lease.ended


def marked(shop: Shop, run: str) -> int:
    """How many scores one run has published."""
    found = shop.kafka.read(shop.output("csq.turn.scored"))
    return sum((HEADER, run.encode()) in (message.headers() or ()) for message in found)


def warnings(csq: Csq) -> list[str]:
    """What it warned of Kafka."""
    return [message for message in csq.messages("warning") if message.startswith("Kafka")]


def last_event() -> tuple[str, bytes]:
    """An event of now: it moves the clock of a replay to that of a live run, and all timers are due in both."""
    stamp = datetime.now(UTC).isoformat()
    event = {"specversion": "1.0", "id": "last", "source": "test", "type": "csq.behavior.page_viewed", "time": stamp}
    return "nobody", json.dumps(event | {"data": {"customer_id": "nobody"}}).encode()


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> "Stream":
    deliveries, _ = simulate(SimulatorParams(events_per_second=4.0, broken_share=0.02), EVENTS)
    values = [(some.key, some.raw) for some in deliveries if (event_time(some.raw) or 0.0) < NOW] + [last_event()]
    folder = tmp_path_factory.mktemp("stream")
    file = write(folder / "stream.jsonl", [value for _, value in values])
    return Stream(values, replayed(file, folder / "replay"), folder / "replay")


class Stream(msgspec.Struct):
    """What the simulated shop sent, and what a replay of it gave."""

    values: list[tuple[str, bytes]]
    expected: Values
    out: Path

    def differences(self, actual: Values) -> list[str]:
        """Where the live run counted otherwise."""
        return differences(self.expected, actual, [name for name in SERVICE if name not in WITH_TIME])

    def published(self, stream: str) -> Counter[bytes]:
        """What the replay published."""
        return Counter((self.out / f"{stream}.jsonl").read_bytes().splitlines())


@pytest.fixture
def shop(kafka: Kafka, tmp_path: Path) -> Shop:
    return Shop(kafka, tmp_path)


@pytest.fixture
def frail(breakable_kafka: Kafka, tmp_path: Path) -> Iterator[Shop]:
    """A shop whose broker is its own."""
    return Shop(breakable_kafka, tmp_path)


@pytest.mark.usefixtures("kcat_program")
def test_it_counts_what_a_replay_of_the_same_events_counts(shop: Shop, stream: Stream):
    kcat.produce(shop.kafka.address, shop.topic, stream.values)
    with shop.start() as csq:
        values = csq.until_settled(len(stream.values))
        csq.stop()
    assert stream.differences(values) == []
    assert values["csq_late_events_total"][()] == 0
    assert values["csq_source_connected"][()] == 1
    assert values["csq_source_lag_messages"] == {(str(n), shop.topic): 0.0 for n in range(4)}
    assert shop.published("csq.reply.measured") == stream.published("csq.reply.measured")


def test_a_broker_that_stops_for_a_while_is_seen_and_changes_no_count(frail: Shop, stream: Stream):
    # All records exist at the start: at the end of a partition csq's clock is at the present, far from these events.
    frail.produce(stream.values)
    frail.kafka.slow_down(100_000)
    with frail.start(librdkafka={"max.partition.fetch.bytes": 20_000}) as csq:
        csq.until(lambda: csq.taken() >= len(stream.values) / 5)
        frail.kafka.stop()
        stopped = time.monotonic()
        csq.until(lambda: csq.values()["csq_source_connected"][()] == 0, LOST_SECONDS)
        status, text = csq.get("/readyz")
        assert status == 503
        assert "Kafka: " in text
        csq.until(lambda: time.monotonic() - stopped > 15.0)
        assert csq.get("/healthz")[0] == 200
        assert csq.taken() < len(stream.values) / 2
        frail.kafka.start()
        frail.kafka.slow_down(None)
        csq.until_settled(len(stream.values))
        # The ends of partitions are in doubt after a loss, for up to 4 s a time: until then the clock stands.
        settled = time.monotonic()
        csq.until(lambda: not stream.differences(csq.values()) or time.monotonic() - settled > DOUBT_SECONDS)
        values = csq.values()
        assert csq.get("/readyz") == (200, "ready\n")
        csq.stop()
    assert stream.differences(values) == []
    assert frail.published("csq.reply.measured") == stream.published("csq.reply.measured")
    lost, back = warnings(csq)
    assert "lost contact with the brokers; retrying" in lost
    assert "the brokers answer again" in back


def test_a_frozen_broker_is_seen_also_while_the_flow_waits_for_its_output(frail: Shop):
    frail.produce([message(n) for n in range(500)])
    with frail.start() as csq:
        csq.until(lambda: csq.taken() >= 500)
        frail.produce([message(n) for n in range(500, 5_000)])
        frail.kafka.freeze()  # an epoch ends within a second, and its output waits
        csq.until(lambda: csq.values()["csq_source_connected"][()] == 0, LOST_SECONDS)
        assert "no answer" in csq.get("/readyz")[1]
        frail.kafka.thaw()
        csq.until(lambda: csq.values()["csq_source_connected"][()] == 1, LOST_SECONDS)
        csq.until_settled(5_000)
        csq.stop()
    assert len(frail.ids("csq.turn.scored")) == 5_000


def test_output_that_no_broker_takes_in_time_ends_it_and_the_next_start_makes_up_for_it(frail: Shop):
    frail.produce([message(n) for n in range(200)])
    with frail.start(delivery_seconds=3.0) as csq:
        csq.until(lambda: csq.taken() >= 200)
        frail.produce([message(n) for n in range(200, 6_000)])
        frail.kafka.freeze()
        assert csq.process.wait(40) == 1
        frail.kafka.thaw()
    log = csq.log()
    assert f"for topic {frail.output('csq.turn.scored')} were not delivered" in log
    assert "No broker acknowledged it within 3 s (kafka.delivery_seconds)" in log
    assert "Traceback" not in log
    with frail.start() as csq:
        csq.until(lambda: len(frail.ids("csq.turn.scored")) == 6_000)
        csq.stop()


def test_new_partitions_are_read_from_their_beginning_after_a_restart_in_place(shop: Shop):
    store = shop.folder / "state"
    with shop.start(start="latest", refresh_seconds=1.0) as csq:
        csq.until(lambda: csq.get("/readyz")[0] == 200)
        csq.until(lambda: store.is_dir() and csq.values().get("csq_source_lag_messages"))
        shop.produce([message(n) for n in range(100)])
        csq.until_settled(100)
        [first] = runs(store)
        shop.kafka.add_partitions(shop.topic, 6)
        shop.kafka.produce_to(shop.topic, 4, [message(n, "c4")[1] for n in range(100, 150)])
        shop.kafka.produce_to(shop.topic, 5, [message(n, "c5")[1] for n in range(150, 200)])
        csq.until(lambda: len(shop.ids("csq.turn.scored")) == 200)
        (warning,) = warnings(csq)
        assert f"{shop.topic}[4], {shop.topic}[5]; the next start reads them" in warning
        assert warning.endswith("from their beginning: csq starts again by itself")
        assert runs(store)[0] == first  # what it published before is no reason for its fence to refuse the start
        assert lease_of(store) == (runs(store)[1], False)
        csq.stop()
    assert lease_of(store) == (runs(store)[1], True)
    assert csq.messages("critical") == []
    assert marked(shop, first) == 100


def test_a_missing_output_topic_is_named_by_readyz_and_nothing_is_read_before_it_exists(shop: Shop):
    shop.produce([message(n) for n in range(50)])
    outputs = {key: shop.output(name) for name, key in OUTPUTS.items()} | {"churn_scored": f"{shop.topic}.later"}
    with shop.start(outputs=outputs) as csq:
        csq.until(lambda: f"output topic {shop.topic}" in csq.get("/readyz")[1])  # not that none was asked for yet
        status, text = csq.get("/readyz")
        assert status == 503
        assert f"Kafka: output topic {shop.topic}.later: Broker: Unknown topic or partition. Create it" in text
        assert csq.taken() == 0
        shop.kafka.create_topic(f"{shop.topic}.later", 1)
        csq.until(lambda: csq.get("/readyz") == (200, "ready\n"))
        csq.until_settled(50)
        csq.stop()
    assert [line for line in warnings(csq) if "output topic" in line] == [
        (
            f"Kafka: output topic {shop.topic}.later: Broker: Unknown topic or partition. Create it (kafka-topics.sh "
            f"--create --topic {shop.topic}.later), or correct its name under kafka.outputs"
        )
    ]


def test_an_expired_offset_ends_it_with_the_setting_to_choose_or_goes_on_as_chosen(shop: Shop):
    with shop.start() as csq:
        shop.kafka.produce_to(shop.topic, 1, [message(n)[1] for n in range(50)])
        csq.until_settled(50)
        csq.stop()
    shop.kafka.produce_to(shop.topic, 1, [message(n)[1] for n in range(50, 100)])
    shop.kafka.delete_records(shop.topic, {1: 80})
    with shop.start() as csq:
        assert csq.process.wait(30) == 1
    lost = f"{shop.topic}[1]: the stored position is 50, but the broker holds 80 to 99: 30 events have expired unread"
    assert f"Kafka: {lost}. To continue, set kafka.on_expired_offset for topic {shop.topic} to earliest" in csq.log()
    assert "Traceback" not in csq.log()
    with shop.start(on_expired_offset={shop.topic: "earliest"}) as csq:
        csq.until(lambda: len(shop.ids("csq.turn.scored")) == 70)
        csq.stop()
    assert warnings(csq) == [f"Kafka: {lost}; reading continues at 80 (kafka.on_expired_offset: earliest)"]


def test_the_lag_is_seen_by_the_metric_and_by_the_tools_of_others(shop: Shop):
    group = f"csq-{shop.topic}"
    shop.produce([message(n) for n in range(1_000)])
    with shop.start(group_id=group) as csq:
        csq.until_settled(1_000)
        csq.until(lambda: shop.kafka.lag(group, shop.topic) == dict.fromkeys(range(4), 0))
        csq.stop()
    shop.produce([message(n) for n in range(1_000, 1_300)])
    rows = [row for row in shop.kafka.consumer_groups(group) if row["TOPIC"] == shop.topic]
    waiting = {row["PARTITION"]: int(row["LAG"]) for row in rows}
    assert sum(waiting.values()) == 300
    assert len(waiting) == 4
    with shop.start(group_id=group) as csq:
        csq.until(lambda: shop.kafka.lag(group, shop.topic) == dict.fromkeys(range(4), 0))
        csq.until(lambda: csq.values().get("csq_source_lag_messages") == {(n, shop.topic): 0.0 for n in waiting})
        newest = csq.values()["csq_newest_event_timestamp_seconds"][()]
        csq.stop()
    assert time.time() - 120 < newest <= time.time()


def test_a_start_by_time_begins_at_the_first_record_of_that_time(shop: Shop):
    shop.kafka.produce_to(shop.topic, 0, [message(n)[1] for n in range(20)])
    time.sleep(1.1)
    since = datetime.now(UTC).isoformat()
    shop.kafka.produce_to(shop.topic, 0, [message(n)[1] for n in range(20, 30)])
    with shop.start(start=since) as csq:
        csq.until_settled(10)
        csq.stop()
    assert len(shop.ids("csq.turn.scored")) == 10


def security(kafka: Kafka, mechanism: str, password: Any) -> dict[str, Any]:
    return {
        "brokers": [kafka.secure_address],
        "security": {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": mechanism,
            "sasl.username": USER,
            "sasl.password": password,
            "ssl.ca.location": str(kafka.ca_file),
        },
    }


def test_it_reads_and_writes_over_tls_with_a_password_from_a_file(shop: Shop, stream: Stream):
    shop.produce(stream.values)
    (shop.folder / "password").write_text(f"{PASSWORD}\n")
    secret = {"file": str(shop.folder / "password")}
    with shop.start(**security(shop.kafka, "SCRAM-SHA-512", secret)) as csq:
        values = csq.until_settled(len(stream.values))
        csq.stop()
    assert stream.differences(values) == []
    assert shop.published("csq.reply.measured") == stream.published("csq.reply.measured")
    assert PASSWORD not in csq.log()


@pytest.mark.parametrize(
    ("mechanism", "reason"),
    [
        ("SCRAM-SHA-512", "invalid credentials with SASL mechanism SCRAM-SHA-512"),
        ("PLAIN", "Invalid username or password"),
    ],
)
def test_a_wrong_password_ends_it_within_seconds_and_is_not_logged(shop: Shop, mechanism: str, reason: str):
    with shop.start(**security(shop.kafka, mechanism, "wrong-secret")) as csq:
        csq.url()
        begun = time.monotonic()
        assert csq.process.wait(30) == 1
    assert time.monotonic() - begun < 10
    assert f"Kafka: {shop.kafka.secure_address} refuses this client: " in csq.log()
    assert reason in csq.log()
    assert "Check sasl.mechanism, sasl.username and sasl.password under kafka.security" in csq.log()
    assert "wrong-secret" not in csq.log()
    assert "Traceback" not in csq.log()


def parts(address: str, topic: str, **librdkafka: Any) -> list[str]:
    """What the source reads, once it is authorised."""
    params = KafkaParams(brokers=(address,), connect_seconds=5.0, librdkafka=librdkafka)
    source = KafkaSource(params, [topic])
    try:
        return source.list_parts()
    finally:
        source.status.end()


def test_the_other_ways_of_getting_in_are_passed_through(shop: Shop):
    kafka, names = shop.kafka, [f"{shop.topic}[{n}]" for n in range(4)]
    assert parts(kafka.secure_address, shop.topic, **kafka.secure_config("PLAIN")) == names
    assert parts(kafka.mutual_address, shop.topic, **kafka.mutual_config()) == names
    token = {"enable.sasl.oauthbearer.unsecure.jwt": True, "sasl.oauthbearer.config": f"principal={USER}"}
    ground = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "ssl.ca.location": str(kafka.ca_file)}
    assert parts(kafka.secure_address, shop.topic, **ground, **token) == names


def test_mistakes_in_tls_settings_are_reported(shop: Shop):
    kafka = shop.kafka
    mutual = kafka.mutual_config()
    for name in ("ssl.certificate.location", "ssl.key.location"):
        del mutual[name]
    with pytest.raises(KafkaInputError, match=r"refuses this client: .*Check ssl\.certificate\.location"):
        parts(kafka.mutual_address, shop.topic, **mutual)
    unknown = kafka.secure_config()
    del unknown["ssl.ca.location"]
    with pytest.raises(KafkaInputError, match=r"refuses this client: .*verify.*ssl\.ca\.location"):
        parts(kafka.secure_address, shop.topic, **unknown)
    with pytest.raises(KafkaInputError, match=r"no answer from .* in 5 s: .*a listener with TLS does not answer"):
        parts(kafka.secure_address, shop.topic)


def test_what_is_fetched_ahead_is_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    for partition in range(4):
        shop.kafka.produce_to(shop.topic, partition, (b"x" * 10_000 for _ in range(1_500)))
    reported: list[str] = []
    monkeypatch.setattr(reader, "Consumer", lambda config: Consumer({**config, "stats_cb": reported.append}))
    params = KafkaParams(brokers=(shop.kafka.address,), queue_kbytes=2_000, batch_size=1)
    source = KafkaSource(params, [shop.topic])
    opened = [source.build_part("in", name, None) for name in source.list_parts()]
    for part in opened * 3:
        part.next_batch()
    time.sleep(3.0)  # no record is taken, librdkafka continues to fetch
    for part in opened:
        part.next_batch()
    for part in opened:
        part.close()
    partitions = json.loads(reported[-1])["topics"][shop.topic]["partitions"].values()
    waiting = max(partition["fetchq_size"] for partition in partitions)  # all report the one queue that they share
    assert 1_000_000 < waiting < 5_000_000  # of 60 MB
