"""A shop to watch without having one: a seeded simulation whose books tell what truly happened.

``world.py`` holds the clock and the agenda. ``crowd.py`` (customers), ``arrivals.py`` (who asks for help), ``desk.py``
(conversations), ``staff.py`` (agents), ``browsing.py`` (the shop itself) and ``aftermath.py`` (ratings, labels,
complaints, churn) put things on it; ``words.py`` and the ``phrases`` give them words. ``stream.py`` delivers the
events, ``faults.py`` breaks some, ``ledger.py``, ``course.py`` and ``books.py`` keep the truth.
"""

from operators.domain.stage.labels import LabelsParams

from .arrivals import CHANNELS
from .books import Books
from .crowd import SEGMENTS
from .params import Scenario, SimulatorParams
from .staff import QUEUE_SHARES
from .stream import Delivery, Simulator, simulate

NAMES = LabelsParams(tuple(QUEUE_SHARES), tuple(dict.fromkeys(CHANNELS)), tuple(dict.fromkeys(SEGMENTS)))
"""The queues, channels and segments of the simulated shop."""

__all__ = ["NAMES", "Books", "Delivery", "Scenario", "Simulator", "SimulatorParams", "simulate"]
