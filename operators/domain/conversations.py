"""Conversations: one record per conversation, and what is measured on it.

What needs no order is done on arrival: a turn is counted, published and remembered with its vector and score, so that a
sentiment label that comes later (or sooner) judges the score that was published. What needs order (who waited for whom, how
long) waits until event time has come past it, and is then taken in the order of event time:

* a reply that arrives before the message it answers, a rating before its conversation, resolved before opened: within the
  bound of disorder they are sorted, and nothing is to be seen of it;
* beyond the bound they are taken late: a reply older than the message that waits does not answer it, a message older
  than the last reply has been answered, a rating waits in a record of its own until the conversation shows, an opening of
  a known conversation only fills in what is missing.

Timers (a wait that passes its limit, records nobody speaks of any more) fire between the facts they lie between.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from msgspec import Meta, Struct, convert, to_builtins

from operators.domain import events
from operators.domain.closed import Closed
from operators.domain.closed import Params as Names
from operators.domain.example import Example
from operators.domain.facts import customer_fact, queue_fact
from operators.domain.feedback import SATISFACTION_KINDS, SENTIMENT_KINDS, label_of, mood_of, share_of
from operators.domain.lane import Lanes
from operators.domain.ledger import Ledger, Scored
from operators.domain.outgoing import Outgoing, publish
from operators.domain.reading import Reading
from operators.domain.record import Record
from operators.domain.rounds import Rounds
from operators.domain.stage import Fact, Measurement, Port, Stage, check_version

DAY = 86_400.0
CLASSES = ("negative", "neutral", "positive")
STEPS = {
    events.ConversationOpened: "opened",
    events.ConversationAssigned: "assigned",
    events.ConversationHandoff: "handoff",
    events.ConversationResolved: "resolved",
    events.ConversationReopened: "reopened",
    events.ConversationAbandoned: "abandoned",
}


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits, and how much is remembered."""

    reply_limit_seconds: Annotated[
        float, Meta(gt=0, description="Seconds a customer may wait for a reply. Marketplaces ask for 180 or 300.")
    ] = 180.0
    queue_limits: Annotated[
        dict[str, float], Meta(description="Queue to its own reply limit in seconds, where it differs.")
    ] = {}
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
        float, Meta(ge=0, le=1, description="Weight of such an example; a person's label weighs 1.")
    ] = 0.1
    max_conversations: Annotated[
        int,
        Meta(ge=10, description="Conversations per lane. Past it the oldest closed, then the oldest, are given up."),
    ] = 50_000


class Conversations(Stage):
    """One lane's conversations.

    `score_satisfaction` is given what `Record.talk` tells, and gives S (0..5, or None) and its parts.
    """

    version = 1

    def __init__(
        self,
        params: Params,
        names: Names,
        lanes: Lanes,
        score_satisfaction: Callable[..., tuple[float | None, list[float | None]]],
    ) -> None:
        self._params = params
        self._queues, self._channels = Closed(names.queues), Closed(names.channels)
        self._lanes = lanes
        self._score_satisfaction = score_satisfaction
        self._records: dict[str, Record] = {}
        self._timers: list[tuple[float, str, float | None]] = []
        self._ledger = Ledger(params.turns, params.waiting_labels)
        self._now = float("-inf")
        self._evicted = 0
        self._apply = {
            "opened": self._on_opened,
            "assigned": self._on_assigned,
            "handoff": self._on_handoff,
            "customer": self._on_customer,
            "agent": self._on_agent,
            "bot": self._on_bot,
            "resolved": self._on_resolved,
            "reopened": self._on_reopened,
            "abandoned": self._on_abandoned,
        }
        self._clear()

    def _clear(self) -> None:
        self._counted: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self._measured: list[Measurement] = []
        self._published: list[Outgoing] = []
        self._customer_facts: defaultdict[str, list[Fact]] = defaultdict(list)
        self._queue_facts: defaultdict[str, list[Fact]] = defaultdict(list)
        self._examples: defaultdict[str, list[Example]] = defaultdict(list)

    # ---- on arrival, in any order

    def arrive(self, items: Iterable[Any], now: float, held: list[Fact]) -> None:  # noqa: ARG002
        """Take (time, name, event, reading); what needs the order of time becomes a fact in `held`."""
        for time, name, event, reading in items:
            kind = type(event)
            if kind is events.MessageCreated:
                fact = self._message(time, name, event.data, reading)
            elif kind in STEPS:
                data = event.data
                who = (data.conversation_id, data.customer_id, data.channel, data.queue)
                fact = (time, name, STEPS[kind], *who, data.outcome)
            elif kind is events.FeedbackSubmitted:
                fact = self._feedback(time, name, event.data)
            elif kind is events.SentimentLabelled:
                fact = self._label(time, event.data)
            else:
                fact = self._elsewhere(time, name, event)
            if fact is not None:
                held.append(fact)

    def _message(self, time: float, name: str, data: events.Message, reading: Reading | None) -> Fact | None:
        role = data.author.role
        if not data.is_public or role == "system":
            return None
        if role == "customer":
            polarity = self._turn(time, name, data, reading) if reading is not None else None
            extra = (polarity, reading.question if reading is not None else False)
        else:
            extra = (reading.tone if reading is not None else None, False)
        return (time, name, role, data.conversation_id, data.customer_id, data.channel, data.queue, *extra)

    def _turn(self, time: float, name: str, data: events.Message, reading: Reading) -> float | None:
        """Count, publish and remember a scored turn; its polarity."""
        if reading.probabilities is None or reading.model is None:
            return None
        negative, neutral, positive = reading.probabilities
        sentiment = CLASSES[reading.probabilities.index(max(reading.probabilities))]
        queue, channel = self._queues[data.queue], self._channels[data.channel]
        self._counted["csq_turns_total", (queue, channel, reading.language, sentiment)] += 1
        polarity = positive - negative
        self._published.append(
            publish(
                "csq.turn.scored",
                name,
                time,
                data.conversation_id,
                {
                    "message_id": data.message_id,
                    "conversation_id": data.conversation_id,
                    "customer_id": data.customer_id,
                    "queue": data.queue,
                    "channel": data.channel,
                    "language": reading.language,
                    "sentiment": sentiment,
                    "probabilities": {"negative": negative, "neutral": neutral, "positive": positive},
                    "polarity": polarity,
                    "model": reading.model,
                },
            )
        )
        scored = Scored(data.message_id, time, reading.model, reading.features, reading.probabilities)
        for model, example in self._ledger.note_one(data.conversation_id, scored):
            self._examples[model].append(example)
        return polarity

    def _label(self, time: float, data: events.SentimentLabel) -> None:
        matched = self._ledger.label_one(data.conversation_id, data.message_id, time, data.label)
        if matched is not None:
            self._examples[matched[0]].append(matched[1])

    def _feedback(self, time: float, name: str, data: events.Feedback) -> Fact | None:
        share = share_of(data.score, data.scale_min, data.scale_max)
        if data.conversation_id is not None:
            return (time, name, "rated", data.conversation_id, data.kind, share, data.attitude)
        self._counted["csq_feedback_total", (data.kind, "other", label_of(data.kind, share))] += 1
        if data.customer_id is not None:
            self._tell_customer(time, name, data.customer_id, "rated", share)
        return None

    def _elsewhere(self, time: float, name: str, event: Any) -> None:
        """Events that belong to no conversation go on to where they belong."""
        fact = customer_fact(time, name, event)
        if fact is not None:
            self._customer_facts[self._lanes.of(fact[2])].append(fact)
            return
        fact = queue_fact(time, name, event)
        if fact is not None:
            queue = self._queues[fact[2]]
            self._queue_facts[self._lanes.of(queue)].append((time, name, queue, *fact[3:]))

    # ---- in the order of event time

    def settle(self, facts: Iterable[Fact]) -> None:
        """Take facts in the order of event time; timers that were due before one fire before it."""
        timers, apply = self._timers, self._apply
        for fact in facts:
            time, kind = fact[0], fact[2]
            if timers and timers[0][0] < time:
                self._fire(time)
            if kind == "rated":
                self._rated(fact)
            else:
                record = self._record(fact)
                record.last_at = max(record.last_at, time)
                apply[kind](record, fact)

    def _record(self, fact: Fact) -> Record:
        time, name, _, conversation_id, customer_id, channel, queue = fact[:7]
        queue = self._queues[queue]
        record = self._records.get(conversation_id)
        if record is None:
            record = self._add(
                conversation_id, Record(customer_id, self._channels[channel], queue, time, time, Rounds())
            )
        elif not record.seen:  # so far there was only a rating
            record.seen, record.customer_id, record.channel = (True, customer_id, self._channels[channel])
            record.queue, record.opened_at, record.open = queue, time, True
        else:
            if time < record.opened_at:
                record.opened_at = time
            if queue != record.queue:
                self._move(record, fact, queue)
            return record
        self._tell_queue(record, fact, "opened", conversation_id)
        self._tell_customer(time, name, customer_id, "opened", conversation_id)
        return record

    def _add(self, conversation_id: str, record: Record) -> Record:
        if len(self._records) >= self._params.max_conversations:
            self._evict()
        self._records[conversation_id] = record
        heapq.heappush(self._timers, (record.last_at + self._lifetime(record), conversation_id, None))
        return record

    def _move(self, record: Record, fact: Fact, queue: str) -> None:
        """The conversation goes to another queue, and takes its wait along."""
        name, conversation_id, since = fact[1], fact[3], record.rounds.waiting_since
        if record.open:
            self._tell_queue(record, fact, "closed", conversation_id, "moved")
        if since is not None:
            self._tell_queue(record, fact, "ended", conversation_id, None)
        record.queue = queue
        if record.open:
            self._tell_queue(record, fact, "opened", conversation_id)
        if since is not None:
            self._queue_facts[self._lanes.of(queue)].append(
                (since, name, queue, "waiting", record.channel, conversation_id, None)
            )

    def _on_opened(self, record: Record, fact: Fact) -> None:
        """The record is there by now."""

    def _on_assigned(self, record: Record, fact: Fact) -> None:
        record.assigned = True
        if record.handling_from is None:
            record.handling_from = fact[0]
        self._tell_queue(record, fact, "assigned", fact[3])

    def _on_handoff(self, record: Record, fact: Fact) -> None:
        record.handoffs += 1
        record.rounds.handed_off(fact[0])

    def _on_customer(self, record: Record, fact: Fact) -> None:
        time, name, _, conversation_id = fact[:4]
        polarity, question = fact[7], fact[8]
        if polarity is not None:
            record.felt(polarity)
        self._tell_customer(time, name, record.customer_id, "said", polarity, question)
        if record.rounds.customer_said(time):
            record.waiting_name = name
            record.round_count += 1
            heapq.heappush(self._timers, (time + self._limit(record.queue), conversation_id, time))
            self._tell_queue(record, fact, "waiting", conversation_id)

    def _on_agent(self, record: Record, fact: Fact) -> None:
        time, name, _, conversation_id = fact[:4]
        tone = fact[7]
        if tone is not None:
            record.tone_sum += tone
            record.tone_count += 1
        if record.handling_from is None:
            record.handling_from = time
        missed = record.rounds.missed
        reply, first = record.rounds.human_said(time)
        labels = (record.queue, record.channel, "human")
        if first is not None:
            self._measured.append(("csq_first_response_seconds", labels, first))
        if reply is None:
            return
        record.reply_count += 1
        record.reply_sum += reply
        self._measured.append(("csq_reply_seconds", labels, reply))
        if not missed:
            self._counted["csq_reply_rounds_total", (record.queue, record.channel, "met")] += 1
        self._tell_queue(record, fact, "replied", conversation_id, reply)
        self._tell_customer(time, name, record.customer_id, "waited", reply)
        self._publish_reply(record, name, time, conversation_id, "human", reply, first, "missed" if missed else "met")

    def _on_bot(self, record: Record, fact: Fact) -> None:
        time, name, _, conversation_id = fact[:4]
        reply, first = record.rounds.bot_said(time)
        labels = (record.queue, record.channel, "bot")
        if first is not None:
            self._measured.append(("csq_first_response_seconds", labels, first))
        if reply is not None:
            self._measured.append(("csq_reply_seconds", labels, reply))
            self._publish_reply(record, name, time, conversation_id, "bot", reply, first, None)

    def _on_resolved(self, record: Record, fact: Fact) -> None:
        time, name, _, conversation_id = fact[:4]
        record.resolved_last = time
        if record.resolved_first is None:
            record.resolved_first = time
            seconds = time - record.opened_at
            self._measured.append(("csq_resolution_seconds", (record.queue, record.channel), seconds))
        if record.open:
            outcome = fact[7] or "solved"
            self._close(record, fact, outcome)
            self._tell_customer(time, name, record.customer_id, "resolved", conversation_id, (outcome, record.queue))

    def _on_abandoned(self, record: Record, fact: Fact) -> None:
        if record.open:
            outcome = "unsolved" if record.rounds.waiting_since is None else "abandoned"
            self._close(record, fact, outcome)
            self._tell_customer(fact[0], fact[1], record.customer_id, "abandoned", fact[3])

    def _close(self, record: Record, fact: Fact, outcome: str) -> None:
        time, name, _, conversation_id = fact[:4]
        record.open, record.outcome = False, outcome
        self._counted["csq_conversations_total", (record.queue, record.channel, outcome)] += 1
        self._score(record, name, time, conversation_id)
        waited = record.rounds.closed(time)
        if waited is not None:
            self._tell_queue(record, fact, "ended", conversation_id, waited)
        if record.handling_from is not None:
            handled = time - record.handling_from
            record.handling_from = None
            self._measured.append(("csq_handle_seconds", (record.queue, record.channel), handled))
            self._tell_queue(record, fact, "handled", conversation_id, handled)
        self._tell_queue(record, fact, "closed", conversation_id, outcome)

    def _on_reopened(self, record: Record, fact: Fact) -> None:
        if record.open:
            return
        time, name, _, conversation_id = fact[:4]
        record.open, record.outcome, record.satisfaction = True, None, None
        record.reopenings += 1
        record.rounds.reopened(time)
        self._counted["csq_conversations_total", (record.queue, record.channel, "reopened")] += 1
        self._tell_queue(record, fact, "reopened", conversation_id)
        self._tell_customer(time, name, record.customer_id, "reopened", conversation_id)

    def _rated(self, fact: Fact) -> None:
        time, name, _, conversation_id, kind, share, attitude = fact
        record = self._records.get(conversation_id)
        if record is None:
            record = self._add(
                conversation_id, Record("", "other", "other", time, time, Rounds(), seen=False, open=False)
            )
        record.last_at = max(record.last_at, time)
        self._counted["csq_feedback_total", (kind, record.queue, label_of(kind, share))] += 1
        if attitude is not None:
            record.attitude = attitude
        if record.customer_id:
            self._tell_customer(time, name, record.customer_id, "rated", share)
        if kind in SENTIMENT_KINDS and self._params.rating_weight > 0:
            weak = self._ledger.weak_examples(
                conversation_id, time, mood_of(share), self._params.rating_weight, self._params.rating_turns
            )
            for model, example in weak:
                self._examples[model].append(example)
        if kind in SATISFACTION_KINDS:
            record.rating = (share * 5, time)
            if record.satisfaction is None and record.seen:
                self._score(record, name, time, conversation_id)
            else:
                self._judge(record)

    def _score(self, record: Record, name: str, time: float, conversation_id: str) -> None:
        """Publish S of the conversation as it stands; a rating that came before judges it."""
        limit = self._limit(record.queue)
        score, parts = self._score_satisfaction(**record.talk(time, limit))
        if score is None:
            return
        record.satisfaction = (score, parts, time)
        self._measured.append(("csq_satisfaction_score", (record.queue, record.channel), score))
        names = ("response", "attitude", "mood", "resolution", "effort")
        data = {
            "conversation_id": conversation_id,
            "customer_id": record.customer_id,
            "queue": record.queue,
            "channel": record.channel,
            "score": score,
            "parts": dict(zip(names, parts, strict=True)),
            "mood_shift": record.shift(),
            "outcome": record.outcome,
        }
        self._published.append(publish("csq.satisfaction.scored", name, time, conversation_id, data))
        self._judge(record)

    def _judge(self, record: Record) -> None:
        """A published S and a rating meet, whichever came first: once."""
        if record.satisfaction is None or record.rating is None:
            return
        score, parts, scored_at = record.satisfaction
        rating, rated_at = record.rating
        record.rating = None
        delay = max(rated_at - scored_at, 0.0)
        self._examples["satisfaction"].append(Example(parts, score, rating, 1.0, delay))

    def _publish_reply(  # noqa: PLR0913  the fields of the event
        self,
        record: Record,
        name: str,
        time: float,
        conversation_id: str,
        responder: str,
        reply: float | None,
        first: float | None,
        outcome: str | None,
    ) -> None:
        data = {
            "conversation_id": conversation_id,
            "customer_id": record.customer_id,
            "queue": record.queue,
            "channel": record.channel,
            "responder": responder,
            "reply_seconds": reply,
            "first_response_seconds": first,
            "limit_seconds": self._limit(record.queue),
            "outcome": outcome,
        }
        self._published.append(publish("csq.reply.measured", name, time, conversation_id, data))

    # ---- time

    def advance(self, now: float) -> None:
        """Event time has come to `now`: waits pass their limit, silent conversations are dropped."""
        if self._timers and self._timers[0][0] < now:
            self._fire(now)
        self._ledger.expire_before(now - self._params.closed_days * DAY)
        self._now = now

    def _fire(self, now: float) -> None:
        timers = self._timers
        while timers and timers[0][0] < now:
            due, conversation_id, since = heapq.heappop(timers)
            record = self._records.get(conversation_id)
            if record is None:
                continue
            if since is not None:
                if record.rounds.limit_passed(since):
                    self._miss(record, due, conversation_id)
                continue
            until = record.last_at + self._lifetime(record)
            if until > due:
                heapq.heappush(timers, (until, conversation_id, None))
            else:
                self._drop(conversation_id, record, due)

    def _miss(self, record: Record, time: float, conversation_id: str) -> None:
        name = record.waiting_name
        self._counted["csq_reply_rounds_total", (record.queue, record.channel, "missed")] += 1
        fact = (time, name, "missed", conversation_id)
        self._tell_queue(record, fact, "missed", conversation_id)
        self._tell_customer(time, name, record.customer_id, "missed")
        self._publish_reply(record, name, time, conversation_id, "human", None, None, "missed")

    def _drop(self, conversation_id: str, record: Record, time: float) -> None:
        """Forget a conversation; whoever counted it as open or waiting hears of it."""
        del self._records[conversation_id]
        self._ledger.forget(conversation_id)
        fact = (time, conversation_id, "gone", conversation_id)
        if record.rounds.waiting_since is not None:
            self._tell_queue(record, fact, "ended", conversation_id, None)
        if record.open:
            self._tell_queue(record, fact, "closed", conversation_id, "gone")
        if record.resolved_last is not None:
            seconds = record.resolved_last - record.opened_at
            self._measured.append(("csq_last_resolution_seconds", (record.queue, record.channel), seconds))

    def _evict(self) -> None:
        """Make room: an eighth of the records goes, closed ones first, then those silent for longest."""
        oldest = sorted(self._records.items(), key=lambda item: (item[1].open, item[1].last_at))
        for conversation_id, record in oldest[: max(len(oldest) // 8, 1)]:
            self._drop(conversation_id, record, record.last_at)
            self._evicted += 1

    # ---- out

    def _limit(self, queue: str) -> float:
        return self._params.queue_limits.get(queue, self._params.reply_limit_seconds)

    def _lifetime(self, record: Record) -> float:
        return (self._params.idle_days if record.open else self._params.closed_days) * DAY

    def _tell_queue(self, record: Record, fact: Fact, kind: str, a: Any, b: Any = None) -> None:
        queue = record.queue
        self._queue_facts[self._lanes.of(queue)].append((fact[0], fact[1], queue, kind, record.channel, a, b))

    def _tell_customer(self, time: float, name: str, customer_id: str, kind: str, a: Any = None, b: Any = None) -> None:
        self._customer_facts[self._lanes.of(customer_id)].append((time, name, customer_id, kind, a, b))

    def drain(self) -> list[Port]:
        """Ports ``customers``, ``queues`` (lane, facts), ``examples`` (model, examples), ``published``, ``measured``."""
        out: list[Port] = [("customers", item) for item in self._customer_facts.items()]
        out += [("queues", item) for item in self._queue_facts.items()]
        out += [("examples", item) for item in self._examples.items()]
        measured = self._measured
        measured += [(name, labels, count) for (name, labels), count in self._counted.items()]
        if self._evicted:
            measured.append(("csq_state_evicted_total", ("conversations",), self._evicted))
            self._evicted = 0
        if self._ledger.unmatched:
            measured.append(("csq_labels_unmatched_total", ("other",), self._ledger.unmatched))
            self._ledger.unmatched = 0
        if measured:
            out.append(("measured", measured))
        if self._published:
            out.append(("published", self._published))
        self._clear()
        return out

    def entries(self) -> int:
        """Conversations held."""
        return len(self._records)

    def state(self) -> dict[str, Any]:
        """Versioned plain data."""
        return {
            "v": self.version,
            "records": to_builtins(self._records),
            "timers": [list(timer) for timer in self._timers],
            "ledger": self._ledger.state(),
            "now": self._now,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        check_version("conversations", state, self.version)
        self._records = convert(state["records"], dict[str, Record])
        self._timers = convert(state["timers"], list[tuple[float, str, float | None]])
        self._ledger.restore(state["ledger"])
        self._now = state["now"]
