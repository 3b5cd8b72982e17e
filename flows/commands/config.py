"""The command `csq config`."""

from pathlib import Path

import click

from flows.commands.options import config_option, settings_of
from flows.settings.load import dump
from operators.documents.secret import hidden


@click.command()
@config_option
def config(config: Path | None) -> None:
    """Print the effective settings, secrets hidden."""
    click.echo(hidden(dump(settings_of(config))), nl=False)
