"""A conversation and the agent who holds it, as they stand: each knows the other."""

from dataclasses import dataclass, field

from .crowd import SimulatedCustomer

_NEGATIVE_BELOW = -0.28
_POSITIVE_ABOVE = 0.3


@dataclass(slots=True, eq=False)
class Talk:
    """A conversation as it stands; `mood` -1..1 is the customer's, times are milliseconds."""

    id: str
    customer: SimulatedCustomer
    queue: str
    channel: str
    mood: float
    rounds_left: int
    bot_rounds: int
    order_id: str | None
    last_ms: int = 0
    """Of its newest event."""
    since: int | None = None
    """First customer message no human has answered."""
    turn: int = 0
    """Goes up when a plan becomes void, such as the answer of an agent who went offline."""
    open: bool = True
    agent: "SimulatedAgent | None" = None
    last_agent: "SimulatedAgent | None" = None
    longest_wait: float = 0.0
    """Seconds."""
    outcome: str = "unsolved"
    episodes: int = 1

    def feel(self, change: float) -> None:
        """Change the mood, within its bounds."""
        self.mood = max(-1.0, min(1.0, self.mood + change))

    def shown_mood(self) -> str:
        """Say the mood as a class.

        >>> from operators.simulator.crowd import SimulatedCustomer
        >>> customer = SimulatedCustomer("u1", 0, "en", 0.0, "one-year", 3)
        >>> Talk("c1", customer, "orders", "chat", -0.5, 1, 0, None).shown_mood()
        'negative'
        """
        if self.mood < _NEGATIVE_BELOW:
            return "negative"
        return "positive" if self.mood > _POSITIVE_ABOVE else "neutral"


@dataclass(slots=True, eq=False)
class SimulatedAgent:
    """An agent of one queue; `politeness` 0..1 is the share of their messages that are polite."""

    id: str
    queue: str
    concurrency_max: int
    pace: float
    """Times the usual time to answer."""
    politeness: float
    skill: float
    """Added to the chance of a solution."""
    state: str = "offline"
    on_shift: bool = False
    on_break: bool = False
    down: bool = False
    place: int = -1
    """In the list of those who are free; -1 when not."""
    talks: list[Talk] = field(default_factory=list)

    def due_state(self) -> str:
        """Say the state they ought to be in; who goes home finishes their talks first."""
        if self.down or not (self.on_shift or self.talks):
            return "offline"
        if self.on_shift and self.on_break:
            return "away"
        return "available" if self.on_shift and len(self.talks) < self.concurrency_max else "busy"
