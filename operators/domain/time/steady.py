"""The steady clock: the time that the flow goes by, whatever steps the wall clock makes.

Between two readings it advances as the monotonic clock does. It follows the wall clock in three ways:

- What lies within `STEP_SECONDS` is slewing, or a small correction: it is caught up by going up to half as fast again,
  or half as fast.
- A step forward is followed once no other step has come for `HOLD_SECONDS`, at once: a machine that was suspended, a
  clock set at boot. Until then time does not run ahead: no customer has waited longer because a clock was wrong, and
  no position in time is stored that later events would all be late for.
- A step back is caught up after the same delay by going half as fast, so in twice its length. Time cannot decrease, as
  stages have settled what lay before it. If it stood still for the length of the step, no round would be settled
  meanwhile; if it never followed, events of the right time would be late for ever. In between, no round is missed
  earlier than if the clock had not stepped, and rounds are settled all the time.

At the start the wall clock counts. If the store is ahead of it, event time stands until the wall clock gets there: a
watermark never decreases.
"""

from collections.abc import Callable
from threading import Lock
from typing import Final

STEP_SECONDS: Final = 0.5
"""Change between wall and monotonic clock that is a step; NTP slews what is below 0.128 s."""
HOLD_SECONDS: Final = 60.0
"""A step is followed when it has held for so long."""
SLEW: Final = 0.5
"""Share of the elapsed time by which the steady clock approaches the wall clock."""


class SteadyClock:
    """A clock that never decreases and never jumps with the wall clock.

    Args:
        wall: POSIX seconds.
        stopwatch: monotonic seconds.
        on_jump: called with the seconds of each step of the wall clock, in the thread that reads the clock.

    >>> moment, ahead = [100.0], [0.0]
    >>> clock = SteadyClock(lambda: moment[0] + ahead[0], lambda: moment[0], print)
    >>> clock()
    100.0
    >>> ahead[0] = 40.0
    >>> moment[0] = 105.0
    >>> clock()
    40.0
    105.0
    >>> moment[0] = 165.0
    >>> clock()
    205.0
    """

    def __init__(
        self,
        wall: Callable[[], float],
        stopwatch: Callable[[], float],
        on_jump: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._wall = wall
        self._stopwatch = stopwatch
        self._on_jump = on_jump
        self._lock = Lock()
        self._at = stopwatch()
        """Monotonic time of the last reading."""
        self._offset = wall() - self._at
        """Steady time less monotonic time."""
        self._wall_offset = self._offset
        """The same of the wall clock, when last read."""
        self._follow_at = self._at
        """Monotonic time from which a wall clock that is apart counts as right."""

    def __call__(self) -> float:
        """POSIX seconds."""
        with self._lock:
            before = max(self._stopwatch(), self._at)
            wall = self._wall()
            after = max(self._stopwatch(), before)
            elapsed, self._at = before - self._at, before
            # A thread that paused between the readings is no step: of what they allow, the least counts.
            least, most = wall - after - self._wall_offset, wall - before - self._wall_offset
            step = least if least > STEP_SECONDS else most if most < -STEP_SECONDS else 0.0
            if step or after - before < STEP_SECONDS / 2:
                self._wall_offset = wall - before
            if step:
                self._follow_at = before + HOLD_SECONDS
            self._follow(before, elapsed)
            now = before + self._offset
        if step:
            self._on_jump(step)
        return now

    def _follow(self, at: float, elapsed: float) -> None:
        apart = self._wall_offset - self._offset
        if abs(apart) <= STEP_SECONDS:
            self._follow_at = at + HOLD_SECONDS
        elif at < self._follow_at:
            return
        if apart > STEP_SECONDS:
            self._offset += apart
        else:
            self._offset += min(max(apart, -SLEW * elapsed), SLEW * elapsed)
