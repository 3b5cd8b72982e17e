"""Timers: a heap of tuples (when, whose, ...).

Nobody takes a timer out of the middle of a heap: a round that is answered, a customer who is forgotten leave theirs
behind, to fire later and find nothing. Some fire in a year, so the heap is now and then made anew from what is there.
"""

import heapq
from typing import Any

MIN_REBUILD = 64
"""So many are not worth a look."""


def set_timers(timers: list[Any], meant: list[Any]) -> int:
    """Make `timers` the heap of those that are `meant`; how many it may hold before it should be made anew.

    Twice as many: so what is left behind is never more than what means something, and to look for it costs each timer
    that was added the same.

    >>> timers = [(1.0, "gone"), (2.0, "here")]
    >>> set_timers(timers, [(3.0, "there"), (2.0, "here")])
    68
    >>> timers
    [(2.0, 'here'), (3.0, 'there')]
    """
    timers[:] = meant
    heapq.heapify(timers)
    return 2 * len(timers) + MIN_REBUILD
