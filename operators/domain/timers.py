"""Timers: a heap of tuples (when, whose, ...)."""

import heapq
from collections.abc import Container
from typing import Any


def sweep_timers(timers: list[Any], records: Container[str]) -> None:
    """Take out the timers of records that are gone.

    For when many go at once, to make room: a timer whose record went by itself fires soon, and finds nothing.

    >>> timers = [(1.0, "gone"), (2.0, "here"), (3.0, "gone")]
    >>> sweep_timers(timers, {"here"})
    >>> timers
    [(2.0, 'here')]
    """
    timers[:] = [timer for timer in timers if timer[1] in records]
    heapq.heapify(timers)
