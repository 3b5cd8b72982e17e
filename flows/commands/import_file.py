"""The command `csq import`."""

from pathlib import Path

import click

from flows.commands.output import opened, out_option
from operators.documents.load import DocumentError
from operators.importer import ImporterError, churn_attributes, load_mapping, propose
from operators.importer import import_file as import_rows


@click.command(name="import")
@click.option(
    "--mapping",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Mapping file (YAML); see docs/importing.md.",
)
@click.option("--guess", is_flag=True, help="Propose a mapping for FILE instead of converting it.")
@click.argument("file", type=click.Path(path_type=Path))
@out_option
@click.option("--strict", is_flag=True, help="Stop at the first bad row instead of skipping it.")
@click.option("--limit", type=click.IntRange(1), help="Maximum number of rows to read.")
def import_file(
    mapping: Path | None, file: Path, *, guess: bool, out: Path | None, strict: bool, limit: int | None
) -> None:
    """Convert an export to events, in the order of time.

    FILE is a CSV or TSV file, plain or .gz; or, for a mapping with a query, a file or a folder that DuckDB reads.
    """
    if guess == (mapping is not None):
        raise click.UsageError("expected either --mapping or --guess")
    try:
        if mapping is None:
            proposed = propose(file)
            with opened(out) as written:
                written.write(proposed.encode())
            return
        declared = load_mapping(mapping)
        with opened(out) as written:
            done = import_rows(
                declared, file, written, strict=strict, report=lambda text: click.echo(text, err=True), limit=limit
            )
    except (ImporterError, DocumentError) as error:
        raise click.ClickException(str(error)) from None
    for line in done.skipped:
        click.echo(f"skipped: {line}", err=True)
    if attributes := churn_attributes(declared):
        listed = ", ".join(f"{name}: {kind}" for name, kind in attributes.items())
        click.echo(
            f"attributes have an effect only where the settings declare them: churn: {{attributes: {{{listed}}}}}",
            err=True,
        )
    counts = ", ".join(f"{name} {count}" for name, count in done.events.items()) or "none"
    click.echo(
        f"{done.rows} rows read, {done.bad_rows} bad, {done.rows_without_event} without event; events: {counts}",
        err=True,
    )
