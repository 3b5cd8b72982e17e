"""``make bench``: the flow with all stages on against the same domain code in a bare loop, from memory and from Kafka.

Flow and loop run in turn, each in a process of its own, several times: on a busy machine a single ratio varies by a
third. ``docs/performance.md`` says how to read what is printed, and ``bench/latest.json`` holds it for programs.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench import feed, report, stream
from bench.meter import Figures
from bench.runs import Job

LATEST = Path(__file__).with_name("latest.json")
EVENTS, RUNS = 200_000, 5
QUICK_EVENTS, QUICK_RUNS = 50_000, 2
TIME_LIMIT_SECONDS = 600


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("CSQ_DATA"),
        help="folder with the public data sets, for the texts of real tweets; default CSQ_DATA",
    )
    parser.add_argument("--events", type=int, help=f"events per run; default {EVENTS:,}")
    parser.add_argument("--runs", type=int, help=f"pairs of runs; default {RUNS}")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_EVENTS:,} events, {QUICK_RUNS} pairs: caches are still cold, so figures are worse",
    )
    parser.add_argument(
        "--from", dest="origins", action="append", choices=["memory", "kafka"], help="only this; default both"
    )
    parser.add_argument("--brokers", help="host:port of a real Kafka; default an embedded broker")
    parser.add_argument("--out", type=Path, default=LATEST, help="where the figures are written as JSON")
    chosen = parser.parse_args(arguments)
    chosen.events = chosen.events or (QUICK_EVENTS if chosen.quick else EVENTS)
    chosen.runs = chosen.runs or (QUICK_RUNS if chosen.quick else RUNS)
    chosen.origins = chosen.origins or ["memory", "kafka"]
    return chosen


def measure(job: Job) -> Figures:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "bench.runs", msgspec.json.encode(job).decode()]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=TIME_LIMIT_SECONDS)
    if done.returncode:
        raise SystemExit(f"bench: a run of the {job.way} ended with exit code {done.returncode}; see above")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Figures)


def pair(job: Job, number: int, count: int, origin: str) -> report.Pair:
    """The flow, then the bare loop."""
    ways: tuple[Literal["flow", "bare"], ...] = ("flow", "bare")
    runs = []
    for way in ways:
        print(f"\r{origin} {number}/{count}: {way}  ", end="", file=sys.stderr, flush=True)
        runs.append(measure(msgspec.structs.replace(job, way=way)))
    print("\r" + " " * 30 + "\r", end="", file=sys.stderr, flush=True)
    return runs[0], runs[1]


@contextmanager
def _topic(brokers: str | None, path: Path) -> Iterator[str]:
    """The topic to read: one with the whole stream, on a real Kafka; the embedded broker is fed by each run."""
    if brokers is None:
        yield feed.TOPIC
    else:
        with feed.filled(brokers, path) as topic:
            yield topic


def main() -> None:
    """Measure, print, write."""
    chosen = options()
    texts = stream.texts_of(chosen.data)
    began = datetime.now(UTC)
    print(
        f"csq bench, {chosen.events:,} events with {texts.source}, {chosen.runs} pairs of runs, Python {platform.python_version()}, {os.cpu_count()} CPUs"
    )
    if chosen.data is None:
        print("(--data FOLDER or CSQ_DATA gives the texts of real tweets)")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="csq-bench-") as folder:
        path = Path(folder) / "events"
        last = stream.write(path, texts, chosen.events)
        job = Job(way="flow", path=str(path), last=last, events=chosen.events)
        runs: list[Figures] = []
        for origin in chosen.origins:
            with _topic(chosen.brokers if origin == "kafka" else None, path) as topic:
                one = msgspec.structs.replace(job, origin=origin, brokers=chosen.brokers, topic=topic)
                pairs = [pair(one, number, chosen.runs, origin) for number in range(1, chosen.runs + 1)]
            runs += [run for each in pairs for run in each]
            found[origin] = report.figures_of(pairs)
            report.show_pairs(origin, found[origin])
        timed = [measure(msgspec.structs.replace(job, way="stages")) for _ in range(chosen.runs)]
        stages = report.stages_of(timed)
        flow_cost = found["memory"]["cpu_us_per_event"]["flow"]["median"] if "memory" in found else None
        report.show_stages(stages, flow_cost)
    if wrong := report.disagreements([*runs, *timed]):
        raise SystemExit("bench: the runs did not count the same: " + "; ".join(wrong))
    main_origin = found.get("kafka", found.get("memory", {}))
    result = {
        "events_per_second": main_origin["events_per_second"]["flow"]["median"],
        "bare_events_per_second": main_origin["events_per_second"]["bare"]["median"],
        "ratio": main_origin["ratio"]["median"],
        "stages": stages,
        "rss_bytes": main_origin["rss_bytes"]["flow"]["median"],
        "details": {
            "at": began.isoformat(),
            "events": chosen.events,
            "texts": texts.source,
            "python": platform.python_version(),
            **found,
        },
    }
    chosen.out.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    print(f"\nwritten to {chosen.out}")


if __name__ == "__main__":
    main()
