"""Prometheus over csq for tests of dashboards: a real run, or given metrics that a healthy system does not have."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import yaml
from prometheus_client import CollectorRegistry, start_http_server

from flows.settings.closed_sets import closed_sets
from flows.settings.model import Settings
from operators.domain.stage.stage import Measurement
from operators.metrics.observe import Observer, build_info
from tests.grafana.boards import ROOT
from tests.servers.process import end
from tests.servers.prometheus import Prometheus, free_port, promtool

START_SECONDS = 60.0
STOP_SECONDS = 20.0


@contextmanager
def running_csq(log: Path) -> Iterator[int]:
    """`csq run` with its shop, as a user starts it; gives the port of its metrics."""
    port = free_port()
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [Path(sys.executable).parent / "csq", "run"],
            env={**os.environ, "CSQ_HTTP__PORT": str(port)},
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        _wait_until_served(process, port, log)
        yield port
    finally:
        end(process, seconds=STOP_SECONDS)


def _wait_until_served(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"csq run serves no metrics; its log:\n{log.read_text(errors='replace')[-3000:]}")


@contextmanager
def telling(measured: Sequence[Measurement], again: Sequence[Measurement] = ()) -> Iterator[int]:
    """A process that exports `measured` once and `again` five times a second, in csq's own catalogue."""
    registry = CollectorRegistry()
    observer = Observer(registry, closed_sets(Settings()), clock=time.time, strict=True)
    observer.record([build_info(), *measured])
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    stop = Event()

    def go_on() -> None:
        while not stop.wait(0.2):
            observer.record(again)

    teller = Thread(target=go_on, daemon=True)
    teller.start()
    try:
        yield server.server_port
    finally:
        stop.set()
        teller.join()
        server.shutdown()
        server.server_close()
        thread.join()


def quick_rules(folder: Path, *, at_once: bool = False) -> list[Path]:
    """Our rule files, evaluated every second; with `at_once` alerts do not wait before they fire."""
    made = []
    for path in sorted((ROOT / "config" / "prometheus").glob("*.rules.yaml")):
        rules: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in rules["groups"]:
            group["interval"] = "1s"
            for rule in group["rules"] if at_once else ():
                rule.pop("for", None)
        made.append(folder / path.name)
        made[-1].write_text(yaml.safe_dump(rules), encoding="utf-8")
    return made


def remember(folder: Path, series: Iterable[tuple[str, Iterable[tuple[float, float]]]]) -> None:
    """Write a past into the data folder of a Prometheus that does not run yet: series and their (POSIX seconds, value)."""
    lines = []
    for name, points in series:
        lines.append(f"# TYPE {name.partition('{')[0]} gauge")
        lines += [f"{name} {value} {at:.3f}" for at, value in points]
    written = folder / "past.om"
    written.write_text("\n".join([*dict.fromkeys(lines), "# EOF", ""]), encoding="utf-8")
    promtool("tsdb", "create-blocks-from", "openmetrics", written, folder / "data")


def scraping(port: int, folder: Path, *, at_once: bool = False) -> Prometheus:
    """A Prometheus that scrapes the port every other second as the job `csq`, with our rules."""
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
        "scrape_configs": [{"job_name": "csq", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
    }
    return Prometheus(config, quick_rules(folder, at_once=at_once), folder=folder)
