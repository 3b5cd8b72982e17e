"""The supervisor of the processes of one machine: it starts them, and restarts all of them when one exits or hangs.

When a process exits the others cannot continue without its lanes. So all are stopped, the reason is logged, and all
start again from the last snapshot, after a pause that grows with each exit in a row. After an error that a restart does
not fix, such as wrong settings, nothing is started again.

Each process reports once a second how its flow does (``heartbeat.py``). One that reports nothing, or whose flow does
not move, is killed, and then the same happens.
"""

import logging
import math
import queue
import signal
import socket
import time
from collections.abc import Callable, Sequence

from flows.host.cluster.child import ProcessChild, ProcessExit, how
from flows.host.signals import Signals
from flows.host.silence import LOOK_SECONDS
from flows.host.systemd import SystemdNotifier

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
PROGRESS_SECONDS = 30.0
"""Time between two log lines while processes start."""
USAGE = 2
"""Exit code of a process whose settings have to be corrected."""
ABORTED = 128
"""Added to the number of a signal it is the exit code."""

Command = Callable[[int, Sequence[str]], list[str]]
"""Number of a process and the addresses of all -> the command that runs it."""


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
        self._children: list[ProcessChild] = []
        self._stopping: signal.Signals | None = None
        self._systemd = SystemdNotifier.of()
        self._progress_due = 0.0

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
        self._children = [ProcessChild(n, self._command(n, addresses), self._events.put) for n in range(self._count)]
        self._progress_due = time.monotonic() + PROGRESS_SECONDS
        log.info(
            "started %d processes",
            self._count,
            extra={"event": "processes_started", "pids": [child.pid for child in self._children]},
        )

    def _watch(self) -> int | None:
        """Wait for the end; the exit code, or `None` if all are to start again."""
        first = self._next(math.inf)
        while first is None:
            self._judge(stopping=False)
            first = self._next(math.inf)
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

    def _next(self, deadline: float) -> ProcessExit | signal.Signals | None:
        """The next event; `None` if there is none until the next look, or the deadline."""
        self._notify()
        try:
            return self._events.get(timeout=min(LOOK_SECONDS, max(deadline - time.monotonic(), 0.0)))
        except queue.Empty:
            return None

    def _judge(self, *, stopping: bool) -> None:
        """Kill a process that hangs; its end is an event like any other. A stop has a limit of its own."""
        for child in self._children:
            child.silence.look()
        why = next(((child, why) for child in self._children if (why := child.hangs(stopping=stopping))), None)
        if why is not None:
            child, reason = why
            log.error(
                "process p%d %s: killed",
                child.number,
                reason,
                extra={"event": "process_hangs"},
            )
            child.kill_hanging(reason)
        starting = [child.doing() for child in self._children if not child.beat.runs]
        if starting and not stopping and time.monotonic() > self._progress_due:
            self._progress_due = time.monotonic() + PROGRESS_SECONDS
            log.info("starting: %s", ", ".join(starting), extra={"event": "processes_starting"})

    def _notify(self) -> None:
        """Tell systemd that this process looks after the others, and how they do."""
        if self._systemd is not None:
            status = ", ".join(child.doing() for child in self._children) or "restarts its processes"
            moves = bool(self._children) and all(child.beat.moves for child in self._children)
            self._systemd.report(status, moves=moves, stuck=False)

    def _stop(self) -> int:
        """Stop all processes, which finish what they have read; a time limit or a second signal kills the rest."""
        log.info("stopping %d processes; a second signal aborts", self._count, extra={"event": "processes_stopping"})
        if self._systemd is not None:
            self._systemd.stop()
        for child in self._children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_seconds
        codes: list[int] = []
        while len(codes) < self._count and time.monotonic() < deadline:
            event = self._next(deadline)
            if event is None:
                self._judge(stopping=True)
                continue
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
            if time.monotonic() >= deadline:
                return False
            event = self._next(deadline)
            if isinstance(event, signal.Signals):  # else the exit of a killed process
                self._stopping = event
        log.info("stopped", extra={"event": "processes_stopped"})
        return True

    def _reason(self, ended: ProcessExit) -> str:
        child = self._children[ended.process]
        return child.hanging or f"{how(ended.code)}: {child.last_words()}"


def free_addresses(count: int) -> list[str]:
    """Free addresses of the loopback. If another program takes one meanwhile, all processes start again."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in held]
    for server in held:
        server.close()
    return addresses
