"""``make bench``: the flow with all stages on against the same domain code in a bare loop, from memory and from Kafka.

Flow and loop run in turn, each in a process of its own, several times: on a busy machine a single ratio varies by a
third. ``docs/performance.md`` explains the output; ``bench/latest.json`` has it as data.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench import feed, processes, report, stream
from bench.arguments import whole
from bench.child import measure, progress
from bench.runs import Job
from bench.texts import texts_of

LATEST = Path(__file__).with_name("latest.json")
EVENTS, RUNS = 200_000, 5
QUICK_EVENTS, QUICK_RUNS = 50_000, 2
ORIGINS = ("memory", "kafka", "processes")
"""`processes` is one process against two, from a real Kafka."""


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure speed and memory of the whole path.")
    add = parser.add_argument
    add("--data", type=Path, default=os.environ.get("CSQ_DATA"), help="public data sets, for tweets; default CSQ_DATA")
    add("--events", type=whole(), help=f"events per run; default {EVENTS:,}")
    add("--runs", type=whole(), help=f"pairs of runs; default {RUNS}")
    add("--quick", action="store_true", help=f"{QUICK_EVENTS:,} events, {QUICK_RUNS} pairs; cold caches look worse")
    add("--from", dest="origins", action="append", choices=ORIGINS, help="only this; default all")
    add(
        "--brokers",
        help="host:port of a real Kafka, where a topic is made and deleted; default an embedded broker, "
        "and for processes one that is started here, if Java and Maven are",
    )
    add("--out", type=Path, default=LATEST, help="where the figures go as JSON; default bench/latest.json")
    chosen = parser.parse_args(arguments)
    chosen.events = chosen.events or (QUICK_EVENTS if chosen.quick else EVENTS)
    chosen.runs = chosen.runs or (QUICK_RUNS if chosen.quick else RUNS)
    chosen.origins = chosen.origins or list(ORIGINS)
    return chosen


def pairs_of(job: Job, count: int) -> list[report.Pair]:
    """The flow, the bare loop, the flow, ..."""
    replace = msgspec.structs.replace
    return [(measure(replace(job, way="flow")), measure(replace(job, way="bare"))) for _ in range(count)]


@contextmanager
def topic_of(brokers: str | None, path: Path) -> Iterator[str]:
    """The topic to read: on a real Kafka one with the whole stream; each run feeds the embedded broker."""
    if brokers is None:
        yield feed.TOPIC
    else:
        with feed.filled(brokers, path) as topic:
            yield topic


def several_of(job: Job, brokers: str | None, count: int) -> list[report.Pair]:
    """One process, two processes, one process, ...; none, and a word why, where there is no real Kafka."""
    with broker_of(brokers) as address:
        if address is None:
            return []
        with feed.filled(address, Path(job.path)) as topic:
            job = msgspec.structs.replace(job, way="flow", origin="kafka", brokers=address, topic=topic)
            return [_one_and_two(job) for _ in range(count)]


def _one_and_two(job: Job) -> report.Pair:
    runs = []
    for count in (1, 2):
        progress(f"kafka: {count} of processes")
        runs.append(processes.measure(job, count))
        progress("")
    return runs[0], runs[1]


@contextmanager
def broker_of(brokers: str | None) -> Iterator[str | None]:
    """The address of a real Kafka: the one that is named, else one of our own; `None` where it cannot be had."""
    if brokers is not None:
        yield brokers
        return
    from tests.servers.kafka import Kafka, libraries  # noqa: PLC0415  only here does the bench need a server
    from tests.servers.presence import UnavailableError  # noqa: PLC0415  as above

    try:
        libraries()
    except UnavailableError as error:
        print(f"\nnot measured: one process against two, which wants a real Kafka (--brokers): {error}")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="csq-bench-kafka-") as folder, Kafka(Path(folder)) as kafka:
        yield kafka.address


def result_of(found: dict[str, Any], stages: dict[str, float], details: dict[str, Any]) -> dict[str, Any]:
    """What is written: the headline figures from Kafka where it was measured, and all of them beside it."""
    headline = found.get("kafka") or found.get("memory")
    if headline is None:
        return {"stages": stages, "details": {**details, **found}}
    return {
        "events_per_second": headline["events_per_second"]["flow"]["median"],
        "bare_events_per_second": headline["events_per_second"]["bare"]["median"],
        "ratio": headline["ratio"]["median"],
        "stages": stages,
        "rss_bytes": headline["rss_bytes"]["flow"]["median"],
        "details": {**details, **found},
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write.

    Raises:
        SystemExit: a run failed, or runs did not count the same.
    """
    chosen = options(arguments)
    texts = texts_of(chosen.data)
    details = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "events": chosen.events,
        "texts": texts.source,
        "broker": "a real Kafka" if chosen.brokers else "embedded",
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }
    print(f"csq bench: {chosen.events:,} events with {texts.source}, {chosen.runs} pairs of runs")
    if chosen.data is None:
        print("(--data FOLDER or CSQ_DATA gives the texts of real tweets, which are longer)")
    with tempfile.TemporaryDirectory(prefix="csq-bench-") as folder:
        path = Path(folder) / "events"
        last = stream.write(path, texts, chosen.events)
        job = Job(way="stages", path=str(path), last=last, events=chosen.events)
        runs, found = [], {}
        for origin in [origin for origin in chosen.origins if origin != "processes"]:
            brokers = chosen.brokers if origin == "kafka" else None
            with topic_of(brokers, path) as topic:
                one = msgspec.structs.replace(job, origin=origin, brokers=brokers, topic=topic)
                pairs = pairs_of(one, chosen.runs)
            runs += [run for pair in pairs for run in pair]
            found[origin] = report.figures_of(pairs)
            report.show_pairs(origin, found[origin])
        if "processes" in chosen.origins and (several := several_of(job, chosen.brokers, chosen.runs)):
            runs += [run for pair in several for run in pair]
            found["processes"] = report.processes_of(several)
            report.show_processes(found["processes"])
        timed = [measure(job) for _ in range(chosen.runs)]
    stages = report.stages_of(timed)
    report.show_stages(stages)
    if wrong := report.disagreements([*runs, *timed]):
        raise SystemExit("bench: the runs did not count the same: " + "; ".join(wrong))
    result = result_of(found, stages, details)
    chosen.out.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    print(f"\nwritten to {chosen.out}")


if __name__ == "__main__":
    main()
