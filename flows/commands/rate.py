"""The option `--rate`: a bound on events per second."""

import time
from collections.abc import Callable

import click

rate_option = click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Maximum number of events per second."
)


class RateLimit:
    """Limits the average rate since the first event; after a pause events pass faster until it is reached.

    Args:
        per_second: events per second; `None` is no limit.
        stopwatch: monotonic seconds.
        sleep: waits for some seconds.

    >>> now = [0.0]
    >>> limit = RateLimit(2.0, lambda: now[0], lambda seconds: now.append(now.pop() + seconds))
    >>> for _ in range(4):
    ...     limit.wait()
    >>> now
    [1.5]
    """

    def __init__(
        self,
        per_second: float | None,
        stopwatch: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._stopwatch = stopwatch
        self._sleep = sleep
        self._began: float | None = None
        self._count = 0

    def wait(self) -> None:
        """Sleep until the next event is due."""
        if self._per_second is None:
            return
        now = self._stopwatch()
        if self._began is None:
            self._began = now
        due = self._began + self._count / self._per_second
        self._count += 1
        if due > now:
            self._sleep(due - now)
