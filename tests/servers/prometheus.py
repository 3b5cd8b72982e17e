"""Real Prometheus and Alertmanager on the loopback, with promtool and amtool.

The programs are those of the PATH; where they are not installed, Debian's packages are fetched once into
`presence.CACHE` and unpacked there: nothing is installed, no service starts.

    with Prometheus({"scrape_configs": [...]}, rules=[Path("config/prometheus/rules.yaml")]) as prometheus:
        print(prometheus.query("up"))
"""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx
import yaml

from tests.servers.debian import run, unpack
from tests.servers.presence import CACHE, UnavailableError
from tests.servers.process import end

HOME = CACHE / "prometheus"
PROGRAMS = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
"""Program and the Debian package it is in."""
WHAT = ", ".join(PROGRAMS)
NAMES = {"alertmanager": ("alertmanager", "prometheus-alertmanager")}
"""Names of a program other than its own: Debian has one of its own for Alertmanager."""
ASSETS, MOVED = b"/usr/share/prometheus/alertmanager", b"/proc/self/cwd/alertmanager-assets"
"""Where Debian's Alertmanager looks for its templates, and where ours does: beside it. Equally long, so that the
program can be mended in place."""
START_SECONDS = 30.0
"""Bound on being ready; it takes half a second on a machine at rest."""
STOP_SECONDS = 10.0
ANSWER_SECONDS = 30.0
POLL_SECONDS = 0.05

Config = Mapping[str, Any] | Path
"""The settings of a server as data, or a file of them."""


class ToolError(RuntimeError):
    """promtool or amtool ended with another code than 0; the text is its output."""


class Sample(NamedTuple):
    """One value of an instant query."""

    labels: dict[str, str]
    value: float


class Series(NamedTuple):
    """The values of a range query: (POSIX seconds, value)."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


def program(name: str) -> str:
    """The path of prometheus, promtool, alertmanager or amtool; fetched if need be.

    Raises:
        UnavailableError: it is neither installed nor to be had from a Debian repository.
    """
    names = NAMES.get(name, (name,))
    for known in names:
        found = shutil.which(known) or shutil.which(known, path=str(HOME / "usr/bin"))
        if found:
            return found
    unpack(WHAT, HOME, lambda: sorted(set(PROGRAMS.values())), _mend)
    found = shutil.which(names[-1], path=str(HOME / "usr/bin"))
    if found is None:
        raise UnavailableError(f"{name}: not in {HOME}; delete that folder, it is fetched anew")
    return found


def _mend(home: Path) -> None:
    _move_assets(home)
    for name, package in PROGRAMS.items():
        done = run(WHAT, [str(home / "usr/bin" / NAMES.get(name, (name,))[-1]), "--version"], home)
        if done.returncode:
            raise UnavailableError(f"Prometheus: {name} of Debian's {package} does not run here: {done.stderr[-1000:]}")


def _move_assets(home: Path) -> None:
    """Let Alertmanager find the files that Debian installs under /usr/share."""
    (home / MOVED.decode().rpartition("/")[2]).symlink_to(Path(*Path(ASSETS.decode()).parts[1:]))
    binary = home / "usr/bin/prometheus-alertmanager"
    binary.write_bytes(binary.read_bytes().replace(ASSETS, MOVED))


def promtool(*arguments: str | Path, stdin: str | None = None) -> str:
    """What promtool prints: ``promtool("check", "rules", path)``, ``promtool("check", "metrics", stdin=text)``."""
    return _tool("promtool", arguments, stdin)


def amtool(*arguments: str | Path, stdin: str | None = None) -> str:
    """What amtool prints: ``amtool("check-config", path)``, ``amtool("config", "routes", "test", ...)``."""
    return _tool("amtool", arguments, stdin)


def _tool(name: str, arguments: Sequence[str | Path], stdin: str | None) -> str:
    command = [program(name), *map(str, arguments)]
    done = subprocess.run(command, input=stdin or "", capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own command
    reported = done.stdout + done.stderr
    if done.returncode:
        raise ToolError(f"{' '.join([name, *command[1:]])} ended with {done.returncode}:\n{reported}")
    return reported


class Server:
    """A program on a free port, in its own folder, with a readiness page.

    `config` is data or a file; `reload` takes another. `flags` are further options of the program. The folder holds
    settings, data and log; without one a temporary folder is made, and deleted when the server stops.
    """

    name = ""

    def __init__(self, config: Config, *, folder: Path | None = None, flags: Sequence[str] = ()) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix=f"{self.name}-") if folder is None else None
        self.folder = Path(self._temporary.name) if self._temporary is not None else Path(folder or "").resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_file = self.folder / f"{self.name}.log"
        self._flags = flags
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"127.0.0.1:{free_port()}"
        """host:port, for the settings of other servers."""
        self.url = f"http://{self.address}"
        self._client = httpx.Client(base_url=self.url, timeout=ANSWER_SECONDS, trust_env=False)

    def start(self) -> None:
        """Start, or start again with the same data; returns when it is ready."""
        command = [program(self.name), *self._options(self._write(self._config)), *self._flags]
        cwd = HOME if command[0].startswith(str(HOME)) else None  # where MOVED is
        if shutil.which("setpriv") and threading.current_thread() is threading.main_thread():
            command = ["setpriv", "--pdeathsig", "KILL", *command]  # a killed test leaves no server behind
        with self.log_file.open("ab") as log:
            streams = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL, "cwd": cwd}
            self._process = subprocess.Popen(command, env=_environment(), **streams)  # noqa: S603 - our own command
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._end()
            raise

    def stop(self) -> None:
        """Stop in good order; a temporary folder goes with it."""
        self._end()
        self._client.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def reload(self, config: Config | None = None) -> None:
        """Read the settings again, or other ones.

        Raises:
            RuntimeError: they are wrong; the text of the server says what.
        """
        if config is not None:
            self._config = config
        self._write(self._config)
        answer = self._client.post("/-/reload")
        if answer.is_error:
            raise RuntimeError(f"{self.name} refused its settings: {answer.text.strip()}")

    def log(self) -> str:
        """All that it wrote."""
        return self.log_file.read_text(errors="replace")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _options(self, config: Path) -> list[str]:
        raise NotImplementedError

    def _data(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return dict(config)

    def _write(self, config: Config) -> Path:
        if isinstance(config, Path):
            return config.resolve()
        path = self.folder / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(self._data(config), sort_keys=False), encoding="utf-8")
        return path

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(httpx.TransportError):
                if self._client.get("/-/ready").is_success:
                    return
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} at {self.url} is not ready. Its log ends with:\n{self.log()[-3000:]}")
            time.sleep(POLL_SECONDS)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process, seconds=STOP_SECONDS)

    def _get(self, path: str, **parameters: Any) -> Any:
        answer = self._client.get(path, params=parameters)
        if answer.is_error:
            raise RuntimeError(f"{self.name}: {path} {parameters}: {answer.status_code} {answer.text.strip()}")
        return answer.json()


class Prometheus(Server):
    """A Prometheus: `rules` are rule files, added to those that the settings name.

    It can be reloaded, takes remote writes (POST /api/v1/write), and tells Alertmanager of a firing alert every second,
    not every minute: notifications of the first 5 s, before it has discovered Alertmanagers and targets, are lost.
    """

    name = "prometheus"

    def __init__(
        self, config: Config, rules: Iterable[Path] = (), *, folder: Path | None = None, flags: Sequence[str] = ()
    ) -> None:
        self._rules = [str(path.resolve()) for path in rules]
        if self._rules and isinstance(config, Path):
            raise ValueError("settings from a file name their own rule files")
        super().__init__(config, folder=folder, flags=flags)

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """The answer to an instant query, now or `at` POSIX seconds; of a scalar one sample without labels."""
        data = self._ask("query", query=expression, **({} if at is None else {"time": at}))
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(item["metric"], float(item["value"][1])) for item in data["result"]]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """The answer to a range query; times are POSIX seconds, the step seconds."""
        data = self._ask("query_range", query=expression, start=start, end=end, step=step)
        return [
            Series(item["metric"], [(float(at), float(value)) for at, value in item["values"]])
            for item in data["result"]
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are pending or firing: labels, annotations, state, activeAt, value."""
        return list(self._ask("alerts")["alerts"])

    def rules(self) -> list[dict[str, Any]]:
        """All rules with health, lastError and, for alerts, their state."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict[str, Any]]:
        """What is scraped, with health, lastError and lastScrapeDuration in seconds."""
        return list(self._ask("targets")["activeTargets"])

    def wait_for(
        self, expression: str, seconds: float = START_SECONDS, holds: Callable[[list[Sample]], bool] = bool
    ) -> list[Sample]:
        """Query until the answer `holds` (is not empty), and return it.

        Raises:
            TimeoutError: it did not within `seconds`; the text has the last answer.
        """
        deadline = time.monotonic() + seconds
        while not holds(answer := self.query(expression)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{expression} is still {answer} after {seconds:g} s")
            time.sleep(POLL_SECONDS)
        return answer

    def _ask(self, path: str, **parameters: Any) -> Any:
        return self._get(f"/api/v1/{path}", **parameters)["data"]

    def _data(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {**config, "rule_files": [*config.get("rule_files", []), *self._rules]}

    def _options(self, config: Path) -> list[str]:
        return [
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}",
            "--web.enable-lifecycle",
            "--web.enable-remote-write-receiver",
            "--rules.alert.resend-delay=1s",
        ]


class Alertmanager(Server):
    """An Alertmanager without peers."""

    name = "alertmanager"

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts it holds: labels, annotations, receivers, status."""
        return list(self._get("/api/v2/alerts"))

    def groups(self) -> list[dict[str, Any]]:
        """The alerts as it groups them for a receiver."""
        return list(self._get("/api/v2/alerts/groups"))

    def send(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Hand in alerts as Prometheus does: tables with labels, annotations, startsAt, endsAt."""
        self._client.post("/api/v2/alerts", json=list(alerts)).raise_for_status()

    def _options(self, config: Path) -> list[str]:
        return [
            f"--config.file={config}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
        ]


def free_port() -> int:
    """A free port of the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _environment() -> dict[str, str]:
    """Ours without proxies: what is scraped is on the loopback."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
