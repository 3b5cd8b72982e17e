"""Facts of conversations: what a lane of conversations holds back until event time has come past it."""

from collections.abc import Callable
from typing import ClassVar

from operators.domain.stage.facts import Fact
from operators.domain.wire import events
from operators.domain.wire.events import FeedbackKind, Outcome


class ConversationFact(Fact, frozen=True):
    """Something that happened in a conversation; channel and queue are named as the event named them."""

    conversation_id: str
    customer_id: str
    channel: str
    queue: str


class ConversationStarted(ConversationFact, frozen=True):
    """The conversation was opened."""

    rank: ClassVar[int] = 0


class AgentAssigned(ConversationFact, frozen=True):
    """An agent was assigned."""

    rank: ClassVar[int] = 4


class BotHandedOff(ConversationFact, frozen=True):
    """The bot handed the conversation over to humans."""

    rank: ClassVar[int] = 3


class CustomerSpoke(ConversationFact, frozen=True):
    """The customer wrote; without a text that could be scored polarity (-1..1) and sentiment are `None`."""

    rank: ClassVar[int] = 1

    polarity: float | None
    question: bool
    language: str
    sentiment: events.Sentiment | None


class AgentReplied(ConversationFact, frozen=True):
    """An agent wrote in public; `tone` is the lexicon's, -1..1, `None` without a text that could be read."""

    tone: float | None


class BotReplied(ConversationFact, frozen=True):
    """A bot wrote in public."""

    rank: ClassVar[int] = 2


class IssueResolved(ConversationFact, frozen=True):
    """The conversation was resolved; an `outcome` that was not stated is `None`."""

    rank: ClassVar[int] = 8

    outcome: Outcome | None


class IssueReopened(ConversationFact, frozen=True):
    """The conversation was reopened."""

    rank: ClassVar[int] = 0


class CustomerGaveUp(ConversationFact, frozen=True):
    """The customer abandoned the conversation."""

    rank: ClassVar[int] = 8


class RatingGiven(Fact, frozen=True):
    """A conversation was rated: `share` of the scale (0..1), the agent's `attitude` (1..5), if stated."""

    rank: ClassVar[int] = 9

    conversation_id: str
    kind: FeedbackKind
    share: float
    attitude: int | None
    customer_id: str | None


def _step(
    kind: type[ConversationStarted | AgentAssigned | BotHandedOff | IssueReopened | CustomerGaveUp],
) -> Callable[[float, str, events.Conversation], ConversationFact]:
    def step(time: float, name: str, data: events.Conversation) -> ConversationFact:
        return kind(time, name, data.conversation_id, data.customer_id, data.channel, data.queue)

    return step


def _resolved(time: float, name: str, data: events.Conversation) -> ConversationFact:
    return IssueResolved(time, name, data.conversation_id, data.customer_id, data.channel, data.queue, data.outcome)


STEP_FACTS: dict[type, Callable[[float, str, events.Conversation], ConversationFact]] = {
    events.ConversationOpened: _step(ConversationStarted),
    events.ConversationAssigned: _step(AgentAssigned),
    events.ConversationHandoff: _step(BotHandedOff),
    events.ConversationResolved: _resolved,
    events.ConversationReopened: _step(IssueReopened),
    events.ConversationAbandoned: _step(CustomerGaveUp),
}
"""Class of an event -> function of its time (POSIX seconds), name and data that gives the fact."""
