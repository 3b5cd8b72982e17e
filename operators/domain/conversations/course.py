"""The course of a conversation: what each thing that happens in it does to its record, and what is told about it.

Things come in the order of event time, as facts
``(time, name, kind, conversation id, customer id, channel, queue, a, b)``.
"""

from collections.abc import Callable
from typing import Any, Literal

from operators.domain.conversations.record import ConversationRecord
from operators.domain.models.example import Example
from operators.domain.stage.feedback import SATISFACTION_KINDS, label_of
from operators.domain.stage.labels import OTHER, Labels
from operators.domain.stage.promise import Promises
from operators.domain.stage.stage import Fact, Outbox
from operators.domain.time.lanes import Lanes, queue_lanes
from operators.domain.wire.outgoing import ReplyMeasured, Responder, SatisfactionScored, publish

ScoreSatisfaction = Callable[..., tuple[float | None, dict[str, float | None]]]
"""What `Record.talk` tells -> S (0..5, or `None`) and its parts by name."""


class Course:
    """What happens in the conversations of one lane; what it has to say goes to `out`."""

    def __init__(
        self,
        promises: Promises,
        labels: Labels,
        lanes: Lanes,
        score: ScoreSatisfaction,
        out: Outbox,
        version: Callable[[], int] = lambda: 0,
    ) -> None:
        self.promises = promises
        self._labels = labels
        self._lane_of, self._queue_lane_of = lanes.of, queue_lanes(lanes).of
        self._score_satisfaction = score
        self._version = version
        self._out = out
        self._for_queues, self._for_customers = out.to["queues"], out.to["customers"]
        self.steps: dict[str, Callable[[ConversationRecord, Fact], None]] = {
            "opened": self._opened,
            "assigned": self._assigned,
            "handoff": self._handed_off,
            "customer": self._customer_said,
            "agent": self._human_said,
            "bot": self._bot_said,
            "resolved": self._resolved,
            "reopened": self._reopened,
            "abandoned": self._abandoned,
        }

    def _limit_of(self, record: ConversationRecord) -> float:
        """Seconds this customer may wait for a reply."""
        return self.promises.of(record.queue, record.channel).limit_seconds

    # ---- beginning, moving

    def begin(self, record: ConversationRecord, fact: Fact) -> None:
        """A conversation shows for the first time."""
        time, name, _, conversation_id = fact[:4]
        self._tell_queue(record, time, name, "opened", conversation_id)
        self._tell_customer(time, name, record.customer_id, "opened", conversation_id)

    def move(self, record: ConversationRecord, fact: Fact, queue: str) -> None:
        """The conversation goes to another queue, and takes its wait along."""
        time, name, _, conversation_id = fact[:4]
        since = record.rounds.waiting_since
        if record.open:
            self._tell_queue(record, time, name, "closed", conversation_id, "moved")
        if since is not None:
            self._tell_queue(record, time, name, "ended", conversation_id)
        record.queue = queue
        if record.open:
            self._tell_queue(record, time, name, "opened", conversation_id)
        if record.handling_from is not None:
            self._tell_queue(record, time, name, "assigned", conversation_id)
        if since is not None:
            self._tell_queue(record, since, name, "waiting", conversation_id)

    def _opened(self, record: ConversationRecord, fact: Fact) -> None:
        """The opening itself says when; a message may have been sooner."""
        record.opened_at, record.opening_known = fact[0], True

    def _assigned(self, record: ConversationRecord, fact: Fact) -> None:
        time, name, _, conversation_id = fact[:4]
        if record.handling_from is None:
            record.handling_from = time
        self._tell_queue(record, time, name, "assigned", conversation_id)

    def _handed_off(self, record: ConversationRecord, fact: Fact) -> None:
        record.handoffs += 1
        record.rounds.handed_off(fact[0])

    # ---- messages

    def _customer_said(self, record: ConversationRecord, fact: Fact) -> None:
        time, name, _, conversation_id, _, channel, queue, polarity, (question, counted) = fact
        if counted is not None:
            where = self._labels.queues.at(queue, time), self._labels.channels.at(channel, time)
            self._out.counted["csq_turns_total", (*where, *counted)] += 1
        if polarity is not None:
            record.felt(polarity)
        self._tell_customer(time, name, record.customer_id, "said", polarity, question)
        if record.rounds.customer_said(time):
            record.waiting_name = name
            record.round_count += 1
            self._tell_queue(record, time, name, "waiting", conversation_id)

    def _human_said(self, record: ConversationRecord, fact: Fact) -> None:
        time, name, _, conversation_id, _, _, _, tone, _ = fact
        if tone is not None:
            record.tone_sum += tone
            record.tone_count += 1
        if record.handling_from is None:
            record.handling_from = time
        missed = record.rounds.missed
        reply, first = record.rounds.human_said(time)
        if first is not None:
            self._out.measured.append(("csq_first_response_seconds", (record.queue, record.channel, "human"), first))
        if reply is None:
            return
        record.reply_count += 1
        record.reply_sum += reply
        self._out.measured.append(("csq_reply_seconds", (record.queue, record.channel, "human"), reply))
        if not missed:
            self._out.counted["csq_reply_rounds_total", (record.queue, record.channel, "met")] += 1
        self._tell_queue(record, time, name, "replied", conversation_id, (reply, not missed))
        self._tell_customer(time, name, record.customer_id, "waited", reply)
        self._publish_reply(record, fact, "human", reply, first, "missed" if missed else "met")

    def _bot_said(self, record: ConversationRecord, fact: Fact) -> None:
        reply, first = record.rounds.bot_said(fact[0])
        if first is not None:
            self._out.measured.append(("csq_first_response_seconds", (record.queue, record.channel, "bot"), first))
        if reply is not None:
            self._out.measured.append(("csq_reply_seconds", (record.queue, record.channel, "bot"), reply))
            self._publish_reply(record, fact, "bot", reply, first, None)

    def miss(self, record: ConversationRecord, conversation_id: str, time: float) -> None:
        """The limit of the open round has passed."""
        name = f"{record.waiting_name}~missed"  # the message itself has caused other events already
        self._out.counted["csq_reply_rounds_total", (record.queue, record.channel, "missed")] += 1
        self._tell_queue(record, time, name, "missed", conversation_id)
        self._tell_customer(time, name, record.customer_id, "missed")
        self._publish_reply(record, (time, name, "", conversation_id), "human", None, None, "missed")

    def _publish_reply(
        self,
        record: ConversationRecord,
        fact: Fact,
        responder: Responder,
        reply: float | None,
        first: float | None,
        outcome: Literal["met", "missed"] | None,
    ) -> None:
        time, name, _, conversation_id = fact[:4]
        limit = self._limit_of(record)
        where = (conversation_id, record.customer_id, record.queue, record.channel)
        data = ReplyMeasured(*where, responder, reply, first, limit, outcome)
        self._out.published.append(publish(data, name, time, conversation_id))

    # ---- the end, and what comes after it

    def _resolved(self, record: ConversationRecord, fact: Fact) -> None:
        time, name, _, conversation_id = fact[:4]
        record.resolved_last = time
        if record.resolved_first is None:
            record.resolved_first = time
            seconds = time - record.opened_at
            self._out.measured.append(("csq_resolution_seconds", (record.queue, record.channel), seconds))
        if not record.open:
            self._end_round(record, fact)
            return
        outcome = fact[7] or "solved"
        self._close(record, fact, outcome)
        kind = "resolved_again" if record.reopenings else "resolved"
        self._tell_customer(time, name, record.customer_id, kind, conversation_id, (outcome, record.queue))

    def _abandoned(self, record: ConversationRecord, fact: Fact) -> None:
        if not record.open:
            self._end_round(record, fact)
            return
        self._close(record, fact, "unsolved" if record.rounds.waiting_since is None else "abandoned")
        self._tell_customer(fact[0], fact[1], record.customer_id, "abandoned", fact[3])

    def _close(self, record: ConversationRecord, fact: Fact, outcome: str) -> None:
        time, name, _, conversation_id = fact[:4]
        record.open, record.outcome = False, outcome
        self._out.counted["csq_conversations_total", (record.queue, record.channel, outcome)] += 1
        self._score(record, fact)
        self._end_round(record, fact)
        if record.handling_from is not None:
            handled = time - record.handling_from
            record.handling_from = None
            self._out.measured.append(("csq_handle_seconds", (record.queue, record.channel), handled))
            self._tell_queue(record, time, name, "handled", conversation_id, handled)
        self._tell_queue(record, time, name, "closed", conversation_id, outcome)

    def _end_round(self, record: ConversationRecord, fact: Fact) -> None:
        """The end of a conversation ends a round without an answer."""
        waited = record.rounds.closed(fact[0])
        if waited is not None:
            self._tell_queue(record, fact[0], fact[1], "ended", fact[3], waited)

    def _reopened(self, record: ConversationRecord, fact: Fact) -> None:
        if record.open:
            return
        time, name, _, conversation_id = fact[:4]
        record.open, record.outcome, record.satisfaction = True, None, None
        record.reopenings += 1
        record.rounds.reopened(time)
        self._out.counted["csq_conversations_total", (record.queue, record.channel, "reopened")] += 1
        self._tell_queue(record, time, name, "reopened", conversation_id)
        self._tell_customer(time, name, record.customer_id, "reopened", conversation_id)

    def rate(self, record: ConversationRecord, fact: Fact) -> None:
        """A rating: ``(time, name, "rated", conversation id, kind, share of its scale, attitude, customer id)``.

        What is not there is `None`.
        """
        time, name, _, _, kind, share, attitude, customer_id = fact
        self._out.counted["csq_feedback_total", (kind, record.queue, label_of(kind, share))] += 1
        customer_id = record.customer_id or customer_id
        if customer_id:
            self._tell_customer(time, name, customer_id, "rated", share)
        if kind in SATISFACTION_KINDS:
            record.rating = (share * 5, time)
            if record.satisfaction is None and record.seen:
                self._score(record, fact)  # before its own attitude is known: that would be looking ahead
            else:
                self._judge(record)
        if attitude is not None:
            record.attitude = attitude

    def _score(self, record: ConversationRecord, fact: Fact) -> None:
        """Publish S of the conversation as it stands; a rating that came before judges it."""
        time, name, _, conversation_id = fact[:4]
        score, parts = self._score_satisfaction(**record.talk(time, self._limit_of(record)))
        if score is None:
            return
        record.satisfaction = (score, list(parts.values()), time)
        self._out.measured.append(("csq_satisfaction_score", (record.queue, record.channel), score))
        self._out.measured += [
            ("csq_satisfaction_part", (record.queue, part), value) for part, value in parts.items() if value is not None
        ]
        where = (conversation_id, record.customer_id, record.queue, record.channel)
        data = SatisfactionScored(*where, score, parts, record.shift(), record.outcome, self._version())
        self._out.published.append(publish(data, name, time, conversation_id))
        self._judge(record)

    def _judge(self, record: ConversationRecord) -> None:
        """A published S and a rating meet, whichever came first: once."""
        if record.satisfaction is None or record.rating is None:
            return
        score, parts, scored_at = record.satisfaction
        rating, rated_at = record.rating
        record.rating = None
        example = Example(parts, score, rating, 1.0, max(rated_at - scored_at, 0.0))
        self._out.to["examples"]["satisfaction"].append(example)

    def drop(self, record: ConversationRecord, conversation_id: str, time: float) -> None:
        """A conversation is forgotten; whoever counted it as open or waiting hears of it."""
        if record.rounds.waiting_since is not None:
            self._tell_queue(record, time, conversation_id, "ended", conversation_id)
        if record.open:
            self._tell_queue(record, time, conversation_id, "closed", conversation_id, "gone")
        if record.resolved_last is not None:
            seconds = record.resolved_last - record.opened_at
            self._out.measured.append(("csq_last_resolution_seconds", (record.queue, record.channel), seconds))

    # ---- telling

    def rate_elsewhere(self, time: float, name: str, kind: str, share: float, customer_id: str | None) -> None:
        """A rating of no conversation: of a product, say."""
        self._out.counted["csq_feedback_total", (kind, OTHER, label_of(kind, share))] += 1
        if customer_id is not None:
            self._tell_customer(time, name, customer_id, "rated", share)

    def _tell_queue(self, record: ConversationRecord, time: float, name: str, kind: str, a: Any, b: Any = None) -> None:
        queue = record.queue
        self._for_queues[self._queue_lane_of(queue)].append((time, name, queue, kind, record.channel, a, b))

    def _tell_customer(self, time: float, name: str, customer_id: str, kind: str, a: Any = None, b: Any = None) -> None:
        self._for_customers[self._lane_of(customer_id)].append((time, name, customer_id, kind, a, b))
