"""Conversations: one record per conversation, and what is measured on it.

What does not depend on order is done on arrival: a turn is counted, published and stored with its vector and score,
so that a sentiment label, whether it comes later or earlier, judges the score that was published. What depends on order
(waits, outcomes) becomes a fact, and is applied in the order of event time (``course.py``):

* within the bound of disorder facts are sorted: a reply that arrives before the message it answers has no effect on
  the result;
* beyond the bound they are applied late: a reply older than the waiting message does not answer it, a message older
  than the last reply counts as answered, a rating waits in a record of its own until the conversation appears, an
  opening of a known conversation only fills in what is missing.

Timers (a wait that passes its limit, a record that is dropped) fire between the facts before and after them.
"""

import heapq
import math
from collections.abc import Callable, Iterable
from datetime import UTC
from operator import attrgetter
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct, field, msgpack
from msgspec.structs import replace

from operators.domain.conversations.closings import Closing, closing_of, only_asks
from operators.domain.conversations.course import ConversationCourse, ScoreSatisfaction
from operators.domain.conversations.facts import (
    STEP_FACTS,
    AgentReplied,
    BotReplied,
    ConversationFact,
    CustomerSpoke,
    MergedAway,
    MergedIn,
    MessageChanged,
    MessageRemoved,
    RatingGiven,
    RatingWithdrawn,
    merged_in,
    number_of,
    rating_given,
)
from operators.domain.conversations.ratings import FeedbackParams, Ratings, StoredRatings
from operators.domain.conversations.reading import Reading
from operators.domain.conversations.record import ConversationEnd, ConversationOwner, ConversationRecord, Rounds
from operators.domain.conversations.turns import StoredTurns, TurnLedger, Turns
from operators.domain.stage.event_facts import CUSTOMER_FACTS, QUEUE_FACTS
from operators.domain.stage.facts import AgentChanged, AgentsPlanned, Fact, ForgetRequested, QueueFact
from operators.domain.stage.feedback import SENTIMENT_KINDS, mood_of
from operators.domain.stage.labels import OTHER, Admitted, Labels
from operators.domain.stage.promise import Promises
from operators.domain.stage.stage import Handlers, Outbox, Port, Stage, check_version
from operators.domain.stage.table import Table
from operators.domain.time.lanes import Lanes
from operators.domain.time.timers import MIN_REBUILD, due_timers, set_timers
from operators.domain.wire import events
from operators.domain.wire.forgotten import ForgottenIds, StoredForgotten
from operators.domain.wire.outgoing import dead_letter

HOUR, DAY = 3_600.0, 86_400.0
AUTO_CLOSE_HOURS = {"chat": 24.0, "email": 168.0, OTHER: 72.0}
FORGOTTEN_DAYS = 365.0
"""Days for which the conversations of a forgotten customer are known."""
MOST_OF_CLOSING = 18 * 4
"""Bytes of the features of a message that may be a closing; a thank-you with a good day has 17 features."""
END = -math.inf
RATING = ""
"""In place of a conversation's id."""
BY_SILENCE = frozenset({"silent", "forgotten"})
"""Outcomes of conversations that csq has ended itself."""


class ConversationsParams(Struct, frozen=True, forbid_unknown_fields=True):
    """How much is kept of conversations, and for how long."""

    closed_days: Annotated[
        float, Meta(gt=0, description="Days a closed conversation is kept, for ratings, labels, reopenings.")
    ] = 14.0
    auto_close_hours: Annotated[
        dict[str, Annotated[float, Meta(gt=0)]],
        Meta(
            description="Channel to the hours without events after which an open conversation ends as `silent`, if "
            "no customer waits in it. `other` is for the channels without a number of their own."
        ),
    ] = field(default_factory=lambda: dict(AUTO_CLOSE_HOURS))
    unanswered_days: Annotated[
        float,
        Meta(
            gt=0,
            description="Days without events after which a conversation whose customer waits ends as `forgotten`.",
        ),
    ] = 7.0
    bots_answer: Annotated[
        bool,
        Meta(description="Whether a bot's reply ends a customer's wait, if it holds. false: only people end waits."),
    ] = True
    bots_confirm_seconds: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds of the customer's silence after which a bot's reply holds. Who writes again or asks "
            "for people before that has waited from the first message on.",
        ),
    ] = 600.0
    turns: Annotated[
        int,
        Meta(ge=1, le=1000, description="Scored turns kept per conversation, 300 bytes each, for their labels."),
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
        Meta(ge=10, description="Conversations per lane. Beyond it the oldest closed, then the oldest, are dropped."),
    ] = 50_000


class StoredConversations(Struct):
    """A snapshot as it is decoded."""

    settings: Any
    records: Raw
    timers: list[tuple[float, str, float]]
    turns: StoredTurns
    ratings: StoredRatings
    forgotten: StoredForgotten | None = None


class Conversations(Stage):
    """The conversations of one lane."""

    name = "conversations"
    version = 5

    def __init__(
        self,
        params: ConversationsParams,
        labels: Labels,
        promises: Promises,
        lanes: Lanes,
        score_satisfaction: ScoreSatisfaction,
        version: Callable[[], int] = lambda: 0,
        on_forgotten: Callable[[], None] = lambda: None,
        *,
        feedback: FeedbackParams | None = None,
        is_finite: bool = False,
    ) -> None:
        self._params = params
        self._labels, self._queues, self._channels = labels, labels.queues, labels.channels
        self._lanes = lanes
        self._out = Outbox()
        self._course = ConversationCourse(
            promises,
            labels,
            lanes,
            score_satisfaction,
            self._out,
            self.attempt,
            version,
            bots_answer=params.bots_answer,
        )
        settle_seconds = (feedback or FeedbackParams()).settle_seconds
        self._ratings = Ratings(settle_seconds, params.closed_days * DAY, self._rate, self._out)
        self._others = Handlers(
            self.name,
            {
                RatingGiven: self._rating_given,
                RatingWithdrawn: self._ratings.withdraw,
                MergedAway: self._merged_away,
                MergedIn: self._merged_in,
                MessageChanged: self._change,
                MessageRemoved: self._change,
                AgentChanged: self._forward,
                AgentsPlanned: self._forward,
                ForgetRequested: self._forget,
            },
        )
        """Facts that are not part of the course of a conversation -> what applies them."""
        ledger = TurnLedger(params.turns, params.waiting_labels)
        self._turns = Turns(ledger, self._out)
        self._hot_turns, self._turns_of = ledger.hot, ledger.turns_of
        self._is_finite = is_finite
        self._records = Table[ConversationRecord](ConversationRecord, attrgetter("last_at"))
        self._hot = self._records.hot
        self._now = -math.inf
        self._forgotten = ForgottenIds()
        """Conversations of customers who were forgotten."""
        self._on_forgotten = on_forgotten
        self._timers: list[tuple[float, str, float]] = []
        """Due time, conversation, and the start of the round, `END` for its end; of a rating `RATING` and `END`."""
        self._calendar_changes = promises.changes
        self._most_timers = MIN_REBUILD
        """With more timers than this, obsolete ones are removed."""

    # ---- on arrival, in any order

    def arrive(self, items: Iterable[Any], now: float, held: list[Fact]) -> None:
        """Take (time, name, event, reading); what depends on the order of time becomes a fact in `held`."""
        message_of, message_created = self._message, events.MessageCreated
        for time, name, event, reading in items:
            kind = type(event)
            if kind is message_created:
                fact = message_of(time, name, event, reading)
                if fact is not None:
                    held.append(fact)
            elif kind in STEP_FACTS:
                number = None if event.sequence is None else number_of(event.sequence)
                held.append(STEP_FACTS[kind](time, name, number, event.data))
            elif kind in QUEUE_FACTS:
                held.append(QUEUE_FACTS[kind](time, name, event.data))
            elif kind is Admitted:
                self._labels.admit((event,))
            else:
                self._take_other(time, name, event, held)

    def _take_other(self, time: float, name: str, event: Any, held: list[Fact]) -> None:
        """Take an event that is neither about the course of a conversation nor about a queue."""
        kind, data = type(event), event.data
        if kind in CUSTOMER_FACTS:
            fact = CUSTOMER_FACTS[kind](time, name, data)
            self._out.to["customers"][self._lanes.of(fact.customer_id)].append(fact)
        elif kind is events.SentimentLabelled:
            if not self._is_forgotten(data.conversation_id):
                self._turns.label_one(time, data)
        elif kind is events.CustomerForgotten:
            held.append(ForgetRequested(time, name, data.customer_id))
        elif kind is events.FeedbackSubmitted:
            held.append(rating_given(time, name, data))
        elif kind is events.FeedbackWithdrawn:
            held.append(RatingWithdrawn(time, name, data.feedback_id))
        elif kind is events.MessageEdited:
            self._edited(time, name, number_of(event.sequence), data, held)
        elif kind is events.ConversationMerged or kind is events.MergeReceived:
            self._merged(time, name, event, held)

    def _merged(self, time: float, name: str, event: Any, held: list[Fact]) -> None:
        """Take a merge for those of its two conversations that are of this lane."""
        if type(event) is events.MergeReceived:
            held.append(merged_in(time, name, event.merge))
            return
        held.append(MergedAway(time, name, event.data.conversation_id))
        if self._lanes.of(event.data.into) == self._lanes.of(event.data.conversation_id):
            held.append(merged_in(time, name, event))

    def _message(self, time: float, name: str, event: events.MessageCreated, reading: Reading | None) -> Fact | None:
        """Return the fact of a message; `None` for one that is not public or not by a participant, or is repeated."""
        data = event.data
        role = data.author.role
        sequence = None if event.sequence is None else number_of(event.sequence)
        if not data.is_public or role == "system":
            return None
        conversation_id, customer_id, channel, queue = data.conversation_id, data.customer_id, data.channel, data.queue
        message_id, text = data.message_id, data.text
        if role == "customer":
            polarity: float | None = None
            sentiment: events.Sentiment | None = None
            question, language = False, ""
            if reading is not None:
                known = self._hot_turns.get(conversation_id) or self._turns_of(conversation_id)
                if known is not None and message_id in known:
                    is_same = known[message_id].features == reading.features
                    return self._said_again(time, name, sequence, data, is_same=is_same)
                when = event.time if event.time.tzinfo is UTC else time  # it has been in UTC: no need to make another
                polarity, sentiment = self._turns.take_one(time, name, data, reading, known, when)
                question, language = reading.question, reading.language
            closing: Closing = ""
            # Most messages are no closing by what was read in them: no further look at the text.
            if (
                reading is None or (len(reading.features) <= MOST_OF_CLOSING and not question)
            ) and data.content_type == "text":
                closing = closing_of(text)
            return CustomerSpoke(
                time,
                name,
                sequence,
                conversation_id,
                customer_id,
                channel,
                queue,
                message_id,
                closing,
                polarity,
                question,
                language,
                sentiment,
            )
        asks = text is not None and ("?" in text or not text.isascii()) and only_asks(text)
        if role == "agent":
            tone = None if reading is None else reading.tone
            return AgentReplied(
                time, name, sequence, conversation_id, customer_id, channel, queue, message_id, asks, tone
            )
        return BotReplied(time, name, sequence, conversation_id, customer_id, channel, queue, asks)

    def _said_again(
        self, time: float, name: str, sequence: int | None, data: events.Message, *, is_same: bool
    ) -> Fact | None:
        """Count a customer's message whose id is known; with another text it is an edit, whose fact is returned."""
        self._out.counted["csq_message_changes_total", ("repeated" if is_same else "edited",)] += 1
        if is_same:
            return None
        where = (data.conversation_id, data.customer_id, data.channel, data.queue)
        return MessageChanged(time, name, sequence, *where, data.message_id, closing_of(data.text))

    def _edited(self, time: float, name: str, sequence: int | None, data: events.Message, held: list[Fact]) -> None:
        """Count an edit; that of a customer may open a wait, that of others changes nothing."""
        if data.author.role == "customer" and data.is_public:
            fact = self._said_again(time, name, sequence, data, is_same=False)
            if fact is not None:
                held.append(fact)
        else:
            self._out.counted["csq_message_changes_total", ("edited",)] += 1

    # ---- in the order of event time

    def settle(self, facts: Iterable[ConversationFact | RatingGiven | QueueFact | ForgetRequested]) -> None:
        """Apply facts in the order of event time; a timer that is due before a fact fires before it."""
        due, handlers, others = self._timers, self._course.handlers, self._others
        hot, queues, channels = self._hot, self._queues.since, self._channels.since
        fact: Any  # its class says which of its fields there are
        for fact in facts:
            time = fact.time
            if due and due[0][0] < time:
                self._fire(time)
            handle = handlers.get(type(fact))
            if handle is None:
                others[type(fact)](fact)
                continue
            record = hot.get(fact.conversation_id)
            if (
                record is None
                or record.queue_name != fact.queue
                or time < record.opened_at
                or (record.queue == OTHER and fact.queue in queues)  # it was admitted
                or (record.channel == OTHER and fact.channel in channels)
            ):
                record = self._record(fact)
            if time > record.last_at:  # noqa: PLR1730  max() would be a call for every event
                record.last_at = time
            if not record.open and record.outcome in BY_SILENCE and not getattr(fact, "closing", ""):
                self._course.wake(record, fact)
            since, was_open = record.rounds.waiting_since, record.open
            handle(record, fact)
            rounds = record.rounds
            after = rounds.waiting_since
            if after != since and (after is not None or rounds.suspended_since is not None):
                self._set_timers(record, fact.conversation_id, time)
            if was_open and not record.open:
                heapq.heappush(due, (self._until(record), fact.conversation_id, END))

    def _forward(self, fact: QueueFact) -> None:
        """Send a fact about a queue, not about a conversation, to the queue under its label."""
        label = self._queues.at(fact.queue, fact.time)
        self._course.to_queue(replace(fact, queue=label))
        if type(fact) is AgentChanged and label not in self._queues.fixed and label != OTHER:
            # Until the queue was admitted its agents were those of `other`.
            self._course.to_queue(AgentChanged(fact.time, fact.name, OTHER, fact.agent_id, "offline", None, None))

    def _record(self, fact: ConversationFact) -> ConversationRecord:
        """Return the record of a fact's conversation, made if there is none, moved if the queue is another one."""
        time, conversation_id = fact.time, fact.conversation_id
        queue = self._queues.at(fact.queue, time)
        record = self._hot.get(conversation_id) or self._records.thaw(conversation_id)
        if record is None:
            channel = self._channels.at(fact.channel, time)
            record = ConversationRecord(fact.customer_id, channel, queue, time, time, Rounds())
            record.channel_name, record.queue_name = fact.channel, fact.queue
            self._add(conversation_id, record)
            self._course.begin(record, fact)
        elif not record.seen:  # so far there was only a rating
            record.seen, record.open, record.opened_at = True, True, time
            record.customer_id, record.queue = fact.customer_id, queue
            record.channel = self._channels.at(fact.channel, time)
            record.channel_name, record.queue_name = fact.channel, fact.queue
            self._course.begin(record, fact)
        else:
            channel = self._channels.at(fact.channel, time) if record.channel == OTHER else OTHER
            if channel != OTHER:  # it was admitted since
                record.channel, record.channel_name = channel, fact.channel
            if not record.opening_known and time < record.opened_at:
                record.opened_at = time
            if time >= record.last_at:  # what comes late does not move it back
                record.queue_name = fact.queue
                if queue != record.queue:
                    self._course.move(record, fact, queue)
                    self._set_timers(record, conversation_id, time)
        return record

    def _rating_given(self, fact: RatingGiven) -> None:
        """Take a rating, which counts when it has settled."""
        if fact.conversation_id is not None and self._is_forgotten(fact.conversation_id):
            return
        due = self._ratings.give(fact)
        if due is not None:
            heapq.heappush(self._timers, (due, RATING, END))

    def _rate(self, fact: RatingGiven) -> None:
        """Count a rating that has settled."""
        time, conversation_id = fact.time, fact.conversation_id
        if conversation_id is None:
            self._course.rate_elsewhere(fact)
            return
        record = self._records.get(conversation_id)
        if record is None:
            record = ConversationRecord("", OTHER, OTHER, time, time, Rounds(), seen=False, open=False)
            self._add(conversation_id, record)
        record.last_at = max(record.last_at, time)
        self._course.rate(record, fact, conversation_id)
        params = self._params
        if fact.kind in SENTIMENT_KINDS and params.rating_weight > 0:
            self._turns.rate(conversation_id, time, mood_of(fact.share), params.rating_weight, params.rating_turns)

    def _change(self, fact: MessageChanged | MessageRemoved) -> None:
        """Apply a fact about a message that came before; it begins no conversation."""
        record = self._records.get(fact.conversation_id)
        if record is None or not record.seen:
            return
        since = record.rounds.waiting_since
        self._course.changes[type(fact)](record, fact)
        if record.rounds.waiting_since not in (None, since):
            self._set_timers(record, fact.conversation_id, fact.time)

    def _merged_away(self, fact: MergedAway) -> None:
        record = self._records.get(fact.conversation_id)
        if record is not None:
            self._course.merge(record, fact)
            heapq.heappush(self._timers, (self._until(record), fact.conversation_id, END))

    def _merged_in(self, fact: MergedIn) -> None:
        """Take the wait of another conversation."""
        record = self._records.get(fact.conversation_id)
        if record is not None and record.seen:
            record.last_at = max(record.last_at, fact.time)
            self._course.take_over(record, fact)
            self._set_timers(record, fact.conversation_id, fact.time)
        else:
            detail = "$.data.into: a conversation that is not known; expected one of which an event has come before"
            self._out.counted["csq_dead_letters_total", ("unknown_conversation",)] += 1
            letter = dead_letter(fact.event, "unknown_conversation", detail, self.name, fact.name, now=fact.time)
            self._out.published.append(letter)

    def _add(self, conversation_id: str, record: ConversationRecord) -> None:
        if len(self._records) >= self._params.max_conversations:
            self._evict()
        self._hot[conversation_id] = record
        heapq.heappush(self._timers, (self._until(record), conversation_id, END))

    # ---- time

    def advance(self, now: float) -> None:
        """Set event time to `now`: waits pass their limit, silent conversations are dropped."""
        self._now = now
        self._follow_calendars()
        if self._timers and self._timers[0][0] < now:
            self._fire(now)
        if len(self._timers) > self._most_timers:
            self._reset_timers()
        self._turns.advance(now - self._params.closed_days * DAY)
        self._ratings.advance(now)
        self._forgotten.expire_before(now - FORGOTTEN_DAYS * DAY)

    def finish(self) -> None:
        """Count the ratings that wait, if the input is finite: no correction will come."""
        if self._is_finite:
            self.attempt_each(self._ratings.settle, self._ratings.due(math.inf))

    def _follow_calendars(self) -> None:
        """Where calendars have changed, make all limits due now: each timer gets the time that is right now."""
        if self._calendar_changes == self._course.promises.changes:
            return
        self._calendar_changes = self._course.promises.changes
        self._timers[:] = [
            (due if since == END else min(due, self._now), key, since) for due, key, since in self._timers
        ]
        heapq.heapify(self._timers)

    def _fire(self, now: float) -> None:
        self.attempt_each(self._fire_one, due_timers(self._timers, now))

    def _fire_one(self, due: float, conversation_id: str, since: float) -> None:
        if conversation_id == RATING:
            self.attempt_each(self._ratings.settle, self._ratings.due(due))
            return
        record = self._hot.get(conversation_id) or self._records.thaw(conversation_id)
        if record is None:
            return
        rounds = record.rounds
        if since != END:
            if rounds.suspended_since == since:
                if rounds.suspended_at + self._params.bots_confirm_seconds <= due:
                    self._course.hold(record)
                else:  # the timer was that of the limit, or the setting has changed
                    self._set_timers(record, conversation_id, due)
            elif self._course.due(record, since) > due:  # it was moved, or the calendar has changed
                self._set_timers(record, conversation_id, due)
            elif rounds.limit_passed(since):
                self._course.miss(record, conversation_id, due)
        elif self._until(record) > due:
            heapq.heappush(self._timers, (self._until(record), conversation_id, END))
        elif record.open:
            self._course.end_silently(record, conversation_id, due)
            record.last_at = due
            heapq.heappush(self._timers, (self._until(record), conversation_id, END))
        else:
            self._drop(conversation_id, due)

    def _reset_timers(self) -> None:
        """Remove obsolete timers."""
        rounds = [timer for timer in self._timers if timer[2] != END and self._may_wait(timer[1], timer[2])]
        ends = [(self._until(record), key, END) for key, record in self._records.each(ConversationEnd)]
        ratings = [(due, RATING, END) for due in self._ratings.times()]
        self._most_timers = set_timers(self._timers, rounds + ends + ratings)

    def _set_timers(self, record: ConversationRecord, conversation_id: str, now: float) -> None:
        """Set the timer of a round, open or suspended; it fires at event time `now` or later."""
        rounds = record.rounds
        if rounds.suspended_since is not None:
            due = rounds.suspended_at + self._params.bots_confirm_seconds
            heapq.heappush(self._timers, (due, conversation_id, rounds.suspended_since))
        elif rounds.waiting_since is not None and not rounds.missed:
            since = rounds.waiting_since
            heapq.heappush(self._timers, (max(self._course.due(record, since), now), conversation_id, since))

    def _may_wait(self, conversation_id: str, since: float) -> bool:
        """Return whether the round that began at `since` may be open; cold records are not decoded for it."""
        record = self._hot.get(conversation_id)
        if record is None:
            return conversation_id in self._records
        return since in (record.rounds.waiting_since, record.rounds.suspended_since)

    def _until(self, record: ConversationRecord | ConversationEnd) -> float:
        """Return when the conversation ends, or if it is closed when its record is dropped, if no event comes."""
        params = self._params
        if not record.open:
            return record.last_at + params.closed_days * DAY
        if record.rounds.waiting_since is not None:
            return record.last_at + params.unanswered_days * DAY
        hours = params.auto_close_hours
        return record.last_at + hours.get(record.channel_name, hours.get(OTHER, AUTO_CLOSE_HOURS[OTHER])) * HOUR

    def _drop(self, conversation_id: str, time: float) -> None:
        record = self._records[conversation_id]
        self._records.forget(conversation_id)
        self._turns.ledger.forget(conversation_id)
        self._course.drop(record, conversation_id, time)

    def _forget(self, fact: ForgetRequested) -> None:
        """Drop the conversations of a customer, and what waits for their messages; report it to the customer's lane."""
        owners = self._records.each(ConversationOwner)
        gone = {key for key, record in owners if record.customer_id == fact.customer_id}
        for conversation_id in gone:
            self._forgotten.add(conversation_id, fact.time)
        self.attempt_each(self._drop, [(conversation_id, fact.time) for conversation_id in sorted(gone)])
        self._turns.ledger.forget_labels(gone)
        self._ratings.forget(fact.customer_id, gone)
        self._timers[:] = [timer for timer in self._timers if timer[1] not in gone]
        heapq.heapify(self._timers)
        self._out.to["customers"][self._lanes.of(fact.customer_id)].append(fact)
        self._on_forgotten()

    def _is_forgotten(self, conversation_id: str) -> bool:
        """Whether a conversation was forgotten with its customer, and has not been begun again."""
        return bool(self._forgotten) and conversation_id not in self._records and conversation_id in self._forgotten

    def _evict(self) -> None:
        """Drop an eighth of the records, closed ones first, then those without events for longest."""
        oldest = sorted((record.open, record.last_at, key) for key, record in self._records.each(ConversationEnd))
        gone = oldest[: max(len(oldest) // 8, 1)]
        self.attempt_each(self._drop, ((conversation_id, last_at) for _, last_at, conversation_id in gone))
        self._out.counted["csq_state_evicted_total", ("conversations",)] += len(gone)

    # ---- results, size

    def drain(self) -> list[Port]:
        """Return ports ``customers`` and ``queues`` (by lane), ``examples`` (by model), ``published``, ``measured``."""
        return self._out.drain()

    def entries(self) -> int:
        """Return how many conversations are held."""
        return len(self._records)

    def limit(self) -> int:
        """Return how many conversations may be held."""
        return self._params.max_conversations

    def fact_types(self) -> tuple[type[Fact], ...]:
        """Return the classes of facts that `settle` takes."""
        return (*self._course.handlers, *self._others)

    # ---- snapshots

    def snapshot(self) -> dict[str, Any]:
        """Return the state as versioned plain data; records without recent events are bytes."""
        records, turns = self._records.snapshot(self._now), self._turns.snapshot(self._now)
        settings = self._settings()  # before the timers: where calendars change between the two, `restore` sees it
        self._follow_calendars()
        timers = sorted(timer for timer in self._timers if timer[2] != END)  # the others follow from the records
        state = {"v": self.version, "settings": settings, "records": records, "timers": timers, "turns": turns}
        state["ratings"] = self._ratings.snapshot()
        return state | {"forgotten": self._forgotten.snapshot()} if self._forgotten else state

    def restore(self, stored: Raw) -> None:
        """Continue from a snapshot; records are decoded only if the settings they depend on have changed."""
        check_version(self.name, stored, self.version)
        state = msgpack.decode(stored, type=StoredConversations)
        self._records.restore(state.records)
        self._timers = state.timers
        self._ratings.restore(state.ratings)
        if state.settings != self._settings():
            self._timers = []
            self._records.update_cold(self._apply_settings)
        self._reset_timers()
        self._turns.restore(state.turns)
        self._forgotten.restore(state.forgotten)

    def _settings(self) -> list[Any]:
        """Return the settings that stored records depend on, as plain data."""
        closed = [None if values.is_open else sorted(values.since) for values in (self._queues, self._channels)]
        promises = self._course.promises
        calendars = {name: [each.params, each.digest] for name, each in promises.calendars.items()}
        settings: list[Any] = msgpack.decode(msgpack.encode([*closed, promises.params, calendars]))  # as they come back
        return settings

    def _apply_settings(self, conversation_id: str, record: ConversationRecord) -> None:
        """Fit a stored record to the settings of this start: labels that are known, the limit of an open wait."""
        record.channel, queue = self._channels.stored(record.channel), self._queues.stored(record.queue)
        if queue != record.queue:
            record.queue = queue
            self._course.enter_queue(record, conversation_id, record.last_at, conversation_id)
        self._set_timers(record, conversation_id, -math.inf)
