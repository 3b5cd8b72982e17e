"""Facts of conversations: what a lane of conversations holds back until event time has come past it."""

from collections.abc import Callable
from typing import Any, ClassVar

from msgspec import UNSET, json

from operators.domain.conversations.closings import Closing
from operators.domain.stage.facts import Fact
from operators.domain.stage.feedback import share_of
from operators.domain.wire import events
from operators.domain.wire.events import FeedbackKind, Outcome


class ConversationFact(Fact, frozen=True):
    """Something that happened in a conversation; channel and queue are named as the event named them.

    `sequence` is the number that the source gives to the event, if it numbers them.
    """

    sequence: int | None
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

    message_id: str
    closing: Closing
    polarity: float | None
    question: bool
    language: str
    sentiment: events.Sentiment | None


class AgentReplied(ConversationFact, frozen=True):
    """An agent wrote in public; `tone` is the lexicon's, -1..1, `None` without a text that could be read.

    `asks` is whether the message asks if all is well (`closings.only_asks`).
    """

    message_id: str
    asks: bool
    tone: float | None


class BotReplied(ConversationFact, frozen=True):
    """A bot wrote in public; `asks` as for agents."""

    rank: ClassVar[int] = 2

    asks: bool


class MessageChanged(ConversationFact, frozen=True):
    """A customer changed the text of a message, to what may be a closing."""

    rank: ClassVar[int] = 6

    message_id: str
    closing: Closing


class MessageRemoved(ConversationFact, frozen=True):
    """A message was deleted."""

    rank: ClassVar[int] = 6

    message_id: str


class CustomerAwaited(ConversationFact, frozen=True):
    """The conversation waits for the customer: its resolution and handle time stand still."""

    rank: ClassVar[int] = 6


class MergedAway(Fact, frozen=True):
    """A conversation became part of another one."""

    rank: ClassVar[int] = 7

    conversation_id: str


class MergedIn(Fact, frozen=True):
    """Another conversation became part of this one.

    Its customer waits since `since` (POSIX seconds), or does not wait (`None`). `event` is the event in JSON.
    """

    rank: ClassVar[int] = 7

    conversation_id: str
    since: float | None
    event: bytes


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
    """A rating: `share` of the scale (0..1), the agent's `attitude` (1..5), if stated; of a conversation, or not."""

    rank: ClassVar[int] = 9

    feedback_id: str
    conversation_id: str | None
    kind: FeedbackKind
    share: float
    attitude: int | None
    customer_id: str | None


class RatingWithdrawn(Fact, frozen=True):
    """A rating was withdrawn."""

    rank: ClassVar[int] = 9

    feedback_id: str


def number_of(sequence: int | str | None) -> int | None:
    """Return the number that a source gives to an event; `None` without a number.

    >>> number_of(7), number_of("007"), number_of("AAC"), number_of(None)
    (7, 7, None, None)
    """
    if sequence is None or isinstance(sequence, int):
        return sequence
    return int(sequence) if sequence.isascii() and sequence.isdigit() and len(sequence) <= _DIGITS else None


_DIGITS = 18
"""Of a number in 64 bits."""


def _step(
    kind: type[ConversationStarted | AgentAssigned | BotHandedOff | IssueReopened | CustomerGaveUp | CustomerAwaited],
) -> Callable[[float, str, int | None, events.Conversation], ConversationFact]:
    def step(time: float, name: str, sequence: int | None, data: events.Conversation) -> ConversationFact:
        return kind(time, name, sequence, data.conversation_id, data.customer_id, data.channel, data.queue)

    return step


def _resolved(time: float, name: str, sequence: int | None, data: events.Conversation) -> ConversationFact:
    where = (data.conversation_id, data.customer_id, data.channel, data.queue)
    return IssueResolved(time, name, sequence, *where, data.outcome)


def rating_given(time: float, name: str, data: events.Feedback) -> RatingGiven:
    """Return the fact of a rating."""
    share = share_of(data.score, data.scale_min, data.scale_max)
    rated = (data.conversation_id, data.kind, share, data.attitude, data.customer_id)
    return RatingGiven(time, name, data.feedback_id, *rated)


def merged_in(time: float, name: str, event: events.ConversationMerged) -> MergedIn:
    """Return the fact for the conversation that takes the other one."""
    since = event.data.waiting_since
    waits_since = time if since is UNSET else None if since is None else min(since.timestamp(), time)
    return MergedIn(time, name, event.data.into, waits_since, json.encode(event))


def _removed(time: float, name: str, sequence: int | None, data: events.MessageId) -> ConversationFact:
    where = (data.conversation_id, data.customer_id, data.channel, data.queue)
    return MessageRemoved(time, name, sequence, *where, data.message_id)


STEP_FACTS: dict[type, Callable[[float, str, int | None, Any], ConversationFact]] = {
    events.ConversationOpened: _step(ConversationStarted),
    events.ConversationAssigned: _step(AgentAssigned),
    events.ConversationHandoff: _step(BotHandedOff),
    events.ConversationResolved: _resolved,
    events.ConversationReopened: _step(IssueReopened),
    events.ConversationAbandoned: _step(CustomerGaveUp),
    events.ConversationPending: _step(CustomerAwaited),
    events.MessageDeleted: _removed,
}
"""Class of an event -> function of its time (POSIX seconds), name, number and data that gives the fact."""
