"""The lease of a recovery store: one run at a time uses it, on whatever machine.

Locks of files (``locks.py``) hold between the processes of one kernel, not on every network file system. So the run
that uses a store also writes a lease into it, with its name, and renews it every two seconds. Another run that finds
the lease of another kernel watches it: if it changes, the store is in use. If it stays the same for `EXPIRES_SECONDS`
by the watcher's own monotonic clock, it has expired. No times are compared, so clocks need not agree.

A run that finds another name in its lease has been replaced, and stops (``guard.py``).
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from operators.engine.locks import in_use, users_of

log = logging.getLogger(__name__)

LEASE: Final = "lease"
RENEW_SECONDS: Final = 2.0
EXPIRES_SECONDS: Final = 10.0
"""Several renewals may be late, on a busy machine or a slow file system."""
LOOK_SECONDS: Final = 0.5
SIZE: Final = 256
"""Every lease has this size, so that one call writes all of it in the place of the one before."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Lease(Struct):
    """What the file holds."""

    run: str
    kernel: str
    """Names the kernel since its start; empty if the system does not provide one."""
    beat: int = 0
    """Number of renewals."""
    ended: bool = False
    """Whether the run has ended in good order."""


def kernel() -> str:
    """The name of this kernel since its start, the same in all containers."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def read_lease(folder: Path) -> Lease | None:
    """The lease of a store; `None` where it has none, or one that is not whole.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        return msgspec.json.decode((folder / LEASE).read_bytes(), type=Lease)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def write_lease(folder: Path, lease: Lease, *, create: bool = False) -> None:
    """Write a lease; without `create` only in the place of another.

    Raises:
        OSError: it cannot be written.
    """
    flags = os.O_WRONLY | (os.O_CREAT if create else 0)
    descriptor = os.open(folder / LEASE, flags, 0o600)
    try:
        os.pwrite(descriptor, msgspec.json.encode(lease).ljust(SIZE), 0)
    finally:
        os.close(descriptor)


def take_lease(folder: Path, run: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Take the lease of a store whose lock this process holds.

    Raises:
        StoreError: another run renews it.
        OSError: it cannot be read or written.
    """
    if is_renewed(folder, sleep):
        found = read_lease(folder)
        raise in_use(folder, f"run {found.run}, on another machine" if found else "on another machine")
    write_lease(folder, Lease(run, kernel()), create=True)


def is_renewed(
    folder: Path, sleep: Callable[[float], None] = time.sleep, stopwatch: Callable[[], float] = time.monotonic
) -> bool:
    """Whether a run of another kernel renews the lease; watches it for up to `EXPIRES_SECONDS` to find out.

    A run of this kernel holds a lock as long as it lives: its lease is not looked at.

    Raises:
        OSError: it cannot be read.
    """
    first = read_lease(folder)
    if first is None or first.ended or (first.kernel and first.kernel == kernel()):
        return False
    log.info(
        "recovery store %s: its last run, on another machine, has not ended in good order; waiting up to %g s for a "
        "sign of life",
        folder,
        EXPIRES_SECONDS,
        extra={"event": "lease_watched"},
    )
    until = stopwatch() + EXPIRES_SECONDS
    while stopwatch() < until:
        sleep(LOOK_SECONDS)
        if (found := read_lease(folder)) != first:
            return found is not None and not found.ended
    return False


def refuse_used(folder: Path) -> None:
    """Refuse a store that csq uses, on this machine or another.

    Raises:
        StoreError: it is in use.
    """
    if users := users_of(folder):
        raise in_use(folder, ", ".join(users))
    if is_renewed(folder):
        raise in_use(folder, "on another machine")
