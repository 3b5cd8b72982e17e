"""Heartbeats: a thread that looks once a second whether the flow moves, and reports it to who restarts the process.

That is the supervisor of ``csq run --processes``, over standard input, and systemd. The thread says what the flow does,
not that the thread itself lives: a flow that is stuck shows, and so does a process that is stopped.
"""

import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Thread

import msgspec
from msgspec import Struct

from flows.host.liveness import LivenessClock
from flows.host.silence import LOOK_SECONDS, Silence


class Beat(Struct, frozen=True):
    """How a flow does; on a connection a line of JSON."""

    doing: str
    """Words after the name of the process."""
    moves: bool
    """Whether the worker's loop has begun."""
    runs: bool
    """Whether the start is over."""
    still_seconds: float
    """For how long it has not moved, while the process ran."""
    limit_seconds: float
    """When it has not moved for longer it is stuck."""
    restart: str = ""
    """Why all processes should stop in good order and start again; empty without a reason."""

    @property
    def is_stuck(self) -> bool:
        """Whether it should be restarted.

        >>> Beat("runs", True, True, 31.0, 30.0).is_stuck
        True
        """
        return self.still_seconds > self.limit_seconds


Receiver = Callable[[Beat], None]


class Heartbeat:
    """Looks at the flow from its own thread between `start` and `end`."""

    def __init__(self, clock: LivenessClock, receivers: Sequence[Receiver]) -> None:
        self.restart = ""
        """As in `Beat`."""
        self._clock = clock
        self._receivers = receivers
        self._still = Silence()
        self._seen = -1
        self._ending = Event()
        self._thread = Thread(target=self._run, name="csq-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._receivers:
            self._thread.start()

    def end(self) -> None:
        """Stop looking."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(LOOK_SECONDS)

    def look(self) -> None:
        """Look once, and report."""
        if self._clock.beats != self._seen:
            self._seen = self._clock.beats
            self._still.heard()
        clock = self._clock
        beat = Beat(clock.doing, clock.moves, clock.runs, self._still.look(), clock.limit_seconds(), self.restart)
        for receive in self._receivers:
            receive(beat)

    def _run(self) -> None:
        while True:
            self.look()
            if self._ending.wait(LOOK_SECONDS):
                return


def to_supervisor(connection: socket.socket) -> Receiver:
    """Send each beat as a line. One that does not fit is left out: the supervisor reads nothing."""

    def send(beat: Beat) -> None:
        with suppress(OSError):
            connection.send(msgspec.json.encode(beat) + b"\n", socket.MSG_DONTWAIT)

    return send


def supervisor() -> socket.socket:
    """The connection to the supervisor, which is standard input."""
    return socket.socket(fileno=sys.stdin.fileno())
