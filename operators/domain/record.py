"""The record of one conversation: what the lane stage `conversations` remembers of it. No text, no vectors."""

from typing import Any

from msgspec import Raw, Struct

from operators.domain.rounds import Rounds

MOST_MOODS = 60


class Record(Struct, array_like=True, gc=False):  # stored by place, for there are many: what is new comes last
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


class Beginning(Struct, array_like=True):
    """Of a stored record as much as says when it ends."""

    customer_id: Raw
    channel: Raw
    queue: Raw
    opened_at: Raw
    last_at: float
    rounds: Raw
    seen: bool
    open: bool
