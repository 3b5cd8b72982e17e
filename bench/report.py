"""Results of several runs: medians, ratios by pair, and the printed table."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from bench.meter import Figures

Pair = tuple[Figures, Figures]
"""The flow, and the bare loop that ran right after it."""
MICRO = 1e6


def rate(run: Figures) -> float:
    """Events per second of wall time."""
    return run.events / run.seconds


def cost(run: Figures) -> float:
    """Microseconds of CPU time per event, all threads of the process."""
    return run.cpu_seconds / run.events * MICRO


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, median and most.

    >>> spread([3.0, 1.0, 2.0])
    {'min': 1.0, 'median': 2.0, 'max': 3.0}
    """
    return {"min": min(values), "median": median(values), "max": max(values)}


def figures_of(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Figures of one origin; ratios above 1 mean that the flow was faster than the bare loop."""
    return {
        **_compared(("flow", "bare"), pairs),
        "ratio": spread([rate(flow) / rate(bare) for flow, bare in pairs]),
        "cpu_ratio": spread([cost(bare) / cost(flow) for flow, bare in pairs]),
        "published": median(flow.published for flow, _ in pairs),
        "published_bytes": median(flow.published_bytes for flow, _ in pairs),
    }


def processes_of(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Figures of one process (first of a pair) and of two, from the same topic; `ratio` is how much faster two are."""
    return {
        **_compared(("one", "two"), pairs),
        "ratio": spread([rate(two) / rate(one) for one, two in pairs]),
        "cpu_ratio": spread([cost(two) / cost(one) for one, two in pairs]),
    }


def _compared(names: tuple[str, str], pairs: Sequence[Pair]) -> dict[str, Any]:
    """The figures of both sides, each under its name."""

    def each(measure: Callable[[Figures], float]) -> dict[str, Any]:
        return {name: spread([measure(pair[side]) for pair in pairs]) for side, name in enumerate(names)}

    return {
        "runs": len(pairs),
        "events_per_second": each(rate),
        "cpu_us_per_event": each(cost),
        "rss_bytes": each(lambda run: float(run.rss_bytes)),
        "yardstick_ms": each(lambda run: run.yardstick_seconds * 1e3),
    }


def stages_of(runs: Sequence[Figures]) -> dict[str, float]:
    """Median microseconds of CPU per event of the stream, by stage."""
    return {name: median(run.stages[name] / run.events for run in runs) * MICRO for name in runs[0].stages}


def disagreements(runs: Sequence[Figures]) -> list[str]:
    """What was not counted the same in all runs that count it: then they did not do the same work."""
    wrong = set()
    for name in {name for run in runs for name in run.counted}:
        first, *others = (run.counted[name] for run in runs if name in run.counted)
        wrong |= {f"{name}: {first} and {count}" for count in others if count != first}
    return sorted(wrong)


def show_pairs(origin: str, figures: dict[str, Any]) -> None:
    """Print one origin."""
    print(f"\nfrom {origin}, median of {figures['runs']} (least .. most)")
    print(f"  {'':6} {'events/s':>28}   {'us CPU/event':>24}   {'peak memory':>11}")
    for way in ("flow", "bare"):
        speed, cpu, rss = (figures[key][way] for key in ("events_per_second", "cpu_us_per_event", "rss_bytes"))
        print(
            f"  {way:6} {_spread(speed, ',.0f'):>28}   {_spread(cpu, '.1f'):>24}   {rss['median'] / 2**20:>7,.0f} MiB"
        )
    print(f"  ratio  {_spread(figures['ratio'], '.2f'):>28}   {_spread(figures['cpu_ratio'], '.2f'):>24}")
    print(f"  yardstick {_spread(figures['yardstick_ms']['flow'], '.0f')} ms: the same work each time")


def show_processes(figures: dict[str, Any]) -> None:
    """Print one process against two."""
    print(f"\nprocesses, from a real Kafka, median of {figures['runs']} (least .. most)")
    print(f"  {'':6} {'events/s':>28}   {'us CPU/event':>24}   {'peak memory':>11}")
    for count in ("one", "two"):
        speed, cpu, rss = (figures[key][count] for key in ("events_per_second", "cpu_us_per_event", "rss_bytes"))
        memory = f"{rss['median'] / 2**20:>7,.0f} MiB"
        print(f"  {count:6} {_spread(speed, ',.0f'):>28}   {_spread(cpu, '.1f'):>24}   {memory}")
    print(f"  ratio  {_spread(figures['ratio'], '.2f'):>28}   {_spread(figures['cpu_ratio'], '.2f'):>24}")


def show_stages(stages: dict[str, float]) -> None:
    """Print what each stage costs."""
    print("\nstages in the bare loop, us of CPU per event of the stream")
    for name, micros in stages.items():
        print(f"  {name:14} {micros:6.2f}  {'#' * round(micros * 2)}")
    print(f"  {'all':14} {sum(stages.values()):6.2f}")


def _spread(values: dict[str, float], form: str) -> str:
    return f"{values['median']:{form}} ({values['min']:{form}} .. {values['max']:{form}})"
