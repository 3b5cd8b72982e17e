"""The simulator's own books: what truly happened in what was delivered, to compare csq's numbers with.

Every event the shop makes carries a note of what it knows happened. `Ledger` (``ledger.py``) files the notes as they
are delivered; when the books are read, each conversation's notes are put in order of event time and replayed by the
definitions (``course.py``). None of the three reads raw bytes or uses a stage of csq; what a text says (a thank-you, a
question) is noted as csq reads it. Waits are differences of POSIX
seconds as floats, as csq takes them.
"""

from typing import Literal, NamedTuple

from msgspec import Struct

from operators.domain.conversations.closings import Closing

What = Literal[
    "opened",
    "assigned",
    "handoff",
    "resolved",
    "reopened",
    "abandoned",
    "customer",
    "agent",
    "bot",
    "system",
    "note",
]


class Step(NamedTuple):
    """Something in a conversation; a message by its author's role, a private one is a `note`."""

    conversation_id: str
    queue: str
    channel: str
    what: What
    outcome: str = "solved"
    message_id: str = ""
    mood: str = ""
    closing: Closing = ""
    """A customer's message that needs no answer."""
    asks: bool = False
    """A message of ours that asks if all is well."""


class Rated(NamedTuple):
    """A rating; `score` on the kind's own scale."""

    kind: str
    queue: str
    score: int


class Judged(NamedTuple):
    """A churn label; `probability` 0..1 is that of leaving when the customer decided."""

    customer_id: str
    churned: bool
    probability: float


Note = Step | Rated | Judged | None


class Books(Struct, frozen=True):
    """The truth about the deliveries so far; lists are rows of label values and a last number.

    What never happened is absent: a queue without open waits, a reason without dead letters.
    """

    clock: float
    """Latest event time delivered, POSIX seconds; 0.0 before the first event."""
    events: dict[str, int]
    """Per type, each event once."""
    dead_letters: dict[str, int]
    duplicates: int
    messages: dict[str, int]
    """Per role of the author; an agent's private notes are counted too."""
    reply_seconds: list[tuple[str, str, str, float]]
    """Queue, channel, responder (human, bot), seconds."""
    first_response_seconds: list[tuple[str, str, str, float]]
    """Queue, channel, responder (human, bot), seconds."""
    resolution_seconds: list[tuple[str, str, str, float]]
    """Queue, channel, who had replied (human, bot, nobody), seconds from opened to first resolved."""
    rounds: list[tuple[str, str, str, str, int]]
    """Queue, channel, outcome (met, missed), responder (human, bot), count; missed and held as of `clock`."""
    conversations: list[tuple[str, str, str, int]]
    """Queue, channel, outcome (solved, partial, unsolved, abandoned, reopened), count."""
    feedback: list[tuple[str, str, int, int]]
    """Kind, queue, score on the kind's scale, count."""
    open_waits: dict[str, int]
    """Per queue: conversations with an unanswered customer message."""
    conversations_open: dict[str, int]
    orders: int
    complaints_opened: int
    complaints_closed: int
    true_moods: dict[str, str]
    """Message id -> negative, neutral, positive; customers' messages."""
    churned: list[str]
    """Customers whose churn label said that they left, in order."""
    kept: list[str]
    """Customers whose churn label said that they stayed, in order."""
    leaving: list[tuple[float, bool]]
    """Per churn label: the true probability of leaving, 0..1, and whether the customer left."""
