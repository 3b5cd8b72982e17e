"""What the Kafka source and the Kafka sink share: settings, errors, and the ground settings of librdkafka.

The source is in `kafka_source`, the sink in `kafka_sink`. Bytewax's own connectors are not used: its sink loses failed
deliveries silently, and its source jumps to the end of a partition when an offset has expired.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from confluent_kafka import KafkaError
from msgspec import Meta, Struct

Start = Literal["earliest", "latest"] | float
"""Where a partition without a stored position begins: its oldest record, its end, or a POSIX time."""

UNREACHABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - public codes of librdkafka, only spelled with an underscore
        KafkaError._TRANSPORT,  # noqa: SLF001 - as above
        KafkaError._RESOLVE,  # noqa: SLF001 - as above
        KafkaError._TIMED_OUT,  # noqa: SLF001 - as above
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - as above
        KafkaError._SSL,  # noqa: SLF001 - as above
    }
)
"""Codes that say: this client cannot talk to a broker now. librdkafka goes on trying by itself."""

NO_SUCH_OFFSET = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001 - as above
"""Code of a fetch from an offset that the broker does not have, where no reset is allowed."""

OURS = frozenset(
    {"bootstrap.servers", "group.id", "enable.auto.commit", "enable.partition.eof", "statistics.interval.ms"}
    | {"error_cb", "stats_cb", "on_commit"}
)
"""librdkafka settings that the connectors depend on, and that no one else may set."""


class KafkaInputError(RuntimeError):
    """Reading from Kafka cannot go on without a person's decision."""


class KafkaOutputError(RuntimeError):
    """A record was not delivered to Kafka."""


class KafkaParams(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the connection to Kafka."""

    brokers: Annotated[
        tuple[str, ...], Meta(description="host:port of some brokers of the cluster; the others are found through them")
    ] = ()
    start: Annotated[
        str | dict[str, str],
        Meta(
            description="where a partition that has no stored position begins: earliest (nothing is missed), latest, "
            "or an ISO time with zone such as 2025-01-31T08:00:00Z; one for all topics, or by topic (others: earliest)"
        ),
    ] = "earliest"
    group_id: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="consumer group to which positions are also committed, so that lag tools see them; never read "
            "back, the recovery store decides; absent: nothing is committed"
        ),
    ] = None
    batch_size: Annotated[
        int,
        Meta(description="records per partition handed on at once; smaller only for lower latency under load", ge=1),
    ] = 4000
    tick_seconds: Annotated[
        float, Meta(description="s between the times told by a partition that is at its end; timers are no finer", gt=0)
    ] = 0.25
    queue_kbytes: Annotated[
        int,
        Meta(
            description="KiB of records fetched ahead per process; librdkafka's own 64 MiB is memory for nothing", ge=1
        ),
    ] = 16_384
    connect_seconds: Annotated[
        float, Meta(description="s that the first answer of the brokers may take before the start is given up", gt=0)
    ] = 30.0
    delivery_seconds: Annotated[
        float,
        Meta(
            description="s that a record may take to be acknowledged, retries included; after it the process stops "
            "with an error and resumes from its last snapshot; longer to sit out longer outages",
            gt=0,
        ),
    ] = 120.0
    librdkafka: Annotated[
        dict[str, str | int | float | bool],
        Meta(description="further settings of librdkafka by their own names: security.protocol, sasl.*, ssl.*, ..."),
    ] = {}

    def __post_init__(self) -> None:
        """Refuse what would only fail, or silently misbehave, later."""
        for start in self.start.values() if isinstance(self.start, dict) else (self.start,):
            parse_start(start)
        if taken := OURS & self.librdkafka.keys():
            msg = f"kafka.librdkafka: {', '.join(sorted(taken))} cannot be set here, the connectors set it themselves"
            raise ValueError(msg)

    def start_of(self, topic: str) -> Start:
        """Where a partition of `topic` without a stored position begins."""
        return parse_start(self.start.get(topic, "earliest") if isinstance(self.start, dict) else self.start)

    def client_config(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of a librdkafka client; the user's own win over the defaults of `own`."""
        return {
            "bootstrap.servers": ",".join(self.brokers),
            "client.id": "csq",
            "log_level": 2,  # an outage would print dozens of lines a second; error_cb tells it, and we log it once
            "socket.timeout.ms": 10_000,  # a frozen network counts as lost after this; librdkafka's own minute is long
            "reconnect.backoff.max.ms": 1_000,  # bounds what a short outage costs; ten seconds by default
            **own,
            **self.librdkafka,
        }


def parse_start(text: str) -> Start:
    """Read a start setting.

    >>> parse_start("latest")
    'latest'
    >>> parse_start("1970-01-02T00:00:00Z")
    86400.0
    >>> parse_start("yesterday")
    Traceback (most recent call last):
    ValueError: kafka.start: got 'yesterday', expected earliest, latest or an ISO time with zone (2025-01-31T08:00:00Z)
    """
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        msg = f"kafka.start: got {text!r}, expected earliest, latest or an ISO time with zone (2025-01-31T08:00:00Z)"
        raise ValueError(msg)
    return time.timestamp()


def input_error(topic: str | None, partition: int | None, offset: int | None, error: KafkaError) -> KafkaInputError:
    """Say what happened, where, and what to do.

    >>> print(input_error("csq.events", 2, 17, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    Kafka: csq.events[2] at offset 17 cannot be read: Broker: Topic authorization failed
    """
    where = "the cluster" if topic is None else f"{topic}[{partition}] at offset {offset}"
    if error.code() != NO_SUCH_OFFSET:
        return KafkaInputError(f"Kafka: {where} cannot be read: {error.str()}")
    return KafkaInputError(
        f"Kafka: {where} cannot be read, the broker does not have this offset: it has expired, or the topic "
        "was made anew, and events may be lost. Either set kafka.start for this topic and begin with an empty recovery "
        "store, or keep the store and, for one start, set auto.offset.reset under kafka.librdkafka to earliest (goes "
        f"on with the oldest event that is left) or latest. ({error.str()})"
    )
