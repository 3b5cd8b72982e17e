"""The command `csq`."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Self, get_args

import click
import msgspec
from bytewax.errors import BytewaxRuntimeError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from flows.deadletters.command import deadletters
from flows.options import config_option, settings_of, web_config_option
from flows.rules.command import rules
from flows.settings import Settings, dump
from flows.state.command import state
from flows.state.store import StoreError, StoreMisfitError
from operators.connectors.importer import ImporterError, import_file, load_mapping
from operators.connectors.jsonl import STDIN, JsonlInputError, open_input, read_lines
from operators.connectors.kafka.errors import KafkaInputError, KafkaOutputError
from operators.connectors.simulator import Scenario
from operators.domain.sealed import StateDamagedError
from operators.domain.stage import StateVersionError

CLEAR = (KafkaInputError, KafkaOutputError, StateVersionError, StateDamagedError, StoreError, JsonlInputError)
"""Errors whose text says what to do."""
LASTING = (StateVersionError, StateDamagedError, StoreMisfitError)
"""Those that stay until somebody does it."""


class LastingError(click.ClickException):
    """Whoever supervises the process need not start it again."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="csq")
def main() -> None:
    """Customer service quality, while the conversation happens."""


main.add_command(deadletters)
main.add_command(rules)
main.add_command(state)


@main.command()
@web_config_option
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, help="Start so many here.")
@click.option("--process-id", type=click.IntRange(0), help="Be this one, from 0, of those at --addresses.")
@click.option("--addresses", help="host:port,host:port of all processes of a cluster, the same in each of them.")
@click.option("--supervised", is_flag=True, hidden=True, help="End when standard input does.")
@config_option
def run(
    *, processes: int, process_id: int | None, addresses: str | None, supervised: bool, config: Path | None
) -> None:
    """Run live: Kafka if the settings name brokers, else an embedded broker and a simulated shop.

    With --processes, or on several machines with --process-id and --addresses, each process holds a share of the
    conversations and customers and serves its own metrics, at http.port and the ports after it.
    """
    from flows import logs
    from flows.cluster.place import ALONE, ClusterError, PeerLostError, place_of
    from flows.cluster.supervise import end_with_parent
    from flows.live import Live
    from flows.view import LiveView
    from flows.web.config import WebConfigError
    from flows.web.server import WebError

    settings = settings_of(config)
    if (process_id is None) != (addresses is None) or (process_id is not None and processes > 1):
        raise click.UsageError("--process-id and --addresses belong together, and --processes to neither")
    if processes > 1:
        _supervise(settings, processes, config)
    try:
        place = ALONE if process_id is None or addresses is None else place_of(process_id, addresses)
    except ClusterError as error:
        raise click.UsageError(str(error)) from None
    terminal = sys.stdout.isatty() and place is ALONE
    logs.start("warning" if terminal else settings.log.level, process=None if place is ALONE else place.name)
    if supervised:
        end_with_parent()
    try:
        live = Live(settings, place)
        urls = {name: f"{live.web.url}/{name}" for name in ("metrics", "healthz", "readyz")}
        view = LiveView(live.registry, urls) if terminal else None
        try:
            live.run(view.start if view is not None else lambda: None)
        finally:
            if view is not None:
                view.stop()
    except WebError as error:
        raise click.ClickException(str(error)) from None
    except (WebConfigError, ClusterError) as error:
        raise click.UsageError(str(error)) from None
    except (BytewaxRuntimeError, PeerLostError, *CLEAR) as error:
        _tell(error)


def _supervise(settings: Settings, processes: int, config: Path | None) -> NoReturn:
    """Start the processes of this machine, and stay with them."""
    from flows import logs
    from flows.cluster.place import ClusterError, check
    from flows.cluster.supervise import STOP_GRACE_SECONDS, Supervisor

    try:
        check(settings, processes)
    except ClusterError as error:
        raise click.UsageError(str(error)) from None
    logs.start(settings.log.level)
    named = [] if config is None else ["-c", str(config)]

    def command(number: int, addresses: Sequence[str]) -> list[str]:
        place = ["--process-id", str(number), "--addresses", ",".join(addresses)]
        return [sys.executable, "-m", "flows.cli", "run", "--supervised", *place, *named]

    # A stop waits for deliveries, and those may take this long.
    sys.exit(Supervisor(processes, command, settings.kafka.delivery_seconds + STOP_GRACE_SECONDS).run())


def _tell(error: BaseException) -> NoReturn:
    """Tell what went wrong in the flow: Bytewax wraps it, several times."""
    at: BaseException | None = error
    while at is not None and not isinstance(at, CLEAR):
        at = at.__cause__ or at.__context__
    if at is None:
        raise error
    raise (LastingError if isinstance(at, LASTING) else click.ClickException)(str(at)) from None


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


@main.command(name="warm-start")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--recovery",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Directory of the new recovery store; it must be empty, or not be there.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=256, show_default=True, help="Events scored before labels are learned."
)
@config_option
def warm_start_command(files: tuple[str, ...], *, recovery: Path, batch: int, config: Path | None) -> None:
    """Replay history (JSON lines, plain or .gz) into a new recovery store, from which `csq run` goes on."""
    from flows import logs
    from flows.state.warm import warm_start

    settings = settings_of(config)
    logs.start("warning")
    for path in files:
        _check_readable(path)
    try:
        with _progress(files, show=sys.stderr.isatty()) as told:
            counts = warm_start(settings, files, recovery, batch_size=batch, now=time.time(), progress=told)
    except (BytewaxRuntimeError, StoreError) as error:
        _tell(error)
    click.echo(f"made a recovery store in {recovery}: {', '.join(f'{n} {name}' for name, n in counts.items())}")


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
@click.option("--scenario", type=click.Choice(get_args(Scenario)), help="What happens in the shop.")
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


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@web_config_option
@config_option
def check(config: Path | None, *, as_json: bool) -> None:
    """Check settings, brokers, topics, credentials, state directory, port and clock; exit 1 where one fails.

    Nothing is changed: no topic is made, no record written.
    """
    from flows.check.command import findings, show

    if not show(findings(config, os.environ), as_json=as_json):
        raise SystemExit(1)


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
