"""Conversations: one record per conversation, and what is measured on it.

What needs no order is done on arrival: a turn is counted, published and remembered with its vector and score, so that a
sentiment label that comes later (or sooner) judges the score that was published. What needs order (who waited for whom,
how long) waits until event time has come past it, and is then taken in the order of event time (``course.py``):

* a reply that arrives before the message it answers, a rating before its conversation, resolved before opened: within
  the bound of disorder they are sorted, and nothing is to be seen of it;
* beyond the bound they are taken late: a reply older than the message that waits does not answer it, a message older
  than the last reply has been answered, a rating waits in a record of its own until the conversation shows, an opening
  of a known conversation only fills in what is missing.

Timers (a wait that passes its limit, records nobody speaks of any more) fire between the facts they lie between.
"""

import heapq
import math
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct, msgpack

from operators.domain.conversations.course import Course, ScoreSatisfaction
from operators.domain.conversations.reading import Reading
from operators.domain.conversations.record import ConversationEnd, ConversationRecord, Rounds
from operators.domain.conversations.turns import Ledger, StoredLedger, Turns
from operators.domain.stage.facts import OF_CUSTOMERS, OF_QUEUES
from operators.domain.stage.feedback import SENTIMENT_KINDS, mood_of, share_of
from operators.domain.stage.labels import OTHER, Admitted, Labels
from operators.domain.stage.promise import Promises
from operators.domain.stage.stage import Fact, Outbox, Port, Stage, check_version
from operators.domain.stage.table import Table
from operators.domain.time.lanes import Lanes, queue_lanes
from operators.domain.time.timers import MIN_REBUILD, set_timers
from operators.domain.wire import events

DAY = 86_400.0
OF_QUEUE_KINDS = frozenset({"agent", "planned"})
STEPS = {
    events.ConversationOpened: "opened",
    events.ConversationAssigned: "assigned",
    events.ConversationHandoff: "handoff",
    events.ConversationResolved: "resolved",
    events.ConversationReopened: "reopened",
    events.ConversationAbandoned: "abandoned",
}


class ConversationsParams(Struct, frozen=True, forbid_unknown_fields=True):
    """How much is remembered of conversations, and for how long."""

    closed_days: Annotated[
        float, Meta(gt=0, description="Days a closed conversation is remembered, for ratings, labels, reopenings.")
    ] = 14.0
    idle_days: Annotated[
        float, Meta(gt=0, description="Days of silence after which an open conversation is given up.")
    ] = 365.0
    turns: Annotated[
        int,
        Meta(ge=1, le=1000, description="Scored turns remembered per conversation, 300 bytes each, for their labels."),
    ] = 12
    waiting_labels: Annotated[
        int, Meta(ge=0, description="Sentiment labels per lane that may wait for a message that has not come yet.")
    ] = 1_000
    rating_turns: Annotated[
        int, Meta(ge=0, description="Last turns before a rating that learn from it as weak labels.")
    ] = 1
    rating_weight: Annotated[
        float, Meta(ge=0, le=1, description="Weight of such an example; a person's label weighs 1, 0 learns nothing.")
    ] = 0.1
    max_conversations: Annotated[
        int,
        Meta(ge=10, description="Conversations per lane. Past it the oldest closed, then the oldest, are given up."),
    ] = 50_000


class StoredConversations(Struct):
    """What `view` gave, as it is read."""

    records: Raw
    timers: list[tuple[float, str, float | None]]
    turns: StoredLedger


class Conversations(Stage):
    """One lane's conversations."""

    version = 2
    """Version 1 kept records as maps, and the timers of their ends, which follow from them."""

    def __init__(
        self,
        params: ConversationsParams,
        labels: Labels,
        promises: Promises,
        lanes: Lanes,
        score_satisfaction: ScoreSatisfaction,
        version: Callable[[], int] = lambda: 0,
    ) -> None:
        self._params = params
        self._labels, self._queues, self._channels = labels, labels.queues, labels.channels
        self._lanes, self._queue_lanes = lanes, queue_lanes(lanes)
        self._out = Outbox()
        self._course = Course(promises, labels, lanes, score_satisfaction, self._out, version)
        ledger = Ledger(params.turns, params.waiting_labels)
        self._turns = Turns(ledger, self._out)
        self._records = Table[ConversationRecord](ConversationRecord, attrgetter("last_at"))
        self._hot = self._records.hot
        self._now = -math.inf
        self._timers: list[tuple[float, str, float | None]] = []
        """When, whose, and for a reply limit: since when is waited."""
        self._most_timers = MIN_REBUILD
        """When there are more, those that mean nothing any more go."""

    # ---- on arrival, in any order

    def arrive(self, items: Iterable[Any], now: float, held: list[Fact]) -> None:
        """Take (time, name, event, reading); what needs the order of time becomes a fact in `held`."""
        for time, name, event, reading in items:
            kind = type(event)
            if kind is events.MessageCreated:
                fact = self._message(time, name, event.data, reading)
                if fact is not None:
                    held.append(fact)
            elif kind in STEPS:
                data = event.data
                where = (data.conversation_id, data.customer_id, data.channel, data.queue)
                held.append((time, name, STEPS[kind], *where, data.outcome, None))
            elif kind in OF_QUEUES:
                held.append(OF_QUEUES[kind](time, name, event.data))
            elif kind is Admitted:
                self._labels.admit((event,))
            else:
                self._take_other(time, name, event, held)

    def _take_other(self, time: float, name: str, event: Any, held: list[Fact]) -> None:
        """Take what is not a message, nor a step in the life of a conversation."""
        kind, data = type(event), event.data
        if kind in OF_CUSTOMERS:
            fact = OF_CUSTOMERS[kind](time, name, data)
            self._out.to["customers"][self._lanes.of(fact[2])].append(fact)
        elif kind is events.SentimentLabelled:
            self._turns.label_one(time, data)
        elif kind is events.FeedbackSubmitted:
            share = share_of(data.score, data.scale_min, data.scale_max)
            if data.conversation_id is None:
                self._course.rate_elsewhere(time, name, data.kind, share, data.customer_id)
            else:
                rated = (data.kind, share, data.attitude, data.customer_id)
                held.append((time, name, "rated", data.conversation_id, *rated))

    def _message(self, time: float, name: str, data: events.Message, reading: Reading | None) -> Fact | None:
        role = data.author.role
        if not data.is_public or role == "system":
            return None
        where = (data.conversation_id, data.customer_id, data.channel, data.queue)
        if reading is None:
            return (time, name, role, *where, None, (False, None))
        if role == "customer":
            polarity, sentiment = self._turns.take_one(time, name, data, reading)
            counted = None if sentiment is None else (reading.language, sentiment)
            return (time, name, role, *where, polarity, (reading.question, counted))
        return (time, name, role, *where, reading.tone, False)

    # ---- in the order of event time

    def settle(self, facts: Iterable[Fact]) -> None:
        """Take facts in the order of event time; timers that were due before one fire before it."""
        due, steps = self._timers, self._course.steps
        hot, promise_of = self._hot, self._course.promises.of
        for fact in facts:
            time, kind = fact[0], fact[2]
            if due and due[0][0] < time:
                self._fire(time)
            if kind == "rated":
                self._rate(fact)
                continue
            if fact[3] in OF_QUEUE_KINDS:
                self._forward(fact)
                continue
            record = hot.get(fact[3])
            if (
                record is None
                or record.queue != fact[6]
                or time < record.opened_at
                or record.channel == OTHER
                or not record.seen
            ):
                record = self._record(fact)
            if time > record.last_at:  # noqa: PLR1730  max() would be a call for every event
                record.last_at = time
            rounds, was_open = record.round_count, record.open
            steps[kind](record, fact)
            if record.round_count != rounds:
                limit = promise_of(record.queue, record.channel).limit_seconds
                heapq.heappush(due, (time + limit, fact[3], time))
            elif was_open and not record.open:
                heapq.heappush(due, (self._until(record), fact[3], None))

    def _forward(self, fact: Fact) -> None:
        """Hand a fact about a queue, not about a conversation, to the lane of the queue."""
        time, name, queue, kind, channel, a, b = fact
        label = self._queues.at(queue, time)
        out = self._out.to["queues"]
        out[self._queue_lanes.of(label)].append((time, name, label, kind, channel, a, b))
        if kind == "agent" and label not in self._queues.fixed and label != OTHER:
            # Until the queue was admitted its agents were those of `other`.
            out[self._queue_lanes.of(OTHER)].append((time, name, OTHER, kind, channel, a, ("offline", None, None)))

    def _record(self, fact: Fact) -> ConversationRecord:
        """The record a fact speaks of; it may begin with it, or move to another queue."""
        time, _, _, conversation_id, customer_id, channel, queue, _, _ = fact
        queue = self._queues.at(queue, time)
        record = self._hot.get(conversation_id) or self._records.thaw(conversation_id)
        if record is None:
            record = ConversationRecord(customer_id, self._channels.at(channel, time), queue, time, time, Rounds())
            self._add(conversation_id, record)
            self._course.begin(record, fact)
        elif not record.seen:  # so far there was only a rating
            record.seen, record.open, record.opened_at = True, True, time
            record.customer_id, record.channel, record.queue = customer_id, self._channels.at(channel, time), queue
            self._course.begin(record, fact)
        else:
            if record.channel == OTHER:  # it may have been admitted
                record.channel = self._channels.at(channel, time)
            if not record.opening_known and time < record.opened_at:
                record.opened_at = time
            if queue != record.queue and time >= record.last_at:  # what comes late does not move it back
                self._course.move(record, fact, queue)
        return record

    def _rate(self, fact: Fact) -> None:
        time, _, _, conversation_id, kind, share = fact[:6]
        record = self._records.get(conversation_id)
        if record is None:
            record = ConversationRecord("", OTHER, OTHER, time, time, Rounds(), seen=False, open=False)
            self._add(conversation_id, record)
        record.last_at = max(record.last_at, time)
        self._course.rate(record, fact)
        params = self._params
        if kind in SENTIMENT_KINDS and params.rating_weight > 0:
            self._turns.rate(conversation_id, time, mood_of(share), params.rating_weight, params.rating_turns)

    def _add(self, conversation_id: str, record: ConversationRecord) -> None:
        if len(self._records) >= self._params.max_conversations:
            self._evict()
        self._hot[conversation_id] = record
        heapq.heappush(self._timers, (self._until(record), conversation_id, None))

    # ---- time

    def advance(self, now: float) -> None:
        """Event time has come to `now`: waits pass their limit, silent conversations are dropped."""
        self._now = now
        if self._timers and self._timers[0][0] < now:
            self._fire(now)
        if len(self._timers) > self._most_timers:
            self._reset_timers()
        self._turns.advance(now - self._params.closed_days * DAY)

    def _fire(self, now: float) -> None:
        timers = self._timers
        while timers and timers[0][0] < now:
            due, conversation_id, since = heapq.heappop(timers)
            record = self._hot.get(conversation_id) or self._records.thaw(conversation_id)
            if record is None:
                continue
            if since is not None:
                if record.rounds.limit_passed(since):
                    self._course.miss(record, conversation_id, due)
            elif self._until(record) > due:
                heapq.heappush(timers, (self._until(record), conversation_id, None))
            else:
                self._drop(conversation_id, due)

    def _reset_timers(self) -> None:
        """Only those that may mean something."""
        rounds = [timer for timer in self._timers if timer[2] is not None and self._may_wait(timer[1], timer[2])]
        ends = [(self._until(record), key, None) for key, record in self._records.each(ConversationEnd)]
        self._most_timers = set_timers(self._timers, rounds + ends)

    def _may_wait(self, conversation_id: str, since: float) -> bool:
        """Whether the round may still be open that began at `since`; of a cold record that is not looked up."""
        record = self._hot.get(conversation_id)
        return conversation_id in self._records if record is None else record.rounds.waiting_since == since

    def _until(self, record: ConversationRecord | ConversationEnd) -> float:
        """When the record is dropped if nothing more is heard of it."""
        days = self._params.idle_days if record.open else self._params.closed_days
        return record.last_at + days * DAY

    def _drop(self, conversation_id: str, time: float) -> None:
        self._course.drop(self._records[conversation_id], conversation_id, time)
        self._records.forget(conversation_id)
        self._turns.ledger.forget(conversation_id)

    def _evict(self) -> None:
        """Make room: an eighth of the records goes, closed ones first, then those silent for longest."""
        oldest = sorted((record.open, record.last_at, key) for key, record in self._records.each(ConversationEnd))
        gone = oldest[: max(len(oldest) // 8, 1)]
        for _, last_at, conversation_id in gone:
            self._drop(conversation_id, last_at)
        self._out.counted["csq_state_evicted_total", ("conversations",)] += len(gone)

    # ---- out

    def drain(self) -> list[Port]:
        """Ports ``customers``, ``queues`` (lane -> facts), ``examples`` (by model), ``published``, ``measured``."""
        return self._out.drain()

    def entries(self) -> int:
        """Conversations held."""
        return len(self._records)

    def limit(self) -> int:
        """Conversations held at most."""
        return self._params.max_conversations

    def state(self) -> dict[str, Any]:
        """Versioned plain data."""
        plain: dict[str, Any] = msgpack.decode(msgpack.encode(self.view()))
        return plain

    def view(self) -> dict[str, Any]:
        """The same, not copied, with records of long ago as bytes."""
        records, turns = self._records.view(self._now), self._turns.view(self._now)
        timers = sorted(timer for timer in self._timers if timer[2] is not None)  # the others follow from the records
        return {"v": self.version, "records": records, "timers": timers, "turns": turns}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.resume(Raw(msgpack.encode(state)))

    def resume(self, stored: Raw) -> None:
        """The same, without decoding the records."""
        version = check_version("conversations", stored, 1, self.version)
        state = msgpack.decode(stored, type=StoredConversations)
        self._records.restore(state.records, was_named=version == 1)
        self._timers = state.timers
        self._reset_timers()
        self._turns.restore(state.turns)
