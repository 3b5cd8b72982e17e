"""Checkpoints: a small process beside csq empties the write-ahead logs of its recovery store.

SQLite writes to a log first. Once the log has a thousand pages (64 MiB with our page size), the next writer copies them
into the database file: in the middle of a snapshot, during which the flow is stopped. This process copies them
between two snapshots, a few MiB at a time.

It is a process and not a thread because Bytewax has an SQLite library of its own. Two such libraries in one process do
not see each other's locks, and release them when either closes a file ("How To Corrupt An SQLite Database File", 2.2
and 2.2.1).
"""

import select
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

EVERY_SECONDS: Final = 5.0

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


def main(partitions: Sequence[Path]) -> None:
    """Empty all logs, again and again, until standard input ends."""
    while not select.select([sys.stdin], [], [], EVERY_SECONDS)[0]:
        for partition in partitions:
            empty(partition)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
