"""The customers: who they are, what they went through, and how likely they leave.

The probability of leaving is a logistic function of what a customer remembers: the longest waits, moods, unsolved
requests and the severity of complaints, which events show, and, weaker, of searches in vain, contract and tenure, which
csq sees only if ``churn.attributes`` declares them. Churn is about as predictable as in the Telco Customer Churn data,
where a logistic regression reaches an AUC of 0.84. ``tests/flows/test_shop_churn.py`` measures three AUCs over the past
of `csq run`: of the true probability 0.91, of a regression on csq's inputs 0.85, of csq's model, learning, 0.80.
"""

from dataclasses import dataclass
from math import exp, log1p

from .words import Words
from .world import Data, World

MAX_SIZE = 200_000
_MINUTES_OF_EVENTS = 60
"""Customers per event a second: each is heard of about once a minute of the shop's time."""
_TRIES = 8
_MEMORY = 0.6
"""Weight of the newest conversation in what a customer remembers; of the first it is 1."""

_CONTRACTS = ("month-to-month", "month-to-month", "one-year", "two-year")
_CONTRACT_PULL = {"month-to-month": 0.2, "one-year": -0.1, "two-year": -0.3}
SEGMENTS = ("consumer", "consumer", "consumer", "business")
_TIERS = ("basic", "basic", "plus", "gold")
_REGIONS = {
    "en": ("uk", "us", "ie"),
    "zh": ("cn", "sg"),
    "es": ("es", "mx"),
    "de": ("de", "at"),
}


@dataclass(slots=True, eq=False)
class SimulatedCustomer:
    """A customer; `temper` -1..1 is how friendly they are by nature."""

    id: str
    slot: int
    language: str
    temper: float
    contract: str
    tenure_months: int
    segment: str = "consumer"
    region: str = "uk"
    tier: str = "basic"
    talking: bool = False
    has_talked: bool = False
    gone: bool = False
    waited: float = 0.0
    """Smoothed log(1 + minutes) of the longest waits."""
    mood: float = 0.0
    unsolved: float = 0.0
    """Smoothed share of conversations that ended without a solution."""
    severity: int = 0
    """Of complaints so far, added up."""
    vain_searches: int = 0

    def remember(self, longest_wait_seconds: float, mood: float, *, unsolved: bool) -> None:
        """Take a conversation to heart."""
        weight = _MEMORY if self.has_talked else 1.0
        self.has_talked = True
        self.waited += weight * (log1p(longest_wait_seconds / 60) - self.waited)
        self.mood += weight * (mood - self.mood)
        self.unsolved += weight * (float(unsolved) - self.unsolved)

    def leaving_probability(self) -> float:
        """Say how likely they leave now.

        >>> content = SimulatedCustomer("u1", 0, "en", 0.0, "two-year", 40, mood=0.5, waited=0.7)
        >>> upset = SimulatedCustomer("u2", 1, "en", 0.0, "two-year", 40, mood=-0.5, waited=1.1, unsolved=0.6)
        >>> round(content.leaving_probability(), 2), round(upset.leaving_probability(), 2)
        (0.01, 0.56)
        """
        drive = (
            -4.5
            + 2.5 * self.waited
            - 2.0 * self.mood
            + 2.5 * self.unsolved
            + 0.4 * self.severity
            + 0.1 * min(self.vain_searches, 5)
            + _CONTRACT_PULL[self.contract]
            - 0.005 * self.tenure_months
        )
        return 1.0 / (1.0 + exp(-drive))


class Crowd:
    """A pool of customers of fixed size; who leaves is replaced by somebody new when their place is drawn again."""

    def __init__(self, world: World, words: Words) -> None:
        self._world = world
        self._words = words
        size = int(world.params.events_per_second * _MINUTES_OF_EVENTS)
        self._places: list[SimulatedCustomer | None] = [None] * min(MAX_SIZE, max(200, size))

    def anybody(self) -> SimulatedCustomer:
        """Draw a customer."""
        slot = int(self._world.rng.random() * len(self._places))
        return self._places[slot] or self._welcome(slot)

    def anybody_silent(self) -> SimulatedCustomer | None:
        """Draw a customer who is in no conversation; `None` when they all seem to talk."""
        for _ in range(_TRIES):
            customer = self.anybody()
            if not customer.talking:
                return customer
        return None

    def leave(self, customer: SimulatedCustomer) -> None:
        """Let a customer go for ever."""
        customer.gone = True
        self._places[customer.slot] = None

    def update(self, customer: SimulatedCustomer) -> None:
        """Tell what the shop knows of a customer."""
        world = self._world
        attributes = {
            "tenure_months": customer.tenure_months,
            "contract": customer.contract,
            "monthly_charges": round(world.between(5, 120), 2),
            "newsletter": world.chance(0.4),
        }
        data: Data = {
            "customer_id": customer.id,
            "attributes": attributes,
            "segment": customer.segment,
            "region": customer.region,
            "tier": customer.tier,
            "language": customer.language,
        }
        world.emit("csq.customer.updated", customer.id, data)

    def _welcome(self, slot: int) -> SimulatedCustomer:
        world = self._world
        language = self._words.language()
        customer = SimulatedCustomer(
            id=world.new_id("u"),
            slot=slot,
            language=language,
            temper=max(-1.0, min(1.0, world.rng.gauss(0.0, 0.35))),
            contract=world.pick(_CONTRACTS),
            tenure_months=int(world.between(0, 72)),
            segment=world.pick(SEGMENTS),
            region=world.pick(_REGIONS[language]),
            tier=world.pick(_TIERS),
        )
        self._places[slot] = customer
        self.update(customer)
        return customer
