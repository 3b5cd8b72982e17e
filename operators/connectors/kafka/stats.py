"""What librdkafka's statistics (JSON) tell: how long a broker has been silent.

A healthy broker answers the open fetch at least every ``fetch.wait.max.ms``. One that is frozen, or behind a network
that swallows packets, is reported as an error only after twice the socket timeout; its silence tells at once.
"""

import msgspec
from msgspec import Struct


class _Broker(Struct):
    nodeid: int
    rxidle: int
    """Microseconds since something was received; negative: never."""


class _Partition(Struct):
    broker: int
    """Node that it is fetched from."""


class _Topic(Struct):
    partitions: dict[str, _Partition]


class _Statistics(Struct):
    brokers: dict[str, _Broker]
    topics: dict[str, _Topic]


_decode = msgspec.json.Decoder(_Statistics).decode


def silence_seconds(statistics: str) -> dict[tuple[str, int], float]:
    """Seconds, when the statistics were made, since the broker of each (topic, partition) was last heard.

    >>> silence_seconds(
    ...     '{"brokers": {"a:9092/1": {"nodeid": 1, "rxidle": 250000}, "b:9092/2": {"nodeid": 2, "rxidle": -1}},'
    ...     ' "topics": {"chat": {"partitions": {"0": {"broker": 1}, "1": {"broker": 2}, "2": {"broker": -1}}}}}'
    ... )
    {('chat', 0): 0.25}
    """
    read = _decode(statistics)
    silent = {broker.nodeid: broker.rxidle / 1e6 for broker in read.brokers.values() if broker.rxidle >= 0}
    return {
        (name, int(number)): silent[partition.broker]
        for name, topic in read.topics.items()
        for number, partition in topic.partitions.items()
        if partition.broker >= 0 and partition.broker in silent
    }
