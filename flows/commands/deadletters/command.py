"""The command `csq deadletters`: look at what was refused, and send it again once it is mended.

Without files it works on the topic that the settings name, with files on those that `csq replay --out` wrote.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from flows.commands.deadletters.letters import MEANING, Census, LetterFilter, iso, parse_since, printable, shown
from flows.commands.deadletters.redrive import FileTarget, Outcome, Redrive, RedriveTarget, TopicTarget, judge_one
from flows.commands.options import config_option, door_of, settings_of
from flows.commands.rate import RateLimit, rate_option
from flows.settings.model import Settings
from operators.connectors.files.letters import Box, DeadLettersError, FileBox, Letter, Receipt
from operators.connectors.kafka.errors import KafkaOutputError
from operators.connectors.kafka.letters import TopicBox
from operators.domain.wire.decode import REASONS

LONGEST_SHOWN = 4_000
"""Characters of the raw bytes that `show` prints; `--raw` gives all."""
SOURCES_SHOWN = 20
HOURS_SHOWN = 24

files_argument = click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path())
reason_option = click.option(
    "--reason", "reasons", multiple=True, type=click.Choice(REASONS), help="Only letters of this reason; repeatable."
)
since_option = click.option(
    "--since",
    metavar="TIME",
    help="Only letters since a time (2025-01-31T08:00:00Z) or within a duration (90m, 2h, 7d): when "
    "it was refused, or, in a "
    "file, the time of the event.",
)
source_option = click.option("--source", help="Only letters whose event has this `source`.")


def with_clear_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Report errors meant for the user as `Error: ...` with exit code 1."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - arguments of any click command
        try:
            return command(*args, **kwargs)
        except (DeadLettersError, KafkaOutputError) as error:
            raise click.ClickException(str(error)) from None

    return wrapped


@click.group()
def deadletters() -> None:
    """List, show and redrive refused records (docs/dead-letters.md)."""


@deadletters.command(name="list")
@files_argument
@reason_option
@since_option
@source_option
@click.option(
    "--limit", type=click.IntRange(0), default=10, show_default=True, help="Number of newest letters to list."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@config_option
@with_clear_errors
def list_command(
    *,
    files: tuple[str, ...],
    reasons: tuple[str, ...],
    since: str | None,
    source: str | None,
    limit: int,
    as_json: bool,
    config: Path | None,
) -> None:
    """Count letters by reason, source and hour, and show the newest."""
    wanted = _wanted(reasons, since, source)
    box = _box(files, settings_of(config), wanted.since)
    census = Census(wanted, limit).take(box.read())
    if as_json:
        click.echo(json.dumps(census.as_dict(box.name)))
    elif not census.total:
        click.echo(f"no dead letters in {box.name}" + (" in that time" if wanted.since is not None else ""))
    elif not census.taken:
        click.echo(
            f"none of the {census.total:,} dead letters in {box.name} matches; `csq "
            "deadletters list` without filters shows all"
        )
    else:
        _print_census(census, box.name)


def _print_census(census: Census, where: str) -> None:

    again = f", {len(census.receipts):,} sent again" if census.receipts else ""
    of = "" if census.taken == census.total else f" of {census.total:,}"
    click.echo(f"{census.taken:,}{of} dead letters in {where}{again}")
    _print_counts("reason", census.reasons.most_common(), len(census.reasons))
    _print_counts("source", census.sources.most_common(SOURCES_SHOWN), len(census.sources))
    _print_counts("hour (UTC)", sorted(census.hours.items())[-HOURS_SHOWN:], len(census.hours))
    newest = census.newest()
    if newest:
        click.echo("\nnewest")
    for line in newest:
        when = "-" if line.time is None else iso(line.time)
        times = census.times_sent(line.identity)
        mark = f"  (sent again {_times(times)})" if times else ""
        click.echo(f"  {line.place}  {when}  {line.reason}  {line.detail}{mark}")


def _print_counts(title: str, counts: list[tuple[str, int]], known: int) -> None:
    width = max(len(title), *(len(name) for name, _ in counts))
    click.echo(f"\n{title:<{width}}  letters")
    for name, count in counts:
        click.echo(f"{name:<{width}}  {count:>7,}")
    if known > len(counts):
        click.echo(f"and {known - len(counts):,} more; --json gives all")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


@deadletters.command()
@click.argument("letter")
@files_argument
@click.option("--raw", "as_raw", is_flag=True, help="Only the raw bytes, unchanged and complete.")
@config_option
@with_clear_errors
def show(*, letter: str, files: tuple[str, ...], as_raw: bool, config: Path | None) -> None:
    """Show a letter: topic:partition:offset or FILE:LINE, as `list` prints it, or its key (csq.events[2]@17)."""
    settings = settings_of(config)
    path = letter.rpartition(":")[0]
    box = _box((path,) if not files and Path(path).is_file() else files, settings, None)
    found, receipts = None, Counter[Any]()
    for one in box.read():
        if isinstance(one, Receipt):
            receipts[one.identity] = one.times
        elif letter in {one.place, one.id}:
            found = one
    if found is None:
        raise DeadLettersError(f"no dead letter {letter} in {box.name}; `csq deadletters list` lists the letters")
    if as_raw:
        sys.stdout.buffer.write(found.raw)
        sys.stdout.buffer.flush()
        return
    for name, text in _facts(found, receipts[found.identity], settings):
        click.echo(f"{name:<12}{text}")
    _print_raw(found.raw)


def _facts(letter: Letter, times: int, settings: Settings) -> Iterator[tuple[str, str]]:

    def header(name: str) -> str:
        return printable(letter.headers.get(name, "")) or "-"

    means, to_do = MEANING.get(letter.reason, ("an unknown reason", "look at its headers and bytes"))
    yield "letter", letter.place
    yield "refused", (iso(letter.refused_at) if letter.refused_at else "in a replay") + f" by csq {header('csq')}"
    yield "read from", f"{header('origin')}, position {header('position')}"
    yield "reason", f"{header('reason')}: {means}"
    yield "field", header("path")
    yield "expected", header("detail")
    yield "to do", to_do
    yield "sent again", _times(times) if times else "never"
    yield "now", _judged(letter, settings)


def _judged(letter: Letter, settings: Settings) -> str:

    judged = judge_one(letter, door_of(settings), time.time())
    return (
        f"would be left: {judged}" if isinstance(judged, str) else "would be accepted; csq deadletters redrive sends it"
    )


def _print_raw(raw: bytes) -> None:

    click.echo(f"\n{len(raw):,} bytes")
    text = shown(raw)
    click.echo(text[:LONGEST_SHOWN])
    if len(text) > LONGEST_SHOWN:
        click.echo(f"and {len(text) - LONGEST_SHOWN:,} characters more; --raw gives all")


@deadletters.command()
@files_argument
@reason_option
@since_option
@source_option
@click.option("--to", help="Topic to send to, instead of the one from which each event was read.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="New file for the events, instead of Kafka."
)
@click.option("--dry-run", is_flag=True, help="Only report what would be sent.")
@rate_option
@click.option("--again", is_flag=True, help="Also letters that were redriven before.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@config_option
@with_clear_errors
def redrive(
    *,
    files: tuple[str, ...],
    reasons: tuple[str, ...],
    since: str | None,
    source: str | None,
    to: str | None,
    out: Path | None,
    dry_run: bool,
    rate: float | None,
    again: bool,
    as_json: bool,
    config: Path | None,
) -> None:
    """Send letters again that csq now accepts: to the topic they were read from, or to a file (--out)."""
    if to is not None and out is not None:
        raise click.UsageError("--to (a topic) and --out (a file) exclude each other")
    settings = settings_of(config)
    wanted = _wanted(reasons, since, source)
    box = _box(files, settings, wanted.since)
    if not dry_run and out is None and not settings.kafka.brokers:
        raise click.ClickException(
            "the settings name no brokers (kafka.brokers) to send to: name settings with -c, or a file with --out"
        )
    with ExitStack() as stack:
        target: RedriveTarget | None = None
        if not dry_run and out is not None:
            file = FileTarget(out)
            stack.callback(file.close)
            target = file
        elif not dry_run:
            target = TopicTarget(settings.kafka, settings.kafka.topics, to)
        progress = stack.enter_context(_bar(show=sys.stderr.isatty()))
        run = Redrive(box, wanted, door_of(settings), target, again=again, wait=RateLimit(rate).wait, progress=progress)
        outcome = run.run()
    if as_json:
        click.echo(json.dumps({"where": box.name, "dry_run": dry_run, **vars(outcome)}))
    else:
        _print_outcome(outcome, box.name, dry_run=dry_run)


def _print_outcome(outcome: Outcome, where: str, *, dry_run: bool) -> None:
    if not outcome.wanted:
        click.echo(f"no dead letters in {where} match")
        return
    done = "would be sent again" if dry_run else "sent again"
    to = ", ".join(f"{count:,} to {name}" for name, count in outcome.to.most_common())
    click.echo(f"{outcome.sent:,} of {outcome.wanted:,} dead letters in {where} {done}" + (f": {to}" if to else ""))
    if outcome.earlier:
        click.echo(f"{outcome.earlier:,} were sent again before, and are left; --again sends them once more")
    if outcome.doubles:
        click.echo(f"{outcome.doubles:,} are stored twice after a crash of csq, and were sent once")
    if outcome.left:
        click.echo(f"{outcome.left.total():,} would be refused again, and are left:")
        for why, count in outcome.left.most_common():
            click.echo(f"  {count:>7,}  {why}  (as {outcome.examples[why]})")


@contextmanager
def _bar(*, show: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, and nothing elsewhere."""
    columns = (TextColumn("redrive"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not show) as progress:
        task = progress.add_task("redrive", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _wanted(reasons: tuple[str, ...], since: str | None, source: str | None) -> LetterFilter:

    try:
        return LetterFilter(frozenset(reasons), None if since is None else parse_since(since, time.time()), source)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None


def _box(files: tuple[str, ...], settings: Settings, since: float | None) -> Box:

    if files:
        return FileBox(files)
    if not settings.kafka.brokers:
        raise click.ClickException(
            "no file is given, and the settings name no brokers (kafka.brokers) whose topic "
            f"{settings.kafka.outputs.deadletters} could be read: name settings with -c, or csq.deadletters.jsonl of a "
            "folder that csq replay wrote"
        )
    return TopicBox(settings.kafka, settings.kafka.outputs.deadletters, since)
