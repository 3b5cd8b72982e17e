"""Facts of events that belong to no conversation: from the shop, the complaint desk and the staffing desk."""

from collections.abc import Callable
from typing import Any, Literal

from operators.domain.stage.facts import (
    AgentChanged,
    AgentsPlanned,
    ChurnReported,
    Complained,
    CustomerFact,
    OrderReported,
    PageBrowsed,
    ProfileUpdated,
    QueueFact,
    SearchMade,
)
from operators.domain.wire import events


def _browsed(time: float, name: str, data: events.Behavior) -> CustomerFact:
    return PageBrowsed(time, name, data.customer_id, data.dwell_seconds)


def _searched(time: float, name: str, data: events.Behavior) -> CustomerFact:
    return SearchMade(time, name, data.customer_id, data.result_count)


def _ordered(outcome: Literal["completed", "cancelled", "refunded"]) -> Callable[[float, str, Any], CustomerFact]:
    def ordered(time: float, name: str, data: events.Behavior) -> CustomerFact:
        return OrderReported(time, name, data.customer_id, outcome)

    return ordered


def _complained(time: float, name: str, data: events.Complaint) -> CustomerFact:
    return Complained(time, name, data.customer_id, data.severity)


def _updated(time: float, name: str, data: events.Customer) -> CustomerFact:
    return ProfileUpdated(time, name, data.customer_id, data.attributes, data.segment)


def _labelled(time: float, name: str, data: events.ChurnLabel) -> CustomerFact:
    return ChurnReported(time, name, data.customer_id, data.churned)


def _agent_changed(time: float, name: str, data: events.Agent) -> QueueFact:
    used, places = data.concurrency_used, data.concurrency_max
    return AgentChanged(time, name, data.queue, data.agent_id, data.to_state, used, places)


def _planned(time: float, name: str, data: events.Staffing) -> QueueFact:
    start, seconds = data.interval_start.timestamp(), data.interval_seconds
    return AgentsPlanned(time, name, data.queue, start, seconds, data.agents_scheduled, data.shrinkage)


CUSTOMER_FACTS: dict[type, Callable[[float, str, Any], CustomerFact]] = {
    events.PageViewed: _browsed,
    events.ProductViewed: _browsed,
    events.ProductsSearched: _searched,
    events.OrderCompleted: _ordered("completed"),
    events.OrderCancelled: _ordered("cancelled"),
    events.OrderRefunded: _ordered("refunded"),
    events.ComplaintOpened: _complained,
    events.CustomerUpdated: _updated,
    events.ChurnLabelled: _labelled,
}
"""Class of an event -> function of its time (POSIX seconds), name and data that gives the customer's fact."""
QUEUE_FACTS: dict[type, Callable[[float, str, Any], QueueFact]] = {
    events.AgentStateChanged: _agent_changed,
    events.StaffingPlanned: _planned,
}
"""The same for queues, by their names in the events."""
