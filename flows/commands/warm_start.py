"""The command `csq warm-start`."""

import sys
import time
from pathlib import Path

import click
from bytewax.errors import BytewaxRuntimeError

from flows.commands.errors import fail
from flows.commands.options import config_option, settings_of
from flows.commands.replay.input import batch_option, check_readable, files_argument, progress
from flows.host import logs
from flows.warm import warm_start as replay_into_store
from operators.documents.load import DocumentError
from operators.engine.store import StoreError


@click.command(name="warm-start")
@files_argument
@click.option(
    "--recovery",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Directory of the new recovery store; it must be empty or not exist.",
)
@batch_option
@config_option
def warm_start(files: tuple[str, ...], *, recovery: Path, batch: int, config: Path | None) -> None:
    """Replay history (JSON lines, plain or .gz) into a new recovery store, from which `csq run` resumes."""
    settings = settings_of(config)
    logs.start("warning")
    for path in files:
        check_readable(path)
    try:
        with progress(files, show=sys.stderr.isatty()) as bar:
            counts = replay_into_store(settings, files, recovery, batch_size=batch, now=time.time(), progress=bar)
    except DocumentError as error:
        raise click.UsageError(str(error)) from None
    except (BytewaxRuntimeError, StoreError) as error:
        fail(error)
    click.echo(f"created a recovery store in {recovery}: {', '.join(f'{n} {name}' for name, n in counts.items())}")
