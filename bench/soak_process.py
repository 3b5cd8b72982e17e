"""The csq of a soak: ``csq run`` as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

TOPIC = "csq.events"
READY_SECONDS = 120.0
STOP_SECONDS = 60.0
REFRESH_SECONDS = 3.0
"""Between looks for new partitions."""
Values = dict[str, dict[tuple[str, ...], float]]


class Csq:
    """``csq run`` as a process of its own.

    Args:
        folder: for its store and its log.
        brokers: host:port.
    """

    def __init__(self, folder: Path, brokers: str) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.starts = 0
        self.store = folder / "state"
        self.environ: Mapping[str, str] = {}
        """Further environment variables of the next start."""
        self.restart_seconds: list[float] = []
        self._log = folder / "csq.log"
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("CSQ_")} | {
            "CSQ_KAFKA__BROKERS": f"['{brokers}']",
            "CSQ_KAFKA__TOPICS": f"['{TOPIC}']",
            "CSQ_KAFKA__GROUP_ID": "csq",
            "CSQ_KAFKA__ON_EXPIRED_OFFSET": "earliest",
            "CSQ_KAFKA__REFRESH_SECONDS": str(REFRESH_SECONDS),
            "CSQ_STATE__DIRECTORY": str(self.store),
            "CSQ_HTTP__PORT": str(port),
            # Tables that are full within a minute (`FULL_SECONDS`): what grows after that is no table.
            "CSQ_DEDUPE__MAX_IDS": "3000",
            "CSQ_CONVERSATIONS__MAX_CONVERSATIONS": "200",
            "CSQ_CUSTOMERS__MAX_CUSTOMERS": "500",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it is ready.

        Raises:
            RuntimeError: it ended, or is not ready in time.
        """
        began = time.monotonic()
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "flows.commands.main", "run"]
            self._process = subprocess.Popen(command, env={**self._environ, **self.environ}, stdout=log, stderr=log)  # noqa: S603 - our own command
        self.starts += 1
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() - began > READY_SECONDS:
                raise RuntimeError(f"csq is not ready after {time.monotonic() - began:.0f} s; {self.end_of_log()}")
            time.sleep(0.2)
        self.restart_seconds.append(time.monotonic() - began)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def hold(self, seconds: float) -> None:
        """Freeze it."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def wait(self, seconds: float) -> int | None:
        """Its exit code once it has ended by itself; `None` if it has not within `seconds`."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process that runs."""
        if self._process is None:
            raise RuntimeError("csq does not run")
        return self._process

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def scrape(self) -> Values | None:
        """Its metrics, or None while it does not answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=2) as answer:  # noqa: S310 - our own server
                text = answer.read().decode()
        except (OSError, urllib.error.URLError):
            return None
        values: Values = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                values.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
        return values

    def rss_bytes(self) -> int:
        """Its resident memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def end_of_log(self) -> str:
        """For a message."""
        return "its log ends with:\n" + self._log.read_text(encoding="utf-8", errors="replace")[-2_000:]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=1) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's word for ready
        except OSError:
            return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
