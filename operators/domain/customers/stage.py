"""Customers: what each of them felt, waited for, bought and complained about, and whether they are about to leave.

A record is a few fading sums and means, dropped after long silence. Churn is scored when something about a customer
changed, once for all that a moment brought; the inputs and the score are kept until the label comes: an event, or,
where the shop has none, no order within the horizon after the score. Facts come in the order of event time.
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
)
from operators.domain.models.example import Example
from operators.domain.stage.labels import Labels
from operators.domain.stage.stage import Fact, Outbox, Port, Stage, check_version
from operators.domain.stage.table import Table
from operators.domain.time.timers import MIN_REBUILD, set_timers
from operators.domain.wire.outgoing import ChurnScored, Reason, publish

LABELS = frozenset({"labelled", "order"})
"""Facts that may be the label of an earlier score."""
MOMENT_SECONDS = 60.0
"""What comes of a customer within it is scored once."""


class CustomersParams(Struct, frozen=True, forbid_unknown_fields=True):
    """What is remembered of a customer, and for how long."""

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
    """The churn model as this process holds it."""

    def score_one(self, numbers: tuple[float, ...], attributes: dict[str, Any]) -> tuple[float, Any]:
        """Probability, and the inputs it was made from, as plain data."""

    def version(self) -> int:
        """Examples that the model has learned from."""

    def reasons_of(self, x: Any) -> list[tuple[str, float]]:
        """The largest reasons, in words."""

    def is_news(self, before: float | None, p: float) -> bool:
        """Whether a score is worth publishing after the last published one."""

    def at_risk(self, p: float) -> bool:
        """Whether a customer with this probability counts as at risk."""

    def declared(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Those attributes that the settings declare."""


class StoredCustomers(Struct):
    """What `view` gave, as it is read."""

    records: Raw


class Customers(Stage):
    """One lane's customers."""

    version = 2
    """Version 1 kept records as maps, and the timers, which follow from them."""

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
        """When there are more, those that mean nothing any more go."""
        self._risk: Counter[str] = Counter()
        self._risk_changed = True
        self._touched: dict[str, Fact] = {}
        """Customers something came of since they were scored, with the last of it."""
        self._apply = {
            "said": self._said,
            "waited": self._waited,
            "missed": self._missed,
            "opened": self._opened,
            "resolved": self._resolved,
            "resolved_again": self._resolved_again,
            "reopened": self._reopened,
            "abandoned": self._abandoned,
            "rated": self._rated,
            "browsed": self._browsed,
            "searched": self._searched,
            "order": self._order,
            "complained": self._complained,
            "updated": self._updated,
            "labelled": self._labelled,
        }
        self._out = Outbox()

    def settle(self, facts: Iterable[Fact]) -> None:
        """Take facts in the order of event time, then score each customer they speak of once."""
        due, apply, touched = self._timers, self._apply, self._touched
        for fact in facts:
            time, customer_id, kind = fact[0], fact[2], fact[3]
            take = apply[kind]
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
            if earlier is not None and (kind in LABELS or time - earlier[0] > MOMENT_SECONDS):
                self._score_touched(customer_id)  # before the label that judges it, and once for each moment
            take(record, fact)
            if kind != "labelled":
                touched[customer_id] = fact
        for customer_id, fact in touched.items():
            self._score(customer_id, fact)
        touched.clear()

    def _add(self, customer_id: str, time: float) -> CustomerRecord:
        if len(self._records) >= self._params.max_customers:
            self._evict()
        record = self._hot[customer_id] = CustomerRecord(time, [0.0] * len(SUMS), time)
        heapq.heappush(self._timers, (time + self._params.silence_days * DAY, customer_id, "silence", ""))
        return record

    # ---- facts

    def _said(self, record: CustomerRecord, fact: Fact) -> None:
        polarity, question = fact[4], fact[5]
        if polarity is not None:
            record.mood = smoothed(record.mood, polarity, self._params.smoothing)
        if question:
            record.sums[QUESTIONS] += 1

    def _waited(self, record: CustomerRecord, fact: Fact) -> None:
        record.reply = smoothed(record.reply, math.log1p(fact[4]), self._params.smoothing)

    def _missed(self, record: CustomerRecord, fact: Fact) -> None:
        record.sums[MISSED] += 1

    def _opened(self, record: CustomerRecord, fact: Fact) -> None:
        record.sums[CONVERSATIONS] += 1
        self._contacted_again(record, fact[4], same=False)

    def _resolved(self, record: CustomerRecord, fact: Fact) -> None:
        time, _, customer_id, _, conversation_id, (outcome, queue) = fact
        record.sums[RESOLVED if outcome == "solved" else UNRESOLVED] += 1
        record.contacts[conversation_id] = (time, queue)
        heapq.heappush(
            self._timers, (time + self._params.contact_window_days * DAY, customer_id, "contact", conversation_id)
        )

    def _resolved_again(self, record: CustomerRecord, fact: Fact) -> None:
        """It took more than one contact."""
        record.sums[RESOLVED if fact[5][0] == "solved" else UNRESOLVED] += 1

    def _reopened(self, record: CustomerRecord, fact: Fact) -> None:
        record.sums[UNRESOLVED] += 1
        self._contacted_again(record, fact[4], same=True)

    def _contacted_again(self, record: CustomerRecord, conversation_id: str, *, same: bool) -> None:
        """Another conversation, or a reopening of the same one: what was resolved before was not the last contact."""
        contacts = record.contacts
        if same:  # not looked for among the others: a customer who stands for all guests has thousands
            again = [conversation_id] if conversation_id in contacts else []
        else:
            again = [known for known in contacts if known != conversation_id]
        for known in again:
            _, queue = contacts.pop(known)
            self._out.counted["csq_first_contact_resolutions_total", (queue, "repeated")] += 1

    def _abandoned(self, record: CustomerRecord, fact: Fact) -> None:
        record.sums[UNRESOLVED] += 1

    def _rated(self, record: CustomerRecord, fact: Fact) -> None:
        record.rating = smoothed(record.rating, fact[4], self._params.smoothing)

    def _browsed(self, record: CustomerRecord, fact: Fact) -> None:
        record.sums[BROWSED] += (fact[4] or 0.0) / 3600

    def _searched(self, record: CustomerRecord, fact: Fact) -> None:
        if fact[4] == 0:
            record.sums[EMPTY_SEARCHES] += 1

    def _order(self, record: CustomerRecord, fact: Fact) -> None:
        time, kind = fact[0], fact[4]
        self._out.counted["csq_orders_total", (kind,)] += 1
        if kind == "completed":
            record.sums[ORDERS] += 1
            record.ordered_at = time
            if self._params.label_from == "orders" and record.pending is not None:
                self._learn(record.pending, churned=False, time=time)
                record.pending = None
        else:
            record.sums[CANCELLATIONS if kind == "cancelled" else REFUNDS] += 1

    def _complained(self, record: CustomerRecord, fact: Fact) -> None:
        record.sums[COMPLAINTS] += 1
        record.sums[SEVERITY] += fact[4]
        self._out.counted["csq_complaints_total", (str(fact[4]),)] += 1

    def _updated(self, record: CustomerRecord, fact: Fact) -> None:
        record.attributes = record.attributes | self._churn.declared(fact[4])
        if fact[5] is not None:
            self._set_risk(record, at_risk=False)
            record.segment = self._segments.at(fact[5], fact[0])

    def _labelled(self, record: CustomerRecord, fact: Fact) -> None:
        if self._params.label_from != "events":
            return
        if record.scored is None:
            self._out.counted["csq_labels_unmatched_total", ("churn",)] += 1
        else:
            self._learn(record.scored, churned=fact[4], time=fact[0])

    # ---- churn

    def _score_touched(self, customer_id: str) -> None:
        """Score a customer now, if something came of them since the last score."""
        fact = self._touched.pop(customer_id, None)
        if fact is not None:
            self._score(customer_id, fact)

    def _score(self, customer_id: str, fact: Fact) -> None:
        """Score a customer as of the last fact; publish it if it is news."""
        time = fact[0]
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

    def _publish(self, record: CustomerRecord, fact: Fact, p: float, x: Any) -> None:
        """Publish `p`, the score made from `x`, as of `fact`."""
        time, name, customer_id = fact[:3]
        self._out.measured.append(("csq_churn_probability", (record.segment,), p))
        reasons = [Reason(because, effect) for because, effect in self._churn.reasons_of(x)]
        data = ChurnScored(customer_id, record.segment, p, record.at_risk, reasons, self._churn.version())
        self._out.published.append(publish(data, name, time, customer_id))

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
        """Event time has come to `now`: windows close, horizons pass, silent customers are forgotten."""
        self._now = now
        if self._timers and self._timers[0][0] < now:
            self._fire(now)
        if len(self._timers) > self._most_timers:
            self._reset_timers(self._records.each(CustomerTimes))

    def _reset_timers(self, records: Iterable[tuple[str, CustomerRecord | CustomerTimes]]) -> None:
        """Only those that mean something."""
        meant: list[tuple[float, str, str, str]] = []
        for customer_id, record in records:
            meant += self._timers_of(customer_id, record)
        self._most_timers = set_timers(self._timers, meant)

    def _timers_of(
        self, customer_id: str, record: CustomerRecord | CustomerTimes
    ) -> Iterator[tuple[float, str, str, str]]:
        """When something becomes of a record though nothing happens."""
        params = self._params
        yield record.last_at + params.silence_days * DAY, customer_id, "silence", ""
        for conversation_id, (resolved_at, _) in record.contacts.items():
            yield resolved_at + params.contact_window_days * DAY, customer_id, "contact", conversation_id
        if record.pending is not None:
            yield record.pending[0] + params.horizon_days * DAY, customer_id, "horizon", ""

    def _fire(self, now: float) -> None:
        timers = self._timers
        while timers and timers[0][0] < now:
            due, customer_id, kind, conversation_id = heapq.heappop(timers)
            record = self._hot.get(customer_id) or self._records.thaw(customer_id)
            if record is None:
                continue
            if kind == "horizon":
                self._horizon_passed(record, due)
            elif kind == "contact":
                self._window_closed(record, conversation_id, due)
            elif record.last_at + self._params.silence_days * DAY > due:
                heapq.heappush(timers, (record.last_at + self._params.silence_days * DAY, customer_id, kind, ""))
            else:
                self._drop(customer_id)

    def _horizon_passed(self, record: CustomerRecord, time: float) -> None:
        """No order within the horizon: the customer has left."""
        if record.pending is not None and record.pending[0] + self._params.horizon_days * DAY <= time:
            self._learn(record.pending, churned=True, time=time)
            record.pending = None

    def _window_closed(self, record: CustomerRecord, conversation_id: str, time: float) -> None:
        """Neither reopening nor another conversation came: the first contact resolved it."""
        resolved = record.contacts.get(conversation_id)
        if resolved is not None and resolved[0] + self._params.contact_window_days * DAY <= time:
            del record.contacts[conversation_id]
            self._out.counted["csq_first_contact_resolutions_total", (resolved[1], "resolved")] += 1

    def _drop(self, customer_id: str) -> None:
        self._score_touched(customer_id)
        self._set_risk(self._records[customer_id], at_risk=False)
        self._records.forget(customer_id)

    def _evict(self) -> None:
        """Make room: the eighth that has been silent for longest goes."""
        oldest = sorted((record.last_at, customer_id) for customer_id, record in self._records.each(CustomerTimes))
        for _, customer_id in oldest[: max(len(oldest) // 8, 1)]:
            self._drop(customer_id)
            self._out.counted["csq_state_evicted_total", ("customers",)] += 1

    # ---- out

    def drain(self) -> list[Port]:
        """Ports ``examples`` (model -> list), ``published``, ``measured``."""
        if self._risk_changed:
            self._out.measured += [
                ("csq_customers_at_risk", (name,), (self._part, n)) for name, n in self._risk.items()
            ]
            self._risk_changed = False
        return self._out.drain()

    def entries(self) -> int:
        """Customers held."""
        return len(self._records)

    def limit(self) -> int:
        """Customers held at most."""
        return self._params.max_customers

    def state(self) -> dict[str, Any]:
        """Versioned plain data."""
        plain: dict[str, Any] = msgpack.decode(msgpack.encode(self.view()))
        return plain

    def view(self) -> dict[str, Any]:
        """The same, not copied, with records of long ago as bytes."""
        return {"v": self.version, "records": self._records.view(self._now)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.resume(Raw(msgpack.encode(state)))

    def resume(self, stored: Raw) -> None:
        """The same, without decoding the records."""
        version = check_version("customers", stored, 1, self.version)
        self._records.restore(msgpack.decode(stored, type=StoredCustomers).records, was_named=version == 1)
        records = list(self._records.each(CustomerTimes))
        self._reset_timers(records)
        self._risk = Counter(record.segment for _, record in records if record.at_risk)
        self._risk_changed = True
