"""The summary of a replay as text."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.commands.run.view import span
from operators.metrics.other_names import lines
from operators.metrics.summary import DURATIONS

FIGURES = {
    "accuracy": "accuracy",
    "baseline_accuracy": "baseline",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "auc": "AUC",
    "mean_absolute_error": "error",
}


def show(summary: dict[str, Any], folder: Path) -> None:
    """Print counts, waits and models."""
    console = Console(soft_wrap=True)
    events = sum(summary["events"].values())
    dead = sum(summary["dead_letters"].values())
    console.print(
        f"{events:,} events in {summary['seconds']:.1f} s ({summary['events_per_second']:,}/s), "
        f"{summary['duplicates']:,} repeats, {dead:,} dead letters"
    )
    if dead:
        console.print("dead letters: " + ", ".join(f"{why} {n:,}" for why, n in summary["dead_letters"].items()))
    durations = Table("seconds", "count", "p10", "p50", "p75", "p90", "p99", box=None, header_style="bold")
    for name in DURATIONS.values():
        figures = summary[name]
        durations.add_row(name, *(number(figures[key]) for key in ("count", "p10", "p50", "p75", "p90", "p99")))
    console.print(durations)
    if summary["queues"]:
        console.print(_queues(summary))
    if summary["models"]:
        models = Table("model", "n", *FIGURES.values(), box=None, header_style="bold")
        for name, figures in summary["models"].items():
            for title, about in ((name, figures), ("  last fifth", figures["last_fifth"])):
                models.add_row(title, f"{about['n']:,}", *(_share(about.get(key)) for key in FIGURES))
        console.print(models)
        delays = [(span(of["label_delay_seconds"]["p50"]), name) for name, of in summary["models"].items()]
        console.print(
            f"scored in batches of {summary['batch_size']:,} events, each before its labels are learned; labels come "
            f"after {', '.join(f'{delay} ({name})' for delay, name in delays)}"
        )
    for line in lines(summary["other"]["names"], summary["other"]["replies"]):
        console.print(line, style="yellow", highlight=False)
    if ignored := ", ".join(summary["other"]["attributes"]):
        line = f"attributes without effect: {ignored}; declare them in churn.attributes"
        console.print(line, style="yellow", highlight=False)
    console.print(f"results in {folder}")


def _queues(summary: dict[str, Any]) -> Table:
    """Rounds and reply times of humans by queue."""
    table = Table(
        "queue", "met", "missed", "by bots", "reply p50", "p90", "p99", "resolved p50", box=None, header_style="bold"
    )
    for name, figures in summary["queues"].items():
        rounds, replies = figures["rounds"], figures["reply_seconds"]
        numbers = [rounds["met"], rounds["missed"], rounds["answered_by_bot"]]
        numbers += [replies["p50"], replies["p90"], replies["p99"], figures["resolution_seconds"]["p50"]]
        table.add_row(name, *map(number, numbers))
    return table


def number(value: float | None) -> str:
    """Write a number; `-` for none."""
    return "-" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
