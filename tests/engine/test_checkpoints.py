"""The process that checkpoints the logs of a store: it blocks no writer, and ends with its parent."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from operators.engine import checkpoints
from operators.engine.checkpoints import PENDING, empty, mark_forgotten, scrub
from tests.streams import ROOT

MIB = 1 << 20


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Writes a partition as Bytewax does, but leaves its log to others."""
    with closing(sqlite3.connect(tmp_path / "part-0.sqlite3", isolation_level=None)) as part:
        for setting in ("page_size = 65536", "journal_mode = WAL", "wal_autocheckpoint = 0"):
            part.execute(f"PRAGMA {setting}")
        part.execute("CREATE TABLE snaps (epoch INTEGER, change BLOB)")
        yield part


def snapshot(writer: sqlite3.Connection, epoch: int) -> None:
    writer.execute("INSERT INTO snaps VALUES (?, ?)", (epoch, os.urandom(MIB)))
    writer.execute("DELETE FROM snaps WHERE epoch < ?", (epoch,))


def log_bytes(folder: Path) -> int:
    return (folder / "part-0.sqlite3-wal").stat().st_size


def test_a_log_that_is_emptied_between_snapshots_does_not_grow(tmp_path: Path, writer: sqlite3.Connection) -> None:
    for epoch in range(6):
        snapshot(writer, epoch)
    assert log_bytes(tmp_path) > 6 * MIB  # as it is without
    empty(tmp_path / "part-0.sqlite3")
    before = log_bytes(tmp_path)
    for epoch in range(6, 12):
        snapshot(writer, epoch)
        empty(tmp_path / "part-0.sqlite3")
    assert log_bytes(tmp_path) == before
    assert writer.execute("SELECT epoch, length(change) FROM snaps").fetchall() == [(11, MIB)]


def test_it_blocks_no_process_and_is_blocked_by_none(tmp_path: Path, writer: sqlite3.Connection) -> None:
    writer.execute("BEGIN IMMEDIATE")
    snapshot(writer, 1)
    began = time.monotonic()
    empty(tmp_path / "part-0.sqlite3")
    assert time.monotonic() - began < 1.0
    writer.execute("COMMIT")
    assert writer.execute("SELECT epoch FROM snaps").fetchall() == [(1,)]


def test_what_is_no_partition_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "part-0.sqlite3").write_bytes(b"no database at all")
    empty(tmp_path / "part-0.sqlite3")
    empty(tmp_path / "part-1.sqlite3")
    assert [path.name for path in tmp_path.iterdir()] == ["part-0.sqlite3"]


def test_it_empties_the_logs_until_its_input_ends(
    tmp_path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epoch in range(3):
        snapshot(writer, epoch)
    before, looks = log_bytes(tmp_path), iter((False, False, True))
    monkeypatch.setattr("select.select", lambda *_: ([0] if next(looks) else [], [], []))
    checkpoints.main([tmp_path / "part-0.sqlite3"])
    for epoch in range(3, 5):
        snapshot(writer, epoch)
    assert log_bytes(tmp_path) == before


def test_it_ends_with_the_process_that_began_it_however_that_ends(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from operators.engine import checkpoints; import time; "
        f"checkpoints.begin_beside([Path({str(tmp_path)!r})]); print(checkpoints._beside[0].pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as began:  # noqa: S603 - our own code
        assert began.stdout is not None
        beside = int(began.stdout.readline())
        os.kill(beside, 0)  # it runs
        began.kill()
        began.wait(10)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{beside}/cmdline").exists() and Path(f"/proc/{beside}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.05)


# What is left of deleted rows, after a customer was forgotten.

ID = b"ann.forgettable@example.com"


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A partition with an old snapshot of a customer's lane that was deleted, and a new one."""
    with closing(sqlite3.connect(tmp_path / "part-0.sqlite3", isolation_level=None)) as part:
        part.execute("PRAGMA journal_mode = WAL")
        part.execute("CREATE TABLE snaps (step_id TEXT, created_at TEXT, ser_change BLOB)")
        row = "INSERT INTO snaps VALUES ('csq.customers.lane.stage', datetime('now', ?), ?)"
        part.execute(row, ("-60 seconds", ID * 10))
        part.execute("DELETE FROM snaps")
        part.execute(row, ("+60 seconds", b"nobody"))
        yield part


def kept(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ID in path.read_bytes()]


def test_deleted_rows_are_removed_once_somebody_was_forgotten(tmp_path: Path, partition: sqlite3.Connection) -> None:
    parts = [tmp_path / "part-0.sqlite3"]
    scrub(parts)
    assert kept(tmp_path)  # nobody was
    mark_forgotten(tmp_path)
    scrub(parts)
    assert (kept(tmp_path), (tmp_path / PENDING).exists()) == ([], False)
    assert partition.execute("SELECT ser_change FROM snaps").fetchall() == [(b"nobody",)]


def test_the_marker_stays_while_a_snapshot_is_older_or_a_reader_holds_the_log_or_the_file_is_large(
    tmp_path: Path, partition: sqlite3.Connection
) -> None:
    parts = [tmp_path / "part-0.sqlite3"]
    mark_forgotten(tmp_path)
    scrub(parts, most_bytes=100)
    assert (tmp_path / PENDING).exists()
    with closing(sqlite3.connect(parts[0], isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM snaps").fetchall()
        scrub(parts)
        assert (tmp_path / PENDING).exists()
    partition.execute("INSERT INTO snaps VALUES ('csq.queues.lane.stage', datetime('now', '-5 seconds'), x'00')")
    scrub(parts)
    assert (tmp_path / PENDING).exists()
    partition.execute("DELETE FROM snaps WHERE step_id = 'csq.queues.lane.stage'")
    scrub(parts)
    assert not (tmp_path / PENDING).exists()
