"""What librdkafka's statistics (JSON) tell: how long a broker has been silent, how much is still to be read.

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
    hi_offset: int = -1
    """Next offset that will be written; negative: not known."""
    app_offset: int = -1
    """Next offset that we will be given; negative: nothing was given yet."""


class _Topic(Struct):
    partitions: dict[str, _Partition]


class _Statistics(Struct):
    brokers: dict[str, _Broker]
    topics: dict[str, _Topic]


_decode = msgspec.json.Decoder(_Statistics).decode


def lags(statistics: str) -> dict[tuple[str, int], int]:
    """Messages still to be read of each (topic, partition), as far as known.

    >>> partition = '{"broker": 1, "hi_offset": 9, "app_offset": 2}'
    >>> lags('{"brokers": {}, "topics": {"chat": {"partitions": {"0": %s}}}}' % partition)
    {('chat', 0): 7}
    """
    return {
        (name, int(number)): max(partition.hi_offset - partition.app_offset, 0)
        for name, topic in _decode(statistics).topics.items()
        for number, partition in topic.partitions.items()
        if partition.hi_offset >= 0 and partition.app_offset >= 0
    }


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
