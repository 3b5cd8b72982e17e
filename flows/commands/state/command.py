"""The command `csq state`: look into a recovery store, write it out as plain lines, make one from such lines."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import IO, Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from flows.commands.state.labels import drop_label, stored_labels
from flows.commands.state.plain_json import from_json, to_json
from flows.commands.state.skip import skip
from operators.connectors.kafka.params import SOURCE_STEP
from operators.documents.durable import replacing
from operators.domain.queues.record import StoredQueue
from operators.domain.stage.seal import StateDamagedError, seal, unseal
from operators.engine import generation
from operators.engine.fit import StoreShape, check_readable
from operators.engine.lease import refuse_used
from operators.engine.locks import users_of
from operators.engine.positions import position_of
from operators.engine.recovery import fresh_store
from operators.engine.refill import StoredValue, refill
from operators.engine.store import MANIFEST, Manifest, Snap, StoreError, read_manifest, resume_of, snaps_of

FORMAT = 1
"""Of an export."""
_HEAD = "csq_state"
_NEVER = datetime.min.replace(tzinfo=UTC)


def with_clear_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Report errors meant for the user as `Error: ...` with exit code 1."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401  arguments of any click command
        try:
            command(*args, **kwargs)
        except (StoreError, StateDamagedError) as error:
            raise click.ClickException(str(error)) from None
        except PermissionError as error:
            raise click.ClickException(
                f"{error.filename}: {error.strerror}; run the command as the user of csq, which owns the store"
            ) from None

    return wrapped


@click.group()
def state() -> None:
    """Show, export and import a recovery store, and skip what cannot be read (docs/state.md)."""


state.add_command(skip)


_directory = click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))


@state.command()
@_directory
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@with_clear_errors
def show(directory: Path, *, as_json: bool) -> None:
    """Show what a recovery store holds: stages, lanes, records, bytes, age, versions. It may be in use."""
    found = _shown(directory)
    if as_json:
        click.echo(json.dumps(found))
        return
    console = Console()
    for name, value in found.items():
        if name not in {"stages", "positions"}:
            console.print(f"{name.replace('_', ' '):>16}  {'-' if value is None else value}", highlight=False)
    table = Table("stage", "keys", "records", "bytes", "newest snapshot")
    for stage in found["stages"]:
        sizes = (f"{stage['keys']:,}", f"{stage['records']:,}", f"{stage['bytes']:,}")
        table.add_row(stage["stage"], *sizes, f"{stage['age_seconds']:,.0f} s ago")
    console.print(table)
    for name, position in found["positions"].items():
        where = f"next offset {position:,}" if position >= 0 else "not read yet"
        console.print(f"{name:>24}  {where}", highlight=False)


@dataclass
class _Sum:
    keys: int = 0
    records: int = 0
    size: int = 0
    newest: datetime = _NEVER

    def add(self, snap: Snap, sealed: bytes) -> None:
        self.keys += 1
        self.records += _records(sealed, f"{snap.step}, key {snap.key}")
        self.size += snap.size
        self.newest = max(self.newest, snap.at)


def _shown(folder: Path) -> dict[str, Any]:
    manifest, resume, now = _manifest(folder), resume_of(folder), datetime.now(UTC)
    sums: dict[str, _Sum] = {}
    positions: dict[str, int] = {}
    for snap in snaps_of(folder):
        if snap.value and snap.step == SOURCE_STEP:
            positions[snap.key] = position_of(snap.value, snap.key).next
        elif snap.value and snap.step != generation.STEP:
            sums.setdefault(snap.step.split(".")[1], _Sum()).add(snap, snap.value)
    newest = max((each.newest for each in sums.values()), default=None)
    return {
        "directory": str(folder),
        "csq": manifest.csq,
        "river": manifest.river,
        "state_version": manifest.state,
        "lanes": manifest.lanes,
        "partitions": manifest.partitions,
        "made_at": manifest.made_at,
        "in_use_by": ", ".join(users_of(folder)) or None,
        "epoch": None if resume is None else resume.epoch,
        "age_seconds": None if newest is None else round((now - newest).total_seconds(), 1),
        "bytes_on_disk": sum(path.stat().st_size for path in folder.glob("part-*")),
        "stages": [
            {
                "stage": stage,
                "keys": each.keys,
                "records": each.records,
                "bytes": each.size,
                "age_seconds": round((now - each.newest).total_seconds(), 1),
            }
            for stage, each in sorted(sums.items())
        ],
        "positions": dict(sorted(positions.items())),
    }


def _records(sealed: bytes, where: str) -> int:
    """What the snapshot of one key counts in `csq_state_entries`: records and held facts; a model is one."""
    state = unseal(sealed, where)
    return _of_stage(state.get("stage")) + len(state.get("held", ()))


def _of_stage(stage: Any) -> int:  # noqa: ANN401  what a stage stores
    match stage:
        case {"seen": {"ids": bytes(ids)}}:
            return len(ids) // 8
        case {"records": dict(records)}:
            return len(records)
        case {"admitted": list(admitted), "names": dict(names), "hours": dict(hours)}:
            return len(admitted) + sum(map(len, names.values())) + sum(map(len, hours.values()))
        case {"queues": dict(queues)}:
            stored = msgspec.convert(queues, dict[str, StoredQueue]).values()
            return sum(1 + len(q.conversations) + len(q.waits) + len(q.agents) + len(q.plans) for q in stored)
        case _:
            return 1


@state.command()
@_directory
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@with_clear_errors
def export(directory: Path, *, out: Path) -> None:
    """Write a store as JSON lines: the manifest, then a line for each step and key. csq must not run on it."""
    manifest = _manifest(directory)
    refuse_used(directory)
    try:
        with replacing(out) as file:
            lines = export_to(file, directory, manifest)
    except OSError as error:
        raise click.ClickException(f"{out}: cannot be written: {error.strerror}") from None
    click.echo(f"{lines} records written to {out}", err=True)


def export_to(file: IO[bytes], folder: Path, manifest: Manifest) -> int:
    """Write the lines, in the order of step and key; how many records there are.

    Raises:
        StoreError, StateDamagedError: the store is damaged.
    """
    head = {_HEAD: FORMAT, "manifest": msgspec.to_builtins(manifest)}
    file.write(msgspec.json.encode(head) + b"\n")
    found = (snap for snap in snaps_of(folder) if snap.step != generation.STEP)  # a new store has marks of its own
    lines = sorted(msgspec.json.encode(line) for line in map(_line, found))
    file.writelines(line + b"\n" for line in lines)
    return len(lines)


def _line(snap: Snap) -> dict[str, object]:
    where = {"step": snap.step, "key": snap.key}
    if snap.value:
        return {**where, "state": to_json(unseal(snap.value, f"{snap.step}, key {snap.key}"))}
    return {**where, "value": to_json(snap.value)}


@state.command(name="import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--recovery",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Directory of the new store; it must be empty or not exist.",
)
@click.option(
    "--partitions",
    type=click.IntRange(1, 64),
    help="Number of partitions of the new store; by default that of the old one.",
)
@with_clear_errors
def import_command(file: Path, *, recovery: Path, partitions: int | None) -> None:
    """Make a store from the lines of an export; csq resumes from it as from the original."""
    try:
        with file.open("rb") as lines:
            manifest = _head(file, lines.readline())
            shape = StoreShape(manifest.lanes, partitions or manifest.partitions, manifest.steps)
            with fresh_store(recovery, shape, manifest.runs) as folder:
                refill(folder, _given(file, lines))
    except OSError as error:
        raise click.ClickException(f"{file}: cannot be read: {error.strerror}; expected an export of csq") from None
    click.echo(f"created a recovery store in {recovery}", err=True)


def _head(file: Path, line: bytes) -> Manifest:
    """The manifest in the first line."""
    try:
        head = msgspec.json.decode(line)
        if head[_HEAD] != FORMAT:
            raise StoreError(f"{file}, line 1: an export of format {head[_HEAD]}, this csq reads {FORMAT}")
        manifest = msgspec.convert(head["manifest"], Manifest)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise StoreError(f"{file}, line 1: not an export of `csq state export`: {error}") from None
    check_readable(f"{file}, line 1", manifest)
    return manifest


def _given(file: Path, lines: IO[bytes]) -> Iterator[StoredValue]:
    for number, line in enumerate(lines, 2):
        try:
            record = msgspec.json.decode(line)
            step, key = record["step"], record["key"]
            value = seal(from_json(record["state"])) if "state" in record else from_json(record["value"])
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{file}, line {number}: expected step, key and state, as `csq state export` writes them: {error}"
            ) from None
        yield StoredValue(step, key, value)


@state.command()
@_directory
@click.option("--drop", nargs=2, metavar="LABEL NAME", help="Remove an admitted name; csq must not use the store.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@with_clear_errors
def labels(directory: Path, *, drop: tuple[str, str] | None, as_json: bool) -> None:
    """List the queues, channels and segments that were admitted, and those measured as `other`."""
    _manifest(directory)
    if drop is not None:
        refuse_used(directory)
        drop_label(directory, *drop)
        click.echo(f"dropped {drop[0]} {drop[1]!r}; it may be admitted again", err=True)
    found = stored_labels(directory)
    if as_json:
        click.echo(json.dumps({"admitted": found.admitted, "other": found.seen}))
        return
    table = Table("label", "name", "admitted since", "events in `other`")
    for label, names in found.admitted.items():
        for name, since in names.items():
            table.add_row(label, name, datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds"), "")
    for label, seen in found.seen.items():
        for name, count in sorted(seen.items(), key=lambda each: (-each[1], each[0])):
            table.add_row(label, name, "", f"{count:,}")
    Console().print(table)


def _manifest(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    if manifest is None:
        raise StoreError(f"{folder}: there is no recovery store here ({MANIFEST} is missing); name the state.directory")
    return manifest
