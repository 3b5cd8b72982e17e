"""Settings that the Kafka clients share, and the base settings of librdkafka. Imports no Kafka client.

The source is in ``source.py``, the sink in ``sink.py``, their errors in ``errors.py``. Bytewax's own connectors are not
used: its sink loses failed deliveries silently, and its source skips to the end of a partition when an offset has
expired.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from operators.connectors.kafka.librdkafka import refusals
from operators.domain.mistakes import Mistake, MistakesError

SOURCE_STEP = "csq.kafka"
"""Full name of the source's step in `flows/live.py`; public, like all step names."""

Start = Literal["earliest", "latest"] | float
"""Where a partition without a stored position begins: its oldest record, its end, or a time (POSIX seconds)."""

OnExpired = Literal["error", "earliest", "latest"]
"""What to do when the broker does not hold the stored position."""


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
    on_expired_offset: Annotated[
        OnExpired | dict[str, OnExpired],
        Meta(
            description="what to do if the topic does not contain the stored position, or was deleted and made anew, "
            "so events may be lost: error (stop with a message), earliest (continue with the oldest event that is "
            "left) or latest; both log the number of skipped events; one for all topics, or by topic (others: error)"
        ),
    ] = "error"
    refresh_seconds: Annotated[
        float,
        Meta(
            description="seconds between checks for new partitions, and for topics that were made anew. With a "
            "state.directory csq run starts again by itself, with --processes all of them together, and reads new "
            "partitions from their beginning; others, such as processes on several machines, read them after the next "
            "start. csq_source_partitions_unread shows them",
            gt=0,
        ),
    ] = 5.0
    hold_seconds: Annotated[
        float,
        Meta(
            description="seconds for which event time waits for what cannot be read yet (an open transaction, a new "
            "partition), so that no round is missed whose reply is already in the topic; then it goes on. Set it "
            "longer than the longest transaction of the producers; timers are late by as much",
            ge=0,
        ),
    ] = 60.0
    group_id: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="consumer group to which positions are also committed with each snapshot, so that "
            "kafka-consumer-groups and other lag tools see them; they are never read back, offsets "
            "come from the recovery store; "
            "null: nothing is committed"
        ),
    ] = None
    batch_size: Annotated[
        int,
        Meta(description="records per partition handed on at once; smaller only for lower latency under load", ge=1),
    ] = 16_000
    tick_seconds: Annotated[
        float,
        Meta(
            description="seconds between reports of the time by a partition at its end; the resolution of timers", gt=0
        ),
    ] = 0.25
    queue_kbytes: Annotated[
        int,
        Meta(
            description="KiB of records fetched ahead per process, and the maximum of one fetch; librdkafka's "
            "default of 64 MiB uses more memory and is not faster",
            ge=1,
            le=2_097_151,
        ),
    ] = 16_384
    connect_seconds: Annotated[
        float, Meta(description="seconds to wait for the first answer of the brokers before the start fails", gt=0)
    ] = 30.0
    delivery_seconds: Annotated[
        float,
        Meta(
            description="seconds within which a record must be acknowledged, retries included; after "
            "it the process stops "
            "with an error and resumes from its last snapshot; a longer time survives longer outages of the brokers",
            gt=0,
        ),
    ] = 120.0
    fence_seconds: Annotated[
        float,
        Meta(
            description="seconds for which a record of another deployment in an output topic prevents a start: two "
            "would publish everything twice; 0 for one start that replaces the other, which then stops. Only with "
            "state.directory",
            ge=0,
            le=3_600,
        ),
    ] = 60.0
    librdkafka: Annotated[
        dict[str, str | int | float | bool],
        Meta(description="further settings of librdkafka by their own names: security.protocol, sasl.*, ssl.*, ..."),
    ] = {}

    def __post_init__(self) -> None:
        """Refuse settings that would fail, or silently misbehave, later."""
        if found := tuple(self.mistakes()):
            raise MistakesError(*found)

    def mistakes(self) -> Iterator[Mistake]:
        """What types alone do not find."""
        starts = (
            {(topic,): text for topic, text in self.start.items()} if isinstance(self.start, dict) else {(): self.start}
        )
        for place, text in starts.items():
            try:
                parse_start(text)
            except ValueError as error:
                yield Mistake(("start", *place), str(error))
        yield from refusals(self.librdkafka)

    def start_of(self, topic: str) -> Start:
        """Where a partition of `topic` without a stored position begins."""
        return parse_start(self.start.get(topic, "earliest") if isinstance(self.start, dict) else self.start)

    def on_expired_offset_of(self, topic: str) -> OnExpired:
        """What to do where a stored position of `topic` is not held by the broker."""
        chosen = self.on_expired_offset
        return chosen.get(topic, "error") if isinstance(chosen, dict) else chosen

    def client_config(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of a librdkafka client; the user's own win over the defaults of `own`."""
        return {
            "bootstrap.servers": ",".join(self.brokers),
            "client.id": "csq",
            "log_level": 2,  # an outage would print dozens of lines a second; error_cb reports it, and csq logs it once
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


def part_name(topic: str, partition: int) -> str:
    """Name a partition, as a part of a source and in messages.

    >>> part_name("csq.events", 3)
    'csq.events[3]'
    """
    return f"{topic}[{partition}]"


def topic_and_partition(name: str) -> tuple[str, int]:
    """Take the name of a part apart.

    >>> topic_and_partition("csq.events[3]")
    ('csq.events', 3)
    """
    topic, _, number = name.removesuffix("]").rpartition("[")
    return topic, int(number)
