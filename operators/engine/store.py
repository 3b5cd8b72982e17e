"""The recovery store as files: a manifest beside Bytewax's SQLite partitions, read here without running a flow.

A partition has the tables ``exs`` (runs), ``fronts`` (how far each worker of a run came), ``parts`` and ``snaps``: one
row per step, key and epoch, whose value is a record of what the step's ``snapshot()`` returned (``records.py``). Ours
return sealed bytes or nothing. Everything else is refused: reading a store never runs code from it.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from operators.documents.durable import replace_file
from operators.engine.records import RecordFormError, content_of, record_of

MANIFEST = "csq.json"
PARTS = "part-*.sqlite3"

_LAST = """
    SELECT step_id, state_key, snap_epoch, created_at, ser_change FROM snaps
    JOIN (SELECT step_id, state_key, MAX(snap_epoch) AS snap_epoch FROM snaps WHERE snap_epoch < ?
          GROUP BY step_id, state_key) USING (step_id, state_key, snap_epoch)
    WHERE ser_change IS NOT NULL ORDER BY step_id, state_key
"""

_LAST_OF_STEP = _LAST.replace("WHERE snap_epoch < ?", "WHERE snap_epoch < ? AND step_id = ?")

_KEYS = "SELECT DISTINCT state_key FROM snaps WHERE step_id = ? AND ser_change IS NOT NULL"


class StoreError(Exception):
    """The recovery store cannot be used; the text says where, what was found, and what to do."""


class StoreMisfitError(StoreError):
    """The store belongs to other settings, or is incomplete: a restart does not help."""


class Manifest(Struct):
    """What a store was made for, and by which versions it was written last: ``csq.json``, plain JSON."""

    csq: str
    state: int
    """Version of the state of all stages together; `fit.STATE_VERSION`."""
    river: str
    lanes: int
    partitions: int
    steps: list[str]
    """Full names of the steps that keep state."""
    made_at: str
    marks: dict[str, str] = {}
    """File -> name of its mark (``generation.py``)."""
    runs: list[str] = []
    """Names of the last runs, newest last: 16 hexadecimal digits each."""


@dataclass(frozen=True)
class Resume:
    """Where the next run begins."""

    runs: int
    """Number of this run."""
    epoch: int
    workers: int
    """Of the last run."""
    began: int
    """Epoch at which the last run began."""


class Snap(NamedTuple):
    """The last snapshot of one key of one step."""

    step: str
    key: str
    epoch: int
    at: datetime
    size: int
    """Bytes in the store."""
    value: bytes | None


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a store, if it has one.

    Raises:
        StoreError: it cannot be read.
    """
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}; csq needs to read and write all of it") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path}: not a manifest of a recovery store: {error}. Restore it from a backup of the directory"
        ) from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest durably and atomically.

    Raises:
        OSError: it cannot be written; the old one is left.
    """
    replace_file(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def partitions(folder: Path) -> list[Path]:
    """The SQLite files of a store."""
    return sorted(folder.glob(PARTS))


def resume_of(folder: Path) -> Resume | None:
    """Where the next run begins; `None` while no run has stored anything.

    Raises:
        StoreError: a partition is damaged or cannot be read.
    """
    runs: list[tuple[int, int, int]] = []
    fronts: dict[tuple[int, int], int] = {}
    for path in partitions(folder):
        with opened(path) as part:
            runs += part.execute("SELECT ex_num, worker_count, resume_epoch FROM exs")
            rows = part.execute("SELECT ex_num, worker_index, worker_frontier FROM fronts")
            fronts.update({(run, worker): front for run, worker, front in rows})
    if not runs:
        return None
    run, workers, began = max(runs)
    return Resume(
        run + 1, min(max(fronts.get((run, worker), began), began) for worker in range(workers)), workers, began
    )


def snaps_of(folder: Path, only: str | None = None) -> Iterator[Snap]:
    """Every snapshot that the next run resumes from; with `only` those of one step.

    Raises:
        StoreError: a partition is damaged, or contains values that csq does not write.
    """
    resume = resume_of(folder)
    if resume is None:
        return
    for path in partitions(folder):
        with opened(path) as part:
            rows = part.execute(*((_LAST, (resume.epoch,)) if only is None else (_LAST_OF_STEP, (resume.epoch, only))))
            for step, key, epoch, at, record in rows:
                when = datetime.fromisoformat(at).replace(tzinfo=UTC)
                yield Snap(step, key, epoch, when, len(record), checked_content(record, path, step, key))


def stored_keys(folder: Path, step_id: str) -> frozenset[str]:
    """Keys of a step that have a snapshot; none where there is no store, or from a partition that cannot be read."""
    keys: set[str] = set()
    for path in partitions(folder):
        with suppress(StoreError), opened(path) as part:
            keys |= {key for (key,) in part.execute(_KEYS, (step_id,))}
    return frozenset(keys)


def rewrite(folder: Path, step: str, key: str, change: Callable[[bytes], bytes]) -> bool:
    """Put what `change` makes of it in the place of the snapshot that the next run resumes from; whether there is one.

    Raises:
        StoreError: a partition is damaged, or cannot be written.
    """
    resume = resume_of(folder)
    if resume is None:
        return False
    for path in partitions(folder):
        try:
            with closing(sqlite3.connect(path)) as part, part:
                for name, of, epoch, _, record in part.execute(_LAST, (resume.epoch,)).fetchall():
                    if (name, of) == (step, key):
                        value = checked_content(record, path, step, key)
                        if value is None:
                            return False
                        part.execute(
                            "UPDATE snaps SET ser_change = ? WHERE step_id = ? AND state_key = ? AND snap_epoch = ?",
                            (record_of(change(value)), step, key, epoch),
                        )
                        return True
        except sqlite3.Error as error:
            raise store_error(error, path) from None
    return False


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A partition, for reading.

    Raises:
        StoreError: SQLite cannot open or read it.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as part:
            yield part
    except sqlite3.Error as error:
        raise store_error(error, path) from None


def checked_content(record: bytes, path: Path, step: str, key: str) -> bytes | None:
    """The bytes in a record, or nothing.

    Raises:
        StoreMisfitError: csq did not write it.
    """
    try:
        return content_of(record)
    except RecordFormError as error:
        raise StoreMisfitError(f"{path}, step {step}, key {key}: {error}. {DAMAGED}") from None


DAMAGED = (
    "Put back a backup of the directory; without one move it away, and let `csq warm-start` or an empty directory "
    'begin anew (docs/state.md, "A damaged store")'
)
_FAULTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("DiskFull", "disk is full", "SystemIoFailure", "disk I/O error"),
        (
            "the snapshot could not be written: the disk is full, or failing. The last whole snapshot is still there, "
            'and nothing is lost: make room, then start csq again (docs/state.md, "The disk is full")'
        ),
    ),
    (
        ("DatabaseCorrupt", "malformed", "NotADatabase", "not a database", "no such table"),
        f"the store is damaged. {DAMAGED}",
    ),
    (
        ("ReadOnly", "readonly", "CannotOpen", "unable to open", "PermissionDenied", "Permission denied"),
        (
            "the store cannot be opened for writing. csq needs to own the directory and all files in it, on a disk "
            'that is not mounted read-only (docs/state.md, "The store cannot be written")'
        ),
    ),
    (
        ("DatabaseBusy", "DatabaseLocked", "is locked"),
        "another program holds the store. Stop it: a backup that locks files, or a second csq",
    ),
)


def store_error(error: BaseException, where: Path) -> StoreError:
    """An error of SQLite, or of Bytewax about SQLite, with what to do.

    >>> str(store_error(RuntimeError("SqliteFailure(Error { code: DiskFull, extended_code: 13 }"), Path("state")))[:75]
    'recovery store state: the snapshot could not be written: the disk is full, '
    """
    text = str(error)
    for signs, meaning in _FAULTS:
        if any(sign in text for sign in signs):
            return StoreError(f"recovery store {where}: {meaning}")
    return StoreError(f"recovery store {where}: {text}. {DAMAGED}")


def is_store_error(error: BaseException) -> bool:
    """Whether an error of Bytewax concerns its recovery store."""
    return any(sign in str(error) for sign in ("SqliteFailure", "src/recovery.rs", "recovery part", "recovery DB"))
