"""What the source knows of itself: whether the brokers answer, where it stands, what is still to be read."""

import logging
from collections.abc import Callable
from threading import Lock
from time import monotonic

LOG = logging.getLogger(__name__)


class SourceStatus:
    """For readiness checks and metrics. Written by the source and its watch, each from a thread of its own."""

    def __init__(self) -> None:
        self.connected = False
        """The brokers answer."""
        self.reason = "no answer from a broker yet"
        """Why not connected; empty when connected."""
        self.parts = 0
        """How many parts all processes together read; 0 before the brokers were asked."""
        self.positions: dict[str, int] = {}
        """Next offset to hand on, by part (`topic[n]`); negative while not known yet."""
        self.ends: dict[str, tuple[int, int]] = {}
        """First offset held and next that will be written, by part, as last heard."""
        self.unread: dict[str, int] = {}
        """Partitions by topic that came after the start: they are taken up at the next one."""
        self.ended = False
        """Reading is over."""
        self.tell: Callable[[SourceStatus], None] = lambda _: None
        """Called when something of this was heard anew, from whatever thread heard it."""
        self._lock = Lock()
        self._lost_at = monotonic()

    def lags(self) -> dict[str, int]:
        """Messages of each part that were not handed on yet, as far as known."""
        known = self.positions.copy()
        return {name: max(high - max(known.get(name, 0), low), 0) for name, (low, high) in self.ends.copy().items()}

    def lose(self, reason: str) -> None:
        """Note that no broker answers; logged once."""
        with self._lock:
            if self.ended:
                return
            was, self.connected, self.reason = self.connected, False, reason
            if was:
                self._lost_at = monotonic()
        if was:
            LOG.warning("Kafka: contact lost, trying on: %s", reason, extra={"event": "broker_lost"})
            self.tell(self)

    def answer(self, asked_at: float) -> None:
        """Note that the brokers answered what was asked at `asked_at` (`monotonic`), if that was after the loss."""
        with self._lock:
            if self.ended or self.connected or asked_at < self._lost_at:
                return
            self.connected, self.reason = True, ""
            away = monotonic() - self._lost_at
        LOG.warning("Kafka: contact is back after %.1f s", away, extra={"event": "broker_back"})
        self.tell(self)

    def begin(self) -> None:
        """Note the first answer."""
        with self._lock:
            self.connected, self.reason = True, ""

    def end(self) -> None:
        """Note that reading is over."""
        with self._lock:
            self.ended, self.connected, self.reason = True, False, "closed"
