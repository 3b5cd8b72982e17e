"""Timers: a heap of tuples (when, whose, ...), which does not outgrow the records that it is about."""

import heapq
from collections.abc import Collection
from typing import Any

SPARE = 100
"""Timers beyond four for each record before the dead ones among them are swept."""


def push_timer(timers: list[Any], timer: tuple[Any, ...], records: Collection[str]) -> None:
    """Add a timer; where most are about records that are gone, those go first.

    >>> timers = [(float(n), "gone") for n in range(200)]
    >>> push_timer(timers, (7.0, "here"), {"here"})
    >>> timers
    [(7.0, 'here')]
    """
    if len(timers) > 4 * len(records) + SPARE:
        timers[:] = [known for known in timers if known[1] in records]
        heapq.heapify(timers)
    heapq.heappush(timers, timer)
