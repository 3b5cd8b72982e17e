"""A shop to watch without having one: a seeded simulation whose books tell what truly happened.

``world.py`` holds the clock and the agenda. ``crowd.py`` (customers), ``arrivals.py`` (who asks for help), ``desk.py``
(conversations), ``staff.py`` (agents), ``browsing.py`` (the shop itself) and ``aftermath.py`` (ratings, labels,
complaints, churn) put things on it; ``words.py`` and the ``phrases`` give them words. ``stream.py`` delivers the
events, ``faults.py`` breaks some, ``ledger.py``, ``course.py`` and ``books.py`` keep the truth.
"""

from .books import Books
from .params import Scenario, SimulatorParams
from .stream import Delivery, Simulator, simulate

__all__ = ["Books", "Delivery", "Scenario", "Simulator", "SimulatorParams", "simulate"]
