"""Facts of events that belong to no conversation: what the shop, the complaint desk and the staffing desk say.

A fact is flat and plain: ``(time, name, customer id, kind, a, b)`` for the customers' lanes,
``(time, name, queue, kind, channel, a, b)`` for the queues' lanes.
"""

from collections.abc import Callable
from typing import Any

from operators.domain.stage.stage import Fact
from operators.domain.wire import events

Make = Callable[[float, str, Any], Fact]
"""Event time, name of the event, its data -> fact."""


def _browsed(time: float, name: str, data: events.Behavior) -> Fact:
    return time, name, data.customer_id, "browsed", data.dwell_seconds, None


def _searched(time: float, name: str, data: events.Behavior) -> Fact:
    return time, name, data.customer_id, "searched", data.result_count, None


def _order(kind: str) -> Make:
    def order(time: float, name: str, data: events.Behavior) -> Fact:
        return time, name, data.customer_id, "order", kind, data.total_minor

    return order


def _complained(time: float, name: str, data: events.Complaint) -> Fact:
    return time, name, data.customer_id, "complained", data.severity, None


def _updated(time: float, name: str, data: events.Customer) -> Fact:
    return time, name, data.customer_id, "updated", data.attributes, data.segment


def _labelled(time: float, name: str, data: events.ChurnLabel) -> Fact:
    return time, name, data.customer_id, "labelled", data.churned, data.observed_until.timestamp()


def _agent(time: float, name: str, data: events.Agent) -> Fact:
    state = (data.to_state, data.concurrency_used, data.concurrency_max)
    return time, name, data.queue, "agent", "", data.agent_id, state


def _planned(time: float, name: str, data: events.Staffing) -> Fact:
    plan = (data.interval_seconds, data.agents_scheduled, data.shrinkage)
    return time, name, data.queue, "planned", "", data.interval_start.timestamp(), plan


OF_CUSTOMERS: dict[type, Make] = {
    events.PageViewed: _browsed,
    events.ProductViewed: _browsed,
    events.ProductsSearched: _searched,
    events.OrderCompleted: _order("completed"),
    events.OrderCancelled: _order("cancelled"),
    events.OrderRefunded: _order("refunded"),
    events.ComplaintOpened: _complained,
    events.CustomerUpdated: _updated,
    events.ChurnLabelled: _labelled,
}
OF_QUEUES: dict[type, Make] = {events.AgentStateChanged: _agent, events.StaffingPlanned: _planned}
