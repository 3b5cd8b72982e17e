"""The command `csq id`."""

import sys
from pathlib import Path

import click

from flows.commands.options import config_option, settings_of
from flows.settings.privacy import pseudonyms_with_key
from operators.documents.load import DocumentError


@click.command(name="id")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@config_option
def pseudonym(ids: tuple[str, ...], config: Path | None) -> None:
    """Print the pseudonyms of ids, by the key in privacy.key_file; without arguments of each line of standard input.

    Standard input keeps ids out of the history of the shell.
    """
    try:
        pseudonyms = pseudonyms_with_key(settings_of(config).privacy)
    except DocumentError as error:
        raise click.UsageError(str(error)) from None
    for each in ids or (line.rstrip("\r\n") for line in sys.stdin):
        if each:
            click.echo(pseudonyms.of(each))
