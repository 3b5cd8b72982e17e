"""Dedupe: the same (source, id) within a window of event time is a repeat.

An id is kept as a 64-bit hash: a hundred million ids seen give a wrong repeat with a probability of 0.03 %. The number
kept is bounded as well: past it the oldest are forgotten first, whatever the window.
"""

from array import array
from typing import Annotated, Any

from msgspec import Meta, Struct
from xxhash import xxh3_64_intdigest


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
        self._times: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._times)

    def add(self, name: str, time: float) -> bool:
        """Whether this is the first of its name; it is remembered with its event time (POSIX seconds)."""
        digest = xxh3_64_intdigest(name.encode())
        if digest in self._times:
            return False
        self._times[digest] = time
        if len(self._times) > self._params.max_ids:
            self._forget(len(self._times) // 8)
        return True

    def advance(self, now: float) -> None:
        """Event time has come to `now`: ids older than the window go."""
        self.expire_before(now - self._params.window_seconds)

    def expire_before(self, time: float) -> None:
        """Forget ids of events before `time`; cheap when the oldest is still young."""
        oldest = next(iter(self._times.values()), time)
        if oldest < time:
            self._times = {digest: then for digest, then in self._times.items() if then >= time}

    def _forget(self, count: int) -> None:
        for digest in sorted(self._times, key=self._times.__getitem__)[:count]:
            del self._times[digest]

    def state(self) -> dict[str, Any]:
        """Plain data: two arrays of 8-byte values."""
        return {"ids": array("Q", self._times).tobytes(), "times": array("d", self._times.values()).tobytes()}

    def restore(self, state: dict[str, Any]) -> None:
        """Remember what `state` knew."""
        self._times = dict(zip(array("Q", state["ids"]), array("d", state["times"]), strict=True))
