"""Route: read only the ids and the time of an event, and group raw bytes by lane.

The entity of an event is its conversation; without one its customer; without one its queue, or another id of its
subject. Bytes that cannot be decoded go to the lane of their hash: intake refuses them there, with the reason.

Route also keeps the event time that each origin (a Kafka partition, a file) has reached, and sends it to every lane in
ticks. An origin that has been read to its end is at the wall clock: a wait there passes its limit although no event
comes. An origin with a backlog is at its last event, whatever the wall clock is.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from operators.domain.time.lanes import Lanes
from operators.domain.time.watermark import LaneGroups, Tick

END = math.inf
"""`Chunk.read_until` of an input that has ended."""

RawRecord = tuple[bytes, str, int]
"""A raw event and where it was read: value, origin, position. A tuple, because it is pickled between processes."""


class Chunk(NamedTuple):
    """Records of one origin, read at once.

    `read_until` (POSIX seconds) states that everything that was there at that moment has been read; it is `None` while
    more is waiting, and `END` when the input has ended. `positions` (offsets, line numbers) and `values` have the same
    length; a Kafka tombstone is a value of `None`. A chunk without records only moves the time. No record moves it past
    `hold` (POSIX seconds), if that is given.
    """

    origin: str
    read_until: float | None
    positions: list[int]
    values: list[bytes | None]
    hold: float | None = None


MOST_OF_ID = 512
"""Characters of the longest id that intake takes: `Lanes` caches them."""
_Short = Annotated[str, msgspec.Meta(max_length=MOST_OF_ID)]


class _Ids(msgspec.Struct, gc=False):
    conversation_id: _Short | None = None
    customer_id: _Short | None = None
    queue: _Short | None = None
    feedback_id: _Short | None = None
    action_id: _Short | None = None
    into: Any = None
    """Of any kind, as other events may have one too."""


class _Peeked(msgspec.Struct, gc=False):
    data: _Ids
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    type: Any = None
    """Of any kind: intake refuses what is no string, in the lane of the ids."""


FORGOTTEN = "csq.customer.forgotten"
"""Type of the one event that concerns every lane: conversations of a customer lie in any of them."""
MERGED = "csq.conversation.merged"
"""Type of the event that concerns two lanes: that of the conversation, and that of the one it becomes part of."""
COPY = -1
"""Position of a record that was read once and goes to a further lane."""
_peek = msgspec.json.Decoder(_Peeked).decode
_UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError, OverflowError)


class Router:
    """Groups records by lane and keeps the time of the origins that this process reads.

    Args:
        lanes: the lanes of the cluster.
        max_bytes: larger records are not parsed.
        slack_seconds: how far events may be out of order, in event time.
        clock: wall time (POSIX seconds), or a constant in a replay; no event moves time past it.
        origin: name of this process.
        parts: number of origins (partitions) that all processes read together; by default this process reads all.
        ahead_seconds: how far ahead of the clock intake accepts events; later ones do not move time.
        tick_seconds: each lane gets a tick when so much wall time has passed, in groups (`LaneGroups`).
        tick_records: all lanes get a tick when so many records were read.
    """

    def __init__(
        self,
        lanes: Lanes,
        *,
        max_bytes: int,
        slack_seconds: float,
        clock: Callable[[], float],
        origin: str = "p0",
        parts: Callable[[], int] | None = None,
        ahead_seconds: float = 0.0,
        tick_seconds: float = math.inf,
        tick_records: float = math.inf,
    ) -> None:
        self._lanes = lanes
        self._max_bytes = max_bytes
        self._slack = slack_seconds
        self._clock = clock
        self._origin, self._parts = origin, parts
        self._ahead = ahead_seconds
        self._tick_seconds, self._tick_records = tick_seconds, tick_records
        self._marks: dict[str, float] = {}
        self._latest = -math.inf
        self._turns = LaneGroups(lanes.names, lanes.count)
        self._sent = -math.inf
        """Time of the last tick."""
        self._sent_at: float | None = None
        """When it was sent (wall clock)."""
        self._left = 0
        """LaneGroups that have not got the time of the last tick; they are the next ones."""
        self._records = 0

    def route_many(self, chunks: Iterable[Chunk]) -> list[tuple[str, list[RawRecord] | Tick]]:
        """Return the records by lane, then ticks for the lanes whose turn it is."""
        by_lane: defaultdict[str, list[RawRecord]] = defaultdict(list)
        now = self._clock()
        limit = datetime.fromtimestamp(now + self._ahead, UTC)
        for chunk in chunks:
            self._mark(chunk, self._group(chunk, limit, by_lane), now)
        routed: list[tuple[str, list[RawRecord] | Tick]] = list(by_lane.items())
        routed += self._ticks(now)
        return routed

    def _group(self, chunk: Chunk, limit: datetime, by_lane: defaultdict[str, list[RawRecord]]) -> datetime | None:
        """Add the records of a chunk to their lanes; return the latest time among those that intake accepts."""
        lane_of, max_bytes, origin, latest = self._lanes.of, self._max_bytes, chunk.origin, None
        for raw, position in zip(chunk.values, chunk.positions, strict=True):
            if raw is None:  # a tombstone deletes a key; events are not kept by key
                continue
            entity = None
            if len(raw) <= max_bytes:
                try:
                    peeked = _peek(raw)
                except _UNREADABLE:
                    pass
                else:
                    time, ids = peeked.time, peeked.data
                    if time <= limit and (latest is None or time > latest):
                        latest = time
                    entity = ids.conversation_id or ids.customer_id or ids.queue or ids.feedback_id or ids.action_id
                    if peeked.type == FORGOTTEN and entity is not None:
                        self._copy(raw, origin, entity, by_lane)
                    elif ids.into is not None and peeked.type == MERGED and entity is not None:
                        self._copy_merge(raw, origin, entity, ids.into, by_lane)
            by_lane[lane_of(entity) if entity else self._lanes.of_bytes(raw)].append((raw, origin, position))
        self._records += len(chunk.values)
        return latest

    def _copy(self, raw: bytes, origin: str, entity: str, by_lane: defaultdict[str, list[RawRecord]]) -> None:
        """Add an event that forgets a customer to all lanes but its own."""
        own = self._lanes.of(entity)
        for lane in self._lanes.names:
            if lane != own:
                by_lane[lane].append((raw, origin, COPY))

    def _copy_merge(
        self, raw: bytes, origin: str, entity: str, into: Any, by_lane: defaultdict[str, list[RawRecord]]
    ) -> None:
        """Add a merge to the lane of the conversation `into`, if that is another one."""
        if isinstance(into, str) and len(into) <= MOST_OF_ID:
            lane = self._lanes.of(into)
            if lane != self._lanes.of(entity):
                by_lane[lane].append((raw, origin, COPY))

    def _mark(self, chunk: Chunk, latest: datetime | None, now: float) -> None:
        """Move the time of the chunk's origin."""
        known = self._marks.get(chunk.origin, -math.inf)
        if latest is not None:
            time = latest.timestamp()
            self._latest = max(self._latest, time)
            known = max(known, min(time, now if chunk.hold is None else chunk.hold))
        self._marks[chunk.origin] = known if chunk.read_until is None else max(known, chunk.read_until)

    def _ticks(self, now: float) -> list[tuple[str, Tick]]:
        if not self._marks:
            return []
        least = min(self._marks.values())
        ended = least == END
        # At the end of all input nothing can be out of order any more: the clock stops at the last event.
        reached = self._latest if ended else least - self._slack
        if reached < self._sent:
            return []
        if reached > self._sent:
            self._sent, self._left = reached, self._turns.count
        due = min(self._due(now, ended=ended), self._left)
        if not due:
            return []
        self._sent_at, self._records, self._left = now, 0, self._left - due
        # Shares are counted in partitions, not in processes: a process without partitions sends no ticks.
        covers, of = (1, 1) if self._parts is None else (len(self._marks), self._parts())
        tick = Tick(self._origin, reached, covers, of)
        return [(lane, tick) for lane in self._turns.next(due)]

    def _due(self, now: float, *, ended: bool) -> int:
        """Return how many turns are due."""
        turns = self._turns.count
        if ended or self._records >= self._tick_records or self._sent_at is None:
            return turns
        return int(min((now - self._sent_at) * turns / self._tick_seconds, turns))
