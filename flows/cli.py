"""The command `csq`."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Self

import click
import msgspec
from bytewax.errors import BytewaxRuntimeError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from flows.settings import Settings, SettingsError, dump, load
from operators.connectors.importer import ImporterError, import_file, load_mapping
from operators.connectors.jsonl import STDIN, JsonlInputError, open_input, read_lines
from operators.connectors.kafka import KafkaInputError, KafkaOutputError
from operators.domain.stage import StateVersionError

CLEAR = (KafkaInputError, KafkaOutputError, StateVersionError, JsonlInputError)
"""Errors whose text says what to do."""

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings in YAML; without it the built-in ones (see docs/settings.md). CSQ_SECTION__KEY overrides a key.",
)


def settings_of(config: Path | None) -> Settings:
    """The effective settings, or a clear word and exit 2."""
    try:
        return load(config, os.environ)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="csq")
def main() -> None:
    """Customer service quality, while the conversation happens."""


@main.command()
@config_option
def run(config: Path | None) -> None:
    """Run live: Kafka if the settings name brokers, else an embedded broker and a simulated shop."""
    from flows import logs
    from flows.live import Live
    from flows.view import LiveView
    from flows.web import WebError

    settings = settings_of(config)
    terminal = sys.stdout.isatty()
    logs.start("warning" if terminal else settings.log.level)
    try:
        live = Live(settings)
        urls = {name: f"{live.web.url}/{name}" for name in ("metrics", "healthz", "readyz")}
        view = LiveView(live.registry, urls) if terminal else None
        try:
            live.run(view.start if view is not None else lambda: None)
        finally:
            if view is not None:
                view.stop()
    except WebError as error:
        raise click.ClickException(str(error)) from None
    except BytewaxRuntimeError as error:
        _tell(error)


def _tell(error: BaseException) -> NoReturn:
    """Tell what went wrong in the flow: Bytewax wraps it, several times."""
    at: BaseException | None = error
    while at is not None and not isinstance(at, CLEAR):
        at = at.__cause__ or at.__context__
    if at is None:
        raise error
    raise click.ClickException(str(at)) from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{folder}: cannot be written: {error.strerror}; --out names a folder") from None


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the results.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object on standard output.")
@click.option(
    "--batch", type=click.IntRange(1), default=256, show_default=True, help="Events scored before labels are learned."
)
@config_option
def replay(files: tuple[str, ...], out: Path, *, as_json: bool, batch: int, config: Path | None) -> None:
    """Replay recorded events (JSON lines, plain or .gz; - is standard input) through the same path."""
    from flows import logs
    from flows.replay import replay as replay_files

    settings = settings_of(config)
    logs.start("warning")
    for path in files:
        _check_readable(path)
    _make_folder(out)
    try:
        with _progress(files, show=sys.stderr.isatty()) as told:
            summary = replay_files(settings, files, out, batch_size=batch, now=time.time(), progress=told)
    except BytewaxRuntimeError as error:
        _tell(error)
    (out / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(_lasting(summary)), indent=2) + b"\n")
    if as_json:
        click.echo(json.dumps(summary))
    else:
        from flows.report import show

        show(summary, out)


def _lasting(summary: dict[str, Any]) -> dict[str, Any]:
    """What is the same each time: without how long it took."""
    return {key: value for key, value in summary.items() if key not in {"seconds", "events_per_second"}}


def _check_readable(path: str) -> None:
    try:
        file = open_input(path)
        if path != STDIN:
            file.read(1)
            file.close()
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise click.ClickException(f"{path}: cannot be read: {why}; expected JSON lines, plain or .gz, or -") from None


def _progress(files: tuple[str, ...], *, show: bool) -> "_Bar":
    total = sum(_lines(path) for path in files) if show and STDIN not in files else None
    return _Bar(total, show=show)


def _lines(path: str) -> int:
    with open_input(path) as file:
        return sum(1 for _ in read_lines(file))


class _Bar:
    """A progress bar on a terminal, and nothing elsewhere."""

    def __init__(self, total: int | None, *, show: bool) -> None:
        columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), disable=not show)
        self._task = self._bar.add_task("replay", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, done: int) -> None:
        self._bar.update(self._task, completed=done)


@main.command()
@click.option("--scenario", type=click.Choice(["normal", "rush", "outage"]), help="What happens in the shop.")
@click.option("--seed", type=click.IntRange(0), help="Same seed, same events.")
@click.option("--events", type=click.IntRange(1), default=100_000, show_default=True, help="How many.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File for the events; else standard output."
)
@click.option("--books", type=click.Path(dir_okay=False, path_type=Path), help="File for the true counts and times.")
@config_option
def simulate(
    *, scenario: str | None, seed: int | None, events: int, out: Path | None, books: Path | None, config: Path | None
) -> None:
    """Write the events of a simulated shop as JSON lines; --books also writes what truly happened."""
    from operators.connectors.simulator import Simulator

    params = settings_of(config).simulator
    chosen = {"scenario": scenario, "seed": seed}
    params = msgspec.structs.replace(params, **{name: value for name, value in chosen.items() if value is not None})
    simulator = Simulator(params)
    with _output(out) as file, _output(books) if books is not None else nullcontext() as kept:
        for delivery in simulator.take(events):
            file.write(delivery.raw.replace(b"\n", b" ") + b"\n")
        if kept is not None:
            kept.write(msgspec.json.format(msgspec.json.encode(simulator.books), indent=2) + b"\n")


@main.command(name="import")
@click.option(
    "--mapping",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="What becomes what (docs/importing.md).",
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File for the events; else standard output."
)
@click.option("--strict", is_flag=True, help="Stop at the first bad row instead of leaving it out.")
@click.option("--limit", type=click.IntRange(1), help="At most so many rows.")
def import_command(mapping: Path, file: Path, *, out: Path | None, strict: bool, limit: int | None) -> None:
    """Turn a CSV or TSV export (plain or .gz) into events, by a declared mapping."""
    try:
        declared = load_mapping(mapping)
        with _output(out) as written:
            done = import_file(
                declared, file, written, strict=strict, report=lambda text: click.echo(text, err=True), limit=limit
            )
    except ImporterError as error:
        raise click.ClickException(str(error)) from None
    counts = ", ".join(f"{name} {count}" for name, count in done.events.items()) or "none"
    click.echo(
        f"{done.rows} rows read, {done.bad_rows} bad, {done.rows_without_event} without event; events: {counts}",
        err=True,
    )


@contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO]:
    """A file to write, or standard output, which stays open."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be written: {error.strerror}") from None
    with file:
        yield file


@main.command(name="config")
@config_option
def config_command(config: Path | None) -> None:
    """Print the effective settings, secrets hidden."""
    click.echo(dump(settings_of(config)), nl=False)


@main.command()
def schema() -> None:
    """Print the JSON Schema of all events, for producers."""
    from operators.domain.events import AnyEvent

    click.echo(json.dumps(msgspec.json.schema(AnyEvent), indent=2))


if __name__ == "__main__":
    logging.captureWarnings(capture=True)
    main()
