"""The recovery store of Bytewax: created at the first start, checked at every start (``fit.py``), never overwritten."""

import errno
import getpass
import logging
import math
import os
import secrets
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from bytewax.recovery import init_db_dir

from operators.documents.durable import sync_folder
from operators.engine.checkpoints import scrub
from operators.engine.checks import check_file
from operators.engine.chosen import remove_choices
from operators.engine.fit import STATE_VERSION, StoreShape, check
from operators.engine.generation import agreed_epoch, place_marks, set_back, stamp
from operators.engine.lease import take_lease
from operators.engine.locks import hold, locked
from operators.engine.store import (
    MANIFEST,
    Manifest,
    StoreError,
    StoreMisfitError,
    is_store_error,
    partitions,
    read_manifest,
    resume_of,
    store_error,
    write_manifest,
)

log = logging.getLogger(__name__)

MAKING = "making"
"""Name of a file that exists while a store is made: a store beside it was never used."""

FIRST: Final = "p0"
"""Name of the process that checks the store, and marks it."""

MOST_RUNS: Final = 100
"""Runs that a store remembers: more than can start within `kafka.fence_seconds`."""

PAGE_BYTES = 65_536
"""Page size of a partition's file, SQLite's maximum. The flow is stopped while snapshots, which are large values, are
written; SQLite's usual pages of 4 KiB double its time. A store with other pages is used as it is."""


class StoreRun(NamedTuple):
    """The present run of a store; only its first process knows the previous one and the marks."""

    name: str
    """16 hexadecimal digits, by chance."""
    earlier: Sequence[str] = ()
    """The last runs before it."""
    marks: Mapping[str, str] = {}
    """File -> name of its mark."""


def new_run() -> str:
    """Make a name for a run."""
    return secrets.token_hex(8)


def prepare(folder: Path, shape: StoreShape, process: str = FIRST, *, keeps: bool = True) -> StoreRun:
    """Make the store, or check that the existing one fits, and lock it for this process.

    Args:
        folder: its directory.
        shape: what the flow needs.
        process: name of this process.
        keeps: whether this process keeps the store; one that does not only takes its lock.

    Raises:
        StoreError: the store cannot be made or read, is in use, or was made for something else.
        StateDamagedError: a checksum in it does not match.
    """
    run = StoreRun(new_run())
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not keeps:
            hold(folder, process)
            return run
        with locked(folder):  # processes of a cluster start side by side
            hold(folder, process)
            if process == FIRST:
                take_lease(folder, run.name)
            manifest = _found(folder)
            if manifest is None:
                manifest = make(folder, shape)
            else:
                check(folder, manifest, shape)
            return run if process != FIRST else _take_over(folder, manifest, run)
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(folder: Path, error: OSError) -> StoreError:
    """The error of a directory that cannot be written, with what to do."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return store_error(RuntimeError("disk is full"), folder)
    return StoreError(
        f"recovery store {folder}: cannot be written: {error.strerror} ({error.filename}). state.directory names a "
        f"directory that {_user()} may make, or owns with all files in it, on a disk that is not mounted read-only "
        '(docs/state.md, "The store cannot be written")'
    )


def make(folder: Path, shape: StoreShape, runs: Sequence[str] = ()) -> Manifest:
    """Make an empty store; `runs` names the runs that it continues.

    Raises:
        StoreError: SQLite or Bytewax cannot write it.
        OSError: the directory cannot be written.
    """
    marker = folder / MAKING
    marker.touch()
    sync_folder(folder)  # after a power failure partitions without a manifest must be known as unfinished
    for unfinished in partitions(folder):  # of a start that was killed while it made them
        unfinished.unlink()
    remove_choices(folder)
    try:
        init_db_dir(folder, shape.partitions)
        for path in partitions(folder):
            path.chmod(0o600)
        marks = place_marks(folder)
        for path in partitions(folder):
            _with_large_pages(path)
    except (RuntimeError, sqlite3.Error) as error:
        raise store_error(error, folder) from error
    now = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = Manifest(
        version("csq"),
        STATE_VERSION,
        version("river"),
        shape.lanes,
        shape.partitions,
        sorted(shape.steps),
        now,
        marks,
        list(runs),
    )
    write_manifest(folder, manifest)
    marker.unlink()
    sync_folder(folder)
    log.info("created a recovery store in %s", folder, extra={"event": "store_made"})
    return manifest


def _with_large_pages(path: Path) -> None:
    """Rewrite an empty partition with pages of `PAGE_BYTES`; the size cannot change under a write-ahead log."""
    with closing(sqlite3.connect(path)) as part:
        for step in ("journal_mode = DELETE", f"page_size = {PAGE_BYTES}"):
            part.execute(f"PRAGMA {step}")
        part.execute("VACUUM")
        part.execute("PRAGMA journal_mode = WAL")


@contextmanager
def fresh_store(folder: Path, shape: StoreShape, runs: Sequence[str] = ()) -> Iterator[Path]:
    """A new store to be filled, in a temporary directory; it becomes `folder` when the block ends without an error.

    `runs` names the runs that it continues; without them the store begins a history of its own.

    Raises:
        StoreError: `folder` exists and is not empty, or it cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise StoreError(f"{folder}: the directory is not empty; a store is never overwritten. Use a new directory")
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.absolute().parent) as beside:
            fresh = Path(beside) / "store"
            fresh.mkdir(mode=0o700)
            made = make(fresh, shape, runs)
            yield fresh
            stamp(fresh, made.marks, made.runs[-1] if made.runs else "")
            fresh.replace(folder)
            sync_folder(folder.absolute().parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    except RuntimeError as error:
        raise (store_error(error, folder) if is_store_error(error) else error) from error


def _found(folder: Path) -> Manifest | None:
    """The manifest of the existing store; `None` where there is no store yet."""
    if (folder / MAKING).exists():
        return None
    manifest, found = read_manifest(folder), len(partitions(folder))
    if manifest is None and found:
        raise StoreMisfitError(
            f"recovery store {folder}: {found} partitions without {MANIFEST}, which describes them. "
            f"Restore {MANIFEST} from a backup, or name an empty state.directory"
        )
    if manifest is not None and found != manifest.partitions:
        raise StoreMisfitError(
            f"recovery store {folder}: {found} of its {manifest.partitions} partitions exist (part-N.sqlite3). Restore "
            "the others: each holds a share of the state of every stage"
        )
    return manifest


def _take_over(folder: Path, manifest: Manifest, run: StoreRun) -> StoreRun:
    """Check the store, and write down that this run uses it; older releases must not start on it then."""
    _resume(folder, manifest)
    ours = {"csq": version("csq"), "state": STATE_VERSION, "river": version("river")}
    runs = [*manifest.runs, run.name][-MOST_RUNS:]
    write_manifest(folder, msgspec.structs.replace(manifest, **ours, runs=runs))
    return StoreRun(run.name, manifest.runs, manifest.marks)


def _resume(folder: Path, manifest: Manifest) -> None:
    """Check every file, and log where the run resumes.

    Raises:
        StoreMisfitError, StateDamagedError: as `agreed_epoch` and `check_file`.
    """
    resume = resume_of(folder)
    if resume is None:
        log.info("the recovery store in %s is empty", folder, extra={"event": "store_empty"})
        return
    epoch = agreed_epoch(folder, manifest.marks, resume)
    for path in partitions(folder):
        try:
            with closing(sqlite3.connect(path)) as part, part:
                check_file(part, path, epoch)
                if epoch < resume.epoch:
                    set_back(part, resume, epoch)
        except sqlite3.Error as error:
            raise store_error(error, folder) from error
    scrub(partitions(folder), math.inf)
    log.info(
        "resuming from %s: epoch %d, written by csq %s",
        folder,
        epoch,
        manifest.csq,
        extra={"event": "store_resumed", "epoch": epoch},
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in the system's list, as in some containers
        return f"user {os.getuid()}"
