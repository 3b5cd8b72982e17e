"""The command `csq schema`."""

import json

import click
import msgspec

from operators.domain.wire.events import AnyEvent


@click.command()
def schema() -> None:
    """Print the JSON Schema of all events, for producers."""
    click.echo(json.dumps(msgspec.json.schema(AnyEvent), indent=2))
