"""Queues: one record per queue, where the small facts of all conversations, agents and plans meet.

What comes in is flat: ``(time, id, queue, kind, channel, a, b)``, see `HANDLERS` for the kinds. What goes out are
gauges, as measurements ``(metric, labels, value)``. A fact never raises and never drives a count below zero: a second
"opened", a reply to no wait, a duration that cannot be are taken for what they are worth.

What grows and when it is forgotten: open conversations and waits until they end (at most `max_open`), agents until they
have been silent for `agent_seconds` (at most `max_agents`), plans until their interval is over (at most `max_plans`),
counts per bin for `window_seconds`, forecasts until the bin they speak of.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

from msgspec import Meta, Struct

from operators.domain.queues.counts import Agents, Plans, Waits, Window, bounded
from operators.domain.queues.forecast import Forecaster, valid_seconds
from operators.domain.stage.promise import Promises
from operators.domain.stage.stage import Fact, Port, Stage, check_version

Gauge = tuple[str, tuple[str, ...], float]
"""(metric, label values, value)."""
VERSION = 1


class QueuesParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the stage; all durations are seconds."""

    alpha: Annotated[
        float,
        Meta(description="Weight of the newest reply in the smoothed reply time; less is steadier.", gt=0, le=1),
    ] = 0.3
    bin_seconds: Annotated[
        float,
        Meta(description="Width of a bin of forecast and window; wider for slow channels.", ge=1, le=3600),
    ] = 60.0
    horizons: Annotated[
        tuple[Annotated[float, Meta(gt=0, le=86_400)], ...],
        Meta(description="How far ahead to forecast, in seconds; at most a day.", max_length=8),
    ] = (300.0, 900.0, 3600.0)
    interval_share: Annotated[
        float, Meta(description="Share of outcomes that the forecast's interval shall hold.", gt=0, lt=1)
    ] = 0.8
    window_seconds: Annotated[
        float,
        Meta(description="Window of service level and arrivals; longer where rounds are few.", ge=60, le=86_400),
    ] = 3600.0
    agent_seconds: Annotated[
        float, Meta(description="An agent silent for so long is forgotten: longer than any shift.", ge=60)
    ] = 86_400.0
    max_agents: Annotated[int, Meta(description="Agents held per queue; the longest silent goes first.", ge=1)] = 10_000
    max_open: Annotated[
        int, Meta(description="Open conversations, and open waits, held per queue; the first opened goes first.", ge=1)
    ] = 100_000
    max_plans: Annotated[
        int, Meta(description="Planned intervals held per queue (ten days of quarters); the farthest goes first.", ge=1)
    ] = 1_000


class Queue:
    """The record of one queue."""

    def __init__(self, name: str, params: QueuesParams, promises: Promises) -> None:
        self.name = name
        self.params = params
        self.promises = promises
        self.conversations: dict[str, bool] = {}  # open ones -> whether nobody has taken it yet
        self.unassigned = 0
        self.waits = Waits()
        self.window = Window(math.ceil(params.window_seconds / params.bin_seconds))
        self.agents = Agents()
        self.plans = Plans()
        self.smoothed: dict[str, float] = {}
        self.handle_seconds: float | None = None  # smoothed; what staffing reckons with
        self.ended: tuple[str, float, float] | None = None  # the wait that ended last: conversation, time, seconds
        self.forecaster = Forecaster(params.bin_seconds, params.horizons, params.alpha, params.interval_share)
        self._shown: dict[tuple[str, tuple[str, ...]], float | None] = {}

    def _bin(self, time: float) -> int:
        return math.floor(time / self.params.bin_seconds)

    # --- facts: (time, channel, a, b) ---

    def opened(self, time: float, _channel: str, conversation: str, _b: object) -> None:
        """A conversation is open, and nobody's yet."""
        self._open(time, conversation, unassigned=True)

    def reopened(self, time: float, _channel: str, conversation: str, _b: object) -> None:
        """A closed conversation is open again; it had an agent before, so it is not unassigned."""
        self._open(time, conversation, unassigned=False)

    def _open(self, time: float, conversation: str, *, unassigned: bool) -> None:
        if conversation in self.conversations:
            return
        self.conversations[conversation] = unassigned
        self.unassigned += unassigned
        self.window.add(self._bin(time), 0, 0, 1)
        if len(self.conversations) > self.params.max_open:
            self.unassigned -= self.conversations.pop(next(iter(self.conversations)))

    def closed(self, time: float, channel: str, conversation: str, outcome: object) -> None:
        """It is not open any more; an abandonment after the grace time counts against the service level."""
        self.unassigned -= self.conversations.pop(conversation, False)
        since = self.waits.since.pop(conversation, None)
        if outcome != "abandoned":
            return
        waited = math.inf if since is None else time - since
        if since is None and self.ended is not None and self.ended[:2] == (conversation, time):
            waited = self.ended[2]  # "ended" and "closed" come of one event, in either order
        grace = self.promises.of(self.name, channel).grace_seconds
        self.window.add(self._bin(time), 0, int(waited >= grace), 0)

    def waiting(self, time: float, _channel: str, conversation: str, _b: object) -> None:
        """A customer waits."""
        self.waits.add(conversation, time)
        bounded(self.waits.since, self.params.max_open)

    def replied(self, time: float, channel: str, conversation: str, b: tuple[float, bool]) -> None:
        """A human replied after so many seconds, within the promised limit or not: the wait is over."""
        seconds, is_met = b
        self.waits.since.pop(conversation, None)
        self.assigned(time, channel, conversation, None)
        if not valid_seconds(seconds):
            return
        mean = self.smoothed.get(channel)
        self.smoothed[channel] = seconds if mean is None else mean + self.params.alpha * (seconds - mean)
        self.window.add(self._bin(time), int(is_met), 1, 0)
        self.forecaster.observe(time, seconds)

    def missed(self, _time: float, _channel: str, _conversation: str, _b: object) -> None:
        """The limit passed: conversations counted it, and here the wait is still open."""

    def over(self, time: float, _channel: str, conversation: str, seconds: float) -> None:
        """The wait ended without a reply."""
        since = self.waits.since.pop(conversation, None)
        if valid_seconds(seconds):
            self.ended = (conversation, time, seconds)
        elif since is not None:
            self.ended = (conversation, time, time - since)

    def assigned(self, _time: float, _channel: str, conversation: str, _b: object) -> None:
        """Somebody took it."""
        if self.conversations.get(conversation):
            self.conversations[conversation] = False
            self.unassigned -= 1

    def handled(self, _time: float, _channel: str, _conversation: str, seconds: float) -> None:
        """An episode was handled in so many seconds."""
        if valid_seconds(seconds):
            mean = self.handle_seconds
            self.handle_seconds = seconds if mean is None else mean + self.params.alpha * (seconds - mean)

    def agent(self, time: float, _channel: str, agent: str, b: tuple[str, int | None, int | None]) -> None:
        """An agent changed state."""
        self.agents.put(agent, time, *b)
        self.agents.forget(-math.inf, self.params.max_agents)

    def planned(self, _time: float, _channel: str, start: float, b: tuple[float, int, float]) -> None:
        """So many agents are planned for an interval, before shrinkage."""
        self.plans.put(start, start + b[0], b[1], b[2], self.params.max_plans)

    # --- time and what is shown ---

    def advance(self, now: float) -> None:
        """Close bins, forget what is old."""
        self.forecaster.advance(now)
        self.window.forget(self._bin(now))
        self.agents.forget(now - self.params.agent_seconds, self.params.max_agents)

    def _gauges(self, now: float) -> Iterator[tuple[str, tuple[str, ...], float | None]]:
        label = (self.name,)
        oldest, window, agents = self.waits.oldest(), self.window, self.agents
        yield "csq_open_waits", label, len(self.waits.since)
        yield "csq_oldest_open_wait_seconds", label, 0.0 if oldest is None else max(0.0, now - oldest)
        yield "csq_conversations_open", label, len(self.conversations)
        yield "csq_conversations_unassigned", label, self.unassigned
        yield "csq_arrivals_per_hour", label, window.arrivals * 3600.0 / self.params.window_seconds
        yield "csq_service_level_ratio", label, window.met / window.counted if window.counted else None
        yield "csq_agent_load_ratio", label, agents.load(len(self.conversations))
        yield "csq_staffing_scheduled_agents", label, self.plans.scheduled(now)
        for channel, seconds in self.smoothed.items():
            yield "csq_reply_smoothed_seconds", (self.name, channel), seconds
        for state, count in agents.states.items():
            yield "csq_agents", (self.name, state), count
        for horizon, interval in zip(self.params.horizons, self.forecaster.forecast() or (), strict=False):
            for bound, seconds in zip(interval._fields, interval, strict=True):
                yield ("csq_reply_forecast_seconds", (self.name, f"{horizon:g}", bound), seconds)

    def changed(self, now: float) -> Iterator[Gauge]:
        """The gauges that differ from what was last shown; one without a value any more is NaN once, which ends it."""
        shown = self._shown
        for metric, labels, value in self._gauges(now):
            key = (metric, labels)
            if shown.get(key) != value:
                shown[key] = value
                yield metric, labels, math.nan if value is None else value

    def entries(self) -> int:
        """Records held."""
        return len(self.conversations) + len(self.waits.since) + len(self.agents.held) + len(self.plans.held)

    def state(self) -> dict[str, Any]:
        """Plain data that shares nothing which changes."""
        return {
            "conversations": self.conversations.copy(),
            "waits": self.waits.since.copy(),
            "bin_seconds": self.params.bin_seconds,
            "window": [tuple(row) for row in self.window.held],
            "agents": self.agents.held.copy(),
            "plans": list(self.plans.held.items()),
            "smoothed": self.smoothed.copy(),
            "handle_seconds": self.handle_seconds,
            "ended": self.ended,
            "forecaster": self.forecaster.state(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Take up a state; counts in bins of another width are dropped."""
        self.conversations = dict(state["conversations"])
        self.unassigned = sum(self.conversations.values())
        self.waits = Waits(state["waits"].items())
        if state["bin_seconds"] == self.params.bin_seconds:
            self.window = Window(math.ceil(self.params.window_seconds / self.params.bin_seconds), state["window"])
        self.agents = Agents(state["agents"].items())
        self.plans = Plans((start, tuple(plan)) for start, plan in state["plans"])
        self.smoothed = dict(state["smoothed"])
        self.handle_seconds = state["handle_seconds"]
        self.ended = None if state["ended"] is None else tuple(state["ended"])
        self.forecaster.resume(state["forecaster"])


HANDLERS: dict[str, Callable[[Queue, float, str, Any, Any], None]] = {
    "opened": Queue.opened,  # a conversation
    "closed": Queue.closed,  # a conversation, b outcome
    "reopened": Queue.reopened,  # a conversation
    "waiting": Queue.waiting,  # a conversation
    "replied": Queue.replied,  # a conversation, b (reply seconds, whether its round was met)
    "missed": Queue.missed,  # a conversation
    "ended": Queue.over,  # a conversation, b waited seconds
    "assigned": Queue.assigned,  # a conversation
    "handled": Queue.handled,  # a conversation, b handle seconds
    "agent": Queue.agent,  # a agent, b (state, chats at a time, at most)
    "planned": Queue.planned,  # a start of the interval, b (seconds, agents, shrinkage)
}
"""The kinds of facts; others are ignored, so that a newer release may send more."""


class Queues(Stage):
    """The queues of one lane.

    >>> queues = Queues(QueuesParams(), Promises(PromisesParams()))
    >>> queues.settle([(0.0, "e1", "sales", "waiting", "web", "c1", None)])
    >>> queues.advance(30.0)
    >>> [(port, values)] = queues.drain()
    >>> port, values[1]
    ('measured', ('csq_oldest_open_wait_seconds', ('sales',), 30.0))
    """

    def __init__(self, params: QueuesParams, promises: Promises) -> None:
        self._params, self._promises = params, promises
        self._queues: dict[str, Queue] = {}
        self._now = -math.inf
        self._next = -math.inf
        self._measured: list[Gauge] = []

    def settle(self, facts: Iterable[Fact]) -> None:
        """Take in facts, sorted by (time, id)."""
        queues, handlers = self._queues, HANDLERS
        for time, _, name, kind, channel, a, b in facts:
            queue = queues.get(name)
            if queue is None:
                queue = queues[name] = Queue(name, self._params, self._promises)
            handler = handlers.get(kind)
            if handler is not None:
                handler(queue, time, channel, a, b)

    def advance(self, now: float) -> None:
        """Time has come to `now`; gauges that changed are measured, at most once a second."""
        self._now = max(self._now, now)
        if self._now >= self._next:
            self._measure()

    def finish(self) -> None:
        """Measure what the limit of once a second held back."""
        if self._now > -math.inf:
            self._measure()

    def _measure(self) -> None:
        self._next = self._now + 1.0
        for queue in self._queues.values():
            queue.advance(self._now)
            self._measured.extend(queue.changed(self._now))

    def drain(self) -> list[Port]:
        """What was produced since last asked."""
        if not self._measured:
            return []
        measured, self._measured = self._measured, []
        return [("measured", measured)]

    def entries(self) -> int:
        """Records held, over all queues."""
        return len(self._queues) + sum(queue.entries() for queue in self._queues.values())

    def limit(self) -> int:
        """Records held at most, over the queues there are: each with its conversations, waits, agents and plans."""
        params = self._params
        return len(self._queues) * (1 + 2 * params.max_open + params.max_agents + params.max_plans)

    def state(self) -> dict[str, Any]:
        """Plain data for the recovery store. What was measured but not drained is not part of it: gauges come again."""
        return {"v": VERSION, "now": self._now, "queues": {name: queue.state() for name, queue in self._queues.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; all gauges are measured at the next `advance`."""
        check_version("queues", state, VERSION)
        self._now, self._next = state["now"], -math.inf
        self._queues = {}
        for name, held in state["queues"].items():
            self._queues[name] = queue = Queue(name, self._params, self._promises)
            queue.resume(held)
