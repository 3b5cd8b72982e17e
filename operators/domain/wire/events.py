"""Events on the wire: CloudEvents 1.0 in JSON, one strict struct per type.

`decode` (``intake.py``) is the only reader, ``csq schema`` prints the JSON Schema that producers check against.
Ids are strings of 1 to 512 characters, durations are seconds, money is minor units with an ISO 4217 code.
Unknown fields are ignored: producers may add theirs without asking.
"""

from datetime import datetime
from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType, field

Id = Annotated[str, Meta(min_length=1, max_length=512)]
"""Those of mail, Instagram and Microsoft Graph are longer than 128."""
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Text = Annotated[str, Meta(max_length=65_536)]
"""Unchanged; cleaning cuts it to 4,000 characters, the size of the event is checked before."""
Time = Annotated[datetime, Meta(tz=True)]
"""RFC 3339 with an offset or Z."""
Count = Annotated[int, Meta(ge=0, le=2**53)]
Minor = Annotated[int, Meta(ge=-(2**53), le=2**53)]
"""Money in minor units (cents)."""
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Share = Annotated[float, Meta(ge=0, le=1)]
Level = Annotated[int, Meta(ge=1, le=5)]
Number = Annotated[float, Meta(ge=-1e15, le=1e15)]
Language = Annotated[str, Meta(min_length=1, max_length=35)]
"""A BCP 47 tag; only its first part is looked at."""

Role = Literal["customer", "agent", "bot", "system"]
Outcome = Literal["solved", "partial", "unsolved"]
Sentiment = Literal["negative", "neutral", "positive"]
SENTIMENTS: tuple[Sentiment, ...] = get_args(Sentiment)
"""The classes, in the order of every row of probabilities and weights."""
AgentState = Literal["available", "busy", "away", "offline"]
FeedbackKind = Literal["csat", "nps", "ces", "review", "suggestion"]


class Data(Struct, frozen=True, gc=False):
    """The payload of an event."""


class Conversation(Data, frozen=True, gc=False):
    """A step in the life of a conversation."""

    conversation_id: Id
    customer_id: Id
    channel: Name
    queue: Name
    agent_id: Id | None = None
    order_id: Id | None = None
    reason: Annotated[str, Meta(max_length=256)] | None = None
    outcome: Outcome | None = None


class Merge(Conversation, frozen=True, gc=False, kw_only=True):
    """A conversation becomes part of the conversation `into`.

    `waiting_since` is when the customer began to wait in it, null if no customer waits. Without it a wait begins with
    the merge.
    """

    into: Id
    waiting_since: Time | UnsetType | None = UNSET


class Author(Struct, frozen=True, gc=False):
    """Who wrote a message."""

    role: Role
    id: Id


class Message(Data, frozen=True, gc=False):
    """One message; `is_public` is false for notes among agents, `text` null where an image or a voice says it all."""

    message_id: Id
    conversation_id: Id
    customer_id: Id
    author: Author
    channel: Name
    queue: Name
    text: Text | None
    language: Language | None = None
    is_public: bool = True
    content_type: Literal["text", "image", "voice"] = "text"
    transcript_confidence: Share | None = None


class MessageId(Data, frozen=True, gc=False):
    """A message, by its id."""

    message_id: Id
    conversation_id: Id
    customer_id: Id
    channel: Name
    queue: Name


class Feedback(Data, frozen=True, gc=False):
    """An answer to a survey; `score` is on the scale `scale_min`..`scale_max`."""

    feedback_id: Id
    kind: FeedbackKind
    score: Number
    scale_min: Number
    scale_max: Number
    comment: Text | None = None
    conversation_id: Id | None = None
    customer_id: Id | None = None
    agent_id: Id | None = None
    attitude: Level | None = None
    sku: Id | None = None


class FeedbackId(Data, frozen=True, gc=False):
    """An answer to a survey, by its id."""

    feedback_id: Id
    conversation_id: Id | None = None
    customer_id: Id | None = None


class Complaint(Data, frozen=True, gc=False):
    """A complaint is opened or closed; severity 1 (slight) to 5 (grave)."""

    complaint_id: Id
    customer_id: Id
    complaint_type: Name
    severity: Level
    sku: Id | None = None
    order_id: Id | None = None
    refund_minor: Minor | None = None
    currency: Currency | None = None


class Behavior(Data, frozen=True, gc=False):
    """What a customer did in the shop."""

    customer_id: Id
    session_id: Id | None = None
    sku: list[Id] | None = None
    query: Annotated[str, Meta(max_length=1_024)] | None = None
    result_count: Count | None = None
    dwell_seconds: Seconds | None = None
    order_id: Id | None = None
    total_minor: Minor | None = None
    currency: Currency | None = None


class Customer(Data, frozen=True, gc=False):
    """Attributes of a customer; those that the settings do not declare are ignored."""

    customer_id: Id
    attributes: dict[Name, str | float | bool]
    segment: Name | None = None
    region: Name | None = None
    tier: Name | None = None
    language: Language | None = None


class CustomerId(Data, frozen=True, gc=False):
    """A customer, and nothing else of one."""

    customer_id: Id


class ChurnLabel(Data, frozen=True, gc=False):
    """Whether a customer was lost, as known at `observed_until`."""

    customer_id: Id
    churned: bool
    observed_until: Time
    label_source: Name


class SentimentLabel(Data, frozen=True, gc=False):
    """What a person read in a message."""

    message_id: Id
    conversation_id: Id
    label: Sentiment
    labeller: Name


class Agent(Data, frozen=True, gc=False):
    """An agent changes state; concurrency is chats at a time."""

    agent_id: Id
    queue: Name
    from_state: AgentState = field(name="from")
    to_state: AgentState = field(name="to")
    concurrency_used: Count | None = None
    concurrency_max: Count | None = None


class Staffing(Data, frozen=True, gc=False):
    """How many agents are planned for an interval, before shrinkage."""

    queue: Name
    interval_start: Time
    interval_seconds: Seconds
    agents_scheduled: Count
    shrinkage: Share


class Action(Data, frozen=True, gc=False):
    """An advice was applied, or rolled back."""

    action_id: Id
    kind: Name
    target: Name
    parameters: dict[Name, str | float | bool]
    hypothesis_metric: Name
    expected_delta: Number
    actor: Name
    control: Name | None = None


class Event(Struct, frozen=True, gc=False, tag_field="type", kw_only=True, omit_defaults=True):
    """The CloudEvents envelope; `source` and `id` together name an event.

    `sequence` is that extension of CloudEvents: if it is a number, it orders events of one source at the same time.
    """

    specversion: Literal["1.0"]
    id: Id
    source: Id
    time: Time
    sequence: int | str | None = None


class ConversationOpened(Event, frozen=True, gc=False, tag="csq.conversation.opened"):
    data: Conversation


class ConversationAssigned(Event, frozen=True, gc=False, tag="csq.conversation.assigned"):
    data: Conversation


class ConversationHandoff(Event, frozen=True, gc=False, tag="csq.conversation.handoff"):
    data: Conversation


class ConversationResolved(Event, frozen=True, gc=False, tag="csq.conversation.resolved"):
    data: Conversation


class ConversationReopened(Event, frozen=True, gc=False, tag="csq.conversation.reopened"):
    data: Conversation


class ConversationAbandoned(Event, frozen=True, gc=False, tag="csq.conversation.abandoned"):
    data: Conversation


class ConversationPending(Event, frozen=True, gc=False, tag="csq.conversation.pending"):
    data: Conversation


class ConversationMerged(Event, frozen=True, gc=False, tag="csq.conversation.merged"):
    data: Merge


class MergeReceived(Struct, frozen=True, gc=False):
    """A merge as the lane of the conversation `into` gets it, where that is another lane; no type on the wire."""

    merge: ConversationMerged

    @property
    def data(self) -> Merge:
        """That of the merge."""
        return self.merge.data


class MessageCreated(Event, frozen=True, gc=False, tag="csq.message.created"):
    data: Message


class MessageEdited(Event, frozen=True, gc=False, tag="csq.message.edited"):
    data: Message


class MessageDeleted(Event, frozen=True, gc=False, tag="csq.message.deleted"):
    data: MessageId


class FeedbackSubmitted(Event, frozen=True, gc=False, tag="csq.feedback.submitted"):
    data: Feedback


class FeedbackWithdrawn(Event, frozen=True, gc=False, tag="csq.feedback.withdrawn"):
    data: FeedbackId


class ComplaintOpened(Event, frozen=True, gc=False, tag="csq.complaint.opened"):
    data: Complaint


class ComplaintClosed(Event, frozen=True, gc=False, tag="csq.complaint.closed"):
    data: Complaint


class PageViewed(Event, frozen=True, gc=False, tag="csq.behavior.page_viewed"):
    data: Behavior


class ProductViewed(Event, frozen=True, gc=False, tag="csq.behavior.product_viewed"):
    data: Behavior


class ProductsSearched(Event, frozen=True, gc=False, tag="csq.behavior.products_searched"):
    data: Behavior


class CartUpdated(Event, frozen=True, gc=False, tag="csq.behavior.cart_updated"):
    data: Behavior


class OrderCompleted(Event, frozen=True, gc=False, tag="csq.behavior.order_completed"):
    data: Behavior


class OrderCancelled(Event, frozen=True, gc=False, tag="csq.behavior.order_cancelled"):
    data: Behavior


class OrderRefunded(Event, frozen=True, gc=False, tag="csq.behavior.order_refunded"):
    data: Behavior


class CustomerUpdated(Event, frozen=True, gc=False, tag="csq.customer.updated"):
    data: Customer


class CustomerForgotten(Event, frozen=True, gc=False, tag="csq.customer.forgotten"):
    data: CustomerId


class ChurnLabelled(Event, frozen=True, gc=False, tag="csq.churn.labelled"):
    data: ChurnLabel


class SentimentLabelled(Event, frozen=True, gc=False, tag="csq.label.sentiment"):
    data: SentimentLabel


class AgentStateChanged(Event, frozen=True, gc=False, tag="csq.agent.state_changed"):
    data: Agent


class StaffingPlanned(Event, frozen=True, gc=False, tag="csq.staffing.planned"):
    data: Staffing


class ActionApplied(Event, frozen=True, gc=False, tag="csq.action.applied"):
    data: Action


class ActionRolledBack(Event, frozen=True, gc=False, tag="csq.action.rolled_back"):
    data: Action


ConversationEvent = (
    ConversationOpened
    | ConversationAssigned
    | ConversationHandoff
    | ConversationResolved
    | ConversationReopened
    | ConversationAbandoned
    | ConversationPending
    | ConversationMerged
)
BehaviorEvent = (
    PageViewed | ProductViewed | ProductsSearched | CartUpdated | OrderCompleted | OrderCancelled | OrderRefunded
)
AnyEvent = (
    ConversationEvent
    | MessageCreated
    | MessageEdited
    | MessageDeleted
    | FeedbackSubmitted
    | FeedbackWithdrawn
    | ComplaintOpened
    | ComplaintClosed
    | BehaviorEvent
    | CustomerUpdated
    | CustomerForgotten
    | ChurnLabelled
    | SentimentLabelled
    | AgentStateChanged
    | StaffingPlanned
    | ActionApplied
    | ActionRolledBack
)
"""All types of incoming events."""

TYPE_OF: dict[type, str] = {event: str(event.__struct_config__.tag) for event in AnyEvent.__args__}
"""Struct to type."""

OF_CONVERSATIONS: frozenset[type] = frozenset(
    {
        MessageCreated,
        ConversationOpened,
        ConversationAssigned,
        ConversationHandoff,
        ConversationResolved,
        ConversationReopened,
        ConversationAbandoned,
        ConversationPending,
        ConversationMerged,
        MessageEdited,
        MessageDeleted,
    }
)
"""Structs of the steps of a conversation; their data has a queue and a channel."""

TYPES: tuple[str, ...] = tuple(TYPE_OF.values())
"""The names of all types, in the order of the definitions."""
