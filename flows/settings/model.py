"""Settings: one YAML file and the environment become one frozen `Settings`, or an error that lists every mistake.

Each stage declares its own `Params` in its package; `Settings` has a line for each. Defaults, ranges and their reasons
are declared only there: ``config/default.yaml`` and ``docs/settings.md`` are written from them::

    python -m flows.settings --write
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from operators.connectors.kafka.librdkafka import SECURITY
from operators.connectors.kafka.params import KafkaParams
from operators.documents.secret import Secret, note
from operators.documents.yaml import Place, name_of
from operators.domain.conversations.ratings import FeedbackParams
from operators.domain.conversations.stage import ConversationsParams
from operators.domain.customers.params import CustomersParams
from operators.domain.mistakes import Mistake
from operators.domain.models.churn import ChurnParams
from operators.domain.models.satisfaction import SatisfactionParams
from operators.domain.models.sentiment import SentimentParams
from operators.domain.queues.record import QueuesParams
from operators.domain.stage.intake import IntakeParams
from operators.domain.stage.labels import LabelsParams
from operators.domain.stage.promise import PromisesParams
from operators.domain.text.vectorize import VectorizeParams
from operators.domain.wire.dedupe import DedupeParams
from operators.domain.wire.pseudonyms import PrivacyParams
from operators.simulator.params import SimulatorParams

SHOWN = (
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "ssl.ca.location",
)
"""Keys that are not secret and are shown."""
NO_SECRET = frozenset(
    {*SHOWN, "ssl.cipher.suites", "ssl.curves.list", "ssl.sigalgs.list", "ssl.key.location", "ssl.certificate.location"}
    | {"ssl.crl.location", "ssl.keystore.location", "ssl.providers", "ssl.engine.location", "ssl.engine.id"}
    | {"ssl.ca.certificate.stores", "ssl.endpoint.identification.algorithm", "enable.ssl.certificate.verification"}
    | {"sasl.kerberos.service.name", "sasl.kerberos.principal", "sasl.kerberos.keytab", "https.ca.location"}
    | {"sasl.kerberos.min.time.before.relogin", "enable.sasl.oauthbearer.unsecure.jwt", "sasl.oauthbearer.method"}
    | {"sasl.oauthbearer.client.id", "sasl.oauthbearer.scope", "sasl.oauthbearer.token.endpoint.url"}
    | {"sasl.oauthbearer.grant.type", "sasl.oauthbearer.sub.claim.name", "sasl.oauthbearer.assertion.algorithm"}
)
"""Names under `security` whose values messages may repeat; the value of any other is a secret."""
CHOICES = {
    "security.protocol": ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
    "sasl.mechanism": ("GSSAPI", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"),
    "sasl.mechanisms": ("GSSAPI", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"),
}
"""Values that librdkafka knows; another one is not repeated, because it may be a password in the wrong place."""

DEAD_LETTERS: Place = ("outputs", "deadletters")
"""Key of the one output topic whose records are no events."""


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """The log of the process, on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Lowest level that is logged. debug also logs the ids of conversations and customers."),
    ] = "info"


class Http(Struct, frozen=True, forbid_unknown_fields=True):
    """Where /metrics, /healthz and /readyz are served."""

    host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Address to listen on. Beyond loopback set `web_config_file`: without it the metrics are open.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(
            ge=0,
            le=65_535,
            description="TCP port; 0 takes a free one. Change it if another exporter uses it.",
        ),
    ] = 9464
    web_config_file: Annotated[
        str | None,
        Meta(
            description="File with TLS, client certificates, passwords and headers, in the format of "
            "the Prometheus exporters "
            "(docs/operations.md); --web.config.file of csq run has precedence. null: plain HTTP, "
            "open to every client that reaches the port."
        ),
    ] = None


class Outputs(Struct, frozen=True, forbid_unknown_fields=True):
    """The topic of each outgoing stream; the default is the name of the stream."""

    turn_scored: Annotated[str, Meta(min_length=1, description="Each customer message with its sentiment.")] = (
        "csq.turn.scored"
    )
    reply_measured: Annotated[str, Meta(min_length=1, description="Each reply with its waiting time.")] = (
        "csq.reply.measured"
    )
    satisfaction_scored: Annotated[
        str,
        Meta(min_length=1, description="Each ended conversation with its parts of S."),
    ] = "csq.satisfaction.scored"
    churn_scored: Annotated[
        str,
        Meta(min_length=1, description="A customer's probability to leave, with reasons."),
    ] = "csq.churn.scored"
    deadletters: Annotated[str, Meta(min_length=1, description="Refused events, raw, with the reason.")] = (
        "csq.deadletters"
    )

    def by_stream(self) -> dict[str, str]:
        """Stream to topic.

        >>> Outputs(deadletters="refused").by_stream()["csq.deadletters"]
        'refused'
        """
        return {str(field.default): getattr(self, field.name) for field in msgspec.structs.fields(self)}


class Kafka(KafkaParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The connection to Kafka, and the topics; without brokers an embedded broker and a simulated shop."""

    topics: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            min_length=1,
            description="Topics with events; all of their partitions are read.",
        ),
    ] = ("csq.events",)
    models_topic: Annotated[
        str,
        Meta(
            min_length=1,
            description="Compacted topic through which the processes of a cluster share what their models learn; "
            "created if it does not exist. Not used by a single process. Each deployment needs its own.",
        ),
    ] = "csq.models"
    outputs: Outputs = Outputs()
    security: Annotated[
        dict[str, Secret],
        Meta(description="librdkafka's security.*, sasl.* and ssl.* by their own names; hidden in all output."),
    ] = {}
    librdkafka: Annotated[
        dict[str, str | int | float | bool],
        Meta(
            description="Further settings of librdkafka by their own names; those of security have their own table. "
            "Those that a promise of csq depends on are refused; the end of docs/settings.md lists both kinds."
        ),
    ] = {}

    def __post_init__(self) -> None:
        """Keep secrets where they are hidden, and anything else out of there."""
        note(secret.reveal() for key, secret in self.security.items() if key not in NO_SECRET)
        super().__post_init__()

    def mistakes(self) -> Iterator[Mistake]:
        """As its base class, and those of topics, security and brokers."""
        yield from super().mistakes()
        yield from self._topics_of_two_uses()
        for name, by_topic in (("start", self.start), ("on_expired_offset", self.on_expired_offset)):
            for topic in by_topic if isinstance(by_topic, dict) else ():
                if topic not in self.topics:
                    known = ", ".join(self.topics)
                    yield Mistake((name, topic), f"kafka.{name}: {topic!r} is not one of kafka.topics ({known})")
        yield from self._misplaced_security()
        for number, broker in enumerate(self.brokers):
            if "@" in broker:
                text = "kafka.brokers: a broker is host:port; user and password belong in kafka.security"
                yield Mistake(("brokers", number), text)

    def _topics_of_two_uses(self) -> Iterator[Mistake]:
        """Topics with a second use, which would read what csq writes, or mix records of two kinds."""
        uses: list[tuple[Place, str]] = [(("topics", number), topic) for number, topic in enumerate(self.topics)]
        uses += [(("outputs", name), topic) for name, topic in msgspec.structs.asdict(self.outputs).items()]
        first: dict[str, Place] = {}
        for use, topic in [*uses, (("models_topic",), self.models_topic)]:
            other = first.setdefault(topic, use)
            if other == use or all(place[0] == "outputs" and place != DEAD_LETTERS for place in (use, other)):
                continue  # outgoing events of several types may share a topic
            if other[0] != "topics":
                why = "readers of one would get the records of the other"
            else:
                why = "it would be read twice" if use[0] == "topics" else "csq would read what it writes"
            here, there = name_of(("kafka", *use)), name_of(("kafka", *other))
            yield Mistake(use, f"{here}: topic {topic!r} is also {there}: {why}; give each a topic of its own")

    def _misplaced_security(self) -> Iterator[Mistake]:
        for key in self.librdkafka:
            if key.startswith(SECURITY):
                yield Mistake(
                    ("librdkafka", key), f"kafka.librdkafka: `{key}` may be secret; move it to kafka.security"
                )
        for key, secret in self.security.items():
            choices = CHOICES.get(key, ())
            if not key.startswith(SECURITY):
                text = f"`{key}` is not one of {'*, '.join(SECURITY)}*; move it to kafka.librdkafka"
                yield Mistake(("security", key), f"kafka.security: {text}")
            elif choices and secret.reveal().lower() not in map(str.lower, choices):
                text = f"`{key}` is not one of {', '.join(choices)}"
                yield Mistake(("security", key), f"kafka.security: {text}")

    def client_config(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """As its base class, with the security settings. The result contains secrets; do not print it."""
        return super().client_config(own) | {key: secret.reveal() for key, secret in self.security.items()}


class State(Struct, frozen=True, forbid_unknown_fields=True):
    """State that survives a restart."""

    directory: Annotated[
        str | None,
        Meta(description="Folder of the recovery store. null: csq stores nothing, and a restart begins without state."),
    ] = None
    lanes: Annotated[
        int,
        Meta(
            ge=1,
            le=4096,
            description="Lanes over which conversations and customers are distributed; fixed once a recovery store is "
            "created. 64 distribute evenly over up to 16 processes.",
        ),
    ] = 64
    snapshot_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="Seconds between snapshots; a restart reads the events of that time again. A snapshot writes "
            "the whole state; docs/state.md has its cost with many customers.",
        ),
    ] = 30.0
    recovery_partitions: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="Files of a recovery store; fixed once it is created. As many as there are processes, so "
            "that each writes to its own.",
        ),
    ] = 4
    shared: Annotated[
        bool,
        Meta(
            description="Whether all processes reach this one directory, as on one machine. false: only process 0 "
            "has the store, for all of them."
        ),
    ] = True
    backup_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Seconds that older snapshots are kept. To back up the store while csq runs, set it to more "
            "than the time of a copy; the store then holds every snapshot of that time.",
        ),
    ] = 0.0


class Order(Struct, frozen=True, forbid_unknown_fields=True):
    """Events out of order."""

    out_of_order_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Bound of disorder: seconds of event time for which events are held back and sorted; results "
            "are delayed by as much. Raise it if csq_late_events_total grows.",
        ),
    ] = 2.0


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set; a further stage is one line here."""

    log: Log = Log()
    http: Http = Http()
    kafka: Kafka = Kafka()
    state: State = State()
    order: Order = Order()
    labels: LabelsParams = LabelsParams()
    promises: PromisesParams = PromisesParams()
    intake: IntakeParams = IntakeParams()
    dedupe: DedupeParams = DedupeParams()
    vectorize: VectorizeParams = VectorizeParams()
    conversations: ConversationsParams = ConversationsParams()
    feedback: FeedbackParams = FeedbackParams()
    queues: QueuesParams = QueuesParams()
    sentiment: SentimentParams = SentimentParams()
    customers: CustomersParams = CustomersParams()
    satisfaction: SatisfactionParams = SatisfactionParams()
    churn: ChurnParams = ChurnParams()
    privacy: PrivacyParams = PrivacyParams()
    simulator: SimulatorParams = SimulatorParams()
