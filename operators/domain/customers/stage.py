"""Customers: moods, waits, orders and complaints of each customer, and the probability that the customer leaves.

A record is a few fading sums and means, dropped after long silence. Churn is scored after a customer's facts, once for
all facts of a moment. A label judges the published score and is learned with the inputs of the newest: it is an event,
or, where the shop sends none, an order (or no order) within the horizon after the score. Facts come in the order of
event time.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any

from msgspec import Raw, Struct, msgpack

from operators.domain.customers.history import AtRisk, CustomerHistory, CustomerTimer
from operators.domain.customers.params import CustomersParams, ScoreChurn
from operators.domain.customers.record import (
    DAY,
    FADE_EVERY,
    SUMS,
    CustomerRecord,
    CustomerTimes,
    packed,
)
from operators.domain.stage.facts import ChurnReported, CustomerFact, Fact, ForgetRequested, OrderReported
from operators.domain.stage.labels import Labels
from operators.domain.stage.stage import Outbox, Port, Stage, check_version
from operators.domain.stage.table import Table
from operators.domain.time.timers import MIN_REBUILD, due_timers, set_timers
from operators.domain.wire.outgoing import ChurnScored, Reason, publish

LABELS = frozenset({ChurnReported, OrderReported})
"""Facts that may be the label of an earlier score."""
MOMENT_SECONDS = 60.0
"""The facts of a customer within so many seconds are scored once."""


class StoredCustomers(Struct):
    """A snapshot as it is decoded."""

    settings: Any
    records: Raw


class Customers(Stage):
    """The customers of one lane."""

    name = "customers"
    version = 4

    def __init__(
        self,
        params: CustomersParams,
        labels: Labels,
        churn: ScoreChurn,
        part: str,
        on_forgotten: Callable[[], None] = lambda: None,
    ) -> None:
        self._params = params
        self._half_life = params.half_life_days * DAY
        self._segments = labels.segments
        self._churn = churn
        self._records = Table[CustomerRecord](CustomerRecord, attrgetter("last_at"), packed)
        self._hot = self._records.hot
        self._now = -math.inf
        self._timers: list[CustomerTimer] = []
        self._most_timers = MIN_REBUILD
        """With more timers than this, obsolete ones are removed."""
        self._at_risk = AtRisk(part)
        self._touched: dict[str, CustomerFact] = {}
        """Customers with facts since their last score -> the last of these facts."""
        self._out = Outbox()
        self._history = CustomerHistory(params, labels, churn, self._out, self._timers, self._at_risk)
        self._history.handlers[ForgetRequested] = self._forget
        self._on_forgotten = on_forgotten

    def settle(self, facts: Iterable[CustomerFact]) -> None:
        """Apply facts in the order of event time, then score each of their customers once."""
        due, handlers, touched, hot = self._timers, self._history.handlers, self._touched, self._hot
        for fact in facts:
            kind = type(fact)
            handle = handlers.get(kind) or handlers[kind]  # the latter only to raise: it takes twice as long
            time, customer_id = fact.time, fact.customer_id
            if due and due[0][0] < time:
                self._fire(time)
            record = hot.get(customer_id) or self._records.thaw(customer_id)
            if record is None:
                if kind is ForgetRequested:
                    continue
                record = self._add(customer_id, time)
            if time > record.last_at:  # noqa: PLR1730  max() would be a call for every event
                record.last_at = time
            if time - record.faded_at >= FADE_EVERY and kind is not ChurnReported:  # it takes the inputs as scored
                record.fade(time, self._half_life)
            earlier = touched.get(customer_id)
            if earlier is not None and (kind in LABELS or time - earlier.time > MOMENT_SECONDS):
                self.attempt(self._score_touched, customer_id)  # before the label that judges it; once for each moment
            handle(record, fact)
            if kind is not ChurnReported and kind is not ForgetRequested:
                touched[customer_id] = fact
        last = list(touched.items())
        touched.clear()
        self.attempt_each(self._score, last)

    def _forget(self, record: CustomerRecord, fact: ForgetRequested) -> None:
        """Drop a customer without a last score."""
        self._touched.pop(fact.customer_id, None)
        self._records.forget(fact.customer_id)
        self._at_risk.set(record, at_risk=False)
        self._timers[:] = [timer for timer in self._timers if timer[1] != fact.customer_id]
        heapq.heapify(self._timers)
        self._on_forgotten()

    def _add(self, customer_id: str, time: float) -> CustomerRecord:
        if len(self._records) >= self._params.max_customers:
            self._evict()
        record = self._hot[customer_id] = CustomerRecord(time, [0.0] * len(SUMS), time)
        heapq.heappush(self._timers, (time + self._params.silence_days * DAY, customer_id, "silence", ""))
        return record

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
        self._at_risk.set(record, at_risk=self._churn.at_risk(p))
        published = record.published
        if published is None or self._churn.is_news(published, p):
            published = record.published = p
            self._publish(record, fact, p, x)
        record.scored_at = time
        if self._params.label_from == "orders" and record.pending is None:
            record.pending = (time, published, x)
            heapq.heappush(self._timers, (time + self._params.horizon_days * DAY, customer_id, "horizon", ""))

    def _publish(self, record: CustomerRecord, fact: CustomerFact, p: float, x: Any) -> None:
        """Publish `p`, the score made from `x`, as of `fact`."""
        self._out.measured.append(("csq_churn_probability", (record.segment,), p))
        reasons = [Reason(because, effect) for because, effect in self._churn.reasons_of(x)]
        data = ChurnScored(fact.customer_id, record.segment, p, record.at_risk, reasons, self._churn.version())
        self._out.published.append(publish(data, fact.name, fact.time, fact.customer_id))

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
        valid: list[CustomerTimer] = []
        for customer_id, record in records:
            valid += self._timers_of(customer_id, record)
        self._most_timers = set_timers(self._timers, valid)

    def _timers_of(self, customer_id: str, record: CustomerRecord | CustomerTimes) -> Iterator[CustomerTimer]:
        """Yield the timers of a record."""
        params = self._params
        yield record.last_at + params.silence_days * DAY, customer_id, "silence", ""
        for conversation_id, resolved in record.contacts.items():
            yield resolved.time + params.contact_window_days * DAY, customer_id, "contact", conversation_id
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
            self._history.window_closed(record, conversation_id, due)
        elif record.last_at + self._params.silence_days * DAY > due:
            heapq.heappush(self._timers, (record.last_at + self._params.silence_days * DAY, customer_id, kind, ""))
        else:
            self._drop(customer_id)

    def _horizon_passed(self, record: CustomerRecord, time: float) -> None:
        """Label a score after which no order came within the horizon: the customer has left."""
        if record.pending is not None and record.pending[0] + self._params.horizon_days * DAY <= time:
            self._history.learn(record.pending, churned=True, time=time)
            record.pending = None

    def _drop(self, customer_id: str) -> None:
        self.attempt(self._score_touched, customer_id)
        record = self._records[customer_id]
        self._records.forget(customer_id)
        self._at_risk.set(record, at_risk=False)

    def _evict(self) -> None:
        """Drop the eighth of the customers that has been silent for longest."""
        oldest = sorted((record.last_at, customer_id) for customer_id, record in self._records.each(CustomerTimes))
        dropped = oldest[: max(len(oldest) // 8, 1)]
        self.attempt_each(self._drop, ((customer_id,) for _, customer_id in dropped))
        self._out.counted["csq_state_evicted_total", ("customers",)] += len(dropped)

    # ---- out

    def drain(self) -> list[Port]:
        """Return ports ``examples`` (model -> list), ``published``, ``measured``."""
        self._out.measured += self._at_risk.measure()
        return self._out.drain()

    def entries(self) -> int:
        """Return how many customers are held."""
        return len(self._records)

    def limit(self) -> int:
        """Return how many customers may be held."""
        return self._params.max_customers

    def fact_types(self) -> tuple[type[Fact], ...]:
        """Return the classes of facts that `settle` takes."""
        return tuple(self._history.handlers)

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
        self._at_risk.reset(record.segment for _, record in records if record.at_risk)

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
            if record.pending is not None:  # a label judges the score; the learner refuses it without its inputs
                record.pending = (*record.pending[:2], ((), ()))
