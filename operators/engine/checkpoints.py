"""Checkpoints: a small process beside csq empties the write-ahead logs of its recovery store.

What SQLite writes lies in a log at first. Once the log has a thousand pages, 64 MiB of ours, whoever writes next copies
them to where they belong: in the middle of a snapshot, for which the flow stands still. Here somebody else does it,
between two snapshots, a few MiB at a time.

A process and no thread: Bytewax brings an SQLite of its own. Two of them in one process do not see one another's locks,
and drop them for each other when they close a file ("How To Corrupt An SQLite Database File", 2.2 and 2.2.1).
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
"""It lives as long as its standard input, which the system closes when we end, in whatever way."""


def begin_beside(partitions: Sequence[Path]) -> None:
    """Let a process empty the logs of a store's partitions for as long as this one lives."""
    _beside.append(
        subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-IS", __file__, *map(str, partitions)],  # no packages: it takes 10 MB instead of 20
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it ends with us, not with a Ctrl-C
        )
    )


def empty(partition: Path) -> None:
    """Copy what the log holds to where it belongs, as far as that disturbs nobody. What fails is done next time."""
    with suppress(sqlite3.Error):
        uri = f"{partition.absolute().as_uri()}?mode=rw"  # makes nothing that is not there
        with closing(sqlite3.connect(uri, uri=True, timeout=0.0)) as part:
            part.execute("PRAGMA wal_checkpoint(PASSIVE)")


def main(partitions: Sequence[Path]) -> None:
    """Empty all logs, again and again, until standard input ends."""
    while not select.select([sys.stdin], [], [], EVERY_SECONDS)[0]:
        for partition in partitions:
            empty(partition)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
