"""The record of one conversation, and the clocks of its rounds, driven by its messages in the order of event time.

All times are POSIX seconds.
"""

from typing import Any

from msgspec import Raw, Struct

from operators.domain.stage.facts import Resolver


class Rounds(Struct, array_like=True, gc=False):
    """The open waits of a conversation.

    A *round* opens at the first unanswered customer message and closes at the next human reply: the time between is the
    reply time. A bot's reply *suspends* the round: it is closed if the answer holds, and goes on from its beginning if
    it does not. An *episode* begins with the conversation and with each reopening: its first human reply, counted from
    the latest of the first customer message, the hand-off and the reopening, is a first response.

    >>> rounds = Rounds()
    >>> rounds.customer_said(100.0), rounds.customer_said(110.0), rounds.human_said(130.0)
    (True, False, (100.0, 100.0))
    >>> rounds.human_said(140.0)
    (None, None)
    """

    waiting_since: float | None = None
    """Time of the first unanswered customer message."""
    missed: bool = False
    """Whether the round that is open or suspended has passed its limit."""
    answer_from: float | None = None
    """Start of the clock of the episode's first response."""
    asked: bool = False
    """Whether the customer has written in this episode."""
    answered: bool = False
    """Whether the episode has had its first response."""
    bot_waiting_since: float | None = None
    """Time of the first customer message that neither bot nor human has answered."""
    untouched: bool = True
    """Whether it is the first episode and neither bot nor human has replied in it."""
    replied_at: float | None = None
    """Time of the last reply that counts. An older message that arrives too late to be sorted in counts as answered."""
    suspended_since: float | None = None
    """Beginning of the round that a bot has answered, while it is not known whether the answer holds."""
    suspended_at: float = 0.0
    """When the bot answered it."""
    wants_human: bool = False
    """Whether the customer has written since the last human reply."""

    def customer_said(self, time: float) -> bool:
        """Take a customer message that needs an answer; return whether a round opens."""
        if self.replied_at is not None and time < self.replied_at:
            return False
        if not self.answered and not self.asked:
            self.answer_from = time if self.answer_from is None else max(self.answer_from, time)
            self.asked = True
        if self.bot_waiting_since is None:
            self.bot_waiting_since = time
        self.wants_human = True
        if self.waiting_since is not None or self.suspended_since is not None:
            return False
        self.waiting_since, self.missed = time, False
        return True

    def human_said(self, time: float) -> tuple[float | None, float | None]:
        """Take a public reply of a human; return when the round and when the clock of the first response began."""
        reply = first = None
        if self.waiting_since is not None and time >= self.waiting_since:
            reply, self.waiting_since = self.waiting_since, None
        if self.answer_from is not None and not self.answered and time >= self.answer_from:
            first, self.answered, self.answer_from = self.answer_from, True, None
        if self.bot_waiting_since is not None:  # a greeting before the first question is no reply
            self.bot_waiting_since, self.untouched = None, False
        self.wants_human = False
        self.replied_at = time if self.replied_at is None else max(time, self.replied_at)
        return reply, first

    def bot_said(self, time: float) -> tuple[float | None, float | None]:
        """Take a public reply of a bot; return when its clock began, and that again if it is the first reply."""
        if self.bot_waiting_since is None or time < self.bot_waiting_since:
            return None, None
        reply, self.bot_waiting_since = self.bot_waiting_since, None
        first, self.untouched = reply if self.untouched else None, False
        return reply, first

    def suspend(self, time: float) -> bool:
        """Suspend the open round, which a bot answers at `time`; return whether there is one."""
        if self.waiting_since is None or time < self.waiting_since:
            return False
        self.suspended_since, self.suspended_at, self.waiting_since = self.waiting_since, time, None
        return True

    def resume(self) -> None:
        """Let the suspended round go on from its beginning: the bot's answer does not hold."""
        self.waiting_since, self.suspended_since = self.suspended_since, None

    def hold(self) -> bool:
        """Close the suspended round: the bot's answer holds. Return whether the round was in time so far."""
        self.suspended_since = None
        self.replied_at = max(self.suspended_at, self.replied_at or self.suspended_at)
        return not self.missed

    def withdraw(self) -> None:
        """End the round as if it had not been: its only message is deleted. Its missed limit stays counted."""
        self.waiting_since = self.suspended_since = self.bot_waiting_since = None
        self.wants_human = False
        if not self.answered:
            self.answer_from, self.asked = None, False

    def take_over(self, since: float) -> None:
        """Wait since `since`, as the customer of a conversation that became part of this one."""
        if self.waiting_since is None:
            self.missed = False
        self.waiting_since = since
        self.wants_human = True
        if not self.answered and not self.asked:
            self.answer_from = since if self.answer_from is None else max(self.answer_from, since)
            self.asked = True

    def handed_off(self, time: float) -> bool:
        """Take a hand-off to humans: a pending first response is counted from here; return whether a round opens.

        One opens if a bot answered the customer and no human did.
        """
        if self.answer_from is not None:
            self.answer_from = max(self.answer_from, time)
        if not self.wants_human or self.waiting_since is not None or self.suspended_since is not None:
            return False
        self.waiting_since, self.missed = time, False
        return True

    def reopened(self, time: float) -> None:
        """Begin a new episode."""
        self.answer_from, self.asked, self.answered, self.untouched = time, False, False, False

    def closed(self) -> float | None:
        """End the open round without an answer (resolved, abandoned); return when it began."""
        since, self.waiting_since, self.wants_human = self.waiting_since, None, False
        return since

    def limit_passed(self, since: float) -> bool:
        """Mark the round that opened at `since` as missed; return whether it is open and was not marked before.

        `since` identifies a round and is a copy of `waiting_since`, so that equality of floats is exact.
        """
        if self.waiting_since != since or self.missed:
            return False
        self.missed = True
        return True


MAX_MOODS = 60
MAX_CLOSINGS = 4
MAX_PAUSES = 16


class ConversationRecord(Struct, array_like=True, gc=False):
    """The record of a conversation. Times are POSIX seconds, polarities and tones -1..1.

    Tuples and bytes, where lists would do: Python's garbage collector looks at every list of every record.
    """

    customer_id: str
    channel: str
    """The label value of metrics; `queue` too."""
    queue: str
    opened_at: float
    last_at: float
    rounds: Rounds
    seen: bool = True
    """False while the only event of the conversation is a rating."""
    open: bool = True
    channel_name: str = ""
    """As the events name it, for published events; `queue_name` too."""
    queue_name: str = ""
    opening_known: bool = False
    """Whether `opened_at` is that of the opened event; else it is that of the first event seen."""
    handling_from: float | None = None
    waiting_name: str = ""
    """Name of the event that opened the round."""
    resolved_first: float | None = None
    resolved_last: float | None = None
    outcome: str | None = None
    reopenings: int = 0
    handoffs: int = 0
    round_count: int = 0
    reply_count: int = 0
    reply_sum: float = 0.0
    moods: list[float] = []
    """Polarities of the customer's messages; of a long conversation every second, fourth, ... one."""
    tone_sum: float = 0.0
    tone_count: int = 0
    attitude: int | None = None
    satisfaction: tuple[float, list[float | None], float] | None = None
    """The published S, its parts, and when it was published."""
    rating: tuple[float, float] | None = None
    """A rating (0..5) that waits for S to be published, and its time."""
    closed_at: float | None = None
    """When it was closed last."""
    resolver: Resolver = "nobody"
    """Who has replied since the opening or the last reopening; a human counts more than a bot."""
    waiting_message: str = ""
    """Id of the message that began the round; empty if none did."""
    waits_for_more: bool = False
    """Whether more of the customer's messages came in it."""
    closings: tuple[str, ...] = ()
    """Ids of the last messages that needed no answer."""
    reply_last: str = ""
    """Id of the last message of an agent; `reply_before` of the one before."""
    reply_before: str = ""
    asked: bool = False
    """Whether our last public message asks if all is well."""
    pauses: tuple[tuple[float, float], ...] = ()
    """Begin and end of the times in which the conversation waited for the customer."""
    paused_at: float | None = None
    """Since when it does."""

    def add_mood(self, polarity: float) -> None:
        """Add the polarity of a customer message; at `MAX_MOODS` every other one is dropped."""
        if len(self.moods) >= MAX_MOODS:
            self.moods = self.moods[::2]
        self.moods.append(polarity)

    def mood(self) -> float | None:
        """Return the mean polarity of the last third of the conversation; `None` without messages."""
        last = self.moods[-max(len(self.moods) // 3, 1) :]
        return sum(last) / len(last) if last else None

    def mood_shift(self) -> float | None:
        """Return the mean polarity of the last third minus that of the first third; `None` below three turns."""
        third = len(self.moods) // 3
        if not third:
            return None
        return (sum(self.moods[-third:]) - sum(self.moods[:third])) / third

    def mean_wait(self, open_seconds: float | None) -> float | None:
        """Return the mean reply time in seconds, with the wait that is open, if there is one. `None` without waits."""
        count = self.reply_count + (open_seconds is not None)
        return (self.reply_sum + max(open_seconds or 0.0, 0.0)) / count if count else None

    def agent_attitude(self) -> float | None:
        """Return 1..5: the customer's rating of it, else from the tone of the agent's messages."""
        if self.attitude is not None:
            return float(self.attitude)
        return 3 + 2 * self.tone_sum / self.tone_count if self.tone_count else None

    def satisfaction_inputs(self, open_seconds: float | None, limit_seconds: float) -> dict[str, Any]:
        """Return the arguments of ``satisfaction.Scorer.score_one``; `open_seconds` is the length of an open wait."""
        return {
            "wait_seconds": self.mean_wait(open_seconds),
            "limit_seconds": limit_seconds,
            "attitude": self.agent_attitude(),
            "mood": self.mood(),
            "outcome": self.outcome,
            "reopenings": self.reopenings,
            "rounds": self.round_count,
            "handoffs": self.handoffs,
        }


class ConversationOwner(Struct, array_like=True):
    """The first field of a stored record: enough to tell whose it is."""

    customer_id: str


class RoundsEnd(Struct, array_like=True):
    """The first field of stored rounds."""

    waiting_since: float | None


class ConversationEnd(Struct, array_like=True):
    """The first fields of a stored record: enough to tell when it ends or is dropped."""

    customer_id: Raw
    channel: Raw
    queue: Raw
    opened_at: Raw
    last_at: float
    rounds: RoundsEnd
    seen: bool
    open: bool
    channel_name: str
