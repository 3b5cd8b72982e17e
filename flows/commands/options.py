"""What several commands share: the option that names the settings, and how they are read."""

import os
from pathlib import Path

import click

from flows.settings.environment import variable
from flows.settings.load import load
from flows.settings.model import Settings
from operators.documents.load import DocumentError
from operators.domain.wire.decode import Door

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings in YAML; without it the defaults (see docs/settings.md). CSQ_SECTION__KEY overrides a key.",
)


def _set_web_config(_context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    """Set it as the variable of its setting: the processes that this one starts read the same."""
    if path is not None:
        os.environ[variable(("http", "web_config_file"))] = str(path)


web_config_option = click.option(
    "--web.config.file",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_set_web_config,
    expose_value=False,
    help="TLS, passwords and headers of /metrics, in the format of the Prometheus exporters (docs/operations.md).",
)


def settings_of(config: Path | None) -> Settings:
    """The effective settings, or a clear word and exit 2."""
    try:
        return load(config, os.environ)
    except DocumentError as error:
        raise click.UsageError(str(error)) from None


def door_of(settings: Settings) -> Door:
    """The check of raw events that `csq run` makes with these settings."""
    params = settings.intake
    return Door(params.max_bytes, params.ahead_seconds, params.max_age_seconds)
