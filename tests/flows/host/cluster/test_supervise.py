"""The supervisor: if one process exits all start again, all stop on a signal, and none outlives it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.streams import ENVIRON, ROOT

SUPERVISE = """
import logging, sys
from flows.host import logs
from flows.host.cluster import supervise
logs.start("info")
supervise.FIRST_PAUSE_SECONDS = 0.1
supervise.LAST_WORDS_SECONDS = 0.5
folder, script, count, stop_seconds = sys.argv[1:]
def command(number, addresses):
    return [sys.executable, "-c", script, str(number), folder, ",".join(addresses)]
sys.exit(supervise.Supervisor(int(count), command, float(stop_seconds)).run())
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
WAIT = """
from flows.host.cluster.child import end_with_parent
signal.signal(signal.SIGTERM, lambda *_: (say("bye"), os._exit(0)))
end_with_parent()
say("waiting")
while True:
    time.sleep(0.05)
"""


class Supervised:
    """A supervisor of small programs, as a process of its own."""

    def __init__(self, folder: Path, script: str, count: int = 2, stop_seconds: float = 20.0) -> None:
        self.folder = folder
        self._log = folder / "log"
        command = [sys.executable, "-c", SUPERVISE, str(folder), CHILD + script, str(count), str(stop_seconds)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=ENVIRON, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603  ours

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

    def start(script: str, **settings: float) -> Supervised:
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
