"""CPU time per event of this checkout against another revision, in pairs of runs: ``python -m bench.against REV``.

Both run the flow over the same file of events, each run in a process of its own. The two runs of a pair share one core
at the same time (`child.measure_together`); with ``--apart`` they run one after the other in the order A B B A, as they
do where a process cannot be bound to a core. Each pair gives one ratio of CPU time per event, this checkout divided by
the revision. Printed are the geometric mean of the ratios and its 95 % bounds. CPU time is user and system time of the
measured process.
"""

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist, fmean, median, stdev
from typing import NamedTuple

from bench import feed, report, stream
from bench.arguments import above_zero, whole
from bench.child import ROOT, measure, measure_together, worktree
from bench.runs import Job
from bench.texts import texts_of

EVENTS, PAIRS = 100_000, 20
LEAST_PAIRS = 5
"""Fewer pairs say nothing about their spread."""
CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A ratio with its two-sided bounds at `CONFIDENCE`."""

    ratio: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.ratio:.3f} ({self.lower:.3f} .. {self.upper:.3f})"


def estimate(ratios: Sequence[float]) -> Estimate:
    """The geometric mean of at least two ratios, and its bounds by Student's t on their logarithms.

    >>> str(estimate([1.0, 1.02, 0.98, 1.03, 0.97]))
    '1.000 (0.969 .. 1.032)'
    """
    logs = [math.log(ratio) for ratio in ratios]
    half = student(len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    return Estimate(*(math.exp(fmean(logs) + shift) for shift in (0.0, -half, half)))


def student(degrees: int) -> float:
    """The two-sided quantile of Student's t at `CONFIDENCE`.

    Abramowitz and Stegun 26.7.5, within 0.1 % from 4 degrees of freedom up.

    >>> [round(student(degrees), 3) for degrees in (4, 19, 100)]
    [2.776, 2.093, 1.984]
    """
    x = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92_160,
    )
    return math.fsum(term / degrees**power for power, term in enumerate(terms))


def pairs_of(job: Job, base: Path, count: int, *, apart: bool) -> list[report.Pair]:
    """Pairs of runs; in each pair first that of this checkout, then that of the checkout `base`."""
    pairs = []
    for number in range(count):
        folders = [ROOT, base] if number % 2 else [base, ROOT]
        runs = [measure(job, folder) for folder in folders] if apart else measure_together(job, folders, number // 2)
        here, there = runs if number % 2 else reversed(runs)
        pairs.append((here, there))
        new, old = report.cost(here), report.cost(there)
        print(f"  pair {number + 1:3}: {old:6.2f} -> {new:6.2f} us, ratio {new / old:.3f}", flush=True)
    return pairs


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.against", description="CPU time per event of this checkout against another revision."
    )
    add = parser.add_argument
    add("revision", metavar="REV", help="git revision to compare with")
    add("--pairs", type=whole(LEAST_PAIRS), default=PAIRS, help=f"pairs of runs; default {PAIRS}")
    add("--events", type=whole(), default=EVENTS, help=f"events per run; default {EVENTS:,}")
    add("--from", dest="origin", choices=("memory", "kafka"), default="memory", help="source; default memory")
    add("--way", choices=("flow", "bare"), default="flow", help="the flow or the bare loop; default flow")
    add("--brokers", help="host:port of a real Kafka for --from kafka; default an embedded broker")
    add("--data", type=Path, default=os.environ.get("CSQ_DATA"), help="public data sets, for tweets; default CSQ_DATA")
    add("--apart", action="store_true", help="run one after the other, and compare wall time as well")
    add("--max-ratio", type=above_zero, help="exit code 1 if the upper bound of the ratio is above this, e.g. 1.02")
    chosen = parser.parse_args(arguments)
    chosen.apart = chosen.apart or not hasattr(os, "sched_setaffinity")
    return chosen


def show(pairs: Sequence[report.Pair], revision: str, *, apart: bool) -> Estimate:
    """Print the comparison; gives the ratio of CPU time per event."""
    found = estimate([report.cost(here) / report.cost(there) for here, there in pairs])
    for name, runs in (("this checkout", [here for here, _ in pairs]), (revision, [there for _, there in pairs])):
        cost, yardstick = median(map(report.cost, runs)), median(run.yardstick_seconds for run in runs)
        rate = f"{report.MICRO / cost:,.0f} events per second of CPU"
        print(f"{name[:13]:13} {cost:.2f} us CPU/event, {rate}, yardstick {yardstick * 1e3:.1f} ms (medians)")
    print(f"CPU per event, this checkout / {revision}: {found}, {CONFIDENCE:.0%} bounds, {len(pairs)} pairs")
    if apart:
        rates = estimate([report.rate(here) / report.rate(there) for here, there in pairs])
        print(f"events/s by the wall clock, this checkout / {revision}: {rates}")
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure and print.

    Raises:
        SystemExit: a run failed, runs counted differently, or the upper bound is above `--max-ratio`.
    """
    chosen = options(arguments)
    texts = texts_of(chosen.data)
    print(f"csq bench: {chosen.revision} -> {ROOT.name}: {chosen.events:,} events with {texts.source}, {chosen.origin}")
    with tempfile.TemporaryDirectory(prefix="csq-bench-") as folder, worktree(chosen.revision) as base:
        path = Path(folder) / "events"
        last = stream.write(path, texts, chosen.events)
        job = Job(way=chosen.way, path=str(path), last=last, events=chosen.events, origin=chosen.origin)
        if chosen.brokers is None:
            pairs = pairs_of(job, base, chosen.pairs, apart=chosen.apart)
        else:
            job.brokers = chosen.brokers
            with feed.filled(chosen.brokers, path) as job.topic:
                pairs = pairs_of(job, base, chosen.pairs, apart=chosen.apart)
    found = show(pairs, chosen.revision, apart=chosen.apart)
    if wrong := report.disagreements([run for pair in pairs for run in pair]):
        raise SystemExit("bench: the two did not count the same: " + "; ".join(wrong))
    if chosen.max_ratio is not None and found.upper > chosen.max_ratio:
        print(f"bench: the upper bound {found.upper:.3f} is above {chosen.max_ratio:g}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
