"""CPU time per event by stage: ``python -m bench.ledger``, or ``python -m bench.ledger REV`` beside another revision.

The stages are those of the bare loop (`bench/bare.py`), each with a clock around it; the figures are medians over
several runs. With REV both run in pairs as in `bench/against.py`, and the last column is the median of the differences.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median

from bench import report, stream
from bench.against import pairs_of
from bench.arguments import whole
from bench.child import measure, worktree
from bench.meter import Figures
from bench.runs import Job
from bench.texts import texts_of

EVENTS, RUNS = 100_000, 5


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description="CPU time per event by stage.")
    add = parser.add_argument
    add("revision", metavar="REV", nargs="?", help="git revision to measure beside this checkout")
    add("--runs", type=whole(), default=RUNS, help=f"runs, or pairs of runs; default {RUNS}")
    add("--events", type=whole(), default=EVENTS, help=f"events per run; default {EVENTS:,}")
    add("--data", type=Path, default=os.environ.get("CSQ_DATA"), help="public data sets, for tweets; default CSQ_DATA")
    return parser.parse_args(arguments)


def show(pairs: Sequence[report.Pair], revision: str) -> None:
    """Print one line per stage, before and after; a stage that one of the two lacks counts 0 there."""
    here, there = [run for run, _ in pairs], [run for _, run in pairs]
    print(f"\nus of CPU per event of the stream, bare loop, medians of {len(pairs)} pairs")
    print(f"  {'':14} {revision[:12]:>12} {'this':>8} {'change':>8}")
    names = list(dict.fromkeys([*here[0].stages, *there[0].stages]))
    for name in [*names, "all"]:
        before, after = ([_micros(run, name) for run in runs] for runs in (there, here))
        change = median(new - old for new, old in zip(after, before, strict=True))
        print(f"  {name:14} {median(before):12.2f} {median(after):8.2f} {change:+8.2f}")


def _micros(run: Figures, stage: str) -> float:
    seconds = sum(run.stages.values()) if stage == "all" else run.stages.get(stage, 0.0)
    return seconds / run.events * report.MICRO


def main(arguments: list[str] | None = None) -> None:
    """Measure and print.

    Raises:
        SystemExit: a run failed.
    """
    chosen = options(arguments)
    texts = texts_of(chosen.data)
    print(f"csq bench: {chosen.events:,} events with {texts.source}")
    base = worktree(chosen.revision) if chosen.revision else nullcontext()
    with tempfile.TemporaryDirectory(prefix="csq-bench-") as folder, base as other:
        path = Path(folder) / "events"
        last = stream.write(path, texts, chosen.events)
        job = Job(way="stages", path=str(path), last=last, events=chosen.events)
        if other is None:
            report.show_stages(report.stages_of([measure(job) for _ in range(chosen.runs)]))
        else:
            apart = not hasattr(os, "sched_setaffinity")
            show(pairs_of(job, other, chosen.runs, apart=apart), chosen.revision)


if __name__ == "__main__":
    main()
