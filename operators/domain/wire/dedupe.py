"""Dedupe: the same (source, id) within a window of event time is a repeat.

An id is kept as a 64-bit hash: a hundred million ids seen give a wrong repeat with a probability of 0.03 %. The number
kept is bounded as well: beyond it the oldest are dropped first, even within the window.
"""

import math
from array import array
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from xxhash import xxh3_64_intdigest

_SUPERSEDED = -math.inf
"""Time of an entry of the queue whose id was added again, further behind."""
_COMPACT_AT = 4_096
"""Places that have expired at the front of the queue before it is looked at whether they are worth cutting off."""


class DedupeParams(Struct, frozen=True, forbid_unknown_fields=True):
    """How long and how many event ids are kept."""

    window_seconds: Annotated[
        float,
        Meta(gt=0, description="Seconds of event time. Raise it if a producer retries for longer."),
    ] = 3600.0
    max_ids: Annotated[
        int,
        Meta(ge=100, description="Ids per lane, 8 bytes each in a snapshot. Beyond it the oldest are dropped."),
    ] = 50_000


class Seen:
    """The ids of one lane.

    >>> seen = Seen(DedupeParams(window_seconds=60))
    >>> seen.add("shop/1 e1", 100.0), seen.add("shop/1 e1", 100.0), seen.add("shop/1 e2", 101.0)
    (True, False, True)
    >>> seen.expire_before(101.0)
    >>> seen.add("shop/1 e1", 100.0), len(seen)
    (True, 2)
    """

    def __init__(self, params: DedupeParams) -> None:
        self._params = params
        self.limit = params.max_ids
        self._from = -math.inf
        """Event time from which on ids are known."""
        self._times: dict[int, float] = {}
        """Expired ids may still be in it, behind older entries that have not expired."""
        self._late: set[int] = set()
        """Ids that were expired when they arrived: kept until time advances."""
        # The same ids as a queue, in the order of arrival: expired ones are removed from its front, a few at each tick,
        # and a snapshot copies it; otherwise the whole table would have to be searched.
        self._ids, self._when, self._front = array("Q"), array("d"), 0

    def __len__(self) -> int:
        return len(self._times)

    def add(self, name: str, time: float) -> bool:
        """Whether this name is new; it is stored with its event time (POSIX seconds)."""
        times, digest = self._times, xxh3_64_intdigest(name)
        if digest in times:
            if times[digest] >= self._from or digest in self._late:
                return False
            self._when[self._ids.index(digest, self._front)] = _SUPERSEDED
        times[digest] = time
        self._ids.append(digest)
        self._when.append(time)
        if time < self._from:
            self._late.add(digest)
        if len(times) > self.limit:
            self._make_room()
        return True

    def advance(self, now: float) -> None:
        """Event time is `now`: drop ids older than the window."""
        self.expire_before(now - self._params.window_seconds)

    def expire_before(self, time: float) -> None:
        """Drop ids of events before `time`."""
        start = self._from = max(self._from, time)
        times, ids, when = self._times, self._ids, self._when
        if self._late:
            self._late = {digest for digest in self._late if times[digest] >= time}
        front, end = self._front, len(ids)
        while front < end and when[front] < start:
            if times.get(ids[front]) == when[front]:
                if ids[front] in self._late:
                    break
                del times[ids[front]]
            front += 1
        if front > _COMPACT_AT and 2 * front > end:
            del ids[:front], when[:front]
            front = 0
        self._front = front

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids (uint64) and times (float64), in the order of arrival."""
        ids, when = np.frombuffer(self._ids, np.uint64), np.frombuffer(self._when, np.float64)
        ids, when = (
            ids[self._front :],
            when[self._front :],
        )  # entries before the front have expired; some were added again
        known = when >= self._from
        if self._late:
            known |= (when > _SUPERSEDED) & np.isin(ids, np.fromiter(self._late, np.uint64, len(self._late)))
        return ids[known], when[known]

    def _make_room(self) -> None:
        """Drop expired ids; if there are none, the oldest eighth."""
        ids, when = self._known()
        if len(ids) > self.limit:
            kept = np.sort(when.argsort(kind="stable")[len(ids) // 8 :])
            ids, when = ids[kept], when[kept]
        self._fill(ids.tobytes(), when.tobytes())
        self._late.intersection_update(self._times)

    def _fill(self, ids: bytes, when: bytes) -> None:
        self._ids, self._when, self._front = array("Q", ids), array("d", when), 0
        self._times = dict(zip(self._ids, self._when, strict=True))

    def state(self) -> dict[str, Any]:
        """Plain data: two arrays of 8-byte values."""
        ids, when = self._known()
        return {"ids": ids.tobytes(), "times": when.tobytes()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore from `state`."""
        self._fill(state["ids"], state["times"])
