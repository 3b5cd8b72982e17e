"""The supervisor of the processes of one machine: it starts them, and restarts all of them when one exits.

When a process exits the others cannot continue without its lanes. So all are stopped, the reason is logged, and all
start again from the last snapshot, after a pause that grows with each exit in a row. After an error that a restart does
not fix, such as wrong settings, nothing is started again.
"""

import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from threading import Lock, Thread
from typing import Any, BinaryIO, NamedTuple

import msgspec

from flows.host.signals import Signals

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""Shortest and longest pause before a restart; it doubles each time. A broker that restarts is back within a minute."""
HEALTHY_SECONDS = 300.0
"""After a run of this length the pause is the shortest again."""
LOUD_AFTER = 3
"""Restarts in a row that are logged as warnings; further ones are logged as errors."""
LAST_WORDS_SECONDS = 3.0
"""Time for the other processes to notice and to log; then they are killed, since they may wait without end."""
STOP_GRACE_SECONDS = 30.0
"""Time for an orderly stop, in addition to the time of deliveries."""
USAGE = 2
"""Exit code of a process whose settings have to be corrected."""
ABORTED = 128
"""Added to the number of a signal it is the exit code."""

Command = Callable[[int, Sequence[str]], list[str]]
"""Number of a process and the addresses of all -> the command that runs it."""


class ProcessExit(NamedTuple):
    """A process that has ended, and how (`subprocess.Popen.returncode`)."""

    process: int
    code: int


class Supervisor:
    """Runs `count` processes on this machine; `run` returns the exit code after the last stop.

    `stop_seconds` bounds an orderly stop: processes that are left then are killed, and the next start repeats their
    last seconds.
    """

    def __init__(self, count: int, command: Command, stop_seconds: float) -> None:
        self._count = count
        self._command = command
        self._stop_seconds = stop_seconds
        self._events: queue.Queue[ProcessExit | signal.Signals] = queue.Queue()
        self._children: list[_Child] = []
        self._stopping: signal.Signals | None = None

    def run(self) -> int:
        """Start, watch, start again, until SIGTERM or SIGINT."""
        with Signals(self._events.put):
            try:
                return self._keep()
            finally:
                for child in self._children:
                    child.kill()

    def _keep(self) -> int:
        deaths = 0
        while True:
            began = time.monotonic()
            self._start()
            code = self._watch()
            if code is not None:
                return code
            deaths = 1 if time.monotonic() - began > HEALTHY_SECONDS else deaths + 1
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (deaths - 1), LONGEST_PAUSE_SECONDS)
            level = logging.WARNING if deaths <= LOUD_AFTER else logging.ERROR
            log.log(
                level,
                "all processes start again in %g s (in a row: %d)",
                pause,
                deaths,
                extra={"event": "processes_restart"},
            )
            if self._is_stopped_within(pause):
                return 0

    def _start(self) -> None:
        addresses = free_addresses(self._count)
        self._children = [_Child(n, self._command(n, addresses), self._events.put) for n in range(self._count)]
        log.info(
            "started %d processes",
            self._count,
            extra={"event": "processes_started", "pids": [child.pid for child in self._children]},
        )

    def _watch(self) -> int | None:
        """Wait for the end; the exit code, or `None` if all are to start again."""
        first = self._events.get()
        if isinstance(first, signal.Signals):
            return self._stop()
        log.error(
            "process p%d %s; all processes stop", first.process, self._reason(first), extra={"event": "process_died"}
        )
        self._end_the_others(first)
        if first.code == USAGE:
            log.error(
                "not started again: process p%d needs a correction",
                first.process,
                extra={"event": "processes_given_up"},
            )
            return USAGE
        return None

    def _stop(self) -> int:
        """Stop all processes, which finish what they have read; a time limit or a second signal kills the rest."""
        log.info("stopping %d processes; a second signal aborts", self._count, extra={"event": "processes_stopping"})
        for child in self._children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_seconds
        codes: list[int] = []
        while len(codes) < self._count:
            try:
                event = self._events.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                break
            if isinstance(event, signal.Signals):
                log.warning(
                    "aborted; the next start processes the events since the last snapshot again",
                    extra={"event": "processes_aborted"},
                )
                return ABORTED + event
            codes.append(0 if event.code == -signal.SIGTERM else event.code)  # it had not installed its handler yet
            if codes[-1]:
                log.error(
                    "process p%d %s while it was stopping",
                    event.process,
                    self._reason(event),
                    extra={"event": "process_failed_stopping"},
                )
        if len(codes) < self._count:
            log.error(
                "not stopped within %g s: killed; the next start processes their last seconds again",
                self._stop_seconds,
                extra={"event": "processes_killed"},
            )
            return 1
        log.info("stopped", extra={"event": "processes_stopped"})
        return 1 if any(codes) else 0

    def _end_the_others(self, first: ProcessExit) -> None:
        """Give them time to log, then kill them."""
        deadline = time.monotonic() + LAST_WORDS_SECONDS
        left = self._count - 1
        while left:
            try:
                event = self._events.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                break
            if isinstance(event, ProcessExit):
                left -= 1
                log.info(
                    "process p%d %s, after p%d had",
                    event.process,
                    self._reason(event),
                    first.process,
                    extra={"event": "process_ended"},
                )
            else:
                self._stopping = event
        for child in self._children:
            child.kill()

    def _is_stopped_within(self, seconds: float) -> bool:
        """Wait; returns whether a signal has arrived."""
        deadline = time.monotonic() + seconds
        while self._stopping is None:
            try:
                event = self._events.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                return False
            if isinstance(event, signal.Signals):  # else the exit of a killed process
                self._stopping = event
        log.info("stopped", extra={"event": "processes_stopped"})
        return True

    def _reason(self, ended: ProcessExit) -> str:
        return f"{how(ended.code)}: {self._children[ended.process].last_words()}"


class _Child:
    """One process. Its standard error is forwarded to ours; it ends with the supervisor."""

    def __init__(self, number: int, command: Sequence[str], on_end: Callable[[ProcessExit], None]) -> None:
        self._number = number
        self._error = ""
        self._line = ""
        self._process = subprocess.Popen(  # noqa: S603  our own command
            command,
            stdin=subprocess.PIPE,  # stays open while this process lives: see `end_with_parent`
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which passes it on once
        )
        self._reader = Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()
        Thread(target=self._wait, args=(on_end,), name=f"csq-p{number}", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def last_words(self) -> str:
        """The last error that it wrote, else its last line."""
        return self._error or self._line or "it wrote nothing"

    def _wait(self, on_end: Callable[[ProcessExit], None]) -> None:
        code = self._process.wait()
        self._reader.join(1.0)  # its last line is part of the reason
        on_end(ProcessExit(self._number, code))

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


def free_addresses(count: int) -> list[str]:
    """Free addresses of the loopback. If another program takes one meanwhile, all processes start again."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in held]
    for server in held:
        server.close()
    return addresses


def end_with_parent() -> None:
    """End this process as soon as its supervisor has ended, even by a kill.

    The parent holds the other end of our standard input and never writes to it.
    """
    Thread(target=_end_with_parent, name="csq-parent", daemon=True).start()


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)  # without a message: its standard error went through the parent
