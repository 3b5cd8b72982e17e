"""The recovery store of Bytewax: created at the first start, checked at every start (``fit.py``), never overwritten."""

import errno
import getpass
import logging
import math
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from bytewax.recovery import init_db_dir

from operators.documents.durable import sync_folder
from operators.engine.checkpoints import scrub
from operators.engine.fit import STATE_VERSION, StoreShape, check
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

PAGE_BYTES = 65_536
"""Page size of a partition's file, SQLite's maximum. The flow is stopped while snapshots, which are large values, are
written; SQLite's usual pages of 4 KiB double its time. A store with other pages is used as it is."""


def prepare(folder: Path, shape: StoreShape, process: str = "p0", *, keeps: bool = True) -> None:
    """Make the store, or check that the existing one fits, and lock it for this process.

    Args:
        folder: its directory.
        shape: what the flow needs.
        process: name of this process.
        keeps: whether this process keeps the store; one that does not only takes its lock.

    Raises:
        StoreError: the store cannot be made or read, is in use, or was made for something else.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not keeps:
            hold(folder, process)
            return
        with locked(folder):  # processes of a cluster start side by side
            manifest = _found(folder)
            if manifest is None:
                make(folder, shape)
            else:
                check(folder, manifest, shape)
                ours = {"csq": version("csq"), "state": STATE_VERSION, "river": version("river")}
                write_manifest(folder, msgspec.structs.replace(manifest, **ours))  # older releases must not start on it
                _resume(folder, manifest)
        hold(folder, process)
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


def make(folder: Path, shape: StoreShape) -> None:
    """Make an empty store.

    Raises:
        StoreError: SQLite or Bytewax cannot write it.
        OSError: the directory cannot be written.
    """
    marker = folder / MAKING
    marker.touch()
    sync_folder(folder)  # after a power failure partitions without a manifest must be known as unfinished
    for unfinished in partitions(folder):  # of a start that was killed while it made them
        unfinished.unlink()
    try:
        init_db_dir(folder, shape.partitions)
        for path in partitions(folder):
            path.chmod(0o600)
            _with_large_pages(path)
    except (RuntimeError, sqlite3.Error) as error:
        raise store_error(error, folder) from error
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_manifest(
        folder,
        Manifest(
            version("csq"),
            STATE_VERSION,
            version("river"),
            shape.lanes,
            shape.partitions,
            sorted(shape.steps),
            now,
        ),
    )
    marker.unlink()
    sync_folder(folder)
    log.info("created a recovery store in %s", folder, extra={"event": "store_made"})


def _with_large_pages(path: Path) -> None:
    """Rewrite an empty partition with pages of `PAGE_BYTES`; the size cannot change under a write-ahead log."""
    with closing(sqlite3.connect(path)) as part:
        for step in ("journal_mode = DELETE", f"page_size = {PAGE_BYTES}"):
            part.execute(f"PRAGMA {step}")
        part.execute("VACUUM")
        part.execute("PRAGMA journal_mode = WAL")


@contextmanager
def fresh_store(folder: Path, shape: StoreShape) -> Iterator[Path]:
    """A new store to be filled, in a temporary directory; it becomes `folder` when the block ends without an error.

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
            make(fresh, shape)
            yield fresh
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


def _resume(folder: Path, manifest: Manifest) -> None:
    """Log where the run resumes, and delete the snapshots of an epoch that a killed run did not finish.

    Bytewax keeps them and continues with the same epoch. A key without events in that epoch would keep the state of the
    killed run, ahead of all others; after a second kill Bytewax would resume from it, and events would be lost.
    """
    resume = resume_of(folder)
    if resume is None:
        log.info("the recovery store in %s is empty", folder, extra={"event": "store_empty"})
        return
    for path in partitions(folder):
        try:
            with closing(sqlite3.connect(path)) as part, part:
                part.execute("DELETE FROM snaps WHERE snap_epoch >= ?", (resume.epoch,))
        except sqlite3.Error as error:
            raise store_error(error, folder) from error
    scrub(partitions(folder), math.inf)
    log.info(
        "resuming from %s: epoch %d, written by csq %s",
        folder,
        resume.epoch,
        manifest.csq,
        extra={"event": "store_resumed", "epoch": resume.epoch},
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in the system's list, as in some containers
        return f"user {os.getuid()}"
