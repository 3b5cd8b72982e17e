"""Silence: how long something has given no sign of life, measured by an observer that may itself be stopped."""

import time
from collections.abc import Callable
from typing import Final

LOOK_SECONDS: Final = 1.0
"""Time between two looks of an observer, and between two signs of life."""
LATE_SECONDS: Final = 2.0 * LOOK_SECONDS
"""Most that one look counts. An observer that comes later was itself stopped or without a core, and cannot say who was
silent meanwhile: a suspended machine, a stopped group of processes."""


class Silence:
    """Seconds without a sign of life while the observer ran. `heard` may be called in another thread than `look`.

    >>> at = [0.0]
    >>> silence = Silence(lambda: at[0])
    >>> at[0] = 1.0
    >>> silence.look()
    1.0
    >>> at[0] = 100.0  # the observer was stopped
    >>> silence.look()
    3.0
    >>> silence.heard()
    >>> silence.look()
    0.0
    """

    def __init__(self, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        """As of the last look."""
        self._stopwatch = stopwatch
        self._looked = stopwatch()
        self._heard = False

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard = True

    def look(self) -> float:
        """Count the time since the last look, unless there was a sign of life in it; the seconds."""
        now = self._stopwatch()
        passed, self._looked = min(now - self._looked, LATE_SECONDS), now
        heard, self._heard = self._heard, False
        self.seconds = 0.0 if heard else self.seconds + passed
        return self.seconds
