"""A process of this machine, as its supervisor sees it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock, Thread
from typing import Any, BinaryIO, NamedTuple

import msgspec

from flows.host.heartbeat import Beat
from flows.host.liveness import START_SECONDS
from flows.host.silence import Silence
from flows.host.systemd import OURS

SILENT_SECONDS = 30.0
"""A process that has started and was silent for longer hangs. A start has `START_SECONDS`."""


class ProcessExit(NamedTuple):
    """A process that has ended, and how (`subprocess.Popen.returncode`)."""

    process: int
    code: int


class ProcessChild:
    """One process. Its standard error is forwarded to ours; it ends with the supervisor."""

    def __init__(self, number: int, command: Sequence[str], on_end: Callable[[ProcessExit], None]) -> None:
        self.number = number
        self.silence = Silence()
        self.beat = Beat("starts", moves=False, runs=False, still_seconds=0.0, limit_seconds=START_SECONDS)
        """As of its last report."""
        self.hanging = ""
        """Why it was killed."""
        self._error = ""
        self._line = ""
        self._beats, theirs = socket.socketpair()  # stays open while this process lives: see ``parent.py``
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own command
                command,
                stdin=theirs.fileno(),
                stderr=subprocess.PIPE,
                env={name: value for name, value in os.environ.items() if name not in OURS},
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which passes it on once
            )
        Thread(target=self._listen, args=(self._beats,), daemon=True).start()
        self._reader = Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()
        Thread(target=self._wait, args=(on_end,), name=f"csq-p{number}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Number of the process in the system."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def doing(self) -> str:
        """Its name and what it does."""
        return f"p{self.number} {self.beat.doing}"

    def hangs(self, *, stopping: bool) -> str:
        """What is wrong with it, as words after its name; empty if nothing is."""
        beat, silent = self.beat, self.silence.seconds
        if self.hanging or self._process.poll() is not None:
            return ""
        if silent > (SILENT_SECONDS if beat.runs else START_SECONDS):
            return f"was silent for {silent:.0f} s ({beat.doing})"
        if beat.is_stuck and not stopping:
            return f"has not moved for {beat.still_seconds:.0f} s ({beat.doing})"
        return ""

    def kill_hanging(self, reason: str) -> None:
        """Kill it; also one that is stopped."""
        self.hanging = f"{reason} and was killed"
        self._process.kill()

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self._beats.shutdown(socket.SHUT_RDWR)  # ends the thread that reads
        self._beats.close()

    def last_words(self) -> str:
        """The last error that it wrote, else its last line."""
        return self._error or self._line or "it wrote nothing"

    def _listen(self, connection: socket.socket) -> None:
        with suppress(OSError), connection.makefile("rb") as lines:
            for line in lines:
                self.silence.heard()
                with suppress(msgspec.MsgspecError):
                    self.beat = msgspec.json.decode(line, type=Beat)

    def _wait(self, on_end: Callable[[ProcessExit], None]) -> None:
        code = self._process.wait()
        self._reader.join(1.0)  # its last line is part of the reason
        on_end(ProcessExit(self.number, code))

    def _read(self, stream: BinaryIO) -> None:
        for raw in stream:
            with _writing:
                sys.stderr.buffer.write(raw)
                sys.stderr.buffer.flush()
            line = raw.decode(errors="replace").strip()
            if line:
                self._line = line
                self._error = _error_in(line) or self._error


_writing = Lock()


def how(code: int) -> str:
    """How a process ended.

    >>> how(1), how(-9)
    ('ended with exit code 1', 'was killed by SIGKILL')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-code}"


def _error_in(line: str) -> str | None:
    """The message of a line that reports an error: of csq's log, or of the command."""
    if line.startswith("Error: "):
        return line.removeprefix("Error: ")
    try:
        entry: Any = msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return None
    if isinstance(entry, dict) and entry.get("level") in {"error", "critical"}:
        return str(entry.get("message"))
    return None
