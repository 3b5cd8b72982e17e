"""What one measured run took: time, CPU time, memory."""

import resource
import sys
from pathlib import Path
from time import perf_counter, process_time

from msgspec import Struct

from flows.process import settle_memory

YARDSTICK_STEPS = 200_000
YARDSTICKS = 3
"""The best of so many is taken."""


class Figures(Struct, kw_only=True):
    """One run."""

    events: int
    seconds: float
    cpu_seconds: float
    """Of the whole process: librdkafka's threads too."""
    rss_bytes: int
    """Most memory the process ever held."""
    counted: dict[str, int]
    """Counts of the metrics, so that runs can be compared: an engine that loses events is fast."""
    published: int
    published_bytes: int
    yardstick_seconds: float
    """CPU time of a fixed piece of work right before the run: how fast the machine was just then."""
    stages: dict[str, float] = {}
    """Seconds per stage, where they were measured."""


class Meter:
    """Starts when the first event may be read.

    >>> meter = Meter()
    >>> meter.start()
    >>> seconds, cpu_seconds = meter.read()
    >>> seconds >= 0 and cpu_seconds >= 0
    True
    """

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None
        self.yardstick_seconds = 0.0

    def prepare(self) -> None:
        """Do, once, what is to be done before the clock runs."""
        if not self.yardstick_seconds:
            self.yardstick_seconds = min(yardstick() for _ in range(YARDSTICKS))
            settle_memory()  # as live running does

    def start(self) -> None:
        """Start, once."""
        if self._began is None:
            self.prepare()
            self._began = (perf_counter(), process_time())

    def read(self) -> tuple[float, float]:
        """Seconds and CPU seconds since the start."""
        if self._began is None:
            raise RuntimeError("the meter was read before it was started: the run read no event")
        return perf_counter() - self._began[0], process_time() - self._began[1]


def yardstick() -> float:
    """CPU seconds that plain Python needs for a fixed piece of work with numbers, strings and a table."""
    began, table = process_time(), dict[str, int]()
    for number in range(YARDSTICK_STEPS):
        name = f"entity-{number % 997}"
        table[name] = table.get(name, 0) + number
    return process_time() - began


def peak_rss_bytes() -> int:
    """Most memory this process ever held."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage of a new process still has its parent's peak
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
