"""Dedupe: the same (source, id) within a window of event time is a repeat.

An id is kept as a 64-bit hash: a hundred million ids seen give a wrong repeat with a probability of 0.03 %. The number
kept is bounded as well: past it the oldest are forgotten first, whatever the window.
"""

import math
from array import array
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from xxhash import xxh3_64_intdigest

_SLACK = 1 / 16
"""Of the window: how long ids may lie in the table after they have expired."""
_SMALL = 256
"""Ids that are looked through at each tick."""


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """How long and how many ids are remembered."""

    window_seconds: Annotated[
        float,
        Meta(gt=0, description="Seconds of event time. A producer that retries for longer wants a longer window."),
    ] = 3600.0
    max_ids: Annotated[
        int,
        Meta(ge=100, description="Ids per lane, 8 bytes each in a snapshot. Past it the oldest are forgotten early."),
    ] = 50_000


class Seen:
    """The ids of one lane.

    >>> seen = Seen(Params(window_seconds=60))
    >>> seen.add("shop/1 e1", 100.0), seen.add("shop/1 e1", 100.0), seen.add("shop/1 e2", 101.0)
    (True, False, True)
    >>> seen.expire_before(101.0)
    >>> seen.add("shop/1 e1", 100.0), len(seen)
    (True, 2)
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        self.limit = params.max_ids
        self._from = -math.inf
        """Event time from which on ids are known."""
        self._times: dict[int, float] = {}
        """What has expired may still lie in it."""
        self._late: set[int] = set()
        """Those that came when their time had gone by already: known until time goes on."""

    def __len__(self) -> int:
        return len(self._times)

    def add(self, name: str, time: float) -> bool:
        """Whether this is the first of its name; it is remembered with its event time (POSIX seconds)."""
        times, digest = self._times, xxh3_64_intdigest(name)
        if digest in times:
            if times[digest] >= self._from or digest in self._late:
                return False
            del times[digest]  # so that it stands behind the others, as in a table that was swept
        times[digest] = time
        if time < self._from:
            self._late.add(digest)
        if len(times) > self.limit:
            self._make_room()
        return True

    def advance(self, now: float) -> None:
        """Event time has come to `now`: ids older than the window go.

        They go from a large table only when some have gathered: it would be looked through as a whole at each of
        several ticks a second, for two or three of them.
        """
        window = self._params.window_seconds
        self._expire(now - window)
        oldest = next(iter(self._times.values()), math.inf)
        if oldest < self._from - (_SLACK * window if len(self._times) > _SMALL else 0.0):
            self._sweep()

    def expire_before(self, time: float) -> None:
        """Forget ids of events before `time`."""
        self._expire(time)
        self._sweep()

    def _expire(self, time: float) -> None:
        self._from = max(self._from, time)
        if self._late:
            self._late = {digest for digest in self._late if self._times[digest] >= time}

    def _sweep(self) -> None:
        start, late = self._from, self._late
        self._times = {digest: then for digest, then in self._times.items() if then >= start or digest in late}

    def _make_room(self) -> None:
        """Where all are young an eighth goes, the oldest first."""
        self._sweep()
        if len(self._times) > self.limit:
            digests = list(self._times)
            by_age = np.fromiter(self._times.values(), np.float64, len(digests)).argsort(kind="stable")
            for place in by_age[: len(digests) // 8].tolist():
                del self._times[digests[place]]
                self._late.discard(digests[place])

    def state(self) -> dict[str, Any]:
        """Plain data: two arrays of 8-byte values."""
        self._sweep()
        return {"ids": array("Q", self._times).tobytes(), "times": array("d", self._times.values()).tobytes()}

    def restore(self, state: dict[str, Any]) -> None:
        """Remember what `state` knew."""
        self._times = dict(zip(array("Q", state["ids"]), array("d", state["times"]), strict=True))
