"""Input files of `csq replay`, `csq warm-start` and `csq send`: checked before anything starts, shown as progress."""

from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from operators.connectors.files.jsonl import STDIN, open_input, read_lines

files_argument = click.argument("files", nargs=-1, required=True, metavar="FILE...")
batch_option = click.option(
    "--batch",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Number of events that are scored before their labels are learned.",
)


def check_readable(path: str) -> None:
    """Open a file and read its first byte.

    Raises:
        ClickException: it cannot be read.
    """
    try:
        file = open_input(path)
        if path != STDIN:
            file.read(1)
            file.close()
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise click.ClickException(f"{path}: cannot be read: {why}; expected JSON lines, plain or .gz, or -") from None


def progress(files: tuple[str, ...], *, show: bool, title: str = "replay") -> "ProgressBar":
    """Return a progress bar over the lines of the files; hidden unless `show`."""
    total = sum(_lines(path) for path in files) if show and STDIN not in files else None
    return ProgressBar(title, total, show=show)


def _lines(path: str) -> int:
    with open_input(path) as file:
        return sum(1 for _ in read_lines(file))


class ProgressBar:
    """A progress bar on a terminal, and nothing elsewhere."""

    def __init__(self, title: str, total: int | None, *, show: bool) -> None:
        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), disable=not show)
        self._task = self._bar.add_task(title, total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, done: int) -> None:
        """Show that so many lines are done."""
        self._bar.update(self._task, completed=done)
