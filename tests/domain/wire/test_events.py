"""The wire: exactly the events that the definitions name."""

import msgspec
import pytest

from operators.domain.wire.events import TYPE_OF, TYPES, AnyEvent, Count

DEFINED = {
    *(f"csq.conversation.{name}" for name in ("opened", "assigned", "handoff", "resolved", "reopened", "abandoned")),
    "csq.message.created",
    "csq.feedback.submitted",
    "csq.complaint.opened",
    "csq.complaint.closed",
    *(
        f"csq.behavior.{name}"
        for name in (
            "page_viewed", "product_viewed", "products_searched", "cart_updated", "order_completed", "order_cancelled", "order_refunded",
        )
    ),
    "csq.customer.updated",
    "csq.customer.forgotten",
    "csq.churn.labelled",
    "csq.label.sentiment",
    "csq.agent.state_changed",
    "csq.staffing.planned",
    "csq.action.applied",
    "csq.action.rolled_back",
    "csq.conversation.pending",
    "csq.conversation.merged",
    "csq.message.edited",
    "csq.message.deleted",
    "csq.feedback.withdrawn",
}  # fmt: skip


def test_the_types_are_exactly_those_of_the_definitions() -> None:
    assert sorted(TYPES) == sorted(DEFINED)


def test_a_count_is_bounded_by_the_whole_numbers_that_json_carries_exactly() -> None:
    for count, is_valid in ((0, True), (107, True), (2**53, True), (2**53 + 1, False), (-1, False)):
        if is_valid:
            assert msgspec.convert(count, Count) == count
        else:
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert(count, Count)


def test_a_json_schema_is_generated_with_every_type() -> None:
    schema = msgspec.json.schema(AnyEvent)
    assert set(schema["discriminator"]["mapping"]) == DEFINED
    assert schema["$defs"]["Message"]["properties"]["conversation_id"] == {
        "type": "string",
        "minLength": 1,
        "maxLength": 512,
    }


def test_the_schema_says_what_is_required() -> None:
    schema = msgspec.json.schema(AnyEvent)["$defs"]
    assert set(schema["MessageCreated"]["required"]) == {"type", "specversion", "id", "source", "time", "data"}
    assert set(schema["Agent"]["required"]) == {"agent_id", "queue", "from", "to"}


@pytest.mark.parametrize("event", TYPE_OF)
def test_events_cannot_be_changed_by_a_stage(event: type) -> None:
    assert event.__struct_config__.frozen  # type: ignore[attr-defined]  # every struct has one
    (data,) = (field.type for field in msgspec.structs.fields(event) if field.name == "data")
    assert data.__struct_config__.frozen
