"""The supervisor of the processes of one machine: it starts them, and restarts all of them when one exits or hangs.

When a process exits the others cannot continue without its lanes. So all are stopped, the reason is logged, and all
start again from the last snapshot, after a pause that grows with each exit in a row. After an error that a restart does
not fix, such as wrong settings, nothing is started again.

Each process reports once a second how its flow does (``heartbeat.py``). One that reports nothing, or whose flow does
not move, is killed, and then the same happens.

A report may also ask for a restart: partitions were added, and Bytewax fixes those of a source at the start. All are
stopped in good order, store what they have read, and start again at once.
"""

import logging
import math
import queue
import signal
import socket
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto

from flows.host.cluster.child import ProcessChild, ProcessExit, how
from flows.host.cluster.same_store import SameStore
from flows.host.signals import Signals
from flows.host.silence import LOOK_SECONDS
from flows.host.systemd import SystemdNotifier
from operators.engine.store import StoreError

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""Shortest and longest pause before a restart; it doubles each time. A broker that restarts is back within a minute."""
HEALTHY_SECONDS = 300.0
"""After a run of this length the pause is the shortest again. That of restarts which are asked for is the shortest when
all processes have run for so long and none has asked."""
LOUD_AFTER = 3
"""Restarts in a row that are logged as warnings; further ones are logged as errors."""
ASKED_PAUSES_SECONDS = (0.0, 30.0, 60.0, 120.0, 240.0)
"""Least time between a start and a restart that a process asks for: the first in a row, the second, and so on. After
the last there is no further one: the restarts do not give what is asked for."""
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


class Again(Enum):
    """When all processes start again."""

    AT_ONCE = auto()
    AFTER_A_PAUSE = auto()


class Supervisor:
    """Runs the processes of one machine; `run` returns the exit code after the last stop.

    Args:
        count: number of processes.
        command: what runs each.
        stop_seconds: bounds an orderly stop: processes that are left then are killed, and the next start repeats their
            last seconds.
        store: what a restart has to resume from.
    """

    def __init__(self, count: int, command: Command, stop_seconds: float, store: SameStore) -> None:
        self._count = count
        self._store = store
        self._command = command
        self._stop_seconds = stop_seconds
        self._events: queue.Queue[ProcessExit | signal.Signals] = queue.Queue()
        self._children: list[ProcessChild] = []
        self._stopping: signal.Signals | None = None
        self._systemd = SystemdNotifier.of()
        self._progress_due = 0.0
        self._began = 0.0
        """When the processes were started last."""
        self._quiet_since = math.inf
        """Since when all processes run and none asks for a restart."""
        self._asked_in_row = 0
        """Restarts in a row that a process had asked for."""
        self._restart_at: float | None = None
        """When all start again, because a process has asked for it since the last start; never, if infinite."""

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
            self._start()
            end = self._watch()
            if isinstance(end, int):
                return end
            if time.monotonic() - self._began > HEALTHY_SECONDS:
                deaths = 0
            if end is Again.AFTER_A_PAUSE:
                deaths += 1
                if self._is_stopped_in_pause(deaths):
                    return 0
            try:
                self._store.check()
            except StoreError as error:
                log.critical("%s", error, extra={"event": "store_lost"})
                return USAGE

    def _start(self) -> None:
        self._began, self._restart_at = time.monotonic(), None
        addresses = free_addresses(self._count)
        self._children = [ProcessChild(n, self._command(n, addresses), self._events.put) for n in range(self._count)]
        self._progress_due = self._began + PROGRESS_SECONDS
        log.info(
            "started %d processes",
            self._count,
            extra={"event": "processes_started", "pids": [child.pid for child in self._children]},
        )

    def _watch(self) -> int | Again:
        """Wait for the end; the exit code, or when all start again."""
        first = self._next(math.inf)
        while first is None:
            self._judge(stopping=False)
            if self._is_restart_due():
                return self._restart()
            first = self._next(math.inf)
        if isinstance(first, signal.Signals):
            self._heed(first)
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
        return Again.AFTER_A_PAUSE

    def _is_restart_due(self) -> bool:
        """Whether a process asks for a restart of all, and the time for it has come. A start is not interrupted."""
        now = time.monotonic()
        asking = next((child for child in self._children if child.beat.restart), None)
        has_started = all(child.beat.runs for child in self._children)
        if asking is not None or not has_started:
            self._quiet_since = now
        elif now - self._quiet_since > HEALTHY_SECONDS:
            self._asked_in_row, self._restart_at = 0, None
        if asking is None or not has_started:
            return False
        if self._restart_at is None:
            self._restart_at = self._plan_restart(f"process p{asking.number} reports {asking.beat.restart}", now)
        return now >= self._restart_at

    def _plan_restart(self, reason: str, now: float) -> float:
        """Log whether and when all processes start again; the time."""
        if self._asked_in_row == len(ASKED_PAUSES_SECONDS):
            log.error(
                "%s; %d restarts in a row did not help, and no other follows: restart csq",
                reason,
                self._asked_in_row,
                extra={"event": "restart_in_vain"},
            )
            return math.inf
        at = self._began + ASKED_PAUSES_SECONDS[self._asked_in_row]
        when = f" in {at - now:.0f} s" if at > now else ""
        log.info("%s; all processes stop and start again%s", reason, when, extra={"event": "restarting"})
        return at

    def _restart(self) -> int | Again:
        """Stop all processes; the exit code if a signal has arrived meanwhile, else when they start again."""
        self._asked_in_row += 1
        code = self._stop()
        if self._stopping is not None:
            return code
        if code == USAGE:
            log.error("not started again: a process needs a correction", extra={"event": "processes_given_up"})
            return USAGE
        for child in self._children:
            child.kill()
        return Again.AFTER_A_PAUSE if code else Again.AT_ONCE

    def _next(self, deadline: float) -> ProcessExit | signal.Signals | None:
        """The next event; `None` if there is none until the next look, or the deadline."""
        self._notify()
        try:
            return self._events.get(timeout=min(LOOK_SECONDS, max(deadline - time.monotonic(), 0.0)))
        except queue.Empty:
            return None

    def _judge(self, *, stopping: bool) -> None:
        """Kill a process that hangs; its end is an event like any other. A stop has a limit of its own."""
        self._store.look()
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

    def _heed(self, number: signal.Signals) -> None:
        """Note that a signal wants the end."""
        self._stopping = number
        log.info("stopping %d processes; a second signal aborts", self._count, extra={"event": "processes_stopping"})
        if self._systemd is not None:
            self._systemd.stop()

    def _stop(self) -> int:
        """Stop all processes, which finish what they have read; the exit code.

        A time limit or a second signal kills the rest.
        """
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
                if self._stopping is None:
                    self._heed(event)
                    continue
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
        if self._stopping is not None:
            log.info("stopped", extra={"event": "processes_stopped"})
        if USAGE in codes:
            return USAGE
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

    def _is_stopped_in_pause(self, deaths: int) -> bool:
        """Wait before the restart after so many deaths in a row; returns whether a signal has arrived."""
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (deaths - 1), LONGEST_PAUSE_SECONDS)
        level = logging.WARNING if deaths <= LOUD_AFTER else logging.ERROR
        log.log(
            level,
            "all processes start again in %g s (in a row: %d)",
            pause,
            deaths,
            extra={"event": "processes_restart"},
        )
        return self._is_stopped_within(pause)

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
