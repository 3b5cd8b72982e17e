"""Recovery: the store a run resumes from. Made at the first start, never overwritten, refused where it does not fit.

Bytewax would start anything on any store: a step of another name begins empty, lanes that moved lose their records,
both in silence. So a manifest lies beside it (``csq.json``), and is compared before Bytewax opens the store.
"""

import argparse
import errno
import fcntl
import getpass
import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import IO

import msgspec
from bytewax.dataflow import Dataflow, Operator
from bytewax.recovery import RecoveryConfig, init_db_dir

from flows.host.cluster.place import ALONE, ProcessPlace
from flows.settings.model import Settings, State
from operators.documents.durable import sync_folder
from operators.engine.store import (
    MANIFEST,
    Manifest,
    StoreError,
    StoreMisfitError,
    is_about_a_store,
    partitions,
    read_manifest,
    resume_of,
    told,
    write_manifest,
)

log = logging.getLogger(__name__)

STATE_VERSION = 3
"""Of the state of all stages together: goes up when any of them changes what it stores, or a step its name."""
READABLE_STATES = frozenset({STATE_VERSION})
"""Versions that this release resumes from."""
READABLE_RIVERS = frozenset({"0.26"})
"""Releases of River (major.minor) whose numbers this release reads: weights, sums of squares, means and variances."""
MAKING = "making"
"""Lies in the directory while a store is made: what is there then was never used."""

PAGE_BYTES = 65_536
"""Of a partition's file, SQLite's largest. Snapshots are large values, and the flow stands still while they are
written: half of SQLite's time goes into its usual 4 KiB pages. Stores with those are read and written as they are."""

_locks: dict[Path, IO[bytes]] = {}
"""Locks that this process holds until it ends: a file's lock goes with its file object."""


def recovery_of(settings: Settings, flow: Dataflow, place: ProcessPlace = ALONE) -> RecoveryConfig | None:
    """The recovery store of the settings for `flow`, made at the first start; `None` where nothing is to survive.

    Raises:
        StoreError: it cannot be made or read, is in use, or was made for something else.
    """
    state = settings.state
    if state.directory is None:
        return None
    folder = Path(state.directory)
    prepare(folder, state, stateful_steps(flow), place)
    return RecoveryConfig(str(folder), timedelta(seconds=state.backup_seconds))


def prepare(folder: Path, state: State, steps: Sequence[str], place: ProcessPlace = ALONE) -> None:
    """Make the store, or check that the one that is there fits, and hold it for this process.

    Raises:
        StoreError: as `recovery_of`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if place.process and not state.shared:  # process 0 keeps the store
            _hold(folder, place.name)
            return
        with _locked(folder):  # processes of a cluster start side by side
            manifest = _found(folder)
            if manifest is None:
                make(folder, state, steps)
            else:
                check(folder, manifest, state, steps)
                ours = {"csq": version("csq"), "state": STATE_VERSION, "river": version("river")}
                write_manifest(folder, msgspec.structs.replace(manifest, **ours))  # older releases must not start on it
                _resume(folder, manifest)
        _hold(folder, place.name)
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(folder: Path, error: OSError) -> StoreError:
    """What the system says of a directory, and what to do about it."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return told(RuntimeError("disk is full"), folder)
    return StoreError(
        f"recovery store {folder}: cannot be written: {error.strerror} ({error.filename}). state.directory names a "
        f"directory that {_user()} may make, or owns with all files in it, on a disk that is not mounted read-only "
        '(docs/state.md, "The store cannot be written")'
    )


def make(folder: Path, state: State, steps: Sequence[str]) -> None:
    """Make an empty store."""
    marker = folder / MAKING
    marker.touch()
    sync_folder(folder)  # after a power failure partitions without a manifest must be known as unfinished
    for left in partitions(folder):  # of a start that was killed while it made them
        left.unlink()
    try:
        init_db_dir(folder, state.recovery_partitions)
        for path in partitions(folder):
            path.chmod(0o600)
            _with_large_pages(path)
    except (RuntimeError, sqlite3.Error) as error:
        raise told(error, folder) from error
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_manifest(
        folder,
        Manifest(
            version("csq"),
            STATE_VERSION,
            version("river"),
            state.lanes,
            state.recovery_partitions,
            sorted(steps),
            now,
        ),
    )
    marker.unlink()
    sync_folder(folder)
    log.info("made a recovery store in %s", folder, extra={"event": "store_made"})


def _with_large_pages(path: Path) -> None:
    """Write an empty partition anew with pages of `PAGE_BYTES`; the size cannot be changed under a write-ahead log."""
    with closing(sqlite3.connect(path)) as part:
        for step in ("journal_mode = DELETE", f"page_size = {PAGE_BYTES}"):
            part.execute(f"PRAGMA {step}")
        part.execute("VACUUM")
        part.execute("PRAGMA journal_mode = WAL")


@contextmanager
def fresh_store(folder: Path, state: State, steps: Sequence[str]) -> Iterator[Path]:
    """A new store to be filled, beside where it belongs; it is moved there when the block ends without an error.

    Raises:
        StoreError: something is there already, or it cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise StoreError(
                f"{folder}: something is there already; a store is never overwritten. Name a new directory"
            )
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.absolute().parent) as beside:
            fresh = Path(beside) / "store"
            fresh.mkdir(mode=0o700)
            make(fresh, state, steps)
            yield fresh
            fresh.replace(folder)
            sync_folder(folder.absolute().parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    except RuntimeError as error:
        raise (told(error, folder) if is_about_a_store(error) else error) from error


def _found(folder: Path) -> Manifest | None:
    """The manifest of the store that is there; `None` where there is no store yet."""
    if (folder / MAKING).exists():
        return None
    manifest, found = read_manifest(folder), len(partitions(folder))
    if manifest is None and found:
        raise StoreMisfitError(
            f"recovery store {folder}: {found} partitions without {MANIFEST}, so nothing says what they were made for. "
            f"Put {MANIFEST} back from a backup, or name an empty state.directory"
        )
    if manifest is not None and found != manifest.partitions:
        raise StoreMisfitError(
            f"recovery store {folder}: {found} of its {manifest.partitions} partitions are there (part-N.sqlite3). Put "
            "back the others: each holds a share of the state of every stage"
        )
    return manifest


def check(folder: Path, manifest: Manifest, state: State, steps: Sequence[str]) -> None:
    """Compare what the store was made for with what is about to run.

    Raises:
        StoreMisfitError: they differ.
    """
    check_readable(f"recovery store {folder}", manifest)
    if manifest.lanes != state.lanes:
        raise StoreMisfitError(
            f"recovery store {folder}: made with state.lanes {manifest.lanes}, the settings say {state.lanes}. Lanes "
            f"are fixed once a store is made: set state.lanes to {manifest.lanes}, or name an empty state.directory "
            "and fill it with `csq warm-start`"
        )
    if set(manifest.steps) != set(steps):
        gone, new = sorted(set(manifest.steps) - set(steps)), sorted(set(steps) - set(manifest.steps))
        raise StoreMisfitError(
            f"recovery store {folder}: made for other steps. Only in the store: {_listed(gone)}; only in this flow: "
            f"{_listed(new)}. A step of another name begins empty and the old state is lost: start csq {manifest.csq}, "
            "or name an empty state.directory"
        )
    if manifest.river != version("river"):
        log.info(
            "models of River %s go on with River %s: same numbers",
            manifest.river,
            version("river"),
            extra={"event": "store_river"},
        )
    if manifest.partitions != state.recovery_partitions:
        log.warning(
            "state.recovery_partitions is %d, the store in %s was made with %d and keeps them",
            state.recovery_partitions,
            folder,
            manifest.partitions,
            extra={"event": "store_partitions"},
        )


def check_readable(where: str, manifest: Manifest) -> None:
    """Whether this release reads what another may have written.

    Raises:
        StoreMisfitError: it does not.
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
    """Full names of the stages of a flow that keep state. They are public: a store knows its state by them.

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


@contextmanager
def telling(settings: Settings) -> Iterator[None]:
    """While a flow runs: what Bytewax says of the recovery store becomes a `StoreError`."""
    try:
        yield
    except BaseException as error:  # a panic of Bytewax is no Exception
        if settings.state.directory is not None and is_about_a_store(error):
            raise told(error, Path(settings.state.directory)) from error
        raise


def check_runner(settings: Settings, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Compare what ``python -m bytewax.run`` was told of a recovery directory with the settings.

    Raises:
        StoreError: they differ: what the steps store and where Bytewax puts it must be one thing.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-r", "--recovery-directory", default=environ.get("BYTEWAX_RECOVERY_DIRECTORY"))
    asked: str | None = parser.parse_known_args(list(arguments))[0].recovery_directory
    ours = settings.state.directory
    if (asked and Path(asked).resolve()) != (ours and Path(ours).resolve()):
        raise StoreError(
            f"python -m bytewax.run stores in {asked or 'no directory'}, state.directory is {ours or 'null'}: they "
            f"must be the same. Start it with -r {ours or 'DIRECTORY'} -s {settings.state.snapshot_seconds:.0f} -b 0, "
            "and with CSQ_STATE__DIRECTORY or state.directory naming the same directory, or with neither"
        )


def runner_seconds(arguments: Sequence[str], environ: Mapping[str, str]) -> float:
    """Seconds between snapshots under ``python -m bytewax.run``, which asks its own arguments and not our settings.

    >>> runner_seconds(["flows.live", "-s", "5"], {}), runner_seconds(["flows.live"], {})
    (5.0, 10.0)
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-s", "--snapshot-interval", default=environ.get("BYTEWAX_SNAPSHOT_INTERVAL", "10"))
    return float(parser.parse_known_args(list(arguments))[0].snapshot_interval)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _hold(folder: Path, process: str) -> None:
    """Let no other process of this name use the store while this one lives."""
    path = folder.resolve() / f"lock-{process}"
    if path in _locks:
        return
    file = path.open("ab")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise in_use(folder, process) from None
    _locks[path] = file


def in_use(folder: Path, process: str) -> StoreError:
    """Somebody else holds the store."""
    return StoreError(
        f"recovery store {folder}: another csq ({process}) uses it now. Stop that one first; two that run side by side "
        "want a state.directory each"
    )


def users_of(folder: Path) -> list[str]:
    """Names of the processes that use a store now."""
    return [
        path.name.removeprefix("lock-")
        for path in sorted(folder.resolve().glob("lock-*"))
        if path in _locks or _is_held(path)
    ]


def _is_held(path: Path) -> bool:
    with path.open("ab") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _resume(folder: Path, manifest: Manifest) -> None:
    """Say where the run resumes, and drop what a killed run had stored of an epoch that it did not finish.

    Bytewax leaves it there and counts on from the same epoch. A key that nothing wakes in that epoch would keep the
    state of the killed run, ahead of all others; after a second kill it is resumed from, and events would be lost.
    """
    resume = resume_of(folder)
    if resume is None:
        log.info("the recovery store in %s is empty: beginning anew", folder, extra={"event": "store_empty"})
        return
    for path in partitions(folder):
        try:
            with closing(sqlite3.connect(path)) as part, part:
                part.execute("DELETE FROM snaps WHERE snap_epoch >= ?", (resume.epoch,))
        except sqlite3.Error as error:
            raise told(error, folder) from error
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
