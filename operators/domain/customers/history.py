"""The history of customers: how each fact changes a record, and what it counts and labels."""

import heapq
import math
from collections import Counter
from collections.abc import Iterable

from operators.domain.customers.params import CustomersParams, ScoreChurn
from operators.domain.customers.record import (
    BROWSED,
    CANCELLATIONS,
    COMPLAINTS,
    CONVERSATIONS,
    DAY,
    EMPTY_SEARCHES,
    MISSED,
    ORDERS,
    QUESTIONS,
    REFUNDS,
    RESOLVED,
    SEVERITY,
    UNRESOLVED,
    Contact,
    CustomerRecord,
    Score,
    smoothed,
)
from operators.domain.models.model import Example
from operators.domain.stage import facts
from operators.domain.stage.labels import Labels
from operators.domain.stage.stage import Handlers, Measurement, Outbox

CustomerTimer = tuple[float, str, str, str]
"""Due time (POSIX seconds), customer, kind (`silence`, `contact`, `horizon`), conversation."""


class AtRisk:
    """The number of customers at risk in one lane, by segment.

    >>> at_risk, record = AtRisk("0"), CustomerRecord(0.0, [], 0.0)
    >>> at_risk.measure()
    []
    >>> at_risk.set(record, at_risk=True)
    >>> at_risk.measure(), at_risk.measure()
    ([('csq_customers_at_risk', ('other',), ('0', 1))], [])
    """

    def __init__(self, part: str) -> None:
        self._part = part
        self._count: Counter[str] = Counter()
        self._changed = True

    def set(self, record: CustomerRecord, *, at_risk: bool) -> None:
        """Mark a customer as at risk or not."""
        if at_risk != record.at_risk:
            record.at_risk = at_risk
            self._count[record.segment] += 1 if at_risk else -1
            self._changed = True

    def reset(self, segments: Iterable[str]) -> None:
        """Begin with the segments of the customers who are at risk, before the first measurement."""
        self._count = Counter(segments)

    def measure(self) -> list[Measurement]:
        """Return the numbers, if they have changed since the last call."""
        if not self._changed:
            return []
        self._changed = False
        return [("csq_customers_at_risk", (name,), (self._part, count)) for name, count in self._count.items()]


class CustomerHistory:
    """Applies facts to the records of one lane.

    Args:
        params: settings of the stage.
        labels: the names that have series of their own.
        churn: the churn model.
        out: counts, and examples for the churn model.
        timers: the heap of the stage's timers.
        at_risk: the customers at risk.
    """

    def __init__(
        self,
        params: CustomersParams,
        labels: Labels,
        churn: ScoreChurn,
        out: Outbox,
        timers: list[CustomerTimer],
        at_risk: AtRisk,
    ) -> None:
        self._params = params
        self._segments = labels.segments
        self._churn = churn
        self._out = out
        self._timers = timers
        self._at_risk = at_risk
        self.handlers = Handlers(
            "customers",
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
        """(record, fact) -> None, by class of fact."""

    def learn(self, scored: Score, *, churned: bool, time: float) -> None:
        """Label a score: the churn model judges it and learns from its inputs."""
        scored_at, p, x = scored
        self._out.to["examples"]["churn"].append(Example(x, p, churned, 1.0, max(time - scored_at, 0.0)))

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
        record.contacts[fact.conversation_id] = Contact(
            fact.time, fact.queue, fact.by, is_first=not fact.again, is_solved=fact.outcome == "solved"
        )
        due = fact.time + self._params.contact_window_days * DAY
        heapq.heappush(self._timers, (due, fact.customer_id, "contact", fact.conversation_id))

    def _contact_reopened(self, record: CustomerRecord, fact: facts.ContactReopened) -> None:
        record.sums[UNRESOLVED] += 1
        if fact.conversation_id in record.contacts:
            self._repeat_contacts(record, [fact.conversation_id])

    def _repeat_contacts(self, record: CustomerRecord, conversation_ids: Iterable[str]) -> None:
        """Count resolutions that were followed by another contact: they were not the last one."""
        for conversation_id in conversation_ids:
            self._count_contact(record.contacts.pop(conversation_id), came_back=True)

    def window_closed(self, record: CustomerRecord, conversation_id: str, time: float) -> None:
        """Count a resolution that was not followed by another contact."""
        resolved = record.contacts.get(conversation_id)
        if resolved is not None and resolved.time + self._params.contact_window_days * DAY <= time:
            self._count_contact(record.contacts.pop(conversation_id), came_back=False)

    def _count_contact(self, resolved: Contact, *, came_back: bool) -> None:
        if resolved.is_first:  # else it took more than one contact
            outcome = "repeated" if came_back else "resolved"
            self._out.counted["csq_first_contact_resolutions_total", (resolved.queue, outcome)] += 1
        if resolved.is_solved:
            verified = "no" if came_back else "yes"
            self._out.counted["csq_resolutions_total", (resolved.queue, resolved.by, verified)] += 1

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
            pending = record.pending
            if self._params.label_from == "orders" and pending is not None and fact.time > pending[0]:
                self.learn(pending, churned=False, time=fact.time)
                record.pending = None
        else:
            record.sums[CANCELLATIONS if fact.outcome == "cancelled" else REFUNDS] += 1

    def _complained(self, record: CustomerRecord, fact: facts.Complained) -> None:
        record.sums[COMPLAINTS] += 1
        record.sums[SEVERITY] += fact.severity
        self._out.counted["csq_complaints_total", (str(fact.severity),)] += 1

    def _profile_updated(self, record: CustomerRecord, fact: facts.ProfileUpdated) -> None:
        declared = self._churn.declared(fact.attributes)
        record.attributes = record.attributes | declared
        if len(declared) < len(fact.attributes):
            self._out.counted["csq_attributes_ignored_total", ()] += len(fact.attributes) - len(declared)
        if fact.segment is not None:
            self._at_risk.set(record, at_risk=False)
            record.segment = self._segments.at(fact.segment, fact.time)

    def _churn_reported(self, record: CustomerRecord, fact: facts.ChurnReported) -> None:
        if self._params.label_from != "events":
            return
        if record.scored_at is None or record.published is None:
            self._out.counted["csq_labels_unmatched_total", ("churn",)] += 1
            return
        # Also inputs whose score is not published are learned from: a model that knows little moves no score.
        _, x = self._churn.score_one(record.numbers(record.scored_at), record.attributes)
        self.learn((record.scored_at, record.published, x), churned=fact.churned, time=fact.time)
