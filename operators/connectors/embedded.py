"""A Kafka broker inside this process, for the first run, demos and tests: nothing to install, the same source and sink.

It is librdkafka's mock cluster (``test.mock.num.brokers``) on a port of the loopback, for this and other processes. It
keeps records in memory, about 5 MB per partition, and drops the oldest. It has no TLS, no passwords, and no look-up of
offsets by time (any start time means "latest"). Do not use it for real data.
"""

from collections.abc import Iterable
from typing import Self

from confluent_kafka import Producer

PARTITIONS = 4
"""Partitions of each topic; librdkafka fixes it."""

ANSWER_SECONDS = 10.0
"""Bound on the broker's first answer; it takes milliseconds."""


class EmbeddedBroker:
    """The broker and its topics; it and its records exist until `close` or the end of the ``with`` block.

    A topic is created at the request of a producer; topics that are read before they are written must be given.

    >>> with EmbeddedBroker(["csq.events"]) as broker:
    ...     broker.bootstrap_servers.split(":")[0]
    '127.0.0.1'
    """

    def __init__(self, topics: Iterable[str] = ()) -> None:
        """Start listening on a free port, and create `topics`, each with `PARTITIONS` partitions."""
        # The client that owns the cluster; it requires bootstrap.servers, and replaces it with the cluster's address.
        self._owner = Producer({"bootstrap.servers": "embedded", "test.mock.num.brokers": 1, "log_level": 2})
        brokers = self._owner.list_topics(timeout=ANSWER_SECONDS).brokers.values()
        self.bootstrap_servers: str = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        """``host:port``, for a client's ``bootstrap.servers``."""
        for topic in topics:
            self._owner.list_topics(topic, timeout=ANSWER_SECONDS)  # asking for a topic creates it

    def close(self) -> None:
        """Stop the broker and drop its records."""
        self._owner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
