"""The command `csq replay`."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec
from bytewax.errors import BytewaxRuntimeError

from flows.commands.errors import fail
from flows.commands.options import config_option, settings_of
from flows.commands.replay.compare import compared, read_summary, show_differences
from flows.commands.replay.input import batch_option, check_readable, files_argument, progress
from flows.commands.replay.report import show
from flows.host import logs
from flows.replay import replay as replay_files
from operators.documents.load import DocumentError


@click.command()
@files_argument
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the results.")
@click.option(
    "--compare",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of an earlier replay, with other settings: print what differs, by queue.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@batch_option
@config_option
def replay(
    files: tuple[str, ...], out: Path, *, compare: Path | None, as_json: bool, batch: int, config: Path | None
) -> None:
    """Run recorded events (JSON lines, plain or .gz; - is standard input) through the same flow."""
    settings = settings_of(config)
    logs.start("warning")
    earlier = None if compare is None else read_summary(compare)
    for path in files:
        check_readable(path)
    _make_folder(out)
    try:
        with progress(files, show=sys.stderr.isatty()) as bar:
            summary = replay_files(settings, files, out, batch_size=batch, now=time.time(), progress=bar)
    except DocumentError as error:
        raise click.UsageError(str(error)) from None
    except BytewaxRuntimeError as error:
        fail(error)
    stored = msgspec.json.format(msgspec.json.encode(_reproducible(summary)), indent=2)
    (out / "summary.json").write_bytes(stored + b"\n")
    if as_json:
        differences = {} if earlier is None else {"differences": list(compared(earlier, summary))}
        click.echo(json.dumps(summary | differences))
        return
    show(summary, out)
    if earlier is not None and compare is not None:
        show_differences(earlier, summary, compare)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{folder}: cannot be written: {error.strerror}; --out names a folder") from None


def _reproducible(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the summary without the figures that differ between two runs over the same events."""
    return {key: value for key, value in summary.items() if key not in {"seconds", "events_per_second"}}
