"""Checkpoints: a small process beside csq empties the write-ahead logs of its recovery store.

SQLite writes to a log first. Once the log has a thousand pages (64 MiB with our page size), the next writer copies them
into the database file: in the middle of a snapshot, during which the flow is stopped. This process copies them
between two snapshots, a few MiB at a time.

It is a process and not a thread because Bytewax has an SQLite library of its own. Two such libraries in one process do
not see each other's locks, and release them when either closes a file ("How To Corrupt An SQLite Database File", 2.2
and 2.2.1).

It also removes what SQLite leaves of deleted rows, after a customer was forgotten: free pages, free space within pages,
frames of the log. Deleted rows of Bytewax are snapshots of before, with all that they held.
"""

import os
import select
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

EVERY_SECONDS: Final = 5.0
PENDING: Final = "forgotten"
"""Name of a file beside the partitions: a customer was forgotten at its time (mtime), and deleted rows still exist."""
MOST_BYTES: Final = 256 << 20
"""Size of a partition up to which it is rebuilt while csq runs: a second or two, for which writers wait. A larger one
is rebuilt at the next start."""
_STAGES: Final = ("intake", "labels", "conversations", "queues", "customers")
"""Stages whose snapshots hold ids; each of their keys is stored with each snapshot."""

_beside: "list[subprocess.Popen[bytes]]" = []
"""They end with their standard input, which the system closes when this process ends, however it ends."""


def begin_beside(partitions: Sequence[Path]) -> None:
    """Start the process that empties the logs of a store's partitions; it ends with this one."""
    _beside.append(
        subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-IS", __file__, *map(str, partitions)],  # no packages: it takes 10 MB instead of 20
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it ends with its parent, not with Ctrl-C
        )
    )


def empty(partition: Path) -> None:
    """Copy the log into the database file, as far as no reader or writer has to wait; failures are retried."""
    with suppress(sqlite3.Error):
        uri = f"{partition.absolute().as_uri()}?mode=rw"  # creates no file
        with closing(sqlite3.connect(uri, uri=True, timeout=0.0)) as part:
            part.execute("PRAGMA wal_checkpoint(PASSIVE)")


def mark_forgotten(folder: Path) -> None:
    """Note durably that a customer is forgotten as of now."""
    marker = folder / PENDING
    with marker.open("wb") as file:
        os.utime(file.fileno())
        os.fsync(file.fileno())


def scrub(partitions: Sequence[Path], most_bytes: float = MOST_BYTES) -> None:
    """Rebuild partitions without what was deleted, once every snapshot is newer than the last forgotten customer.

    The marker goes when all are rebuilt; until then each call tries again.
    """
    marker = partitions[0].parent / PENDING if partitions else None
    if marker is None or not marker.exists():
        return
    with suppress(OSError, sqlite3.Error):
        marked = marker.stat().st_mtime_ns
        if not all(_is_newer(partition, marked / 1e9) for partition in partitions):
            return
        rebuilt = [_rebuild(partition, most_bytes) for partition in partitions]
        if all(rebuilt) and marker.stat().st_mtime_ns == marked:  # no further customer was forgotten
            marker.unlink()


def _is_newer(partition: Path, marked: float) -> bool:
    """Whether all snapshots with ids were taken after `marked` (POSIX seconds)."""
    with closing(sqlite3.connect(f"{partition.absolute().as_uri()}?mode=ro", uri=True)) as part:
        stages = " OR ".join("step_id LIKE ?" for _ in _STAGES)
        found = part.execute(
            f"SELECT CAST(strftime('%s', MIN(created_at)) AS REAL) FROM snaps WHERE {stages}",  # noqa: S608 - names of ours
            [f"csq.{stage}%" for stage in _STAGES],
        ).fetchone()
    return found[0] is None or found[0] > marked + 1.0  # stored times have no fractions


def _rebuild(partition: Path, most_bytes: float) -> bool:
    """Write a partition anew and empty its log; whether that is done."""
    if partition.stat().st_size > most_bytes:
        return False
    with closing(sqlite3.connect(f"{partition.absolute().as_uri()}?mode=rw", uri=True, timeout=1.0)) as part:
        part.execute("VACUUM")
        busy, _, _ = part.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def main(partitions: Sequence[Path]) -> None:
    """Empty all logs, again and again, until standard input ends."""
    while not select.select([sys.stdin], [], [], EVERY_SECONDS)[0]:
        for partition in partitions:
            empty(partition)
        scrub(partitions)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
