"""Log lines of the life of a process: its start, where it resumes, and its end."""

import logging
import platform
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from threading import Lock

from prometheus_client import CollectorRegistry

from flows.settings.load import settings_digest
from flows.settings.model import Settings
from operators.metrics.observe import read

log = logging.getLogger(__name__)

EVENTS = "csq_events_total"


class Life:
    """Logs the start, the resume point and the end of one process."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._registry = registry
        self._began = time.monotonic()
        self._before = 0.0
        self._resumed = False
        self._lock = Lock()

    def start(self, url: str) -> None:
        """Log what starts, with which settings, and where it serves."""
        self._began, self._before = time.monotonic(), self._events()
        log.info(
            "csq %s starts, serving metrics at %s/metrics",
            version("csq"),
            url,
            extra={
                "event": "start",
                "version": version("csq"),
                "settings_digest": settings_digest(self._settings),
                "python": platform.python_version(),
                "brokers": self._settings.kafka.brokers,
                "topics": self._settings.kafka.topics,
                "state_directory": self._settings.state.directory,
            },
        )

    def resume(self, positions: Mapping[str, int], models: Iterable[str]) -> None:
        """Log, once, where reading begins: next offset by partition (negative: none is stored), and the models."""
        with self._lock:
            if self._resumed:
                return
            self._resumed = True
        log.info(
            "reading %d partitions",
            len(positions),
            extra={
                "event": "resume_point",
                "offsets": {name: offset if offset >= 0 else "beginning" for name, offset in sorted(positions.items())},
                "models": sorted(models),
            },
        )

    def stop(self, why: str, *, failed: bool) -> None:
        """Log why it ended, how long it ran, and how many events it took."""
        log.log(
            logging.ERROR if failed else logging.INFO,
            "stopped",
            extra={
                "event": "stop",
                "why": why,
                "seconds": round(time.monotonic() - self._began, 1),
                "events": round(self._events() - self._before),
            },
        )

    def _events(self) -> float:
        return sum(read(self._registry, {EVENTS}).get(EVENTS, {}).values())
