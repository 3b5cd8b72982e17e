"""What events of no conversation say, as flat facts."""

import msgspec
import pytest

from operators.domain.stage.facts import OF_CUSTOMERS, OF_QUEUES
from operators.domain.wire.events import TYPE_OF, AnyEvent
from tests.builders import raw

decode = msgspec.json.Decoder(AnyEvent).decode


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (raw("csq.behavior.page_viewed", dwell_seconds=30), ("browsed", 30.0, None)),
        (raw("csq.behavior.product_viewed"), ("browsed", None, None)),
        (raw("csq.behavior.products_searched", result_count=0), ("searched", 0, None)),
        (raw("csq.behavior.order_completed"), ("order", "completed", 1_999)),
        (raw("csq.behavior.order_cancelled"), ("order", "cancelled", 1_999)),
        (raw("csq.behavior.order_refunded"), ("order", "refunded", 1_999)),
        (raw("csq.complaint.opened"), ("complained", 3, None)),
        (raw("csq.customer.updated"), ("updated", {"plan": "gold", "age": 41, "b2b": True}, "vip")),
        (raw("csq.churn.labelled"), ("labelled", True, 1_767_600_000.0)),
    ],
)
def test_what_an_event_says_about_its_customer(value: bytes, expected: tuple[object, ...]) -> None:
    event = decode(value)
    assert OF_CUSTOMERS[type(event)](7.0, "s e1", event.data) == (7.0, "s e1", "k1", *expected)


def test_what_an_event_says_about_the_staffing_of_its_queue() -> None:
    agent, plan = (
        decode(raw("csq.agent.state_changed", concurrency_used=1, concurrency_max=3)),
        decode(raw("csq.staffing.planned")),
    )
    assert OF_QUEUES[type(agent)](7.0, "s e1", agent.data) == (
        7.0,
        "s e1",
        "orders",
        "agent",
        "",
        "a1",
        ("available", 1, 3),
    )
    assert OF_QUEUES[type(plan)](7.0, "s e1", plan.data) == (
        7.0,
        "s e1",
        "orders",
        "planned",
        "",
        1_767_600_000.0,
        (900.0, 4, 0.3),
    )


def test_every_fact_is_plain_data() -> None:
    for kind, make in (OF_CUSTOMERS | OF_QUEUES).items():
        fact = make(7.0, "s e1", decode(raw(TYPE_OF[kind])).data)
        assert len(msgspec.msgpack.decode(msgspec.msgpack.encode(fact))) == len(fact)
