"""What one measured run took: time, CPU time, memory."""

import gc
import resource
import sys
from pathlib import Path
from time import perf_counter, process_time

from msgspec import Struct


class Figures(Struct, kw_only=True):
    """One run."""

    events: int
    seconds: float
    cpu_seconds: float
    """Of the whole process: librdkafka's threads too."""
    rss_bytes: int
    """Most memory the process ever held."""
    counted: dict[str, int]
    """What the metrics say happened, so that runs can be compared: an engine that loses events is fast."""
    published: int
    published_bytes: int
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

    def start(self) -> None:
        """Start, once; what is there by now is no garbage and is not looked at again."""
        if self._began is None:
            gc.collect()
            gc.freeze()
            self._began = (perf_counter(), process_time())

    def read(self) -> tuple[float, float]:
        """Seconds and CPU seconds since the start."""
        if self._began is None:
            raise RuntimeError("the meter was read before it was started: the run read no event")
        return perf_counter() - self._began[0], process_time() - self._began[1]


def peak_rss_bytes() -> int:
    """Most memory this process ever held."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage of a fresh process still knows its parent's peak
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
