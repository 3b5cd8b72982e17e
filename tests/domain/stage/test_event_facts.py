"""The facts of events that belong to no conversation."""

import msgspec
import pytest

from operators.domain.stage.event_facts import CUSTOMER_FACTS, QUEUE_FACTS
from operators.domain.stage.facts import (
    AgentChanged,
    AgentsPlanned,
    ChurnReported,
    Complained,
    CustomerFact,
    OrderReported,
    PageBrowsed,
    ProfileUpdated,
    SearchMade,
)
from operators.domain.wire.events import AnyEvent
from tests.builders import raw

decode = msgspec.json.Decoder(AnyEvent).decode
ABOUT = (7.0, "s e1", "k1")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (raw("csq.behavior.page_viewed", dwell_seconds=30), PageBrowsed(*ABOUT, 30.0)),
        (raw("csq.behavior.product_viewed"), PageBrowsed(*ABOUT, None)),
        (raw("csq.behavior.products_searched", result_count=0), SearchMade(*ABOUT, 0)),
        (raw("csq.behavior.order_completed"), OrderReported(*ABOUT, "completed")),
        (raw("csq.behavior.order_cancelled"), OrderReported(*ABOUT, "cancelled")),
        (raw("csq.behavior.order_refunded"), OrderReported(*ABOUT, "refunded")),
        (raw("csq.complaint.opened"), Complained(*ABOUT, 3)),
        (raw("csq.customer.updated"), ProfileUpdated(*ABOUT, {"plan": "gold", "age": 41, "b2b": True}, "vip")),
        (raw("csq.churn.labelled"), ChurnReported(*ABOUT, churned=True)),
    ],
)
def test_the_fact_of_an_event_about_a_customer(value: bytes, expected: CustomerFact) -> None:
    event = decode(value)
    assert CUSTOMER_FACTS[type(event)](7.0, "s e1", event.data) == expected


def test_the_facts_of_the_staffing_of_a_queue() -> None:
    agent = decode(raw("csq.agent.state_changed", concurrency_used=1, concurrency_max=3))
    plan = decode(raw("csq.staffing.planned"))
    about = (7.0, "s e1", "orders")
    changed = QUEUE_FACTS[type(agent)](7.0, "s e1", agent.data)
    assert changed == AgentChanged(*about, "a1", "available", 1, 3)
    planned = QUEUE_FACTS[type(plan)](7.0, "s e1", plan.data)
    assert planned == AgentsPlanned(*about, 1_767_600_000.0, 900.0, 4, 0.3)
