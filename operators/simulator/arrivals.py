"""Who opens a conversation, when, about what, on which channel and in which mood."""

from collections.abc import Callable
from math import pi, sin

from .crowd import Crowd, SimulatedCustomer
from .params import SimulatorParams
from .staff import QUEUE_SHARES
from .talk import Talk
from .world import World

_SHARE_OF_EVENTS = 0.6
"""That come of conversations; the rest comes of customers in the shop."""
_EVENTS_PER_TALK = 13.6
"""Measured: events of a conversation, with ratings, labels, complaints and its part of agents' states."""
_RUSH = 3.0
_TIDE = 0.2
_TIDE_SECONDS = 3600.0
CHANNELS = ("chat",) * 6 + ("email",) * 2 + ("social",) * 2
_QUEUES = tuple(queue for queue, share in QUEUE_SHARES.items() for _ in range(round(share * 20)))
_BOT_SHARE = {"chat": 0.65, "email": 0.0, "social": 0.5}
_ORDER_SHARE = 0.2
_QUEUE_MOOD = {"orders": 0.05, "returns": -0.05, "billing": -0.15, "technical": -0.05}


def talks_per_second(params: SimulatorParams) -> float:
    """Say how many conversations a second give the rate of events wanted, on average.

    >>> round(talks_per_second(SimulatorParams(events_per_second=20.0)), 1)
    0.9
    """
    return params.events_per_second * _SHARE_OF_EVENTS / _EVENTS_PER_TALK


class Arrivals:
    """Sends new conversations to `on_opened`."""

    def __init__(self, world: World, crowd: Crowd, on_opened: Callable[[Talk], None]) -> None:
        self._world = world
        self._crowd = crowd
        self._on_opened = on_opened
        self._usual_rate = talks_per_second(world.params)

    def begin(self) -> None:
        """Open the shop."""
        self._world.after(0.5, self._arrive)

    def _arrive(self) -> None:
        self._world.after(self._world.rng.expovariate(self._rate()), self._arrive)
        customer = self._crowd.anybody_silent()
        if customer is not None:
            self._on_opened(self._talk(customer))

    def _rate(self) -> float:
        # Arrivals swell and ebb once an hour, so that there is something to forecast.
        tide = 1.0 + _TIDE * sin(2 * pi * self._world.elapsed() / _TIDE_SECONDS)
        return self._usual_rate * tide * (_RUSH if self._world.scenario == "rush" else 1.0)

    def _talk(self, customer: SimulatedCustomer) -> Talk:
        world = self._world
        queue, channel = world.pick(_QUEUES), world.pick(CHANNELS)
        mood = 0.05 + 0.5 * customer.temper + 0.3 * customer.mood + _QUEUE_MOOD[queue] + world.rng.gauss(0.0, 0.3)
        return Talk(
            id=world.new_id("c"),
            customer=customer,
            queue=queue,
            channel=channel,
            mood=max(-1.0, min(1.0, mood)),
            rounds_left=world.pick((1, 2, 2, 3, 4)),
            bot_rounds=world.pick((1, 1, 2)) if world.chance(_BOT_SHARE[channel]) else 0,
            order_id=world.new_id("o") if world.chance(_ORDER_SHARE) else None,
        )
