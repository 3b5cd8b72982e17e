"""A real Apache Kafka on the loopback: one Java process that is broker and controller, on free ports, in a folder.

Its jars are fetched once by Maven into `presence.CACHE`. It listens plainly, with TLS and passwords (SCRAM-SHA-512,
PLAIN, OAUTHBEARER with unsigned tokens) and with TLS and client certificates; the certificates are made at the start.

    with Kafka(Path("broker")) as kafka:
        kafka.create_topic("csq.events", partitions=4)
        print(kafka.address)
"""

import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any, Self

import trustme
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tests.servers.presence import CACHE, UnavailableError
from tests.servers.process import end

VERSION = "4.2.0"
JAVA = 17
USER, PASSWORD = "csq", "scram-and-plain"
START_SECONDS = 60.0
"""Bound on the first answer; it takes 4 s on a machine at rest."""
STOP_SECONDS = 30.0
ANSWER_SECONDS = 20.0
"""Time limit of administrative requests."""

NO_LEADER_YET = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>csq</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},MUTUAL://127.0.0.1:{mutual},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},MUTUAL://127.0.0.1:{mutual}
listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
controller.listener.names=CONTROLLER
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.backoff.ms=500
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mutual.ssl.client.auth=required
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN,OAUTHBEARER
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.secure.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
"""


def libraries() -> Path:
    """The folder of Kafka's jars, fetched once.

    Raises:
        UnavailableError: there is no Java, no Maven, or no repository that answers.
    """
    home = CACHE / f"kafka-{VERSION}"
    _check_java()
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "kafka.lock").open("w") as lock:
        flock(lock, LOCK_EX)  # two programs may want it at once
        if not home.is_dir():
            _fetch(home)
    return home


def _check_java() -> None:
    java = shutil.which("java")
    reported = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr if java else ""  # noqa: S603 - Java, as found
    version = reported.partition('version "')[2].partition(".")[0].strip('"')
    if not version.isdigit() or int(version) < JAVA:
        raise UnavailableError(
            f"Kafka needs Java {JAVA} (Debian: apt install openjdk-17-jre-headless): got {reported!r}"
        )


def _fetch(home: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise UnavailableError("Kafka's jars are fetched by Maven, which is not there (Debian: apt install maven)")
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        Path(work, "pom.xml").write_text(POM)
        command = [
            maven,
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-DoutputDirectory=libs",
        ]
        try:
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=600, check=False)  # noqa: S603 - Maven, as found
        except subprocess.TimeoutExpired:
            raise UnavailableError("Kafka's jars: Maven was not done after 600 s; run it again") from None
        if done.returncode:
            raise UnavailableError(
                f"Kafka's jars: Maven could not fetch them: {done.stdout[-1000:]}{done.stderr[-1000:]}"
            )
        Path(work, "libs").rename(home)


def free_ports(count: int) -> list[int]:
    """Free ports of the loopback."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


class Kafka:
    """A broker in `folder`, which keeps its data, certificates and log; the ports stay the same over a restart.

    `properties` are added to those of the broker. Nothing runs before `start` or the ``with`` block.
    """

    def __init__(self, folder: Path, properties: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        self.client_certificate_file = folder / "client-cert.pem"
        self.client_key_file = folder / "client-key.pem"
        self.log_file = folder / "broker.log"
        self._properties = properties or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._admin: AdminClient | None = None
        self._home = Path()
        plain, secure, mutual, _ = self._ports = free_ports(4)
        self.address = f"127.0.0.1:{plain}"
        """host:port without any security."""
        self.secure_address = f"127.0.0.1:{secure}"
        """host:port with TLS and a password of `USER`, by SCRAM-SHA-512, PLAIN or OAUTHBEARER."""
        self.mutual_address = f"127.0.0.1:{mutual}"
        """host:port with TLS where the client shows its certificate."""

    # Life and death.

    def start(self) -> None:
        """Start, or start again with the same data; returns when it answers."""
        self._home = libraries()
        if not (self.folder / "server.properties").exists():
            self._prepare()
        java = ["java", "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        command = [*java, "-cp", f"{self._home}/*", "kafka.Kafka", str(self.folder / "server.properties")]
        if shutil.which("setpriv") and threading.current_thread() is threading.main_thread():
            command = ["setpriv", "--pdeathsig", "KILL", *command]  # a killed test leaves no broker behind
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603 - our own command
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop in good order; does nothing where it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a lost machine."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Freeze it: connections stay open, requests get no answer."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen one."""
        self._running().send_signal(signal.SIGCONT)

    def mend(self) -> None:
        """Make it run and answer again after any fault."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        else:
            self.thaw()
            self._wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("Kafka does not run")
        return self._process

    def _end(self, number: signal.Signals) -> None:
        process, self._process, self._admin = self._process, None, None
        if process is not None:
            end(process, number, STOP_SECONDS)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        process = self._running()
        while True:
            try:
                self.admin.list_topics(timeout=1.0)
            except KafkaException as error:
                reason = str(error)
            else:
                return
            if process.poll() is not None or time.monotonic() > deadline:
                tail = self.log_file.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"Kafka at {self.address} does not answer: {reason}. Its log ends with:\n{tail}")

    def _prepare(self) -> None:
        """Certificates, settings and an empty store with one user."""
        self.folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        server = authority.issue_cert("127.0.0.1", "localhost")
        (self.folder / "server.pem").write_bytes(
            _key(server) + b"".join(blob.bytes() for blob in server.cert_chain_pems)
        )
        client = authority.issue_cert("csq@example.org")
        self.client_key_file.write_bytes(_key(client))
        self.client_certificate_file.write_bytes(b"".join(blob.bytes() for blob in client.cert_chain_pems))
        plain, secure, mutual, controller = self._ports
        ground = PROPERTIES.format(
            plain=plain,
            secure=secure,
            mutual=mutual,
            controller=controller,
            folder=self.folder,
            user=USER,
            password=PASSWORD,
        )
        added = "".join(f"{name}={value}\n" for name, value in self._properties.items())
        settings = self.folder / "server.properties"
        settings.write_text(ground + added)
        name = "0" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]  # not a hyphen first: it would be an option
        user = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        try:
            self._tool(
                "kafka.tools.StorageTool",
                "format",
                "-t",
                name,
                "-c",
                str(settings),
                "--standalone",
                "--add-scram",
                user,
            )
        except BaseException:
            settings.unlink()
            raise

    def _tool(self, name: str, *arguments: str) -> str:
        command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{self._home}/*", name, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own command
        if done.returncode:
            raise RuntimeError(f"{name} {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    # What an administrator does.

    @property
    def admin(self) -> AdminClient:
        """A client with all rights; a new one after each start."""
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        return self._admin

    def create_topic(self, name: str, partitions: int = 4, **config: str) -> None:
        """Make a topic; `config` with underscores for dots: ``retention_ms="1000"``. Returns when it can be written."""
        topic = NewTopic(name, partitions, 1, config={key.replace("_", "."): value for key, value in config.items()})
        self.admin.create_topics([topic])[name].result(ANSWER_SECONDS)
        self._wait_for_partitions(name, partitions)

    def add_partitions(self, topic: str, total: int) -> None:
        """Let a topic have `total` partitions."""
        self.admin.create_partitions([NewPartitions(topic, total)])[topic].result(ANSWER_SECONDS)
        self._wait_for_partitions(topic, total)

    def delete_topic(self, name: str) -> None:
        """Delete a topic with all it holds."""
        self.admin.delete_topics([name])[name].result(ANSWER_SECONDS)

    def configure_topic(self, name: str, **config: str) -> None:
        """Set settings of a topic, named as in `create_topic`; all others go back to what they are by default."""
        resource = ConfigResource(
            ResourceType.TOPIC, name, set_config={key.replace("_", "."): value for key, value in config.items()}
        )
        self.admin.alter_configs([resource])[resource].result(ANSWER_SECONDS)

    def delete_records(self, topic: str, before: Mapping[int, int]) -> None:
        """Delete what lies before an offset, by partition: as if it had expired."""
        where = [TopicPartition(topic, partition, offset) for partition, offset in before.items()]
        self._insist(lambda: self.admin.delete_records(where))

    def slow_down(self, bytes_per_second: int | None) -> None:
        """Give every client so much and no more; None: as much as it takes."""
        what = (
            f"--add-config=consumer_byte_rate={bytes_per_second}"
            if bytes_per_second
            else "--delete-config=consumer_byte_rate"
        )
        where = ("--bootstrap-server", self.address, "--alter", "--entity-type", "clients", "--entity-default")
        self._tool("kafka.admin.ConfigCommand", *where, what)

    def partitions(self, topic: str) -> list[int]:
        """The partitions that a topic has."""
        found = self.admin.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
        return [] if found.error is not None else sorted(found.partitions)

    def _wait_for_partitions(self, topic: str, total: int) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while len(self.ends(topic)) != total:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{topic} does not have {total} partitions, but {self.partitions(topic)}")
            time.sleep(0.05)

    def _insist(self, ask: Callable[[], Mapping[Any, Future[Any]]]) -> dict[Any, Any]:
        """Ask of partitions until each has found its leader: some moments after its topic, or its broker, came into being.

        Each time with a new client: one from before a restart keeps asking the leader that it knew.
        """
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                return {part: answer.result(ANSWER_SECONDS) for part, answer in ask().items()}
            except KafkaException as error:
                if error.args[0].code() not in NO_LEADER_YET or time.monotonic() > deadline:
                    raise
            self._admin = None
            time.sleep(0.05)

    # What was written and read.

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        """First offset that is held and next that will be written, by partition."""
        parts = [TopicPartition(topic, partition) for partition in self.partitions(topic)]
        if not parts:
            return {}
        low, high = (
            self._insist(lambda spec=spec: self.admin.list_offsets(dict.fromkeys(parts, spec)))
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
        )
        return {part.partition: (low[part].offset, high[part].offset) for part in parts}

    def produce(self, topic: str, records: Iterable[tuple[str | None, bytes]], **settings: Any) -> None:
        """Write (key, value) records, partitioned as Java does it; returns when all are there."""
        self._produce(((topic, value, key, -1) for key, value in records), settings)

    def produce_to(self, topic: str, partition: int, values: Iterable[bytes]) -> None:
        """Write values to one partition; returns when all are there."""
        self._produce(((topic, value, None, partition) for value in values), {})

    def transaction(self, name: str = "upstream") -> Producer:
        """A producer with an open transaction."""
        settings = {"bootstrap.servers": self.address, "transactional.id": name, "log_level": 0}
        producer = Producer({**settings, "transaction.timeout.ms": 60_000})
        producer.init_transactions(ANSWER_SECONDS)
        producer.begin_transaction()
        return producer

    def _produce(self, records: Iterable[tuple[str, bytes, str | None, int]], settings: Mapping[str, Any]) -> None:
        failed: list[Any] = []

        def reported(error: Any, _: Any) -> None:
            if error is not None:
                failed.append(error)

        ground = {"partitioner": "murmur2_random", "linger.ms": 5, "delivery.report.only.error": True, "log_level": 0}
        producer = Producer({"bootstrap.servers": self.address, **ground, **settings})
        for topic, value, key, partition in records:
            while True:
                try:
                    producer.produce(topic, value, key, partition, on_delivery=reported)
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
        left = producer.flush(ANSWER_SECONDS)
        producer.close()
        if left or failed:
            raise RuntimeError(f"{left + len(failed)} records were not written: {failed[:1]}")

    def read(self, topic: str) -> list[Any]:
        """All messages that a topic holds now, partition by partition."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "test", "enable.partition.eof": False})
        messages = []
        try:
            for partition, (low, high) in self.ends(topic).items():
                consumer.assign([TopicPartition(topic, partition, low)])
                reached, deadline = low, time.monotonic() + ANSWER_SECONDS
                while reached < high and time.monotonic() < deadline:
                    for message in consumer.consume(min(high - reached, 10_000), 0.5):
                        if message.error() is None:
                            messages.append(message)
                            reached = message.offset() + 1
        finally:
            consumer.close()
        return messages

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Offsets that a consumer group has committed, by partition."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group})
        try:
            parts = [TopicPartition(topic, partition) for partition in self.partitions(topic)]
            found = consumer.committed(parts, timeout=ANSWER_SECONDS)
        finally:
            consumer.close()
        return {part.partition: part.offset for part in found if part.offset >= 0}

    def lag(self, group: str, topic: str) -> dict[int, int]:
        """How far a consumer group is behind, by partition that it has committed."""
        ends = self.ends(topic)
        return {partition: ends[partition][1] - offset for partition, offset in self.committed(group, topic).items()}

    def consumer_groups(self, group: str) -> list[dict[str, str]]:
        """What ``kafka-consumer-groups --describe`` prints: a row per partition, by the title of its columns."""
        reported = self._tool(
            "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            *("--bootstrap-server", self.address, "--describe", "--group", group),
        )
        titles, *rows = [
            line.split() for line in reported.splitlines() if line.strip() and not line.startswith("Consumer")
        ]
        return [dict(zip(titles, row, strict=False)) for row in rows]

    # How clients get in.

    def secure_config(
        self, mechanism: str = "SCRAM-SHA-512", user: str = USER, password: str = PASSWORD
    ) -> dict[str, str]:
        """Settings of librdkafka for `secure_address`."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": mechanism,
            "sasl.username": user,
            "sasl.password": password,
            "ssl.ca.location": str(self.ca_file),
        }

    def mutual_config(self) -> dict[str, str]:
        """Settings of librdkafka for `mutual_address`."""
        return {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.ca_file),
            "ssl.certificate.location": str(self.client_certificate_file),
            "ssl.key.location": str(self.client_key_file),
        }


def _key(certificate: trustme.LeafCert) -> bytes:
    """The key in the form that Java reads."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
