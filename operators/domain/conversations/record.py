"""Rounds: the clocks of one conversation, moved by what is said in it, in the order of event time.

All times are POSIX seconds. Automated replies stop no human clock and are measured apart.
"""

from typing import Any

from msgspec import Raw, Struct


class Rounds(Struct, array_like=True, gc=False):  # stored by place: what is new comes last
    """Who waits since when.

    A *round* opens at the first customer message that nobody has answered and closes at the next human reply: the time
    between is the reply time. An *episode* begins with the conversation and with each reopening: its first human reply,
    counted from the latest of the first customer message, the hand-off and the reopening, is a first response.

    >>> rounds = Rounds()
    >>> rounds.customer_said(100.0), rounds.customer_said(110.0), rounds.human_said(130.0)
    (True, False, (30.0, 30.0))
    >>> rounds.human_said(140.0)
    (None, None)
    """

    waiting_since: float | None = None
    """First customer message no human has answered."""
    missed: bool = False
    """Whether the open round has passed its limit."""
    answer_from: float | None = None
    """Where the clock of the episode's first response stands."""
    asked: bool = False
    """Whether the customer has written in this episode."""
    answered: bool = False
    """Whether the episode has had its first response."""
    bot_waiting_since: float | None = None
    """First customer message that neither bot nor human has answered."""
    untouched: bool = True
    """Whether it is the first episode and neither bot nor human has replied in it."""
    replied_at: float | None = None
    """Last human reply: a message from before it that comes too late to be sorted in has been answered."""

    def customer_said(self, time: float) -> bool:
        """The customer writes; whether a round opens."""
        if self.replied_at is not None and time < self.replied_at:
            return False
        if not self.answered and not self.asked:
            self.answer_from = time if self.answer_from is None else max(self.answer_from, time)
            self.asked = True
        if self.bot_waiting_since is None:
            self.bot_waiting_since = time
        if self.waiting_since is not None:
            return False
        self.waiting_since, self.missed = time, False
        return True

    def human_said(self, time: float) -> tuple[float | None, float | None]:
        """A human replies in public; reply time of the round it closes, first response of the episode (seconds)."""
        reply = first = None
        if self.waiting_since is not None and time >= self.waiting_since:
            reply, self.waiting_since = time - self.waiting_since, None
        if self.answer_from is not None and not self.answered and time >= self.answer_from:
            first, self.answered, self.answer_from = time - self.answer_from, True, None
        if self.bot_waiting_since is not None:  # a greeting before anybody asked is no reply
            self.bot_waiting_since, self.untouched = None, False
        self.replied_at = time if self.replied_at is None else max(time, self.replied_at)
        return reply, first

    def bot_said(self, time: float) -> tuple[float | None, float | None]:
        """A bot replies in public; its reply time, and its first response if nobody replied before (seconds)."""
        if self.bot_waiting_since is None or time < self.bot_waiting_since:
            return None, None
        reply, self.bot_waiting_since = time - self.bot_waiting_since, None
        first, self.untouched = reply if self.untouched else None, False
        return reply, first

    def handed_off(self, time: float) -> None:
        """The bot hands over to humans: a pending first response is counted from here."""
        if self.answer_from is not None:
            self.answer_from = max(self.answer_from, time)

    def reopened(self, time: float) -> None:
        """A new episode begins."""
        self.answer_from, self.asked, self.answered, self.untouched = time, False, False, False

    def closed(self, time: float) -> float | None:
        """Resolved or abandoned; how long the round that ends without an answer has waited (seconds)."""
        waited = None if self.waiting_since is None else time - self.waiting_since
        self.waiting_since = None
        return waited

    def limit_passed(self, since: float) -> bool:
        """The limit of the round that opened at `since` has passed; whether that round is open and newly missed."""
        if self.waiting_since != since or self.missed:
            return False
        self.missed = True
        return True


MOST_MOODS = 60


class ConversationRecord(
    Struct, array_like=True, gc=False
):  # stored by place, for there are many: what is new comes last
    """Times are POSIX seconds, polarities and tones -1..1."""

    customer_id: str
    channel: str
    queue: str
    opened_at: float
    last_at: float
    rounds: Rounds
    seen: bool = True
    """False while only a rating has come of it."""
    open: bool = True
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
    tone_sum: float = 0.0
    tone_count: int = 0
    attitude: int | None = None
    satisfaction: tuple[float, list[float | None], float] | None = None
    """Published S, its parts, when."""
    rating: tuple[float, float] | None = None
    """A rating (0..5) that waits for S to be published, and when it was given."""

    def felt(self, polarity: float) -> None:
        """A customer turn was read. Of a long conversation every other mood is kept."""
        if len(self.moods) >= MOST_MOODS:
            self.moods = self.moods[::2]
        self.moods.append(polarity)

    def mood(self) -> float | None:
        """Mean polarity of the last third of the conversation."""
        last = self.moods[-max(len(self.moods) // 3, 1) :]
        return sum(last) / len(last) if last else None

    def shift(self) -> float | None:
        """Mean polarity of the last third less that of the first; `None` below three turns."""
        third = len(self.moods) // 3
        if not third:
            return None
        return (sum(self.moods[-third:]) - sum(self.moods[:third])) / third

    def waited(self, time: float) -> float | None:
        """Mean reply time, an open wait counting as long as it lasts; `None` if nobody waited."""
        since = self.rounds.waiting_since
        count = self.reply_count + (since is not None)
        total = self.reply_sum + (max(time - since, 0.0) if since is not None else 0.0)
        return total / count if count else None

    def agent_attitude(self) -> float | None:
        """1..5: as the customer rated it, else from the tone of the agent's own messages."""
        if self.attitude is not None:
            return float(self.attitude)
        return 3 + 2 * self.tone_sum / self.tone_count if self.tone_count else None

    def talk(self, time: float, limit_seconds: float) -> dict[str, Any]:
        """What satisfaction is scored from."""
        return {
            "wait_seconds": self.waited(time),
            "limit_seconds": limit_seconds,
            "attitude": self.agent_attitude(),
            "mood": self.mood(),
            "outcome": self.outcome,
            "reopenings": self.reopenings,
            "rounds": self.round_count,
            "handoffs": self.handoffs,
        }


class ConversationEnd(Struct, array_like=True):
    """Of a stored record as much as says when it ends."""

    customer_id: Raw
    channel: Raw
    queue: Raw
    opened_at: Raw
    last_at: float
    rounds: Raw
    seen: bool
    open: bool
