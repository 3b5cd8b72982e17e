"""The guard of a recovery store in use: notices that it was removed, replaced, made read-only, or taken by another run.

SQLite goes on with the files that it has opened, whatever becomes of their names: without a guard csq would run on for
days, end with exit code 0, and begin with nothing at its next start.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final

from operators.engine.lease import RENEW_SECONDS, Lease, kernel, read_lease, write_lease
from operators.engine.store import StoreError, StoreMisfitError, partitions

log = logging.getLogger(__name__)

_WHAT_TO_DO: Final = '(docs/state.md, "The store is gone")'


class StoreGoneError(StoreMisfitError):
    """The files of the store are not those that this run opened; a start could not resume from them."""


class StoreTakenError(StoreMisfitError):
    """Another run uses the store now; this one must not write to it any more."""


class StoreGuard:
    """Looks at the store of this run: every two seconds, from a thread, and whenever `check` is called.

    Each look compares the device and inode of the directory and its files with those at the start, reads the lease, and
    renews it by a write that is read back.

    Args:
        folder: directory of the store, which this run has taken.
        run: name of this run.
        on_lost: called once, with the first error of the thread.
    """

    def __init__(self, folder: Path, run: str, on_lost: Callable[[StoreError], None]) -> None:
        self._folder = folder
        self._lease = Lease(run, kernel())
        self._on_lost = on_lost
        self._known = {path: _identity(path) for path in (folder, *partitions(folder))}
        self._ended = Event()
        self._lock = Lock()
        Thread(target=self._run, name="csq-store-guard", daemon=True).start()

    def check(self) -> None:
        """Look once.

        Raises:
            StoreGoneError: the directory or a file was removed, renamed or replaced.
            StoreTakenError: another run has taken the store.
            StoreError: it cannot be written.
        """
        with self._lock:  # the flow looks before each snapshot, beside the thread
            for path, known in self._known.items():
                self._compare(path, known)
            try:
                self._renew()
            except OSError as error:
                raise StoreError(
                    f"recovery store {self._folder}: cannot be written any more: {error.strerror}. Repair the disk or "
                    "its mount, and start csq again: it resumes from the last whole snapshot (docs/state.md, "
                    '"The store cannot be written")'
                ) from None

    def end(self) -> None:
        """Stop looking, and give the lease back, so that the next start on another machine need not wait."""
        self._ended.set()
        with self._lock:
            try:
                found = read_lease(self._folder)
                if found is not None and found.run == self._lease.run:
                    self._lease.ended = True
                    write_lease(self._folder, self._lease)
            except OSError:  # the store is gone, which was reported
                pass

    def _run(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            try:
                self.check()
            except StoreError as error:
                self._on_lost(error)
                return

    def _compare(self, path: Path, known: tuple[int, int]) -> None:
        what = "directory" if path == self._folder else f"file {path.name}"
        try:
            found = _identity(path)
        except OSError as error:
            raise StoreGoneError(
                f"recovery store {self._folder}: the {what} was removed or renamed while csq used it: "
                f"{error.strerror}. Put it back before the next start, which would begin with an empty store "
                f"{_WHAT_TO_DO}"
            ) from None
        if found != known:
            raise StoreGoneError(
                f"recovery store {self._folder}: the {what} was replaced by another while csq used it. Decide which of "
                f"the two is to be resumed from before the next start {_WHAT_TO_DO}"
            )

    def _renew(self) -> None:
        found = read_lease(self._folder)
        if found is None:
            raise StoreGoneError(
                f"recovery store {self._folder}: its lease was removed or replaced while csq used it {_WHAT_TO_DO}"
            )
        if found.run != self._lease.run:
            raise StoreTakenError(
                f"recovery store {self._folder}: run {found.run} has taken it over. This run was silent for too long, "
                "or its lock was removed; it stops without a further snapshot. Make sure that one csq uses the "
                f"store {_WHAT_TO_DO}"
            )
        self._lease.beat += 1
        write_lease(self._folder, self._lease)
        if read_lease(self._folder) != self._lease:
            raise StoreError(
                f"recovery store {self._folder}: what was written cannot be read back. Look at its disk {_WHAT_TO_DO}"
            )


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - follows symbolic links, as SQLite did
    return found.st_dev, found.st_ino
