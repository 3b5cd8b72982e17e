"""The record of one queue: its counts, its forecast, its gauges; and the handlers of facts about it."""

import math
from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta, Struct

from operators.domain.queues.counts import AgentRecord, Agents, Plans, Waits, Window, bounded
from operators.domain.queues.forecast import Forecaster, valid_seconds
from operators.domain.stage import facts
from operators.domain.stage.labels import LabelValues
from operators.domain.stage.promise import Promises
from operators.domain.stage.stage import Handlers, Measurement
from operators.domain.wire.forgotten import trace


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
    max_agents: Annotated[
        int, Meta(description="Agents held per queue; those without events for longest are dropped first.", ge=1)
    ] = 10_000
    max_open: Annotated[
        int,
        Meta(
            description="Open conversations, and open waits, held per queue; the first opened are dropped first.", ge=1
        ),
    ] = 100_000
    max_plans: Annotated[
        int,
        Meta(
            description="Planned intervals held per queue (ten days of quarters); the farthest are dropped first.", ge=1
        ),
    ] = 1_000


class StoredQueue(Struct, array_like=True):
    """A record in a snapshot."""

    conversations: dict[str, bool]
    waits: dict[str, float]
    bin_seconds: float
    window: list[tuple[int, int, int, int]]
    agents: dict[str, AgentRecord]
    plans: list[tuple[float, tuple[float, int, float]]]
    smoothed: dict[str, float]
    handle_seconds: float | None
    ended: tuple[str, float] | None
    forecaster: dict[str, Any]
    closed_seconds: float = 0.0
    at: float | None = None


class Queue:
    """The record of one queue."""

    def __init__(self, name: str, params: QueuesParams, promises: Promises) -> None:
        self.name = name
        self.params = params
        self.promises = promises
        self._calendar = promises.calendar_of(name)
        self.conversations: dict[str, bool] = {}
        """Open conversations -> whether no agent has taken them yet."""
        self.unassigned = 0
        self.waits = Waits()
        self.window = Window(math.ceil(params.window_seconds / params.bin_seconds))
        self.agents = Agents()
        self.plans = Plans()
        self.smoothed: dict[str, float] = {}
        """Channel -> smoothed reply time, in seconds."""
        self.handle_seconds: float | None = None
        """Smoothed handle time, for staffing."""
        self.ended: tuple[str, float] | None = None
        """The wait that ended last without a reply: trace of the event that ended it, seconds."""
        self.forecaster = Forecaster(
            params.bin_seconds, params.horizons, params.alpha, params.interval_share, self._moment
        )
        self.closed_seconds = 0.0
        """For how long the queue was closed up to `at` (POSIX seconds), since its first event."""
        self.at: float | None = None
        self._shown: dict[tuple[str, tuple[str, ...]], float | None] = {}

    # ---- opening hours

    def _position(self, time: float) -> float:
        """Return a time (POSIX seconds) on the clock of the queue, which stands still while the queue is closed."""
        if self._calendar is None or self.at is None:
            return time - self.closed_seconds
        return self.at - self.closed_seconds + self._seconds(self.at, time)

    def _moment(self, position: float) -> float:
        """Return when (POSIX seconds) the clock of the queue shows, or will show, a position."""
        calendar = self._calendar
        ahead = 0.0 if self.at is None else position - (self.at - self.closed_seconds)
        if calendar is None or self.at is None or ahead < 0.0:
            return position + self.closed_seconds
        return calendar.after(self.at, ahead)

    def _seconds(self, begin: float, end: float) -> float:
        return end - begin if self._calendar is None else self._calendar.seconds(begin, end)

    def _bin(self, time: float) -> int:
        return math.floor(self._position(time) / self.params.bin_seconds)

    # ---- facts

    def entered(self, fact: facts.ConversationEntered) -> None:
        """Add an open conversation without an agent."""
        self._open(fact.time, fact.conversation_id, unassigned=True)

    def reentered(self, fact: facts.ConversationReentered) -> None:
        """Add an open conversation that had an agent before."""
        self._open(fact.time, fact.conversation_id, unassigned=False)

    def _open(self, time: float, conversation_id: str, *, unassigned: bool) -> None:
        if conversation_id in self.conversations:
            return
        self.conversations[conversation_id] = unassigned
        self.unassigned += unassigned
        self.window.add(self._bin(time), 0, 0, 1)
        if len(self.conversations) > self.params.max_open:
            self.unassigned -= self.conversations.pop(next(iter(self.conversations)))

    def exited(self, fact: facts.ConversationExited) -> None:
        """Remove a conversation; one abandoned after the grace time counts against the service level."""
        self.unassigned -= self.conversations.pop(fact.conversation_id, False)
        since = self.waits.since.pop(fact.conversation_id, None)
        if fact.outcome != "abandoned":
            return
        waited = math.inf if since is None else self._seconds(since, fact.time)
        if since is None and self.ended is not None and self.ended[0] == trace(fact.name):
            waited = self.ended[1]  # the same event ended the wait; its two facts come in either order
        grace = self.promises.of(self.name, fact.channel).grace_seconds
        self.window.add(self._bin(fact.time), 0, int(waited >= grace), 0)

    def wait_began(self, fact: facts.WaitBegan) -> None:
        """Add an open wait."""
        self.waits.add(fact.conversation_id, fact.since)
        bounded(self.waits.since, self.params.max_open)

    def wait_answered(self, fact: facts.WaitAnswered) -> None:
        """Remove an open wait and measure it."""
        self.waits.since.pop(fact.conversation_id, None)
        self._assign(fact.conversation_id)
        seconds, channel = fact.seconds, fact.channel
        if not valid_seconds(seconds):
            return
        mean = self.smoothed.get(channel)
        self.smoothed[channel] = seconds if mean is None else mean + self.params.alpha * (seconds - mean)
        self.window.add(self._bin(fact.time), int(fact.met), 1, 0)
        self.forecaster.observe(self._position(fact.time), seconds)

    def wait_ended(self, fact: facts.WaitEnded) -> None:
        """Remove an open wait that ended without a reply."""
        since = self.waits.since.pop(fact.conversation_id, None)
        if fact.seconds is not None and valid_seconds(fact.seconds):
            self.ended = (trace(fact.name), fact.seconds)
        elif since is not None:
            self.ended = (trace(fact.name), self._seconds(since, fact.time))

    def taken(self, fact: facts.ConversationTaken) -> None:
        """Mark a conversation as assigned."""
        self._assign(fact.conversation_id)

    def _assign(self, conversation_id: str) -> None:
        if self.conversations.get(conversation_id):
            self.conversations[conversation_id] = False
            self.unassigned -= 1

    def handled(self, fact: facts.ConversationHandled) -> None:
        """Smooth the handle time."""
        if valid_seconds(fact.seconds):
            mean = self.handle_seconds
            self.handle_seconds = fact.seconds if mean is None else mean + self.params.alpha * (fact.seconds - mean)

    def agent_changed(self, fact: facts.AgentChanged) -> None:
        """Set the state of an agent."""
        self.agents.put(fact.agent_id, fact.time, fact.state, fact.used, fact.places)
        self.agents.forget(-math.inf, self.params.max_agents)

    def planned(self, fact: facts.AgentsPlanned) -> None:
        """Set the plan of an interval."""
        self.plans.put(fact.start, fact.start + fact.seconds, fact.agents, fact.shrinkage, self.params.max_plans)

    # ---- time, gauges

    def advance(self, now: float) -> None:
        """Close bins and drop what is old at event time `now`."""
        self._calendar = self.promises.calendar_of(self.name)
        if self.at is None:
            self.at = now
        elif now > self.at:
            self.closed_seconds += now - self.at - self._seconds(self.at, now)
            self.at = now
        self.forecaster.advance(self._position(now))
        self.window.forget(self._bin(now))
        self.agents.forget(now - self.params.agent_seconds, self.params.max_agents)

    def _gauges(self, now: float) -> Iterator[tuple[str, tuple[str, ...], float | None]]:
        label = (self.name,)
        oldest, window, agents = self.waits.oldest(), self.window, self.agents
        calendar = self._calendar
        yield "csq_open_waits", label, len(self.waits.since)
        yield "csq_oldest_open_wait_seconds", label, 0.0 if oldest is None else max(0.0, self._seconds(oldest, now))
        yield "csq_queue_open", label, int(calendar is None or calendar.is_open(now))
        yield "csq_waits_after_close", label, len(self.waits.since.keys() - self.conversations.keys())
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

    def changed(self, now: float) -> Iterator[Measurement]:
        """Yield the gauges that changed since the last call; one that has no value any more is NaN once."""
        shown = self._shown
        for metric, labels, value in self._gauges(now):
            key = (metric, labels)
            if shown.get(key) != value:
                shown[key] = value
                yield metric, labels, math.nan if value is None else value

    def entries(self) -> int:
        """Return how many conversations, waits, agents and plans are held."""
        return len(self.conversations) + len(self.waits.since) + len(self.agents.held) + len(self.plans.held)

    # ---- snapshots

    def snapshot(self) -> StoredQueue:
        """Return the state, to be encoded at once."""
        return StoredQueue(
            self.conversations,
            self.waits.since,
            self.params.bin_seconds,
            [(number, met, counted, arrivals) for number, met, counted, arrivals in self.window.held],
            self.agents.held,
            list(self.plans.held.items()),
            self.smoothed,
            self.handle_seconds,
            self.ended,
            self.forecaster.state(),
            self.closed_seconds,
            self.at,
        )

    def restore(self, stored: StoredQueue, channels: LabelValues) -> None:
        """Continue from a snapshot; counts in bins of another width, and channels that are not known, are dropped."""
        params = self.params
        self.conversations = stored.conversations
        bounded(self.conversations, params.max_open)
        self.unassigned = sum(self.conversations.values())
        bounded(stored.waits, params.max_open)
        self.waits = Waits(stored.waits.items())
        if stored.bin_seconds == params.bin_seconds:
            self.window = Window(math.ceil(params.window_seconds / params.bin_seconds), stored.window)
        self.agents = Agents(stored.agents.items())
        self.agents.forget(-math.inf, params.max_agents)
        too_many = len(stored.plans) > params.max_plans
        self.plans = Plans(sorted(stored.plans)[: params.max_plans] if too_many else stored.plans)
        self.smoothed = {name: seconds for name, seconds in stored.smoothed.items() if channels.stored(name) == name}
        self.handle_seconds = stored.handle_seconds
        self.ended = stored.ended
        self.closed_seconds, self.at = stored.closed_seconds, stored.at
        self.forecaster.restore(stored.forecaster)


HANDLERS = Handlers(
    "queues",
    {
        facts.ConversationEntered: Queue.entered,
        facts.ConversationReentered: Queue.reentered,
        facts.ConversationExited: Queue.exited,
        facts.ConversationTaken: Queue.taken,
        facts.ConversationHandled: Queue.handled,
        facts.WaitBegan: Queue.wait_began,
        facts.WaitAnswered: Queue.wait_answered,
        facts.WaitEnded: Queue.wait_ended,
        facts.AgentChanged: Queue.agent_changed,
        facts.AgentsPlanned: Queue.planned,
    },
)
"""(queue, fact) -> None, by class of fact."""
