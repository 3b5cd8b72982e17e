"""Settings of librdkafka that `kafka.librdkafka` may have, and those that it may not, each with the reason.

The lists are closed: every setting of librdkafka is in one of them, which a test compares with the library, and a name
in neither is refused. So no setting, and none that a later librdkafka adds, switches off what a promise of csq depends
on (``docs/promises.md``).
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final, NamedTuple

from operators.domain.mistakes import Mistake

SECURITY: Final = ("security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https.ca.")
"""What the names of librdkafka's security settings begin with; they belong in `kafka.security`."""

_NAMES: Final = """
    allow.auto.create.topics api.version.request.timeout.ms batch.num.messages batch.size broker.address.family
    broker.address.ttl builtin.features check.crcs client.dns.lookup client.id client.rack compression.codec
    compression.level compression.type connections.max.idle.ms consume.callback.max.messages debug enable.metrics.push
    enable.random.seed fetch.error.backoff.ms fetch.message.max.bytes fetch.min.bytes fetch.queue.backoff.ms
    fetch.wait.max.ms linger.ms log.connection.close log.thread.name log_level max.partition.fetch.bytes
    message.copy.max.bytes message.max.bytes metadata.max.age.ms metadata.recovery.rebootstrap.trigger.ms
    metadata.recovery.strategy produce.offset.report queue.buffering.backpressure.threshold queue.buffering.max.kbytes
    queue.buffering.max.messages queue.buffering.max.ms queued.min.messages reconnect.backoff.jitter.ms
    reconnect.backoff.max.ms reconnect.backoff.ms request.timeout.ms retry.backoff.max.ms retry.backoff.ms
    socket.blocking.max.ms socket.connection.setup.timeout.ms socket.keepalive.enable socket.max.fails
    socket.nagle.disable socket.receive.buffer.bytes socket.send.buffer.bytes socket.timeout.ms
    sticky.partitioning.linger.ms topic.metadata.propagation.max.ms topic.metadata.refresh.fast.cnt
    topic.metadata.refresh.fast.interval.ms topic.metadata.refresh.interval.ms topic.metadata.refresh.sparse
"""
OPEN: Final = frozenset(_NAMES.split())
"""Settings that change speed, memory, contact and logs, and no result."""


class _Closed(NamedTuple):
    names: str
    """Separated by spaces; aliases and names of confluent-kafka too."""
    why: str
    instead: str


_CLOSED: Final = (
    _Closed(
        "bootstrap.servers metadata.broker.list", "csq connects to one cluster with all its clients", "kafka.brokers"
    ),
    _Closed("group.id", "lag tools see the positions under the group that csq commits to", "kafka.group_id"),
    _Closed(
        "acks request.required.acks enable.idempotence max.in.flight max.in.flight.requests.per.connection retries "
        "message.send.max.retries enable.gapless.guarantee queuing.strategy",
        "a snapshot counts only what all in-sync replicas have, once and in order; csq sets acks to all and writes "
        "idempotently",
        "",
    ),
    _Closed(
        "message.timeout.ms delivery.timeout.ms",
        "it decides when an output that cannot be written stops csq",
        "kafka.delivery_seconds",
    ),
    _Closed(
        "transactional.id transaction.timeout.ms",
        "csq writes outside of transactions: with one, no record would become visible to readers of committed records",
        "",
    ),
    _Closed(
        "delivery.report.only.error dr_cb dr_msg_cb on_delivery", "a snapshot waits for the report of each delivery", ""
    ),
    _Closed(
        "partitioner partitioner_cb msg_order_cmp",
        "the records of one key are in one partition, the one that Java clients choose",
        "",
    ),
    _Closed(
        "isolation.level", "records of aborted transactions would be counted; csq reads committed records only", ""
    ),
    _Closed(
        "enable.auto.commit auto.commit.enable auto.commit.interval.ms enable.auto.offset.store offset.store.method "
        "offset.store.path offset.store.sync.interval.ms",
        "positions are in the recovery store, and are committed with each snapshot for lag tools to see",
        "kafka.group_id",
    ),
    _Closed(
        "auto.offset.reset",
        "no event is skipped without a message",
        "kafka.start and kafka.on_expired_offset",
    ),
    _Closed(
        "enable.partition.eof statistics.interval.ms",
        "event time follows from the ends of the partitions",
        "kafka.tick_seconds",
    ),
    _Closed(
        "queued.max.messages.kbytes fetch.max.bytes receive.message.max.bytes",
        "they bound the memory of a process together",
        "kafka.queue_kbytes",
    ),
    _Closed(
        "group.instance.id partition.assignment.strategy session.timeout.ms heartbeat.interval.ms group.protocol.type "
        "group.protocol group.remote.assignor coordinator.query.interval.ms max.poll.interval.ms max.poll.records "
        "share.acknowledgement.mode",
        "csq distributes the partitions itself and is not a member of a consumer group",
        "",
    ),
    _Closed(
        "topic.blacklist", "a topic of csq would seem not to exist", "kafka.topics, which names the topics to read"
    ),
    _Closed(
        "api.version.request api.version.fallback.ms broker.version.fallback",
        "with a version that is assumed, headers and idempotent writes may be missing; the brokers report theirs",
        "",
    ),
    _Closed(
        "error_cb stats_cb on_commit offset_commit_cb throttle_cb log_cb logger background_event_cb socket_cb "
        "connect_cb closesocket_cb open_cb resolve_cb consume_cb rebalance_cb oauth_cb oauthbearer_token_refresh_cb "
        "opaque default_topic_conf default.topic.config enabled_events interceptors log.queue "
        "internal.termination.signal",
        "it is part of csq's own code",
        "",
    ),
    _Closed("plugin.library.paths", "a library loaded into csq could change every record and setting", ""),
    _Closed("ssl_key ssl_certificate ssl_ca ssl_engine_callback_data", "it cannot be given as text", "kafka.security"),
)

CLOSED: Final[Mapping[str, _Closed]] = {name: closed for closed in _CLOSED for name in closed.names.split()}
"""Settings that csq sets itself or does not allow."""


class _Bound(NamedTuple):
    least: int
    most: int
    why: str


_LATE: Final = "it delays each record, and the end of a partition by which event time goes on"
BOUNDS: Final[Mapping[str, _Bound]] = {
    "message.max.bytes": _Bound(
        1_000_000, 1_000_000_000, "a smaller bound stops csq at the first large record that it writes"
    ),
    "fetch.wait.max.ms": _Bound(0, 1_000, _LATE),
    "fetch.queue.backoff.ms": _Bound(0, 1_000, _LATE),
    "fetch.error.backoff.ms": _Bound(0, 10_000, "reading stands still after an error of the broker"),
}
"""Settings that may be set within bounds."""


def refusals(given: Mapping[str, object]) -> Iterator[Mistake]:
    """What is wrong with settings under `kafka.librdkafka`: the name, the value, why, and what to set instead.

    >>> for mistake in refusals({"auto.offset.reset": "end", "fetch.error.backoff.ms": 60_000, "linger": 5}):
    ...     print(mistake.text)
    kafka.librdkafka: auto.offset.reset cannot be set to end: no event is skipped without a message; set kafka.start \
and kafka.on_expired_offset instead
    kafka.librdkafka: fetch.error.backoff.ms: got 60000, expected 0 to 10000: reading stands still after an error of \
the broker; correct or remove it
    kafka.librdkafka: linger: csq allows no such setting; did you mean linger.ms?
    """
    for name, value in given.items():
        if text := _refusal(name, value):
            yield Mistake(("librdkafka", name), f"kafka.librdkafka: {text}")


def _refusal(name: str, value: object) -> str | None:
    """Why a setting is refused; `None` for one that is not, and for those of security, which `Kafka` refuses."""
    if (closed := CLOSED.get(name)) is not None:
        instead = f"set {closed.instead} instead" if closed.instead else "remove it"
        got = "" if name.startswith("ssl_") else f" to {value}"  # which may be a key
        return f"{name} cannot be set{got}: {closed.why}; {instead}"
    if name.startswith(SECURITY):
        return None
    if name not in OPEN:
        close = get_close_matches(name, OPEN, 1)
        hint = f"did you mean {close[0]}?" if close else "docs/settings.md lists what may be set"
        return f"{name}: csq allows no such setting; {hint}"
    if (bound := BOUNDS.get(name)) is not None and not bound.least <= _number(value, bound.least) <= bound.most:
        return f"{name}: got {value}, expected {bound.least} to {bound.most}: {bound.why}; correct or remove it"
    return None


def _number(value: object, otherwise: float) -> float:
    """The number that librdkafka reads; `otherwise` for what it refuses itself."""
    try:
        return float(str(value))
    except ValueError:
        return otherwise
