"""The summary of a replay for people."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def show(summary: dict[str, Any], folder: Path) -> None:
    """Print counts, waits and models."""
    console = Console()
    events = sum(summary["events"].values())
    dead = sum(summary["dead_letters"].values())
    console.print(
        f"{events:,} events in {summary['seconds']:.1f} s ({summary['events_per_second']:,}/s), "
        f"{summary['duplicates']:,} repeats, {dead:,} dead letters"
    )
    if dead:
        console.print("dead letters: " + ", ".join(f"{why} {n:,}" for why, n in summary["dead_letters"].items()))
    waits = Table("seconds", "count", "p10", "p50", "p75", "p90", "p99", box=None, header_style="bold")
    for name in ("reply_seconds", "first_response_seconds"):
        figures = summary[name]
        waits.add_row(name, *(_number(figures[key]) for key in ("count", "p10", "p50", "p75", "p90", "p99")))
    console.print(waits)
    if summary["models"]:
        models = Table(
            "model", "n", "accuracy", "macro F1", "log loss", "AUC", "(last fifth)", box=None, header_style="bold"
        )
        for name, figures in summary["models"].items():
            last = figures["last_fifth"]
            keys = ("accuracy", "macro_f1", "log_loss", "auc")
            models.add_row(
                name,
                f"{figures['n']:,}",
                *(_share(figures.get(key)) for key in keys),
                " / ".join(_share(last.get(key)) for key in keys),
            )
        console.print(models)
    console.print(f"results in {folder}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
