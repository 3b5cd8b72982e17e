"""The course of a conversation: how each fact changes its record, and what it reports to queues and customers."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from operators.domain.conversations.facts import (
    AgentAssigned,
    AgentReplied,
    BotHandedOff,
    BotReplied,
    ConversationFact,
    ConversationStarted,
    CustomerAwaited,
    CustomerGaveUp,
    CustomerSpoke,
    IssueReopened,
    IssueResolved,
    MergedAway,
    MergedIn,
    MessageChanged,
    MessageRemoved,
    RatingGiven,
)
from operators.domain.conversations.record import (
    MAX_CLOSINGS,
    MAX_PAUSES,
    ConversationRecord,
)
from operators.domain.models.model import Example
from operators.domain.stage import facts
from operators.domain.stage.feedback import SATISFACTION_KINDS, label_of
from operators.domain.stage.labels import OTHER, Labels
from operators.domain.stage.promise import Promises
from operators.domain.stage.stage import Handlers, Outbox
from operators.domain.time.calendars import Calendar
from operators.domain.time.lanes import Lanes, queue_lanes
from operators.domain.wire.outgoing import ReplyMeasured, ReplyOutcome, Responder, SatisfactionScored, publish

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
        bots_answer: whether a bot's reply ends a round, if it holds.
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
        *,
        bots_answer: bool = True,
    ) -> None:
        self.promises = promises
        self._bots_answer = bots_answer
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
                CustomerAwaited: self._awaited,
                IssueResolved: self._resolved,
                IssueReopened: self._reopened,
                CustomerGaveUp: self._gave_up,
            },
        )
        """(record, fact) -> None, by class of fact; they begin a conversation that is not known."""
        self.changes = Handlers("conversations", {MessageChanged: self._changed, MessageRemoved: self._removed})
        """The same for facts that concern only conversations that are known."""

    def limit_of(self, record: ConversationRecord) -> float:
        """Return the reply limit of a conversation, in seconds."""
        return self.promises.of(record.queue, record.channel).limit_seconds

    def due(self, record: ConversationRecord, since: float) -> float:
        """Return the last moment (POSIX seconds) at which a reply to a wait that began at `since` is in time."""
        return self.promises.due(record.queue, record.channel, since)

    def _measure(
        self,
        metric: str,
        labels: tuple[str, ...],
        calendar: Calendar | None,
        begin: float,
        end: float,
        pauses: Sequence[tuple[float, float]] = (),
    ) -> float:
        """Measure a time span (POSIX seconds) in the hours of `calendar`, and by the wall; return the former.

        `pauses` (begin, end) are left out, but not by the wall.
        """
        elapsed = end - begin
        if elapsed < 0.0:  # an event that came too late to be sorted in, or a slow clock
            kind = metric.removeprefix("csq_").removesuffix("_seconds")
            self._out.counted["csq_clock_disorder_total", (kind,)] += 1
            elapsed = 0.0
        seconds = elapsed if calendar is None else calendar.seconds(begin, begin + elapsed)
        for paused, resumed in pauses:
            since, until = max(paused, begin), min(resumed, end)
            if since < until:
                seconds -= until - since if calendar is None else calendar.seconds(since, until)
        seconds = max(seconds, 0.0)
        self._out.measured.append((metric, labels, seconds))
        if calendar is not None:
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
            self.to_queue(facts.WaitBegan(time, name, record.queue, conversation_id, since))

    def wake(self, record: ConversationRecord, fact: ConversationFact) -> None:
        """Open a conversation again that had ended by silence: it goes on."""
        record.open, record.outcome = True, None
        if not isinstance(fact, IssueResolved | CustomerGaveUp):
            self.to_queue(facts.ConversationReentered(fact.time, fact.name, record.queue, fact.conversation_id))

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

    def _awaited(self, record: ConversationRecord, fact: CustomerAwaited) -> None:
        """Let resolution and handle time stand still until the customer writes or the conversation is reopened."""
        if record.open and record.paused_at is None:
            record.paused_at = fact.time

    def _go_on_after_pause(self, record: ConversationRecord, time: float) -> None:
        """Let resolution and handle time run again."""
        if record.paused_at is not None:
            record.pauses = (*record.pauses, (record.paused_at, time))[-MAX_PAUSES:]
            record.paused_at = None

    def _handed_off(self, record: ConversationRecord, fact: BotHandedOff) -> None:
        record.handoffs += 1
        if record.rounds.suspended_since is not None:
            self._go_on(record, fact, waits=True)
        if record.rounds.handed_off(fact.time):
            self._round_began(record, fact)

    # ---- messages

    def _customer_spoke(self, record: ConversationRecord, fact: CustomerSpoke) -> None:
        time, name, polarity = fact.time, fact.name, fact.polarity
        if fact.sentiment is not None:
            queue = record.queue if fact.queue == record.queue_name else self._queue_at(fact.queue, time)
            channel = record.channel if fact.channel == record.channel_name else self._channel_at(fact.channel, time)
            self._out.counted["csq_turns_total", (queue, channel, fact.language, fact.sentiment)] += 1
        elif fact.message_id == record.waiting_message:  # it has no text that could be compared
            self._out.counted["csq_message_changes_total", ("repeated",)] += 1
            return
        if polarity is not None:
            record.add_mood(polarity)
        if record.paused_at is not None:
            self._go_on_after_pause(record, time)
        customer_id = record.customer_id  # no call of `_to_customer` for each message
        read = facts.MessageRead(time, name, customer_id, polarity, fact.question)
        self._for_customers[self._lane_of(customer_id)].append(read)
        rounds = record.rounds
        if fact.closing and (fact.closing == "thanks" or record.asked):
            self._closing(record, fact)
        elif rounds.waiting_since is None or rounds.bot_waiting_since is None or not rounds.asked:
            self._needs_answer(record, fact)
        else:  # one message more of a customer who waits: nothing begins
            record.waits_for_more = True

    def _closing(self, record: ConversationRecord, fact: CustomerSpoke) -> None:
        """Take a message that needs no answer: it confirms what a bot has answered, and opens no wait."""
        self._out.counted["csq_closing_messages_total", (record.queue, record.channel)] += 1
        record.closings = (*record.closings[1 - MAX_CLOSINGS :], fact.message_id)
        if record.rounds.suspended_since is not None:
            self.hold(record)

    def _needs_answer(self, record: ConversationRecord, fact: CustomerSpoke | MessageChanged) -> None:
        rounds = record.rounds
        if rounds.suspended_since is not None and fact.time > rounds.suspended_at:
            self._go_on(record, fact, waits=True)
        if rounds.customer_said(fact.time):
            self._round_began(record, fact)
            record.waiting_message = fact.message_id
        else:
            record.waits_for_more = True

    def _changed(self, record: ConversationRecord, fact: MessageChanged) -> None:
        """Take a changed text: a thank-you that has become a question opens a wait."""
        if fact.message_id in record.closings and not fact.closing:
            record.closings = tuple(known for known in record.closings if known != fact.message_id)
            self._needs_answer(record, fact)

    def _removed(self, record: ConversationRecord, fact: MessageRemoved) -> None:
        """Take a deletion: a wait of one message is withdrawn with it. A limit that it has missed stays so."""
        rounds = record.rounds
        if fact.message_id != record.waiting_message or record.waits_for_more:
            return
        if rounds.waiting_since is None and rounds.suspended_since is None:
            return
        if rounds.waiting_since is not None:
            self.to_queue(facts.WaitEnded(fact.time, fact.name, record.queue, fact.conversation_id, None))
        rounds.withdraw()

    def _round_began(self, record: ConversationRecord, fact: CustomerSpoke | MessageChanged | BotHandedOff) -> None:
        record.waiting_name, record.waiting_message, record.waits_for_more = fact.name, "", False
        record.round_count += 1
        calendar = self.promises.calendar_of(record.queue)
        if calendar is not None and not calendar.is_open(fact.time):
            self._out.counted["csq_closed_waits_total", (record.queue,)] += 1
        self.to_queue(facts.WaitBegan(fact.time, fact.name, record.queue, fact.conversation_id, fact.time))

    def _go_on(self, record: ConversationRecord, fact: ConversationFact, *, waits: bool) -> None:
        """Let the round that a bot has answered go on from its beginning; its limit may have passed meanwhile.

        `waits` is whether the customer waits, or the round is about to end otherwise.
        """
        rounds = record.rounds
        rounds.resume()
        since = rounds.waiting_since
        if since is None:
            return
        if waits:
            self.to_queue(facts.WaitBegan(fact.time, fact.name, record.queue, fact.conversation_id, since))
        if fact.time > self.due(record, since) and rounds.limit_passed(since):
            self.miss(record, fact.conversation_id, fact.time)

    def hold(self, record: ConversationRecord) -> None:
        """End the round that a bot has answered: the answer holds."""
        if record.rounds.hold():
            self._out.counted["csq_reply_rounds_total", (record.queue, record.channel, "met", "bot")] += 1

    def _agent_replied(self, record: ConversationRecord, fact: AgentReplied) -> None:
        time, name = fact.time, fact.name
        if fact.message_id in (record.reply_last, record.reply_before):  # repeated or changed
            self._out.counted["csq_message_changes_total", ("repeated",)] += 1
            return
        record.reply_before, record.reply_last, record.asked = record.reply_last, fact.message_id, fact.asks
        if fact.tone is not None:
            record.tone_sum += fact.tone
            record.tone_count += 1
        if record.handling_from is None:
            record.handling_from = time
        record.resolver = "human"
        if record.rounds.suspended_since is not None:
            self._go_on(record, fact, waits=False)
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
            self._out.counted["csq_reply_rounds_total", (record.queue, record.channel, "met", "human")] += 1
        self.to_queue(
            facts.WaitAnswered(time, name, record.queue, record.channel, fact.conversation_id, seconds, met=not missed)
        )
        self._to_customer(facts.ReplyReceived(time, name, record.customer_id, seconds))
        outcome: Literal["missed", "met"] = "missed" if missed else "met"
        self._publish_reply(record, fact, "human", calendar, seconds, since, first, first_from, outcome)

    def _bot_replied(self, record: ConversationRecord, fact: BotReplied) -> None:
        record.asked = fact.asks
        if record.resolver == "nobody":
            record.resolver = "bot"
        since, first_from = record.rounds.bot_said(fact.time)
        ends = self._bots_answer and record.rounds.suspend(fact.time)
        if ends:
            self.to_queue(facts.WaitEnded(fact.time, fact.name, record.queue, fact.conversation_id, None))
        if since is None:
            return
        calendar, where = self.promises.calendar_of(record.queue), (record.queue, record.channel, "bot")
        first = None
        if first_from is not None:
            first = self._measure("csq_first_response_seconds", where, calendar, first_from, fact.time)
        reply = self._measure("csq_reply_seconds", where, calendar, since, fact.time)
        outcome: Literal["answered"] | None = "answered" if ends else None
        self._publish_reply(record, fact, "bot", calendar, reply, since, first, first_from, outcome)

    def miss(self, record: ConversationRecord, conversation_id: str, time: float) -> None:
        """Report that the open round passed its limit at `time`."""
        name = f"{record.waiting_name}~missed"  # the message itself has caused other events already
        self._out.counted["csq_reply_rounds_total", (record.queue, record.channel, "missed", "human")] += 1
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
        outcome: ReplyOutcome | None,
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
        self._go_on_after_pause(record, fact.time)
        record.resolved_last = fact.time
        if record.resolved_first is None:
            record.resolved_first = fact.time
            if record.opening_known or fact.time != record.opened_at:  # else nothing but its end is known
                where = (record.queue, record.channel, record.resolver)
                self._measure(
                    "csq_resolution_seconds",
                    where,
                    self.promises.calendar_of(record.queue),
                    record.opened_at,
                    fact.time,
                    record.pauses,
                )
        outcome = fact.outcome or "solved"
        if record.rounds.suspended_since is not None:
            if outcome == "unsolved":
                self._go_on(record, fact, waits=False)
            else:
                self.hold(record)
        if not record.open:
            self._end_round(record, fact)
            return
        self._close(record, fact, outcome)
        self._to_customer(
            facts.ContactResolved(
                fact.time,
                fact.name,
                record.customer_id,
                fact.conversation_id,
                outcome,
                record.queue,
                record.resolver,
                again=record.reopenings > 0,
            )
        )

    def _gave_up(self, record: ConversationRecord, fact: CustomerGaveUp) -> None:
        if record.rounds.suspended_since is not None:
            self._go_on(record, fact, waits=False)
        if not record.open:
            self._end_round(record, fact)
            return
        self._close(record, fact, "unsolved" if record.rounds.waiting_since is None else "abandoned")
        self._to_customer(facts.ContactAbandoned(fact.time, fact.name, record.customer_id))

    def end_silently(self, record: ConversationRecord, conversation_id: str, time: float) -> None:
        """End a conversation without events: `forgotten` if its customer waits, else `silent`. It may go on later."""
        name = f"{conversation_id} {record.last_at:.3f}~silent"
        where = (conversation_id, record.customer_id, record.channel_name, record.queue_name)
        outcome = "silent" if record.rounds.waiting_since is None else "forgotten"
        self._close(record, ConversationFact(time, name, None, *where), outcome, record.last_at)

    def merge(self, record: ConversationRecord, fact: MergedAway) -> None:
        """End a conversation that became part of another one: neither solved nor missed, its wait is counted there."""
        record.rounds.withdraw()
        if not record.open:
            return
        record.open, record.outcome, record.closed_at, record.handling_from = False, "merged", fact.time, None
        self._out.counted["csq_conversations_total", (record.queue, record.channel, "merged")] += 1
        time, name, conversation_id = fact.time, fact.name, fact.conversation_id
        self.to_queue(facts.WaitEnded(time, name, record.queue, conversation_id, None))
        self.to_queue(facts.ConversationExited(time, name, record.queue, record.channel, conversation_id, "merged"))

    def take_over(self, record: ConversationRecord, fact: MergedIn) -> None:
        """Take the wait of a conversation that became part of this one; of two waits the longer counts."""
        since, rounds = fact.since, record.rounds
        if since is None:
            return
        if rounds.suspended_since is not None:
            rounds.resume()
        known = rounds.waiting_since
        if known is not None and known <= since:
            return
        if known is None:
            record.waiting_name, record.waiting_message, record.waits_for_more = fact.name, "", False
            record.round_count += 1
        else:
            record.waits_for_more = True
        rounds.take_over(since)
        self.to_queue(facts.WaitBegan(fact.time, fact.name, record.queue, fact.conversation_id, since))

    def _close(
        self, record: ConversationRecord, fact: ConversationFact, outcome: str, handled_until: float | None = None
    ) -> None:
        """Close a conversation; its agent was busy with it until then, or `handled_until` (POSIX seconds)."""
        record.open, record.outcome, record.closed_at = False, outcome, fact.time
        self._go_on_after_pause(record, fact.time)
        self._out.counted["csq_conversations_total", (record.queue, record.channel, outcome)] += 1
        self._attempt(self._score, record, fact, fact.conversation_id)
        self._end_round(record, fact)
        if record.handling_from is not None:
            where = (record.queue, record.channel)
            until = fact.time if handled_until is None else max(handled_until, record.handling_from)
            calendar = self.promises.calendar_of(record.queue)
            handled = self._measure("csq_handle_seconds", where, calendar, record.handling_from, until, record.pauses)
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
        self._go_on_after_pause(record, fact.time)
        if record.open:
            return
        record.open, record.outcome, record.satisfaction, record.resolver = True, None, None, "nobody"
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
            begin, end = record.opened_at, record.resolved_last
            self._measure("csq_last_resolution_seconds", where, calendar, begin, end, record.pauses)

    # ---- ratings, satisfaction

    def rate(self, record: ConversationRecord, fact: RatingGiven, conversation_id: str) -> None:
        """Count a rating of a conversation and judge its S by it."""
        self._out.counted["csq_feedback_total", (fact.kind, record.queue, label_of(fact.kind, fact.share))] += 1
        customer_id = record.customer_id or fact.customer_id
        if customer_id:
            self._to_customer(facts.RatingReceived(fact.time, fact.name, customer_id, fact.share))
        if fact.kind in SATISFACTION_KINDS:
            record.rating = (fact.share * 5, fact.time)
            if record.satisfaction is None and record.seen:
                # Without its own attitude: that would be looking ahead.
                self._attempt(self._score, record, fact, conversation_id)
            else:
                self._judge(record)
        if fact.attitude is not None:
            record.attitude = fact.attitude

    def rate_elsewhere(self, fact: RatingGiven) -> None:
        """Count a rating that belongs to no conversation (of a product, for example)."""
        self._out.counted["csq_feedback_total", (fact.kind, OTHER, label_of(fact.kind, fact.share))] += 1
        if fact.customer_id is not None:
            self._to_customer(facts.RatingReceived(fact.time, fact.name, fact.customer_id, fact.share))

    def _score(self, record: ConversationRecord, fact: ConversationFact | RatingGiven, conversation_id: str) -> None:
        """Publish S of the conversation as it stands; a rating that came before judges it."""
        since = record.rounds.waiting_since
        waits = None if since is None else self.promises.seconds(record.queue, since, fact.time)
        inputs: dict[str, Any] = record.satisfaction_inputs(waits, self.limit_of(record))
        score, parts = self._score_satisfaction(**inputs)
        if score is None:
            return
        where = (conversation_id, record.customer_id, record.queue_name, record.channel_name)
        data = SatisfactionScored(*where, score, parts, record.mood_shift(), record.outcome, self._version())
        self._out.published.append(publish(data, fact.name, fact.time, conversation_id))
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
