"""Making, checking and holding a recovery store of Bytewax: made at the first start, never overwritten.

Bytewax would start anything on any store: a step with another name begins empty, and lanes that moved lose their
records, both silently. So a manifest lies beside it (``csq.json``), and is compared before Bytewax opens the store.
"""

import errno
import getpass
import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from bytewax.dataflow import Dataflow, Operator
from bytewax.recovery import init_db_dir
from msgspec import Struct

from operators.documents.durable import sync_folder
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

STATE_VERSION = 4
"""Version of the state of all stages together; it rises when a stage changes its state, or a step its name."""
READABLE_STATES = frozenset({STATE_VERSION})
"""State versions that this release resumes from."""
READABLE_RIVERS = frozenset({"0.26"})
"""Releases of River (major.minor) whose model state this release reads."""
MAKING = "making"
"""Name of a file that exists while a store is made: a store beside it was never used."""

PAGE_BYTES = 65_536
"""Page size of a partition's file, SQLite's maximum. The flow stands still while snapshots, which are large values, are
written; SQLite's usual pages of 4 KiB double its time. A store with other pages is used as it is."""


class StoreShape(Struct, frozen=True):
    """What a flow needs of its store.

    >>> StoreShape(lanes=64, partitions=4, steps=["csq.intake"]).steps
    ['csq.intake']
    """

    lanes: int
    """`state.lanes`; fixed once a store is made."""
    partitions: int
    """`state.recovery_partitions`; a store keeps its own number."""
    steps: Sequence[str]
    """Full names of the steps that keep state."""


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
    log.info("made a recovery store in %s", folder, extra={"event": "store_made"})


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
            raise StoreError(
                f"{folder}: the directory is not empty; a store is never overwritten. Name a new directory"
            )
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


def check(folder: Path, manifest: Manifest, shape: StoreShape) -> None:
    """Compare what a store was made for with what the flow needs.

    Raises:
        StoreMisfitError: they differ.
    """
    check_readable(f"recovery store {folder}", manifest)
    if manifest.lanes != shape.lanes:
        raise StoreMisfitError(
            f"recovery store {folder}: made with state.lanes {manifest.lanes}, the settings say {shape.lanes}. Lanes "
            f"are fixed once a store is made: set state.lanes to {manifest.lanes}, or name an empty state.directory "
            "and fill it with `csq warm-start`"
        )
    if set(manifest.steps) != set(shape.steps):
        gone, new = sorted(set(manifest.steps) - set(shape.steps)), sorted(set(shape.steps) - set(manifest.steps))
        raise StoreMisfitError(
            f"recovery store {folder}: made for other steps. Only in the store: {_listed(gone)}; only in this flow: "
            f"{_listed(new)}. A step of another name begins empty and the old state is lost: start csq {manifest.csq}, "
            "or name an empty state.directory"
        )
    if manifest.river != version("river"):
        log.info(
            "models of River %s continue with River %s: the same numbers",
            manifest.river,
            version("river"),
            extra={"event": "store_river"},
        )
    if manifest.partitions != shape.partitions:
        log.warning(
            "state.recovery_partitions is %d, the store in %s was made with %d and keeps them",
            shape.partitions,
            folder,
            manifest.partitions,
            extra={"event": "store_partitions"},
        )


def check_readable(where: str, manifest: Manifest) -> None:
    """Check that this release reads a store or an export; `where` names it.

    Raises:
        StoreMisfitError: its state version or its River release is not supported.
    """
    if manifest.state not in READABLE_STATES:
        newer = "newer" if manifest.state > STATE_VERSION else "older"
        raise StoreMisfitError(
            f"{where}: written by csq {manifest.csq} with state version {manifest.state}, this is csq "
            f"{version('csq')}, which reads {_listed(map(str, READABLE_STATES))}. The store is {newer}: start csq "
            f"{manifest.csq}, or name an empty state.directory (docs/state.md, Upgrade)"
        )
    if _minor(manifest.river) not in READABLE_RIVERS:
        raise StoreMisfitError(
            f"{where}: its models hold numbers of River {manifest.river}, this release reads those of "
            f"River {_listed(READABLE_RIVERS)}. Start csq {manifest.csq}, or name an empty state.directory and fill it "
            "with `csq warm-start`"
        )


def stateful_steps(flow: Dataflow) -> list[str]:
    """Full names of the steps of a flow that keep state. They are public: they name the state in a store.

    >>> import bytewax.operators as op
    >>> from bytewax.testing import TestingSource
    >>> flow = Dataflow("shop")
    >>> _ = op.stateful_batch("count", op.input("in", flow, TestingSource([("k", 1)])), lambda _: None)
    >>> stateful_steps(flow)
    ['shop.count']
    """
    return [step.step_id for step in _each(flow.substeps) if type(step).__name__ == "stateful_batch"]


def _each(steps: Sequence[Operator]) -> Iterator[Operator]:
    for step in steps:
        yield step
        yield from _each(step.substeps)


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
    log.info(
        "resuming from %s: epoch %d, written by csq %s",
        folder,
        resume.epoch,
        manifest.csq,
        extra={"event": "store_resumed", "epoch": resume.epoch},
    )


def _minor(release: str) -> str:
    return ".".join(release.split(".")[:2])


def _listed(names: object) -> str:
    found = sorted(names)  # type: ignore[call-overload]  # any iterable of text
    return ", ".join(found) or "nothing"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in the system's list, as in some containers
        return f"user {os.getuid()}"
