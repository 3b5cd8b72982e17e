"""`csq run` as a process of its own, without a terminal, and what it serves and writes."""

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from operators.documents.yaml import write
from operators.metrics.observe import Values
from tests.streams import CSQ, ENVIRON, ROOT

WAIT_SECONDS = 40.0
"""Bound on any wait; most take a second."""


def end(process: "subprocess.Popen[bytes]", number: signal.Signals = signal.SIGTERM, seconds: float = 20.0) -> None:
    """Send a signal to a process and wait until it has ended; after `seconds` it is killed."""
    process.send_signal(number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Csq:
    """One start of `csq run` with `settings`, plain data as in the YAML file; ends with the ``with`` block."""

    def __init__(self, folder: Path, settings: dict[str, Any], *arguments: str, **environ: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "csq.yaml"
        config.write_text(write({"http": {"port": 0}, **settings}))
        self._log_file = folder / "stderr"
        with self._log_file.open("wb") as errors, (folder / "stdout").open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [*CSQ, "run", "-c", str(config), *arguments],
                cwd=ROOT,
                env=ENVIRON | environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    def log(self) -> str:
        """All that it wrote to standard error."""
        return self._log_file.read_text(encoding="utf-8")

    def messages(self, level: str) -> list[str]:
        """What it logged at one level."""
        entries = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [entry["message"] for entry in entries if entry["level"] == level]

    def url(self) -> str:
        """Its address, once it is in the log."""
        found = self.until(lambda: re.search(r"https?://[\w.:]+", self.log()))
        return str(found[0])

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        try:
            with urllib.request.urlopen(f"{self.url()}{path}", timeout=5) as answer:  # noqa: S310 - our own server
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            raise AssertionError(f"csq does not answer at {path}: {error}\n{self.log()}") from None

    def values(self) -> Values:
        """All metrics: sample name -> label values -> value."""
        return parsed(self.get("/metrics")[1])

    def taken(self) -> float:
        """Number of records that were accepted or refused."""
        values = self.values()
        names = ("csq_events_total", "csq_duplicates_total", "csq_dead_letters_total")
        return sum(sum(values[name].values()) for name in names)

    def until(self, holds: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
        """Return the first true result of `holds`; an error if there is none in time, or the process ends."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            if self.process.poll() is not None:
                raise AssertionError(f"csq has ended with {self.process.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s:\n{self.log()}")
            time.sleep(0.1)
        return found

    def until_settled(self, count: int, seconds: float = WAIT_SECONDS) -> Values:
        """Wait until `count` records were taken and nothing was counted for a while; the metrics then."""
        self.until(lambda: self.taken() >= count, seconds)
        before, since = self._counters(), time.monotonic()
        deadline = since + seconds
        while time.monotonic() - since < 2.0 and time.monotonic() < deadline:
            time.sleep(0.2)
            if (now := self._counters()) != before:
                before, since = now, time.monotonic()
        return self.values()

    def _counters(self) -> Values:
        return {name: of for name, of in self.values().items() if name.startswith("csq_") and name.endswith("_total")}

    def stop(self) -> None:
        """End it in good order; an error where it complains."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT_SECONDS)
        if code:
            raise AssertionError(f"csq ended with {code}:\n{self.log()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_SECONDS)


def parsed(text: str) -> Values:
    """Samples of the text format: name -> label values, by the names of the labels -> value."""
    values: Values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return values


def replayed(file: Path, out: Path, settings: dict[str, Any] | None = None) -> Values:
    """The metrics of `csq replay` of a file; what it published is in `out`."""
    out.mkdir(parents=True)
    config = out / "csq.yaml"
    config.write_text(write(settings or {"log": {"level": "info"}}))
    command = [*CSQ, "replay", str(file), "--out", str(out), "-c", str(config), "--json"]
    subprocess.run(command, cwd=ROOT, env=ENVIRON, check=True, capture_output=True, timeout=120)  # noqa: S603 - as above
    return parsed((out / "metrics.prom").read_text())
