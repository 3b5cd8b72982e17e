"""Two replays of the same events compared by queue: what other settings, such as other opening hours, change."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from flows.commands.replay.report import number

FIGURES = ("rounds", "reply_seconds", "first_response_seconds", "resolution_seconds")
WIDTH = 140
"""At least, in characters: a cell that is cut says nothing."""
ALL = "all queues"
COLUMNS = {
    "met": ("rounds", "met"),
    "missed": ("rounds", "missed"),
    "reply p50": ("reply_seconds", "p50"),
    "p90": ("reply_seconds", "p90"),
    "p99": ("reply_seconds", "p99"),
    "resolved p50": ("resolution_seconds", "p50"),
}
"""Of the table: title -> figure."""


class Difference(Struct, frozen=True):
    """One figure that differs; `None` where a replay has none."""

    queue: str
    figure: str
    before: float | None
    after: float | None


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the summary that an earlier replay has written.

    Raises:
        ClickException: it is missing, or from a release that wrote no figures by queue.
    """
    path = folder / "summary.json"
    try:
        summary: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise click.ClickException(
            f"{path}: cannot be read: {error.strerror}; --compare names the --out of a replay"
        ) from None
    except msgspec.MsgspecError as error:
        raise click.ClickException(f"{path}: is no summary of a replay: {error}") from None
    if "queues" not in summary:
        raise click.ClickException(f"{path}: has no figures by queue: an earlier release wrote it; replay there again")
    return summary


def compared(before: dict[str, Any], after: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each figure that differs, those of all queues first, then queue by queue."""
    for queue in (ALL, *sorted(before["queues"].keys() | after["queues"].keys())):
        old, new = (run if queue == ALL else run["queues"].get(queue, {}) for run in (before, after))
        for name in FIGURES:
            was, now = old.get(name, {}), new.get(name, {})
            for part in now or was:
                if was.get(part) != now.get(part):
                    figure = part if name == "rounds" else f"{name} {part}"
                    yield msgspec.to_builtins(Difference(queue, figure, was.get(part), now.get(part)))


def show_differences(before: dict[str, Any], after: dict[str, Any], folder: Path) -> None:
    """Print the main figures of the queues that differ, as `before → after`."""
    changed = list(dict.fromkeys(difference["queue"] for difference in compared(before, after)))
    console = Console(soft_wrap=True)
    console.width = max(console.width, WIDTH)
    if not changed:
        console.print(f"no figure differs from those of {folder}")
        return
    table = Table("queue", *COLUMNS, box=None, header_style="bold")
    for queue in changed:
        old, new = (run if queue == ALL else run["queues"].get(queue, {}) for run in (before, after))
        pairs = (
            (number(old.get(name, {}).get(part)), number(new.get(name, {}).get(part)))
            for name, part in COLUMNS.values()
        )
        table.add_row(queue, *(was if was == now else f"{was} → {now}" for was, now in pairs))
    console.print(f"compared with {folder}:")
    console.print(table)
