"""Rounds: the clocks of one conversation, moved by what is said in it, in the order of event time.

All times are POSIX seconds. Automated replies stop no human clock and are measured apart.
"""

from msgspec import Struct


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
