"""The command `csq rules`: rules, alerts and what is generated with them, from `config/slo.yaml`."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from flows.commands.options import config_option, settings_of
from flows.commands.rules.build import alerts, files, stale, write
from flows.commands.rules.burns import span
from flows.commands.rules.declaration import Declaration
from flows.commands.rules.init import starting_point
from flows.commands.rules.load import load
from flows.commands.rules.misfits import disagreements
from flows.settings.config_folder import config_folder
from operators.documents.load import DocumentError

WIDTH = 200
"""Columns of the output without a terminal."""


def _default_slo() -> Path:
    here = Path("config/slo.yaml")
    return here if here.exists() else config_folder() / "slo.yaml"


slo_option = click.option(
    "--slo",
    type=click.Path(dir_okay=False, path_type=Path),
    default=_default_slo,
    show_default="config/slo.yaml, without it the one that is installed with csq",
    help="Objectives in YAML (see docs/slo.md).",
)
root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder with config/, grafana/ and docs/; by default the current one.",
)


@click.group()
def rules() -> None:
    """Prometheus rules, alerts and their copies for Grafana, generated from config/slo.yaml."""


def _declared(slo: Path, config: Path | None) -> Declaration:
    try:
        return load(slo, settings_of(config))
    except DocumentError as error:
        raise click.ClickException(str(error)) from None


@rules.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=Path("config/slo.yaml"))
@config_option
def init(file: Path, config: Path | None) -> None:
    """Write a first file of objectives: those of csq, with the queues of the settings (config/slo.yaml)."""
    settings = settings_of(config)
    if file.exists():
        raise click.ClickException(f"{file}: exists already and is not overwritten; name another file")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(starting_point(settings), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{file}: cannot be written: {error.strerror}") from None
    click.echo(f"wrote {file}; set your links, queue classes and objectives, then run `csq rules build --slo {file}`")


@rules.command()
@slo_option
@root_option
@config_option
def build(slo: Path, root: Path, config: Path | None) -> None:
    """Write all generated files; queues and other labels are those of the settings."""
    declaration = _declared(slo, config)
    try:
        changed = write(declaration, root)
    except OSError as error:
        raise click.ClickException(f"{error.filename}: cannot be written: {error.strerror}") from None
    for name in changed:
        click.echo(f"wrote {name}")
    if not changed:
        click.echo(f"all {len(files(declaration))} files were up to date")


@rules.command()
@slo_option
@root_option
@config_option
def check(slo: Path, root: Path, config: Path | None) -> None:
    """Fail if a generated file is stale."""
    declaration = _declared(slo, config)
    for note in disagreements(declaration, settings_of(config)):
        click.echo(f"note: {note}", err=True)
    wrong = stale(declaration, root)
    if wrong:
        names = ", ".join(wrong)
        raise click.ClickException(
            f"stale, compared with {slo}: {names}; run `csq rules build` and commit what it writes"
        )


@rules.command(name="list")
@slo_option
@config_option
def list_command(slo: Path, config: Path | None) -> None:
    """List the alerts: severity, team, duration before they fire, and summary."""
    table = Table("alert", "severity", "class", "team", "after", "says", box=None, pad_edge=False)
    for alert in alerts(_declared(slo, config)):
        wait = span(alert.for_seconds) if alert.for_seconds else "at once"
        queue_class = alert.labels.get("class", "")
        table.add_row(alert.name, alert.severity, queue_class, alert.team, wait, alert.says("<{}>"))
    wide = Console()
    (wide if wide.is_terminal else Console(width=WIDTH)).print(table)
