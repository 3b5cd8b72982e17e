"""Customers: moods, waits, orders and complaints of each customer, and the probability that the customer leaves.

A record is a few fading sums and means, dropped after long silence. Churn is scored after a customer's facts, once for
all facts of a moment; the inputs and the score are kept until the label comes: an event, or, where the shop sends none,
an order (or no order) within the horizon after the score. Facts come in the order of event time.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Raw, Struct, msgpack

from operators.domain.customers.record import (
    BROWSED,
    CANCELLATIONS,
    COMPLAINTS,
    CONVERSATIONS,
    DAY,
    EMPTY_SEARCHES,
    FADE_EVERY,
    MISSED,
    ORDERS,
    QUESTIONS,
    REFUNDS,
    RESOLVED,
    SEVERITY,
    SUMS,
    UNRESOLVED,
    CustomerRecord,
    CustomerTimes,
    packed,
    smoothed,
    without_inputs,
)
from operators.domain.models.model import Example
from operators.domain.stage import facts
from operators.domain.stage.facts import ChurnReported, CustomerFact, Fact
from operators.domain.stage.labels import Labels
from operators.domain.stage.stage import Handlers, Outbox, Port, Stage, check_version
from operators.domain.stage.table import Table
from operators.domain.time.timers import MIN_REBUILD, due_timers, set_timers
from operators.domain.wire.outgoing import ChurnScored, Reason, publish

LABELS = frozenset({facts.ChurnReported, facts.OrderReported})
"""Facts that may be the label of an earlier score."""
MOMENT_SECONDS = 60.0
"""The facts of a customer within so many seconds are scored once."""


class CustomersParams(Struct, frozen=True, forbid_unknown_fields=True):
    """What is remembered of customers, and for how long."""

    half_life_days: Annotated[
        float, Meta(gt=0, description="Days after which what a customer did weighs half. Fast-moving shops want less.")
    ] = 30.0
    smoothing: Annotated[
        float, Meta(gt=0, le=1, description="Weight of the newest wait, mood or rating in its running mean.")
    ] = 0.3
    silence_days: Annotated[
        float, Meta(gt=0, description="Days after which a customer nobody heard of is forgotten.")
    ] = 180.0
    contact_window_days: Annotated[
        float,
        Meta(
            gt=0,
            description="Days without reopening or another conversation that make a resolution the first and last.",
        ),
    ] = 7.0
    label_from: Annotated[
        Literal["events", "orders"],
        Meta(
            description="Where churn labels come from: csq.churn.labelled, or the absence of orders within the horizon."
        ),
    ] = "events"
    horizon_days: Annotated[
        float, Meta(gt=0, description="Days after a score within which an order says that the customer stayed.")
    ] = 90.0
    max_customers: Annotated[
        int, Meta(ge=10, description="Customers per lane. Past it those silent for longest are forgotten.")
    ] = 50_000


class ScoreChurn(Protocol):
    """The churn model, as this process holds it."""

    def score_one(self, numbers: tuple[float, ...], attributes: dict[str, Any]) -> tuple[float, Any]:
        """Return the probability, and the inputs (numbers, categories) it was made from."""

    def version(self) -> int:
        """Return the number of examples that the model has learned from."""

    def reasons_of(self, x: Any) -> list[tuple[str, float]]:
        """Return the largest reasons, in words."""

    def is_news(self, before: float | None, p: float) -> bool:
        """Return whether a score is worth publishing after the last published one."""

    def at_risk(self, p: float) -> bool:
        """Return whether a customer with this probability counts as at risk."""

    def declared(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return those attributes that the settings declare, with values of the declared kind."""

    def inputs(self) -> list[str]:
        """Return the names of the inputs; two models with the same names take the same inputs."""


class StoredCustomers(Struct):
    """A snapshot as it is decoded."""

    settings: Any
    records: Raw


class Customers(Stage):
    """The customers of one lane."""

    name = "customers"
    version = 3

    def __init__(self, params: CustomersParams, labels: Labels, churn: ScoreChurn, part: str) -> None:
        self._params = params
        self._half_life = params.half_life_days * DAY
        self._segments = labels.segments
        self._churn = churn
        self._part = part
        self._records = Table[CustomerRecord](CustomerRecord, attrgetter("last_at"), packed)
        self._hot = self._records.hot
        self._now = -math.inf
        self._timers: list[tuple[float, str, str, str]] = []
        self._most_timers = MIN_REBUILD
        """With more timers than this, obsolete ones are removed."""
        self._risk: Counter[str] = Counter()
        self._risk_changed = True
        self._touched: dict[str, CustomerFact] = {}
        """Customers with facts since their last score -> the last of these facts."""
        self._handlers = Handlers(
            self.name,
            {
                facts.MessageRead: self._message_read,
                facts.ReplyReceived: self._reply_received,
                facts.WaitMissed: self._wait_missed,
                facts.ContactBegan: self._contact_began,
                facts.ContactResolved: self._contact_resolved,
                facts.ContactReopened: self._contact_reopened,
                facts.ContactAbandoned: self._contact_abandoned,
                facts.RatingReceived: self._rating_received,
                facts.PageBrowsed: self._page_browsed,
                facts.SearchMade: self._search_made,
                facts.OrderReported: self._order_reported,
                facts.Complained: self._complained,
                facts.ProfileUpdated: self._profile_updated,
                facts.ChurnReported: self._churn_reported,
            },
        )
        self._out = Outbox()

    def settle(self, facts: Iterable[CustomerFact]) -> None:
        """Apply facts in the order of event time, then score each of their customers once."""
        due, handlers, touched = self._timers, self._handlers, self._touched
        for fact in facts:
            kind = type(fact)
            handle = handlers[kind]
            time, customer_id = fact.time, fact.customer_id
            if due and due[0][0] < time:
                self._fire(time)
            record = self._hot.get(customer_id) or self._records.thaw(customer_id)
            if record is None:
                record = self._add(customer_id, time)
            if time > record.last_at:  # noqa: PLR1730  max() would be a call for every event
                record.last_at = time
            if time - record.faded_at >= FADE_EVERY:
                record.fade(time, self._half_life)
            earlier = touched.get(customer_id)
            if earlier is not None and (kind in LABELS or time - earlier.time > MOMENT_SECONDS):
                self.attempt(self._score_touched, customer_id)  # before the label that judges it; once for each moment
            handle(record, fact)
            if kind is not ChurnReported:
                touched[customer_id] = fact
        last = list(touched.items())
        touched.clear()
        self.attempt_each(self._score, last)

    def _add(self, customer_id: str, time: float) -> CustomerRecord:
        if len(self._records) >= self._params.max_customers:
            self._evict()
        record = self._hot[customer_id] = CustomerRecord(time, [0.0] * len(SUMS), time)
        heapq.heappush(self._timers, (time + self._params.silence_days * DAY, customer_id, "silence", ""))
        return record

    # ---- facts

    def _message_read(self, record: CustomerRecord, fact: facts.MessageRead) -> None:
        if fact.polarity is not None:
            record.mood = smoothed(record.mood, fact.polarity, self._params.smoothing)
        if fact.question:
            record.sums[QUESTIONS] += 1

    def _reply_received(self, record: CustomerRecord, fact: facts.ReplyReceived) -> None:
        record.reply = smoothed(record.reply, math.log1p(fact.seconds), self._params.smoothing)

    def _wait_missed(self, record: CustomerRecord, fact: facts.WaitMissed) -> None:
        record.sums[MISSED] += 1

    def _contact_began(self, record: CustomerRecord, fact: facts.ContactBegan) -> None:
        record.sums[CONVERSATIONS] += 1
        others = [known for known in record.contacts if known != fact.conversation_id]
        self._repeat_contacts(record, others)

    def _contact_resolved(self, record: CustomerRecord, fact: facts.ContactResolved) -> None:
        record.sums[RESOLVED if fact.outcome == "solved" else UNRESOLVED] += 1
        if fact.again:  # it took more than one contact
            return
        record.contacts[fact.conversation_id] = (fact.time, fact.queue)
        due = fact.time + self._params.contact_window_days * DAY
        heapq.heappush(self._timers, (due, fact.customer_id, "contact", fact.conversation_id))

    def _contact_reopened(self, record: CustomerRecord, fact: facts.ContactReopened) -> None:
        record.sums[UNRESOLVED] += 1
        if fact.conversation_id in record.contacts:
            self._repeat_contacts(record, [fact.conversation_id])

    def _repeat_contacts(self, record: CustomerRecord, conversation_ids: Iterable[str]) -> None:
        """Count resolutions that were followed by another contact: they were not the last one."""
        for conversation_id in conversation_ids:
            _, queue = record.contacts.pop(conversation_id)
            self._out.counted["csq_first_contact_resolutions_total", (queue, "repeated")] += 1

    def _contact_abandoned(self, record: CustomerRecord, fact: facts.ContactAbandoned) -> None:
        record.sums[UNRESOLVED] += 1

    def _rating_received(self, record: CustomerRecord, fact: facts.RatingReceived) -> None:
        record.rating = smoothed(record.rating, fact.share, self._params.smoothing)

    def _page_browsed(self, record: CustomerRecord, fact: facts.PageBrowsed) -> None:
        record.sums[BROWSED] += (fact.seconds or 0.0) / 3600

    def _search_made(self, record: CustomerRecord, fact: facts.SearchMade) -> None:
        if fact.results == 0:
            record.sums[EMPTY_SEARCHES] += 1

    def _order_reported(self, record: CustomerRecord, fact: facts.OrderReported) -> None:
        self._out.counted["csq_orders_total", (fact.outcome,)] += 1
        if fact.outcome == "completed":
            record.sums[ORDERS] += 1
            record.ordered_at = fact.time
            if self._params.label_from == "orders" and record.pending is not None:
                self._learn(record.pending, churned=False, time=fact.time)
                record.pending = None
        else:
            record.sums[CANCELLATIONS if fact.outcome == "cancelled" else REFUNDS] += 1

    def _complained(self, record: CustomerRecord, fact: facts.Complained) -> None:
        record.sums[COMPLAINTS] += 1
        record.sums[SEVERITY] += fact.severity
        self._out.counted["csq_complaints_total", (str(fact.severity),)] += 1

    def _profile_updated(self, record: CustomerRecord, fact: facts.ProfileUpdated) -> None:
        record.attributes = record.attributes | self._churn.declared(fact.attributes)
        if fact.segment is not None:
            self._set_risk(record, at_risk=False)
            record.segment = self._segments.at(fact.segment, fact.time)

    def _churn_reported(self, record: CustomerRecord, fact: facts.ChurnReported) -> None:
        if self._params.label_from != "events":
            return
        if record.scored is None:
            self._out.counted["csq_labels_unmatched_total", ("churn",)] += 1
        else:
            self._learn(record.scored, churned=fact.churned, time=fact.time)

    # ---- churn

    def _score_touched(self, customer_id: str) -> None:
        """Score a customer now, if there were facts since the last score."""
        fact = self._touched.pop(customer_id, None)
        if fact is not None:
            self._score(customer_id, fact)

    def _score(self, customer_id: str, fact: CustomerFact) -> None:
        """Score a customer as of the last fact; publish the score if it has changed enough."""
        time = fact.time
        record = self._hot.get(customer_id) or self._records[customer_id]
        p, x = self._churn.score_one(record.numbers(time), record.attributes)
        self._set_risk(record, at_risk=self._churn.at_risk(p))
        published = record.published
        if published is None or self._churn.is_news(published, p):
            published = record.published = p
            self._publish(record, fact, p, x)
        # Also inputs whose score is not published are learned from: a model that knows little moves no score.
        record.scored = (time, published, x)
        if self._params.label_from == "orders" and record.pending is None:
            record.pending = record.scored
            heapq.heappush(self._timers, (time + self._params.horizon_days * DAY, customer_id, "horizon", ""))

    def _publish(self, record: CustomerRecord, fact: CustomerFact, p: float, x: Any) -> None:
        """Publish `p`, the score made from `x`, as of `fact`."""
        self._out.measured.append(("csq_churn_probability", (record.segment,), p))
        reasons = [Reason(because, effect) for because, effect in self._churn.reasons_of(x)]
        data = ChurnScored(fact.customer_id, record.segment, p, record.at_risk, reasons, self._churn.version())
        self._out.published.append(publish(data, fact.name, fact.time, fact.customer_id))

    def _learn(self, scored: tuple[float, float, Any], *, churned: bool, time: float) -> None:
        scored_at, p, x = scored
        self._out.to["examples"]["churn"].append(Example(x, p, churned, 1.0, max(time - scored_at, 0.0)))

    def _set_risk(self, record: CustomerRecord, *, at_risk: bool) -> None:
        if at_risk != record.at_risk:
            record.at_risk = at_risk
            self._risk[record.segment] += 1 if at_risk else -1
            self._risk_changed = True

    # ---- time

    def advance(self, now: float) -> None:
        """Set event time to `now`: windows close, horizons pass, silent customers are dropped."""
        self._now = now
        if self._timers and self._timers[0][0] < now:
            self._fire(now)
        if len(self._timers) > self._most_timers:
            self._reset_timers(self._records.each(CustomerTimes))

    def _reset_timers(self, records: Iterable[tuple[str, CustomerRecord | CustomerTimes]]) -> None:
        """Replace all timers by those that follow from `records`."""
        valid: list[tuple[float, str, str, str]] = []
        for customer_id, record in records:
            valid += self._timers_of(customer_id, record)
        self._most_timers = set_timers(self._timers, valid)

    def _timers_of(
        self, customer_id: str, record: CustomerRecord | CustomerTimes
    ) -> Iterator[tuple[float, str, str, str]]:
        """Yield the timers of a record."""
        params = self._params
        yield record.last_at + params.silence_days * DAY, customer_id, "silence", ""
        for conversation_id, (resolved_at, _) in record.contacts.items():
            yield resolved_at + params.contact_window_days * DAY, customer_id, "contact", conversation_id
        if record.pending is not None:
            yield record.pending[0] + params.horizon_days * DAY, customer_id, "horizon", ""

    def _fire(self, now: float) -> None:
        self.attempt_each(self._fire_one, due_timers(self._timers, now))

    def _fire_one(self, due: float, customer_id: str, kind: str, conversation_id: str) -> None:
        record = self._hot.get(customer_id) or self._records.thaw(customer_id)
        if record is None:
            return
        if kind == "horizon":
            self._horizon_passed(record, due)
        elif kind == "contact":
            self._window_closed(record, conversation_id, due)
        elif record.last_at + self._params.silence_days * DAY > due:
            heapq.heappush(self._timers, (record.last_at + self._params.silence_days * DAY, customer_id, kind, ""))
        else:
            self._drop(customer_id)

    def _horizon_passed(self, record: CustomerRecord, time: float) -> None:
        """Label a score after which no order came within the horizon: the customer has left."""
        if record.pending is not None and record.pending[0] + self._params.horizon_days * DAY <= time:
            self._learn(record.pending, churned=True, time=time)
            record.pending = None

    def _window_closed(self, record: CustomerRecord, conversation_id: str, time: float) -> None:
        """Count a resolution that was not followed by another contact."""
        resolved = record.contacts.get(conversation_id)
        if resolved is not None and resolved[0] + self._params.contact_window_days * DAY <= time:
            del record.contacts[conversation_id]
            self._out.counted["csq_first_contact_resolutions_total", (resolved[1], "resolved")] += 1

    def _drop(self, customer_id: str) -> None:
        self.attempt(self._score_touched, customer_id)
        record = self._records[customer_id]
        self._records.forget(customer_id)
        self._set_risk(record, at_risk=False)

    def _evict(self) -> None:
        """Drop the eighth of the customers that has been silent for longest."""
        oldest = sorted((record.last_at, customer_id) for customer_id, record in self._records.each(CustomerTimes))
        dropped = oldest[: max(len(oldest) // 8, 1)]
        self.attempt_each(self._drop, ((customer_id,) for _, customer_id in dropped))
        self._out.counted["csq_state_evicted_total", ("customers",)] += len(dropped)

    # ---- out

    def drain(self) -> list[Port]:
        """Return ports ``examples`` (model -> list), ``published``, ``measured``."""
        if self._risk_changed:
            self._out.measured += [
                ("csq_customers_at_risk", (name,), (self._part, n)) for name, n in self._risk.items()
            ]
            self._risk_changed = False
        return self._out.drain()

    def entries(self) -> int:
        """Return how many customers are held."""
        return len(self._records)

    def limit(self) -> int:
        """Return how many customers may be held."""
        return self._params.max_customers

    def fact_types(self) -> tuple[type[Fact], ...]:
        """Return the classes of facts that `settle` takes."""
        return tuple(self._handlers)

    # ---- snapshots

    def snapshot(self) -> dict[str, Any]:
        """Return the state as versioned plain data; records without recent facts are bytes."""
        return {"v": self.version, "settings": self._settings(), "records": self._records.snapshot(self._now)}

    def restore(self, stored: Raw) -> None:
        """Continue from a snapshot; records are decoded only if the settings they depend on have changed."""
        check_version(self.name, stored, self.version)
        state = msgpack.decode(stored, type=StoredCustomers)
        self._records.restore(state.records)
        if state.settings != self._settings():
            same_inputs = state.settings[0] == self._churn.inputs()
            self._records.update_cold(lambda _, record: self._apply_settings(record, same_inputs=same_inputs))
        records = list(self._records.each(CustomerTimes))
        self._reset_timers(records)
        self._risk = Counter(record.segment for _, record in records if record.at_risk)
        self._risk_changed = True

    def _settings(self) -> list[Any]:
        """Return the settings that stored records depend on, as plain data."""
        segments = None if self._segments.is_open else sorted(self._segments.since)
        return [self._churn.inputs(), segments, self._params.label_from]

    def _apply_settings(self, record: CustomerRecord, *, same_inputs: bool) -> None:
        """Fit a stored record to the settings of this start."""
        record.segment = self._segments.stored(record.segment)
        if self._params.label_from != "orders":
            record.pending = None  # its horizon would label the score as churned
        if not same_inputs:
            record.attributes = self._churn.declared(record.attributes)
            record.scored, record.pending = without_inputs(record.scored), without_inputs(record.pending)
