"""Facts of events that belong to no conversation: what the shop, the complaint desk and the staffing desk say.

A fact is flat and plain: ``(time, name, customer id, kind, a, b)`` for the customers' lanes,
``(time, name, queue, kind, channel, a, b)`` for the queues' lanes.
"""

from operators.domain import events
from operators.domain.events import AnyEvent
from operators.domain.stage import Fact

_BROWSED = (events.PageViewed, events.ProductViewed)
_ORDERS = {events.OrderCompleted: "completed", events.OrderCancelled: "cancelled", events.OrderRefunded: "refunded"}


def customer_fact(time: float, name: str, event: AnyEvent) -> Fact | None:
    """What an event says about a customer; `None` if nothing."""
    kind = type(event)
    if kind in _BROWSED:
        return (time, name, event.data.customer_id, "browsed", event.data.dwell_seconds, None)
    if kind is events.ProductsSearched:
        return (time, name, event.data.customer_id, "searched", event.data.result_count, None)
    if kind in _ORDERS:
        return (time, name, event.data.customer_id, "order", _ORDERS[kind], event.data.total_minor)
    if kind is events.ComplaintOpened:
        return (time, name, event.data.customer_id, "complained", event.data.severity, None)
    if kind is events.CustomerUpdated:
        return (time, name, event.data.customer_id, "updated", event.data.attributes, event.data.segment)
    if kind is events.ChurnLabelled:
        until = event.data.observed_until.timestamp()
        return time, name, event.data.customer_id, "labelled", event.data.churned, until
    return None


def queue_fact(time: float, name: str, event: AnyEvent) -> Fact | None:
    """What an event says about the staffing of a queue; `None` if nothing."""
    data = event.data
    if type(event) is events.AgentStateChanged:
        state = (data.to_state, data.concurrency_used, data.concurrency_max)
        return time, name, data.queue, "agent", "", data.agent_id, state
    if type(event) is events.StaffingPlanned:
        plan = (data.interval_seconds, data.agents_scheduled, data.shrinkage)
        return (time, name, data.queue, "planned", "", data.interval_start.timestamp(), plan)
    return None
