"""The counts of a queue: open waits, rounds in a moving window, agents on shift, agents planned."""

import math
from collections import deque
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Any

AGENT_STATES = ("available", "busy", "away", "offline")
AgentRecord = tuple[float, str, int | None, int | None]
"""Time of the last event (POSIX seconds), state, chats at a time, at most."""


def bounded(table: dict[str, Any], limit: int) -> None:
    """Drop the oldest entries of a table that holds more than `limit`."""
    while len(table) > limit:
        del table[next(iter(table))]


class Waits:
    """The open waits: conversation -> start (POSIX seconds). The oldest is found in amortised O(1)."""

    def __init__(self, since: Iterable[tuple[str, float]] = ()) -> None:
        self.since = dict(since)
        self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(since, conversation) for conversation, since in self.since.items()]
        heapify(self._heap)

    def add(self, conversation: str, time: float) -> None:
        """Add a wait; of two waits of a conversation the longer one counts."""
        known = self.since.get(conversation)
        if known is None or time < known:
            self.since[conversation] = time
            heappush(self._heap, (time, conversation))
            if len(self._heap) > 2 * len(self.since) + 64:  # ended waits stay in the heap until it is rebuilt
                self._rebuild()

    def oldest(self) -> float | None:
        """Return the start of the oldest open wait; `None` without one."""
        heap = self._heap
        while heap and self.since.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None


class Window:
    """Sums over the last `bins` bins: rounds answered in time, rounds that count, arrivals."""

    def __init__(self, bins: int, held: Iterable[Iterable[int]] = ()) -> None:
        self._bins = bins
        self.held: deque[list[int]] = deque(list(row) for row in held)
        self.met, self.counted, self.arrivals = (sum(row[place] for row in self.held) for place in (1, 2, 3))

    def add(self, number: int, met: int, counted: int, arrivals: int) -> None:
        """Add to bin `number`, or to the newest bin if that is later."""
        if not self.held or self.held[-1][0] < number:
            self.held.append([number, 0, 0, 0])
            self.forget(number)
        row = self.held[-1]
        row[1] += met
        row[2] += counted
        row[3] += arrivals
        self.met += met
        self.counted += counted
        self.arrivals += arrivals

    def forget(self, number: int) -> None:
        """Drop the bins that are not in the window that ends with bin `number`."""
        while self.held and self.held[0][0] <= number - self._bins:
            _, met, counted, arrivals = self.held.popleft()
            self.met -= met
            self.counted -= counted
            self.arrivals -= arrivals


class Agents:
    """The agents of a queue by id, and the sums over them."""

    def __init__(self, held: Iterable[tuple[str, AgentRecord]] = ()) -> None:
        self.held: dict[str, AgentRecord] = {}
        self.states = dict.fromkeys(AGENT_STATES, 0)
        self.used = self.room = 0
        for agent, record in held:
            self.put(agent, *record)

    def _count(self, record: AgentRecord, sign: int) -> None:
        _, state, used, room = record
        self.states[state] += sign
        if state != "offline" and used is not None and room:
            self.used += sign * used
            self.room += sign * room

    def put(self, agent: str, time: float, state: str, used: int | None, room: int | None) -> None:
        """Set an agent's state, unless a newer one is known."""
        known = self.held.get(agent)
        if state not in self.states or (known is not None and known[0] > time):
            return
        if known is not None:
            self.drop(agent)
        self.held[agent] = record = (time, state, used, room)
        self._count(record, 1)

    def drop(self, agent: str) -> None:
        """Drop an agent."""
        self._count(self.held.pop(agent), -1)

    def forget(self, before: float, limit: int) -> None:
        """Drop agents without an event since `before`, and beyond `limit` those without one for longest."""
        while self.held:
            agent = next(iter(self.held))
            if self.held[agent][0] >= before and len(self.held) <= limit:
                return
            self.drop(agent)

    def load(self, conversations: int) -> float | None:
        """Return chats per place of the agents on shift that report both, else conversations per agent on shift.

        `None` before the first agent.
        """
        on_shift = len(self.held) - self.states["offline"]
        if self.room:
            return self.used / self.room
        if on_shift:
            return conversations / on_shift
        return 0.0 if self.held else None  # all agents are offline


class Plans:
    """Planned intervals: start -> (end, agents scheduled, shrinkage)."""

    def __init__(self, held: Iterable[tuple[float, tuple[float, int, float]]] = ()) -> None:
        self.held = dict(held)
        self._agents: float | None = None
        self._valid_until = -math.inf

    def put(self, start: float, end: float, agents: int, shrinkage: float, limit: int) -> None:
        """Set the plan of an interval, in place of an earlier one with the same start."""
        if not start < end:
            return
        self.held[start] = (end, agents, shrinkage)
        self._valid_until = -math.inf
        if len(self.held) > limit:
            del self.held[max(self.held)]

    def scheduled(self, now: float) -> float | None:
        """Return the agents planned for `now`, after shrinkage; of two plans the later one counts.

        `None` before the first plan.
        """
        if now >= self._valid_until:
            known = bool(self.held) or self._agents is not None
            self.held = {start: plan for start, plan in self.held.items() if plan[0] > now}
            begun = max((start for start in self.held if start <= now), default=None)
            changes = [start for start in self.held if start > now]
            if begun is not None:
                end, agents, shrinkage = self.held[begun]
                self._agents = agents * (1.0 - shrinkage)
                changes.append(end)
            elif known:
                self._agents = 0.0
            self._valid_until = min(changes, default=math.inf)
        return self._agents
