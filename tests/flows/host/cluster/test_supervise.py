"""The supervisor: if one process exits or hangs all start again, all stop on a signal, and none outlives it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.host.cluster.child import SILENT_SECONDS
from flows.host.liveness import START_SECONDS
from operators.engine.store import Manifest, write_manifest
from tests.streams import ENVIRON, ROOT

SUPERVISE = """
import logging, os, sys
from flows.host import logs
from pathlib import Path
from flows.host.cluster import child, supervise
from flows.host.cluster.same_store import SameStore
logs.start("info")
supervise.FIRST_PAUSE_SECONDS = 0.1
supervise.LAST_WORDS_SECONDS = 0.5
supervise.PROGRESS_SECONDS = 1.0
supervise.ASKED_PAUSES_SECONDS = (0.0, 3.0, 4.0)
supervise.HEALTHY_SECONDS = float(os.environ.get("HEALTHY", supervise.HEALTHY_SECONDS))
folder, script, count, stop_seconds, silent_seconds, start_seconds = sys.argv[1:]
child.SILENT_SECONDS, child.START_SECONDS = float(silent_seconds), float(start_seconds)
def command(number, addresses):
    return [sys.executable, "-c", script, str(number), folder, ",".join(addresses)]
sys.exit(supervise.Supervisor(int(count), command, float(stop_seconds), SameStore(Path(folder, "store"))).run())
"""
CHILD = """
import os, signal, sys, time
from pathlib import Path
number, folder, addresses = sys.argv[1:]
alive = Path(folder, f"alive-{number}-{os.getpid()}")
starts = len(list(Path(folder).glob(f"alive-{number}-*")))
alive.touch()
def say(text):
    print(text, file=sys.stderr, flush=True)
"""
BEATS = """
import json
def beat(doing="runs", runs=True, still=0.0, **more):
    line = {"doing": doing, "moves": runs, "runs": runs, "still_seconds": still, "limit_seconds": 30.0, **more}
    os.write(0, json.dumps(line).encode() + b"\\n")
def beat_on(seconds=600.0, **more):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        beat(**more)
        time.sleep(0.2)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
"""
ASKS = f"""
{BEATS}
wish = "" if starts else "new partitions of chat"
def on_stop(act=lambda: None):
    signal.signal(signal.SIGTERM, lambda *_: (say("bye"), act() if wish else None, os._exit(0)))
on_stop()
"""
"""Processes that want all to start again, the first time."""
RESTARTING = re.compile(
    r"process p[01] reports new partitions of chat; all processes stop and start again( in [1-4] s)?"
)
HANGS = f"""
{BEATS}
first = number == '1' and not starts
beat_on(0.5 if first else 600.0) or os.kill(os.getpid(), signal.SIGSTOP)
"""
WAIT = """
from flows.host.cluster.parent import end_with_parent
signal.signal(signal.SIGTERM, lambda *_: (say("bye"), os._exit(0)))
end_with_parent()
say("waiting")
while True:
    time.sleep(0.05)
"""


class Supervised:
    """A supervisor of small programs, as a process of its own."""

    def __init__(
        self,
        folder: Path,
        script: str,
        count: int = 2,
        stop_seconds: float = 20.0,
        silent_seconds: float = SILENT_SECONDS,
        start_seconds: float = START_SECONDS,
        **environ: str,
    ) -> None:
        self.folder = folder
        self._log = folder / "log"
        numbers = map(str, (count, stop_seconds, silent_seconds, start_seconds))
        command = [sys.executable, "-c", SUPERVISE, str(folder), CHILD + script, *numbers]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own command
                command, cwd=ROOT, env=ENVIRON | environ, stderr=log, stdin=subprocess.DEVNULL
            )

    def log(self) -> str:
        return self._log.read_text()

    def messages(self, level: str | None = None) -> list[str]:
        entries = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [entry["message"] for entry in entries if level is None or entry["level"] == level]

    def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60.0
        while not holds():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def children(self) -> list[int]:
        return [int(path.name.rpartition("-")[2]) for path in self.folder.glob("alive-*")]

    def waiting(self, count: int) -> None:
        self.until(lambda: self.log().count("waiting") >= count)


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        os.kill(pid, 0)
        return not status.exists() or "State:\tZ" not in status.read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(script: str, **settings: Any) -> Supervised:
        started.append(Supervised(tmp_path, script, **settings))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def test_all_are_started_with_the_addresses_of_all(supervised: Callable[..., Supervised]):
    process = supervised("say(f'{number} knows {addresses}')" + WAIT, count=3)
    process.waiting(3)
    reported = {line.split(" knows ")[1] for line in process.log().splitlines() if " knows " in line}
    (addresses,) = reported
    assert len(set(addresses.split(","))) == 3


def test_sigterm_lets_all_finish(supervised: Callable[..., Supervised]):
    process = supervised(WAIT)
    process.waiting(2)
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(30) == 0
    assert process.log().count("bye") == 2
    assert process.messages()[-1] == "stopped"


def test_one_dies_all_stop_its_reason_is_logged_and_all_start_again(supervised: Callable[..., Supervised]):
    process = supervised("if number == '1' and not starts: say('Error: no leg to stand on'); sys.exit(1)" + WAIT)
    process.waiting(3)
    assert process.messages("error") == ["process p1 ended with exit code 1: no leg to stand on; all processes stop"]
    assert process.messages("warning") == ["all processes start again in 0.1 s (in a row: 1)"]
    assert sum(map(is_alive, process.children())) == 2
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(30) == 0


def test_the_last_error_of_a_json_log_is_the_reason(supervised: Callable[..., Supervised]):
    lines = ['{"level":"error","message":"the roof fell in"}', '{"level":"info","message":"stopped"}']
    process = supervised(f"if number == '0': say({chr(10).join(lines)!r}); sys.exit(3)" + WAIT)
    process.until(lambda: "all processes stop" in process.log())
    assert "process p0 ended with exit code 3: the roof fell in; all processes stop" in process.messages("error")


def test_pauses_grow_and_the_log_gets_louder(supervised: Callable[..., Supervised]):
    process = supervised("sys.exit(1)")
    process.until(lambda: len(process.messages()) >= 4 and "(in a row: 5)" in process.log())
    assert [line for line in process.messages("warning") if "again" in line] == [
        f"all processes start again in {seconds} s (in a row: {row})" for row, seconds in enumerate((0.1, 0.2, 0.4), 1)
    ]
    loud = [line for line in process.messages("error") if "again" in line]
    assert loud[:2] == [
        "all processes start again in 0.8 s (in a row: 4)",
        "all processes start again in 1.6 s (in a row: 5)",
    ]
    process.process.send_signal(signal.SIGTERM)  # in the middle of a pause
    assert process.process.wait(30) == 0


def test_wrong_settings_are_not_tried_again(supervised: Callable[..., Supervised]):
    process = supervised("if number == '0': say('Error: kafka.brokers: none'); sys.exit(2)" + WAIT)
    assert process.process.wait(60) == 2
    assert process.messages("error")[-1] == "not started again: process p0 needs a correction"
    assert "process p0 ended with exit code 2: kafka.brokers: none; all processes stop" in process.messages("error")
    assert not any(map(is_alive, process.children()))


def manifest(*runs: str) -> Manifest:
    return Manifest("0.1.0", 1, "0.22", 64, 1, [], "2026-01-05T08:00:00Z", runs=list(runs))


@pytest.mark.parametrize("other", [None, manifest("other")])
def test_on_another_store_nothing_is_started_again(supervised: Callable[..., Supervised], tmp_path: Path, other: Any):
    store = tmp_path / "store"
    store.mkdir()
    write_manifest(store, manifest("before", "this"))
    process = supervised("if number == '1': time.sleep(2); sys.exit(1)" + WAIT)
    process.waiting(1)
    time.sleep(1.5)  # a look at the store
    if other is None:
        store.rename(tmp_path / "removed")
    else:
        write_manifest(store, other)
    assert process.process.wait(30) == 2
    (text,) = process.messages("critical")
    assert f"recovery store {store}: it was {'removed' if other is None else 'replaced'}" in text
    assert len(process.children()) == 2


def test_on_the_same_store_all_are_started_again(supervised: Callable[..., Supervised], tmp_path: Path):
    store = tmp_path / "store"
    store.mkdir()
    write_manifest(store, manifest("this"))
    process = supervised("if number == '1' and not starts: time.sleep(2); sys.exit(1)" + WAIT)
    process.waiting(1)
    time.sleep(1.5)
    write_manifest(store, manifest("this", "next"))
    process.waiting(3)


def test_a_second_signal_aborts(supervised: Callable[..., Supervised]):
    process = supervised("signal.signal(signal.SIGTERM, lambda *_: None); say('waiting'); time.sleep(600)")
    process.waiting(2)
    process.process.send_signal(signal.SIGINT)
    process.until(lambda: "a second signal aborts" in process.log())
    process.process.send_signal(signal.SIGINT)
    assert process.process.wait(30) == 128 + signal.SIGINT
    assert not any(map(is_alive, process.children()))


def test_who_does_not_stop_in_time_is_killed(supervised: Callable[..., Supervised]):
    process = supervised(
        "signal.signal(signal.SIGTERM, lambda *_: None); say('waiting'); time.sleep(600)", stop_seconds=0.3
    )
    process.waiting(2)
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(30) == 1
    assert process.messages("error") == [
        "not stopped within 0.3 s: killed; the next start processes their last seconds again"
    ]
    assert not any(map(is_alive, process.children()))


def test_no_process_outlives_a_supervisor_that_is_killed(supervised: Callable[..., Supervised]):
    process = supervised(WAIT)
    process.waiting(2)
    process.process.kill()
    process.until(lambda: not any(map(is_alive, process.children())))


def test_a_child_that_a_signal_ended_is_reported_by_name(supervised: Callable[..., Supervised]):
    process = supervised(WAIT)
    process.waiting(2)
    os.kill(process.children()[0], signal.SIGKILL)
    process.until(lambda: "was killed by SIGKILL" in process.log())


@pytest.mark.slow
def test_one_that_hangs_is_killed_and_all_start_again(supervised: Callable[..., Supervised]):
    process = supervised(HANGS, silent_seconds=4.0)
    process.until(lambda: process.messages("warning") == ["all processes start again in 0.1 s (in a row: 1)"])
    killed, died = process.messages("error")
    assert re.fullmatch(r"process p1 was silent for \d+ s \(runs\): killed", killed)
    assert re.fullmatch(r"process p1 was silent for \d+ s \(runs\) and was killed; all processes stop", died)
    process.until(lambda: sum(map(is_alive, process.children())) == 2)
    time.sleep(4.0)
    assert len(process.children()) == 4
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(30) == 0


def test_one_whose_flow_is_stuck_is_killed_though_it_reports(supervised: Callable[..., Supervised]):
    process = supervised(f"{BEATS}\nbeat_on(still=31.0 if number == '0' and not starts else 0.0)")
    process.until(lambda: "has not moved for 31 s (runs): killed" in process.log())
    process.until(lambda: len(process.children()) == 4)
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(30) == 0


@pytest.mark.slow
def test_a_start_has_a_longer_limit_and_its_progress_is_logged(supervised: Callable[..., Supervised]):
    once = "beat('restores its state', runs=False); time.sleep(5.0); number == '0' and not starts and time.sleep(600)"
    process = supervised(f"{BEATS}\n{once}\nbeat_on()", silent_seconds=4.0, start_seconds=8.0)
    process.until(lambda: "starting: p0 restores its state, p1 restores its state" in process.messages("info"))
    process.until(lambda: "starting: p0 restores its state" in process.messages("info"))
    assert process.messages("error") == []
    process.until(lambda: process.messages("error"))
    assert re.fullmatch(r"process p0 was silent for \d+ s \(restores its state\): killed", process.messages("error")[0])


@pytest.mark.slow
def test_a_machine_that_was_suspended_kills_nothing(supervised: Callable[..., Supervised]):
    process = supervised(f"{BEATS}\nsay('waiting')\nbeat_on()", silent_seconds=4.0)
    process.waiting(2)
    time.sleep(1.0)
    everything = [process.process.pid, *process.children()]
    for pid in everything:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(6.0)
    for pid in everything:
        os.kill(pid, signal.SIGCONT)
    time.sleep(2.0)
    assert process.messages("error") == []
    assert len(process.children()) == 2


def test_one_that_hangs_does_not_hold_up_a_stop(supervised: Callable[..., Supervised]):
    process = supervised(HANGS, stop_seconds=60.0, silent_seconds=4.0)
    process.until(lambda: any(is_stopped(pid) for pid in process.children()))
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(10) == 1
    assert "while it was stopping" in process.messages("error")[-1]


def is_stopped(pid: int) -> bool:
    return "State:\tT" in Path(f"/proc/{pid}/status").read_text()


def test_systemd_hears_of_the_supervisor_alone(supervised: Callable[..., Supervised], tmp_path: Path):
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(environ["NOTIFY_SOCKET"])
        systemd.settimeout(30.0)
        process = supervised(f"{BEATS}\nsay(sorted({{*os.environ}} & {{*{sorted(environ)}}}))\nbeat_on()", **environ)
        heard: list[str] = []
        while "READY=1" not in heard:
            heard = systemd.recv(4_096).decode().split("\n")
        assert heard == ["STATUS=p0 runs, p1 runs", "READY=1", "WATCHDOG=1"]
        assert process.log().count("[]") == 2
        process.process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in heard:
            heard = systemd.recv(4_096).decode().split("\n")
        assert process.process.wait(30) == 0


def restarts(process: Supervised) -> list[str]:
    """Log lines of restarts that a process has asked for."""
    return [line for line in process.messages("info") if RESTARTING.fullmatch(line)]


def test_where_all_ask_for_a_restart_all_stop_in_order_and_start_again_once(supervised: Callable[..., Supervised]):
    process = supervised(f"{ASKS}\nsay('waiting')\nbeat_on(restart=wish)")
    process.waiting(4)
    time.sleep(2.0)
    assert len(process.children()) == 4
    assert sum(map(is_alive, process.children())) == 2
    assert process.log().count("bye") == 2
    assert len(restarts(process)) == 1
    assert process.messages("warning") + process.messages("error") == []
    assert "stopped" not in process.messages()
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(30) == 0


def test_a_restart_that_is_asked_for_interrupts_no_start(supervised: Callable[..., Supervised]):
    late = "number == '1' and not starts and (beat_on(3.0, runs=False), say('restored'))"
    process = supervised(f"{ASKS}\n{late}\nsay('waiting')\nbeat_on(restart=wish if number == '0' else '')")
    process.waiting(4)
    assert process.log().index("restored") < process.log().index("bye")
    assert process.messages("error") == []


@pytest.mark.slow
def test_restarts_that_do_not_give_what_is_asked_for_come_later_and_then_not_at_all(
    supervised: Callable[..., Supervised],
):
    process = supervised(f"{ASKS}\nbeat_on(restart='new partitions of chat')")
    process.until(lambda: process.messages("error"))
    time.sleep(6.0)
    assert len(process.children()) == 2 * (1 + 3)
    assert [line.endswith(" s") for line in restarts(process)] == [False, True, True]
    (error,) = process.messages("error")
    assert re.fullmatch(
        "process p[01] reports new partitions of chat; 3 restarts in a row did not help, and no other follows: "
        "restart csq",
        error,
    )
    assert sum(map(is_alive, process.children())) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "ends"), [(True, False), (False, True)])
def test_after_a_quiet_time_restarts_are_done_at_once_again_and_a_start_is_no_quiet_time(
    supervised: Callable[..., Supervised], *, runs: bool, ends: bool
):
    process = supervised(f"{ASKS}\nbeat_on(5.0, runs={runs})\nbeat_on(restart='new partitions of chat')", HEALTHY="2")
    process.until(lambda: process.messages("error") or len(process.children()) >= 2 * 5)
    assert bool(process.messages("error")) == ends
    assert len(process.children()) == 2 * (4 if ends else 5)


def test_a_signal_during_a_restart_that_was_asked_for_ends_all(supervised: Callable[..., Supervised]):
    process = supervised(f"{ASKS}\non_stop(lambda: time.sleep(2.0))\nbeat_on(restart=wish)")
    process.until(lambda: process.log().count("bye") == 2)
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(30) == 0
    assert process.messages()[-2:] == ["stopping 2 processes; a second signal aborts", "stopped"]
    assert len(process.children()) == 2


def test_a_second_signal_during_a_restart_that_was_asked_for_aborts(supervised: Callable[..., Supervised]):
    process = supervised(f"{ASKS}\non_stop(lambda: time.sleep(60.0))\nbeat_on(restart=wish)", stop_seconds=60.0)
    process.until(lambda: process.log().count("bye") == 2)
    process.process.send_signal(signal.SIGTERM)
    process.until(lambda: "a second signal aborts" in process.log())
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(10) == 128 + signal.SIGTERM
    assert not any(map(is_alive, process.children()))


def test_an_error_during_a_restart_that_was_asked_for_counts_as_a_death(supervised: Callable[..., Supervised]):
    fails = "number == '1' and on_stop(lambda: (say('Error: disk full'), os._exit(1)))"
    process = supervised(f"{ASKS}\n{fails}\nsay('waiting')\nbeat_on(restart=wish)")
    process.waiting(4)
    assert process.messages("error") == ["process p1 ended with exit code 1: disk full while it was stopping"]
    assert process.messages("warning") == ["all processes start again in 0.1 s (in a row: 1)"]
    assert len(process.children()) == 4


def test_what_needs_a_correction_during_a_restart_that_was_asked_for_ends_all(supervised: Callable[..., Supervised]):
    fails = "number == '1' and on_stop(lambda: (say('Error: store gone'), os._exit(2)))"
    process = supervised(f"{ASKS}\n{fails}\nbeat_on(restart=wish)")
    assert process.process.wait(30) == 2
    assert process.messages("error") == [
        "process p1 ended with exit code 2: store gone while it was stopping",
        "not started again: a process needs a correction",
    ]
    assert len(process.children()) == 2


def test_who_does_not_stop_for_a_restart_is_killed_and_all_start_again(supervised: Callable[..., Supervised]):
    hangs = "number == '1' and on_stop(lambda: time.sleep(600.0))"
    process = supervised(f"{ASKS}\n{hangs}\nsay('waiting')\nbeat_on(restart=wish)", stop_seconds=1.0)
    process.waiting(4)
    assert process.messages("error") == [
        "not stopped within 1 s: killed; the next start processes their last seconds again"
    ]
    assert process.messages("warning") == ["all processes start again in 0.1 s (in a row: 1)"]
    assert len(process.children()) == 4
    assert sum(map(is_alive, process.children())) == 2


def test_a_restart_that_was_asked_for_needs_the_same_store(supervised: Callable[..., Supervised], tmp_path: Path):
    store = tmp_path / "store"
    store.mkdir()
    write_manifest(store, manifest("this"))
    goes = "number == '0' and on_stop(lambda: os.rename(f'{folder}/store', f'{folder}/removed'))"
    process = supervised(f"{ASKS}\n{goes}\nbeat_on(restart=wish)")
    assert process.process.wait(30) == 2
    (text,) = process.messages("critical")
    assert f"recovery store {store}: it was removed" in text
    assert len(process.children()) == 2
