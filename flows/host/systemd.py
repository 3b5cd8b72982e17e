"""Notifications to systemd, for a unit of `Type=notify`: ready, alive, stopping (sd_notify(3)).

systemd kills and restarts a unit that has not said `WATCHDOG=1` for `WatchdogSec`. A start that is not ready within
`TimeoutStartSec` is killed too, unless it asks for more time; it does so while it makes progress.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Self

from flows.host.heartbeat import Beat

ADDRESS: Final = "NOTIFY_SOCKET"
OURS: Final = (ADDRESS, "WATCHDOG_USEC", "WATCHDOG_PID")
"""Variables that are meant for this process alone, not for its children."""
MORE_SECONDS: Final = 60
"""A start that makes progress asks for so much time each second."""


class SystemdNotifier:
    """Sends the state of this process to systemd."""

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> Self | None:
        """The notifier of the unit that runs this process; `None` outside of one."""
        address = environ.get(ADDRESS, "")
        return cls(address) if address.startswith(("/", "@")) else None

    def beat(self, beat: Beat) -> None:
        """Report how the flow of this process does."""
        self.report(beat.doing, moves=beat.moves, stuck=beat.is_stuck)

    def report(self, status: str, *, moves: bool, stuck: bool) -> None:
        """Say what the process does, ready if it `moves`, and alive unless it is `stuck`; all of it each time."""
        lines = [f"STATUS={status}"]
        if moves:
            lines.append("READY=1")
        if not stuck:
            lines.append("WATCHDOG=1")
        if not (moves or stuck):
            lines.append(f"EXTEND_TIMEOUT_USEC={MORE_SECONDS * 1_000_000}")
        self._send(lines)

    def stop(self) -> None:
        """Say that the process stops in good order."""
        self._send(["STOPPING=1", "STATUS=stops"])

    def _send(self, lines: list[str]) -> None:
        # Without systemd nobody listens; what does not fit into its queue is said again a second later.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.sendto("\n".join(lines).encode(), socket.MSG_DONTWAIT, self._address)
