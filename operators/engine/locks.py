"""Locks of a recovery store: one process of each name uses it, and one at a time makes or checks it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from operators.engine.store import StoreError

_locks: dict[Path, IO[bytes]] = {}
"""Locks that this process holds until it ends; closing the file releases its lock."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a directory for the ``with`` block; wait for a process that has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def hold(folder: Path, process: str) -> None:
    """Lock the store, until this process ends, against other processes with the same name.

    Raises:
        StoreError: another process holds it.
    """
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
    """The error of a store that another process holds."""
    return StoreError(
        f"recovery store {folder}: another csq ({process}) uses it now. Stop that one first; two that run side by side "
        "need a state.directory each"
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
