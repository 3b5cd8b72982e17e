"""The course of a conversation: how each fact changes its record, and what it reports to queues and customers."""

from collections.abc import Callable
from typing import Any, Literal

from operators.domain.conversations.facts import (
    AgentAssigned,
    AgentReplied,
    BotHandedOff,
    BotReplied,
    ConversationFact,
    ConversationStarted,
    CustomerGaveUp,
    CustomerSpoke,
    IssueReopened,
    IssueResolved,
    RatingGiven,
)
from operators.domain.conversations.record import ConversationRecord
from operators.domain.models.model import Example
from operators.domain.stage import facts
from operators.domain.stage.feedback import SATISFACTION_KINDS, label_of
from operators.domain.stage.labels import OTHER, Labels
from operators.domain.stage.promise import Promises
from operators.domain.stage.stage import Handlers, Outbox
from operators.domain.time.calendars import Calendar
from operators.domain.time.lanes import Lanes, queue_lanes
from operators.domain.wire.outgoing import ReplyMeasured, Responder, SatisfactionScored, publish

ScoreSatisfaction = Callable[..., tuple[float | None, dict[str, float | None]]]
"""Takes `ConversationRecord.satisfaction_inputs`; returns S (0..5, or `None`) and its parts by name."""


_NONE: tuple[float | None, ...] = ()
"""Durations by the wall of a queue without a calendar."""


class ConversationCourse:
    """Applies facts to the records of one lane; what follows from them goes to `out`.

    Args:
        promises: the reply limits by queue and channel.
        labels: the names that have series of their own.
        lanes: the lanes that facts are sent to.
        score: the satisfaction model.
        out: counts, measurements, published events, and facts for the lanes of queues and customers.
        attempt: as `Stage.attempt`.
        version: number of examples that the satisfaction model has learned from.
    """

    def __init__(
        self,
        promises: Promises,
        labels: Labels,
        lanes: Lanes,
        score: ScoreSatisfaction,
        out: Outbox,
        attempt: Callable[..., None],
        version: Callable[[], int] = lambda: 0,
    ) -> None:
        self.promises = promises
        self._queue_at, self._channel_at = labels.queues.at, labels.channels.at
        self._lane_of, self._queue_lane_of = lanes.of, queue_lanes(lanes).of
        self._score_satisfaction = score
        self._attempt = attempt
        self._version = version
        self._out = out
        self._for_queues, self._for_customers = out.to["queues"], out.to["customers"]
        self.handlers = Handlers(
            "conversations",
            {
                ConversationStarted: self._started,
                AgentAssigned: self._assigned,
                BotHandedOff: self._handed_off,
                CustomerSpoke: self._customer_spoke,
                AgentReplied: self._agent_replied,
                BotReplied: self._bot_replied,
                IssueResolved: self._resolved,
                IssueReopened: self._reopened,
                CustomerGaveUp: self._gave_up,
            },
        )
        """(record, fact) -> None, by class of fact."""

    def limit_of(self, record: ConversationRecord) -> float:
        """Return the reply limit of a conversation, in seconds."""
        return self.promises.of(record.queue, record.channel).limit_seconds

    def due(self, record: ConversationRecord, since: float) -> float:
        """Return the last moment (POSIX seconds) at which a reply to a wait that began at `since` is in time."""
        return self.promises.due(record.queue, record.channel, since)

    def _measure(
        self, metric: str, labels: tuple[str, ...], calendar: Calendar | None, begin: float, end: float
    ) -> float:
        """Measure a time span (POSIX seconds) in the hours of `calendar`, and by the wall; return the former."""
        elapsed = end - begin
        if elapsed < 0.0:  # an event that came too late to be sorted in, or a slow clock
            kind = metric.removeprefix("csq_").removesuffix("_seconds")
            self._out.counted["csq_clock_disorder_total", (kind,)] += 1
            elapsed = 0.0
        if calendar is None:
            self._out.measured.append((metric, labels, elapsed))
            return elapsed
        seconds = calendar.seconds(begin, begin + elapsed)
        self._out.measured.append((metric, labels, seconds))
        self._out.measured.append((metric.replace("_seconds", "_elapsed_seconds"), labels, elapsed))
        return seconds

    def to_queue(self, fact: facts.QueueFact) -> None:
        """Send a fact to the lane of its queue."""
        self._for_queues[self._queue_lane_of(fact.queue)].append(fact)

    def _to_customer(self, fact: facts.CustomerFact) -> None:
        self._for_customers[self._lane_of(fact.customer_id)].append(fact)

    # ---- start, transfer

    def begin(self, record: ConversationRecord, fact: ConversationFact) -> None:
        """Report a conversation that was not known before."""
        self.to_queue(facts.ConversationEntered(fact.time, fact.name, record.queue, fact.conversation_id))
        self._to_customer(facts.ContactBegan(fact.time, fact.name, record.customer_id, fact.conversation_id))

    def move(self, record: ConversationRecord, fact: ConversationFact, queue: str) -> None:
        """Move a conversation with its open wait to another queue."""
        time, name, conversation_id = fact.time, fact.name, fact.conversation_id
        if record.open:
            self.to_queue(facts.ConversationExited(time, name, record.queue, record.channel, conversation_id, "moved"))
        if record.rounds.waiting_since is not None:
            self.to_queue(facts.WaitEnded(time, name, record.queue, conversation_id, None))
        record.queue = queue
        self.enter_queue(record, conversation_id, time, name)

    def enter_queue(self, record: ConversationRecord, conversation_id: str, time: float, name: str) -> None:
        """Report a conversation that is under way to its queue."""
        if record.open:
            self.to_queue(facts.ConversationEntered(time, name, record.queue, conversation_id))
        if record.handling_from is not None:
            self.to_queue(facts.ConversationTaken(time, name, record.queue, conversation_id))
        since = record.rounds.waiting_since
        if since is not None:
            self.to_queue(facts.WaitBegan(since, name, record.queue, conversation_id))

    def _started(self, record: ConversationRecord, fact: ConversationStarted) -> None:
        """Take the time of the opening; that of an earlier message does not count any more.

        A second opening never moves it forward; of a closed conversation it is a reopening.
        """
        if not record.open and record.closed_at is not None and fact.time > record.closed_at:
            self._reopened(record, fact)
        elif not record.opening_known:
            record.opened_at, record.opening_known = fact.time, True
        else:
            record.opened_at = min(record.opened_at, fact.time)

    def _assigned(self, record: ConversationRecord, fact: AgentAssigned) -> None:
        if record.handling_from is None:
            record.handling_from = fact.time
        self.to_queue(facts.ConversationTaken(fact.time, fact.name, record.queue, fact.conversation_id))

    def _handed_off(self, record: ConversationRecord, fact: BotHandedOff) -> None:
        record.handoffs += 1
        record.rounds.handed_off(fact.time)

    # ---- messages

    def _customer_spoke(self, record: ConversationRecord, fact: CustomerSpoke) -> None:
        time, name, polarity = fact.time, fact.name, fact.polarity
        if fact.sentiment is not None:
            queue = record.queue if fact.queue == record.queue_name else self._queue_at(fact.queue, time)
            channel = record.channel if fact.channel == record.channel_name else self._channel_at(fact.channel, time)
            self._out.counted["csq_turns_total", (queue, channel, fact.language, fact.sentiment)] += 1
        if polarity is not None:
            record.add_mood(polarity)
        customer_id = record.customer_id  # no call of `_to_customer` for each message
        read = facts.MessageRead(time, name, customer_id, polarity, fact.question)
        self._for_customers[self._lane_of(customer_id)].append(read)
        if record.rounds.customer_said(time):
            record.waiting_name = name
            record.round_count += 1
            calendar = self.promises.calendar_of(record.queue)
            if calendar is not None and not calendar.is_open(time):
                self._out.counted["csq_closed_waits_total", (record.queue,)] += 1
            self.to_queue(facts.WaitBegan(time, name, record.queue, fact.conversation_id))

    def _agent_replied(self, record: ConversationRecord, fact: AgentReplied) -> None:
        time, name = fact.time, fact.name
        if fact.tone is not None:
            record.tone_sum += fact.tone
            record.tone_count += 1
        if record.handling_from is None:
            record.handling_from = time
        missed = record.rounds.missed
        since, first_from = record.rounds.human_said(time)
        calendar, where = self.promises.calendar_of(record.queue), (record.queue, record.channel, "human")
        first = None
        if first_from is not None:
            first = self._measure("csq_first_response_seconds", where, calendar, first_from, time)
        if since is None:
            if first is not None:  # after a reopening, where no customer waited
                self._publish_reply(record, fact, "human", calendar, None, None, first, first_from, None)
            return
        seconds = self._measure("csq_reply_seconds", where, calendar, since, time)
        if calendar is not None and not calendar.is_open(time):
            self._out.counted["csq_closed_replies_total", (record.queue,)] += 1
        record.reply_count += 1
        record.reply_sum += seconds
        if not missed:
            self._out.counted["csq_reply_rounds_total", (record.queue, record.channel, "met")] += 1
        self.to_queue(
            facts.WaitAnswered(time, name, record.queue, record.channel, fact.conversation_id, seconds, met=not missed)
        )
        self._to_customer(facts.ReplyReceived(time, name, record.customer_id, seconds))
        outcome: Literal["missed", "met"] = "missed" if missed else "met"
        self._publish_reply(record, fact, "human", calendar, seconds, since, first, first_from, outcome)

    def _bot_replied(self, record: ConversationRecord, fact: BotReplied) -> None:
        since, first_from = record.rounds.bot_said(fact.time)
        if since is None:
            return
        calendar, where = self.promises.calendar_of(record.queue), (record.queue, record.channel, "bot")
        first = None
        if first_from is not None:
            first = self._measure("csq_first_response_seconds", where, calendar, first_from, fact.time)
        reply = self._measure("csq_reply_seconds", where, calendar, since, fact.time)
        self._publish_reply(record, fact, "bot", calendar, reply, since, first, first_from, None)

    def miss(self, record: ConversationRecord, conversation_id: str, time: float) -> None:
        """Report that the open round passed its limit at `time`."""
        name = f"{record.waiting_name}~missed"  # the message itself has caused other events already
        self._out.counted["csq_reply_rounds_total", (record.queue, record.channel, "missed")] += 1
        self._to_customer(facts.WaitMissed(time, name, record.customer_id))
        where = (conversation_id, record.customer_id, record.queue_name, record.channel_name)
        data = ReplyMeasured(*where, "human", None, None, self.limit_of(record), "missed")
        self._out.published.append(publish(data, name, time, conversation_id))

    def _publish_reply(
        self,
        record: ConversationRecord,
        fact: AgentReplied | BotReplied,
        responder: Responder,
        calendar: Calendar | None,
        reply: float | None,
        since: float | None,
        first: float | None,
        first_from: float | None,
        outcome: Literal["met", "missed"] | None,
    ) -> None:
        """Publish a reply: its durations (seconds), and when they began (POSIX seconds)."""
        time, elapsed = fact.time, _NONE
        if calendar is not None:
            elapsed = (
                None if since is None else time - since,
                None if first_from is None else time - first_from,
            )
        where = (fact.conversation_id, record.customer_id, record.queue_name, record.channel_name)
        data = ReplyMeasured(*where, responder, reply, first, self.limit_of(record), outcome, *elapsed)
        self._out.published.append(publish(data, fact.name, time, fact.conversation_id))

    # ---- the end, and after it

    def _resolved(self, record: ConversationRecord, fact: IssueResolved) -> None:
        record.resolved_last = fact.time
        if record.resolved_first is None:
            record.resolved_first = fact.time
            if record.opening_known or fact.time != record.opened_at:  # else nothing but its end is known
                where = (record.queue, record.channel)
                self._measure(
                    "csq_resolution_seconds",
                    where,
                    self.promises.calendar_of(record.queue),
                    record.opened_at,
                    fact.time,
                )
        if not record.open:
            self._end_round(record, fact)
            return
        outcome = fact.outcome or "solved"
        self._close(record, fact, outcome)
        self._to_customer(
            facts.ContactResolved(
                fact.time,
                fact.name,
                record.customer_id,
                fact.conversation_id,
                outcome,
                record.queue,
                again=record.reopenings > 0,
            )
        )

    def _gave_up(self, record: ConversationRecord, fact: CustomerGaveUp) -> None:
        if not record.open:
            self._end_round(record, fact)
            return
        self._close(record, fact, "unsolved" if record.rounds.waiting_since is None else "abandoned")
        self._to_customer(facts.ContactAbandoned(fact.time, fact.name, record.customer_id))

    def _close(self, record: ConversationRecord, fact: ConversationFact, outcome: str) -> None:
        record.open, record.outcome, record.closed_at = False, outcome, fact.time
        self._out.counted["csq_conversations_total", (record.queue, record.channel, outcome)] += 1
        self._attempt(self._score, record, fact)
        self._end_round(record, fact)
        if record.handling_from is not None:
            where = (record.queue, record.channel)
            handled = self._measure(
                "csq_handle_seconds", where, self.promises.calendar_of(where[0]), record.handling_from, fact.time
            )
            record.handling_from = None
            self.to_queue(facts.ConversationHandled(fact.time, fact.name, record.queue, handled))
        self.to_queue(
            facts.ConversationExited(fact.time, fact.name, record.queue, record.channel, fact.conversation_id, outcome)
        )

    def _end_round(self, record: ConversationRecord, fact: ConversationFact) -> None:
        """End the open round without an answer, as the conversation ends."""
        since = record.rounds.closed()
        if since is not None:
            waited = self.promises.seconds(record.queue, since, fact.time)
            self.to_queue(facts.WaitEnded(fact.time, fact.name, record.queue, fact.conversation_id, waited))

    def _reopened(self, record: ConversationRecord, fact: IssueReopened | ConversationStarted) -> None:
        if record.open:
            return
        record.open, record.outcome, record.satisfaction = True, None, None
        record.reopenings += 1
        record.rounds.reopened(fact.time)
        self._out.counted["csq_conversations_total", (record.queue, record.channel, "reopened")] += 1
        self.to_queue(facts.ConversationReentered(fact.time, fact.name, record.queue, fact.conversation_id))
        self._to_customer(facts.ContactReopened(fact.time, fact.name, record.customer_id, fact.conversation_id))

    def drop(self, record: ConversationRecord, conversation_id: str, time: float) -> None:
        """Report that a record is dropped to the queue that counts it as open or waiting."""
        if record.rounds.waiting_since is not None:
            self.to_queue(facts.WaitEnded(time, conversation_id, record.queue, conversation_id, None))
        if record.open:
            self.to_queue(
                facts.ConversationExited(time, conversation_id, record.queue, record.channel, conversation_id, "gone")
            )
        if record.resolved_last is not None:
            where = (record.queue, record.channel)
            calendar = self.promises.calendar_of(record.queue)
            self._measure("csq_last_resolution_seconds", where, calendar, record.opened_at, record.resolved_last)

    # ---- ratings, satisfaction

    def rate(self, record: ConversationRecord, fact: RatingGiven) -> None:
        """Count a rating of a conversation and judge its S by it."""
        self._out.counted["csq_feedback_total", (fact.kind, record.queue, label_of(fact.kind, fact.share))] += 1
        customer_id = record.customer_id or fact.customer_id
        if customer_id:
            self._to_customer(facts.RatingReceived(fact.time, fact.name, customer_id, fact.share))
        if fact.kind in SATISFACTION_KINDS:
            record.rating = (fact.share * 5, fact.time)
            if record.satisfaction is None and record.seen:
                self._attempt(self._score, record, fact)  # without its own attitude: that would be looking ahead
            else:
                self._judge(record)
        if fact.attitude is not None:
            record.attitude = fact.attitude

    def rate_elsewhere(self, time: float, name: str, kind: str, share: float, customer_id: str | None) -> None:
        """Count a rating that belongs to no conversation (of a product, for example)."""
        self._out.counted["csq_feedback_total", (kind, OTHER, label_of(kind, share))] += 1
        if customer_id is not None:
            self._to_customer(facts.RatingReceived(time, name, customer_id, share))

    def _score(self, record: ConversationRecord, fact: ConversationFact | RatingGiven) -> None:
        """Publish S of the conversation as it stands; a rating that came before judges it."""
        since = record.rounds.waiting_since
        waits = None if since is None else self.promises.seconds(record.queue, since, fact.time)
        inputs: dict[str, Any] = record.satisfaction_inputs(waits, self.limit_of(record))
        score, parts = self._score_satisfaction(**inputs)
        if score is None:
            return
        where = (fact.conversation_id, record.customer_id, record.queue_name, record.channel_name)
        data = SatisfactionScored(*where, score, parts, record.mood_shift(), record.outcome, self._version())
        self._out.published.append(publish(data, fact.name, fact.time, fact.conversation_id))
        record.satisfaction = (score, list(parts.values()), fact.time)
        self._out.measured.append(("csq_satisfaction_score", (record.queue, record.channel), score))
        self._out.measured += [
            ("csq_satisfaction_part", (record.queue, part), value) for part, value in parts.items() if value is not None
        ]
        self._judge(record)

    def _judge(self, record: ConversationRecord) -> None:
        """Make an example of a published S and a rating, whichever came first: once."""
        if record.satisfaction is None or record.rating is None:
            return
        score, parts, scored_at = record.satisfaction
        rating, rated_at = record.rating
        record.rating = None
        example = Example(parts, score, rating, 1.0, max(rated_at - scored_at, 0.0))
        self._out.to["examples"]["satisfaction"].append(example)
