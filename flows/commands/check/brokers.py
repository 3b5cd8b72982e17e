"""Checks of the brokers: whether they answer, accept the credentials, and have the topics with the needed rights.

They change nothing. The brokers report the rights of the user, and the newest record of each partition is read without
a consumer group.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, only not marked as exported
    AclOperation,
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    ResourceType,
)

from flows.commands.check.finding import Finding
from flows.commands.check.machine import is_loopback
from flows.commands.check.personal import check_ids
from flows.commands.check.positions import check_positions, stored_positions
from flows.commands.check.retention import check_retention
from flows.settings.model import Settings
from operators.connectors.kafka.errors import END_OF_PARTITION, refusal
from operators.connectors.kafka.identity import has_controller, topic_ids
from operators.connectors.kafka.params import part_name

MAX_SECONDS: Final = 10.0
"""How long the first answer may take here, where `kafka.connect_seconds` allows more."""
ASK_SECONDS: Final = 5.0
"""How long any further answer may take."""
READ_SECONDS: Final = 10.0
"""How long reading the newest records may take."""
SAMPLE: Final = 50
"""Newest records of a partition that are looked at."""
OPEN = ("", "plaintext", "sasl_plaintext")
"""Values of `security.protocol` that encrypt nothing."""


def check_kafka(settings: Settings) -> Iterator[Finding]:
    """All findings about the brokers; a failure without which nothing else can be checked is the last."""
    if not settings.kafka.brokers:
        says = "kafka.brokers is not set: csq run would serve the invented customers of a simulated shop."
        yield Finding.warn("brokers", says, "Set it, as [127.0.0.1:9092].")
        return
    trouble: list[KafkaError] = []
    own = {"error_cb": trouble.append, "fetch.wait.max.ms": 10, "enable.partition.eof": True}
    group = {"group.id": settings.kafka.group_id or "csq", "enable.auto.commit": False, "auto.offset.reset": "error"}
    where = ",".join(settings.kafka.brokers)
    try:
        admin = AdminClient(settings.kafka.client_config({"error_cb": trouble.append}))
        consumer = Consumer(settings.kafka.client_config({**own, **group}))
    except KafkaException as error:
        todo = "Correct kafka.security or kafka.librdkafka."
        yield Finding.fail("brokers", f"librdkafka refuses the settings: {error.args[0].str()}.", todo)
        return
    try:
        seconds = min(settings.kafka.connect_seconds, MAX_SECONDS)
        cluster = _connect(admin, trouble, seconds)
        if isinstance(cluster, KafkaError):
            yield _unanswered(where, cluster, trouble, seconds)
            return
        yield Finding.ok("brokers", f"{where}: {len(cluster.brokers)} answer, cluster {cluster.cluster_id}")
        yield _credentials(settings)
        yield from _ClusterChecks(settings, admin, consumer, cluster).findings()
    finally:
        consumer.close()


def _connect(admin: AdminClient, trouble: list[KafkaError], seconds: float) -> ClusterMetadata | KafkaError:
    """The metadata of the cluster, or the error; a refused client is an error at once."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return admin.list_topics(timeout=0.5)  # of all topics: asking for one would make it
        except KafkaException as error:
            admin.poll(0)  # calls error_cb, whose errors are more precise than "timed out"
            if time.monotonic() > deadline or any(refusal(cause) for cause in trouble):
                last: KafkaError = error.args[0]
                return last


def _unanswered(where: str, error: KafkaError, trouble: Sequence[KafkaError], seconds: float) -> Finding:
    for cause in trouble:
        if hint := refusal(cause):
            return Finding.fail("credentials", f"{where} refuses this client: {cause.str()}.", f"{hint}.")
    reasons = {cause.code(): cause.str() for cause in (*trouble, error)}
    return Finding.fail(
        "brokers",
        f"{where}: no answer in {seconds:g} s: {'; '.join(reasons.values())}.",
        "Check kafka.brokers and the network, and kafka.security: a listener with TLS answers nothing without it.",
    )


def _credentials(settings: Settings) -> Finding:
    security = {name: secret.reveal() for name, secret in settings.kafka.security.items()}
    protocol = security.get("security.protocol", "").lower()
    mechanism = security.get("sasl.mechanism", security.get("sasl.mechanisms", ""))
    how = f"{protocol or 'plaintext'}{f' {mechanism}' if mechanism else ''} accepted"
    hosts = [broker.rpartition(":")[0].strip("[]") for broker in settings.kafka.brokers]
    if protocol in OPEN and not all(map(is_loopback, hosts)):
        todo = "Set kafka.security: security.protocol to ssl or sasl_ssl."
        return Finding.warn("credentials", f"{how}: messages of customers cross the network unencrypted.", todo)
    return Finding.ok("credentials", how)


class _ClusterChecks:
    """The questions to a cluster that answers."""

    def __init__(self, settings: Settings, admin: AdminClient, consumer: Consumer, cluster: ClusterMetadata) -> None:
        self._kafka = settings.kafka
        self._ahead_seconds = settings.intake.ahead_seconds
        self._admin = admin
        self._consumer = consumer
        self._cluster = cluster
        self._privacy = settings.privacy
        self._directory = settings.state.directory
        self._forgotten_days = settings.intake.forgotten_days
        self._samples: dict[str, list[bytes]] = {}
        """Topic to the values of its newest records."""

    def findings(self) -> Iterator[Finding]:
        outputs = list(dict.fromkeys(self._kafka.outputs.by_stream().values()))
        allowed = self._allowed([*self._kafka.topics, *outputs])
        there = []
        for topic in self._kafka.topics:
            finding = self._topic(topic, allowed)
            if finding is None:
                there.append(topic)
            else:
                yield finding
        yield from self._read(there)
        yield from self._positions(there)
        yield from self._group(there)
        by_themselves = "" if self._cluster.topics.keys() >= set(outputs) else self._makes_topics()
        for topic in outputs:
            yield self._output(topic, allowed, by_themselves)
        yield from self._retention()

    def _allowed(self, topics: Sequence[str]) -> dict[str, set[AclOperation]]:
        """Rights of this user by existing topic; a topic whose rights the brokers do not report is missing."""
        asked = TopicCollection([topic for topic in dict.fromkeys(topics) if topic in self._cluster.topics])
        if not asked.topic_names or not has_controller(self._cluster):
            return {}
        try:
            futures = self._admin.describe_topics(
                asked, include_authorized_operations=True, request_timeout=ASK_SECONDS
            )
        except KafkaException:
            return {}
        found = {topic: _result(future) for topic, future in futures.items()}
        return {
            topic: set(described.authorized_operations)
            for topic, described in found.items()
            if described is not None and described.authorized_operations
        }

    def _topic(self, topic: str, allowed: Mapping[str, set[AclOperation]]) -> Finding | None:
        """What is wrong with a topic of events, before it is read."""
        found = self._cluster.topics.get(topic)
        if found is None or found.error is not None:
            why = found.error.str() if found is not None and found.error is not None else "not there"
            return Finding.fail(
                "topic",
                f"{topic}: {why}.",
                f"Create it (kafka-topics.sh --create --topic {topic}), correct kafka.topics, or allow this user to "
                "describe it.",
            )
        if topic in allowed and AclOperation.READ not in allowed[topic]:
            return Finding.fail("topic", f"{topic}: this user may not read it.", "Allow READ on the topic.")
        return None

    def _read(self, topics: Sequence[str]) -> Iterator[Finding]:
        """Whether the newest record of each partition can be read."""
        if not topics:
            return
        parts = [TopicPartition(topic, n) for topic in topics for n in sorted(self._cluster.topics[topic].partitions)]
        newest, failed = self._newest(parts)
        for topic in topics:
            own = [part for part in parts if part.topic == topic]
            bad = [part for part in own if part_name(topic, part.partition) in failed]
            if bad:
                name = part_name(topic, bad[0].partition)
                yield Finding.fail(
                    "topic",
                    f"{name}: cannot be read: {failed[name]}.",
                    "Allow READ on the topic, or wait until the partition has a leader.",
                )
                continue
            times = [newest[name] for part in own if (name := part_name(topic, part.partition)) in newest]
            now = time.time()
            age = f", newest record {_age(now - max(times))}" if times else ", empty"
            yield Finding.ok("topic", f"{topic}: {len(own)} partition{'s' * (len(own) > 1)}, readable{age}")
            yield from check_ids(topic, self._samples.get(topic, ()), self._privacy)
            if times and max(times) - now > self._ahead_seconds:
                yield Finding.warn(
                    "clock",
                    f"{topic}: the newest record is {max(times) - now:.0f} s ahead of this machine's clock.",
                    "Synchronise the clocks of producers and of this machine: events with times in the future are "
                    "refused (intake.ahead_seconds).",
                )

    def _positions(self, topics: Sequence[str]) -> Iterator[Finding]:
        """Whether stored positions are of these topics."""
        stored = stored_positions(self._directory)
        if stored and topics:
            there = [part_name(topic, n) for topic in topics for n in self._cluster.topics[topic].partitions]
            ids = topic_ids(self._cluster, self._admin, topics, ASK_SECONDS)
            yield from check_positions(stored, there, ids, self._kafka)

    def _newest(self, parts: Sequence[TopicPartition]) -> tuple[dict[str, float], dict[str, str]]:
        """POSIX s of the newest record by partition that has one; why not, by partition that cannot be read."""
        waiting: dict[str, int] = {}
        newest: dict[str, float] = {}
        starts: list[TopicPartition] = []
        failed: dict[str, str] = {}
        for part in parts:
            name = part_name(part.topic, part.partition)
            try:
                low, high = self._consumer.get_watermark_offsets(part, timeout=ASK_SECONDS)
            except KafkaException as error:
                failed[name] = error.args[0].str()
            else:
                waiting[name] = high - 1
                starts.append(TopicPartition(part.topic, part.partition, max(low, high - SAMPLE)))
        self._consumer.assign(starts)
        deadline = time.monotonic() + READ_SECONDS
        while waiting and time.monotonic() < deadline:
            if (message := self._consumer.poll(0.2)) is not None:
                self._take(message, waiting, newest, failed)
        return newest, failed | dict.fromkeys(waiting.keys() - newest, f"no answer in {READ_SECONDS:g} s")

    def _take(
        self, message: Message, waiting: dict[str, int], newest: dict[str, float], failed: dict[str, str]
    ) -> None:
        """Note the answer of a partition; librdkafka retries after errors of the connection."""
        topic, partition, error = message.topic(), message.partition(), message.error()
        if topic is None or partition is None:
            return
        name = part_name(topic, partition)
        if error is not None:
            if error.code() != END_OF_PARTITION:
                failed[name] = error.str()
            waiting.pop(name, None)
            return
        newest[name] = max(message.timestamp()[1] / 1000, newest.get(name, 0.0))
        self._samples.setdefault(topic, []).append(message.value() or b"")
        if (message.offset() or 0) >= waiting.get(name, 0):
            waiting.pop(name, None)

    def _group(self, topics: Sequence[str]) -> Iterator[Finding]:
        """Whether positions can be committed for lag tools to see."""
        group = self._kafka.group_id
        if group is None or not topics:
            return
        try:
            found = self._consumer.committed([TopicPartition(topic, 0) for topic in topics], timeout=ASK_SECONDS)
        except KafkaException as error:
            why: KafkaError | None = error.args[0]
        else:
            why = next((part.error for part in found if part.error is not None), None)
        if why is not None:
            yield Finding.fail("group", f"{group}: {why.str()}.", "Allow READ on the group, or correct kafka.group_id.")
        else:
            yield Finding.ok("group", f"{group}: positions can be committed")

    def _output(self, topic: str, allowed: Mapping[str, set[AclOperation]], by_themselves: str) -> Finding:
        if topic in self._cluster.topics:
            if topic in allowed and AclOperation.WRITE not in allowed[topic]:
                return Finding.fail("output", f"{topic}: this user may not write to it.", "Allow WRITE on the topic.")
            return Finding.ok(
                "output",
                f"{topic}: {'writable' if topic in allowed else 'exists; the brokers do not report who may write'}",
            )
        todo = f"Create it (kafka-topics.sh --create --topic {topic}), or correct kafka.outputs."
        match by_themselves:
            case "true":
                return Finding.warn(
                    "output", f"{topic}: does not exist; the brokers create it at the first write.", todo
                )
            case "false":
                return Finding.fail("output", f"{topic}: does not exist, and the brokers create no topics.", todo)
            case _:
                return Finding.warn(
                    "output", f"{topic}: does not exist; the brokers do not report whether they create it.", todo
                )

    def _retention(self) -> Iterator[Finding]:
        """How long each existing topic keeps its records, where the brokers report it."""
        streams: dict[str, str | None] = {topic: stream for stream, topic in self._kafka.outputs.by_stream().items()}
        streams |= dict.fromkeys(self._kafka.topics)
        asked = [ConfigResource(ResourceType.TOPIC, topic) for topic in streams if topic in self._cluster.topics]
        if not asked or not has_controller(self._cluster):
            return
        try:
            futures = self._admin.describe_configs(asked, request_timeout=ASK_SECONDS)
        except KafkaException:
            return
        for resource, future in futures.items():
            if config := _result(future):
                values = {name: str(entry.value) for name, entry in config.items()}
                yield check_retention(resource.name, streams[resource.name], values, self._forgotten_days)

    def _makes_topics(self) -> str:
        """Whether brokers create topics at the first write (`true`, `false`); empty if this user may not know."""
        broker = ConfigResource(ResourceType.BROKER, str(next(iter(self._cluster.brokers))))
        try:
            futures = self._admin.describe_configs([broker], request_timeout=ASK_SECONDS)
        except KafkaException:
            return ""
        config = _result(futures[broker])
        entry = config.get("auto.create.topics.enable") if config else None
        return "" if entry is None else str(entry.value)


def _result(future: "Future[Any]") -> Any:  # noqa: ANN401 - the type of the answer depends on the request
    """The answer; `None` where there is none."""
    with suppress(KafkaException, FutureTimeoutError):
        return future.result(ASK_SECONDS + 1)
    return None


def _age(seconds: float) -> str:
    """An age in its largest whole unit.

    >>> _age(90), _age(7200), _age(-5)
    ('90 s ago', '2 h ago', '5 s in the future')
    """
    if seconds < 0:
        return f"{-seconds:.0f} s in the future"
    for size, unit in ((172_800.0, "d"), (7_200.0, "h"), (120.0, "min")):
        if seconds >= size:
            return f"{seconds / {'d': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
