"""What systemd hears: ready, alive while the flow moves, more time for a start that makes progress."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.host.heartbeat import Beat
from flows.host.systemd import SystemdNotifier
from tests.servers.process import Csq

MORE = "EXTEND_TIMEOUT_USEC=60000000"


class Systemd:
    """The socket of systemd."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        lines: list[str] = []
        while True:
            try:
                lines += self._socket.recv(4_096).decode().split("\n")
            except BlockingIOError:
                return lines

    def until(self, line: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while line not in self.heard():
            assert time.monotonic() < deadline, f"{line} was not said"
            time.sleep(0.1)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(str(tmp_path / "notify") if request.param == "path" else f"@csq-test-{tmp_path.name}")
    yield made
    made.close()


def beat(doing: str, *, moves: bool = True, still: float = 0.0) -> Beat:
    return Beat(doing, moves, runs=moves, still_seconds=still, limit_seconds=30.0)


def notifier_at(systemd: Systemd) -> SystemdNotifier:
    made = SystemdNotifier.of({"NOTIFY_SOCKET": systemd.address})
    assert made is not None
    return made


def test_outside_of_a_unit_nobody_is_notified():
    assert SystemdNotifier.of({}) is None
    assert SystemdNotifier.of({"NOTIFY_SOCKET": "vsock:2:1234"}) is None


def test_a_start_asks_for_time_until_it_is_ready(systemd: Systemd):
    notifier = notifier_at(systemd)
    notifier.beat(beat("starts", moves=False))
    assert systemd.heard() == ["STATUS=starts", "WATCHDOG=1", MORE]
    notifier.beat(beat("restores its state"))
    assert systemd.heard() == ["STATUS=restores its state", "READY=1", "WATCHDOG=1"]


def test_a_start_that_is_stuck_gets_no_more_time(systemd: Systemd):
    notifier_at(systemd).beat(beat("starts", moves=False, still=31.0))
    assert systemd.heard() == ["STATUS=starts"]


def test_a_flow_that_is_stuck_gives_no_sign_of_life(systemd: Systemd):
    notifier = notifier_at(systemd)
    notifier.beat(beat("runs", still=31.0))
    assert "WATCHDOG=1" not in systemd.heard()
    notifier.beat(beat("runs"))
    assert "WATCHDOG=1" in systemd.heard()


def test_a_stop_is_said(systemd: Systemd):
    notifier_at(systemd).stop()
    assert systemd.heard() == ["STOPPING=1", "STATUS=stops"]


def test_a_systemd_that_is_away_or_reads_nothing_holds_nothing_up(systemd: Systemd):
    notifier = notifier_at(systemd)
    for _ in range(2_000):
        notifier.beat(beat("runs"))
    systemd.close()
    notifier.beat(beat("runs"))


@pytest.mark.slow
def test_a_process_that_is_stopped_gives_no_sign_of_life(tmp_path: Path):
    systemd = Systemd(str(tmp_path / "notify"))
    with closing(systemd), Csq(tmp_path / "csq", {}, NOTIFY_SOCKET=systemd.address) as csq:
        systemd.until("READY=1")
        systemd.until("WATCHDOG=1")
        csq.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        systemd.heard()
        time.sleep(3.0)
        assert systemd.heard() == []
        csq.process.send_signal(signal.SIGCONT)
        systemd.until("WATCHDOG=1")
        csq.process.send_signal(signal.SIGTERM)
        systemd.until("STOPPING=1")
        assert csq.process.wait(30) == 0
