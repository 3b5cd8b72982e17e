"""Facts: the messages between stages.

A fact is a small frozen struct, one class per thing that happened. A stage dispatches on the class. The fields `time`
(event time, POSIX seconds) and `name` (``"source id"`` of the event that caused it) come first in all of them: facts
are settled in their order. Facts held back in a lane's snapshot are stored as tagged arrays; the tag is the class name.
"""

from typing import ClassVar, Literal

from msgspec import Struct

from operators.domain.stage.labels import Label
from operators.domain.wire.events import AgentState

Resolver = Literal["human", "bot", "nobody"]


class Fact(Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Something that happened at `time`, caused by the event `name`."""

    rank: ClassVar[int] = 5
    """Order of facts at the same time, before their names: causes have a lower one than what they can cause.

    Helpdesks write whole seconds. 0: opened or reopened, 1: a customer's message, 2: a bot's, 3: handed off, 4:
    assigned, 5: an agent's message and everything else, 6: changed, deleted, pending, 7: merged, 8: the end, 9: a
    rating. Where the source numbers its events (`sequence`), its numbers decide.
    """
    time: float
    name: str


# ---- of a customer, for the customers' lanes


class CustomerFact(Fact, frozen=True):
    """Something that happened to a customer, or that a customer did."""

    customer_id: str


class MessageRead(CustomerFact, frozen=True):
    """A customer's message was scored; `polarity` is -1..1, `None` without a text that could be read."""

    rank: ClassVar[int] = 1

    polarity: float | None
    question: bool


class ReplyReceived(CustomerFact, frozen=True):
    """A human replied to a customer, `seconds` after the first unanswered message."""

    seconds: float


class WaitMissed(CustomerFact, frozen=True):
    """An open wait passed the reply limit."""


class ContactBegan(CustomerFact, frozen=True):
    """A customer's conversation was seen for the first time."""

    rank: ClassVar[int] = 0

    conversation_id: str


class ContactResolved(CustomerFact, frozen=True):
    """A customer's conversation was resolved; `again` after a reopening."""

    rank: ClassVar[int] = 8

    conversation_id: str
    outcome: str
    queue: str
    by: Resolver
    again: bool


class ContactReopened(CustomerFact, frozen=True):
    """A customer's conversation was reopened."""

    rank: ClassVar[int] = 0

    conversation_id: str


class ContactAbandoned(CustomerFact, frozen=True):
    """A customer abandoned a conversation."""

    rank: ClassVar[int] = 8


class RatingReceived(CustomerFact, frozen=True):
    """A customer rated; `share` is the score as a share of its scale, 0..1."""

    rank: ClassVar[int] = 9

    share: float


class PageBrowsed(CustomerFact, frozen=True):
    """A customer looked at a page for `seconds`, if that is known."""

    seconds: float | None


class SearchMade(CustomerFact, frozen=True):
    """A customer searched, with so many `results`, if that is known."""

    results: int | None


class OrderReported(CustomerFact, frozen=True):
    """A customer's order was completed, cancelled or refunded."""

    outcome: Literal["completed", "cancelled", "refunded"]


class Complained(CustomerFact, frozen=True):
    """A customer complained; `severity` is 1..5."""

    severity: int


class ProfileUpdated(CustomerFact, frozen=True):
    """The shop sent attributes of a customer; `segment` is `None` where it stays as it was."""

    attributes: dict[str, str | float | bool]
    segment: str | None


class ChurnReported(CustomerFact, frozen=True):
    """The shop reported whether a customer has left: the label of a churn score."""

    churned: bool


class ForgetRequested(CustomerFact, frozen=True):
    """What is known of a customer up to now is to be forgotten."""


# ---- of a queue, for the queues' lanes


class QueueFact(Fact, frozen=True):
    """Something that happened in a queue."""

    queue: str


class ConversationEntered(QueueFact, frozen=True):
    """A conversation is open in the queue and has no agent yet."""

    rank: ClassVar[int] = 0

    conversation_id: str


class ConversationReentered(QueueFact, frozen=True):
    """A closed conversation is open in the queue again; it had an agent before."""

    rank: ClassVar[int] = 0

    conversation_id: str


class ConversationExited(QueueFact, frozen=True):
    """A conversation is not open in the queue any more.

    `outcome` is that of the conversation, or `moved` (to another queue), or `gone` (its record was dropped).
    """

    rank: ClassVar[int] = 8

    channel: str
    conversation_id: str
    outcome: str


class ConversationTaken(QueueFact, frozen=True):
    """An agent took a conversation of the queue."""

    rank: ClassVar[int] = 4

    conversation_id: str


class ConversationHandled(QueueFact, frozen=True):
    """An agent finished a conversation of the queue after `seconds` of handling."""

    rank: ClassVar[int] = 8

    seconds: float


class WaitBegan(QueueFact, frozen=True):
    """A customer waits for a reply, since `since` (POSIX seconds), that of the first unanswered message."""

    rank: ClassVar[int] = 1

    conversation_id: str
    since: float


class WaitAnswered(QueueFact, frozen=True):
    """A human replied after `seconds`, within the promised limit (`met`) or not: the wait is over."""

    channel: str
    conversation_id: str
    seconds: float
    met: bool


class WaitEnded(QueueFact, frozen=True):
    """A wait ended without a reply, after `seconds` if the conversation has ended."""

    rank: ClassVar[int] = 8

    conversation_id: str
    seconds: float | None


class AgentChanged(QueueFact, frozen=True):
    """An agent changed state; `used` of `places` chats at a time are taken, if that is known."""

    agent_id: str
    state: AgentState
    used: int | None
    places: int | None


class AgentsPlanned(QueueFact, frozen=True):
    """So many `agents` are planned for `seconds` from `start` (POSIX seconds), before `shrinkage` (a share, 0..1)."""

    start: float
    seconds: float
    agents: int
    shrinkage: float


# ---- of a label, for the stage that admits names


Moment = tuple[float, str]
"""Event time (POSIX seconds) and ``"source id"`` of an event."""


class NameSeen(Fact, frozen=True):
    """So many `events` of one hour had a name without series of its own; `time` and `name` are those of the first.

    `firsts` are the conversations (customers) whose earliest events come first, with these events: as many as decide on
    the admission of the name; none if it cannot be admitted. Both, and `name`, are traces (`forgotten.py`).
    """

    label: Label
    value: str
    events: int
    firsts: dict[str, Moment]
