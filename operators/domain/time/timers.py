"""Timers: a heap of tuples (due time, whose, ...).

No timer is removed from the middle of the heap: a round that is answered or a customer who is dropped leaves obsolete
timers, which fire later and have no effect. Some are due in a year, so the heap is rebuilt now and then.
"""

import heapq
from collections.abc import Iterator
from typing import Any

MIN_REBUILD = 64
"""A heap with fewer obsolete timers is not rebuilt."""


def due_timers(timers: list[Any], now: float) -> Iterator[Any]:
    """Remove and yield the timers that are due before `now`, also those that are added meanwhile.

    >>> timers = [(1.0, "a"), (5.0, "b")]
    >>> list(due_timers(timers, 5.0)), timers
    ([(1.0, 'a')], [(5.0, 'b')])
    """
    while timers and timers[0][0] < now:
        yield heapq.heappop(timers)


def set_timers(timers: list[Any], valid: list[Any]) -> int:
    """Make `timers` the heap of those that are `valid`; return how many it may hold before it is to be rebuilt.

    That is twice as many: so there are never more obsolete timers than valid ones, and each timer that is added pays
    the same share of the rebuilding.

    >>> timers = [(1.0, "gone"), (2.0, "here")]
    >>> set_timers(timers, [(3.0, "there"), (2.0, "here")])
    68
    >>> timers
    [(2.0, 'here'), (3.0, 'there')]
    """
    timers[:] = valid
    heapq.heapify(timers)
    return 2 * len(timers) + MIN_REBUILD
