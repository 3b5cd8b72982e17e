"""The files of a store are of one moment, or the start says which are not; copies made one after the other still fit."""

import logging
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from operators.engine.fit import StoreShape
from operators.engine.generation import STEP, mark_of
from operators.engine.records import record_of
from operators.engine.recovery import prepare
from operators.engine.refill import StoredValue, refill
from operators.engine.store import Resume, StoreMisfitError, partitions, read_manifest, resume_of
from tests.store_runs import BATCH, run, settings_for
from tests.streams import ROOT

GOLDEN = ROOT / "tests" / "fixtures" / "golden.jsonl"
FILES = 3
SHAPE = StoreShape(4, FILES, ["csq.intake.lane.stage"])


def events() -> list[bytes]:
    return GOLDEN.read_bytes().splitlines()


def settings(folder: Path):
    return settings_for(folder, recovery_partitions=FILES)


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Copies of one store: an older one, a newer one, and one that was resumed from the older one on its own."""
    folder = tmp_path_factory.mktemp("backups")
    store, old, new, other = (folder / name for name in ("store", "old", "new", "other"))
    run(events(), settings(store), until=10 * BATCH)
    shutil.copytree(store, old)
    run(events(), settings(store), until=20 * BATCH)
    shutil.copytree(store, new)
    shutil.copytree(old, other)
    run(events(), settings(other), until=20 * BATCH)  # the same epochs, another run
    return old, new, other


@pytest.mark.parametrize("number", range(FILES))
@pytest.mark.parametrize("source", [0, 2], ids=["older", "another run"])
def test_a_file_of_another_moment_is_refused(
    backups: tuple[Path, Path, Path], tmp_path: Path, number: int, source: int
) -> None:
    folder = Path(shutil.copytree(backups[1], tmp_path / "store"))
    for path in folder.glob(f"part-{number}.*"):
        path.unlink()
    for path in backups[source].glob(f"part-{number}.*"):
        shutil.copy(path, folder)
    with pytest.raises(StoreMisfitError, match=rf"of different moments: .*part-{number}\.sqlite3 epoch.*Put back all"):
        run(events(), settings(folder))
    for path in backups[1].glob(f"part-{number}.*"):
        shutil.copy(path, folder)
    run(events(), settings(folder), until=21 * BATCH)  # nothing had been changed


def test_files_that_changed_names_are_refused(backups: tuple[Path, Path, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(backups[1], tmp_path / "store"))
    first, second = partitions(folder)[:2]
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    with pytest.raises(StoreMisfitError, match=r"part-0\.sqlite3 none, part-1\.sqlite3 none, part-2\.sqlite3 epoch"):
        run(events(), settings(folder))


@pytest.mark.parametrize("count", [1, 2, 16])
def test_bytewax_stores_each_mark_in_its_file(tmp_path: Path, count: int) -> None:
    prepare(tmp_path, StoreShape(4, count, SHAPE.steps))
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert resume_of(tmp_path) is None
    refill(tmp_path, [StoredValue(STEP, name, b"") for name in manifest.marks.values()])
    for path in partitions(tmp_path):
        with closing(sqlite3.connect(path)) as part:
            assert part.execute("SELECT state_key FROM snaps").fetchall() == [(manifest.marks[path.name],)]


# ---- copies made while csq runs


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store after one run of epochs 1 to 7, all of which are kept."""
    folder = tmp_path / "store"
    prepare(folder, SHAPE)
    for path in partitions(folder):
        add_marks(folder, path, range(1, 8))
    with closing(sqlite3.connect(partitions(folder)[0])) as part, part:
        part.execute("INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (0, 1, 1)")
    with closing(sqlite3.connect(partitions(folder)[1])) as part, part:
        part.execute("INSERT INTO fronts (ex_num, worker_index, worker_frontier) VALUES (0, 0, 8)")
    return folder


def add_marks(folder: Path, path: Path, epochs: range) -> None:
    manifest = read_manifest(folder)
    assert manifest is not None
    with closing(sqlite3.connect(path)) as part, part:
        rows = [(STEP, manifest.marks[path.name], epoch, record_of(mark_of("a"))) for epoch in epochs]
        part.executemany("INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, ?, ?)", rows)


def forget(path: Path, which: str) -> None:
    with closing(sqlite3.connect(path)) as part, part:
        part.execute(f"DELETE FROM snaps WHERE snap_epoch {which}")


def test_a_whole_store_resumes_where_it_stands(store: Path) -> None:
    prepare(store, SHAPE)
    assert resume_of(store) == Resume(1, 8, 1, 1)


def test_files_copied_one_after_the_other_resume_at_the_newest_epoch_that_all_have(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forget(partitions(store)[0], "> 5")  # copied first
    forget(partitions(store)[1], "< 3")  # copied last
    with caplog.at_level(logging.WARNING):
        prepare(store, SHAPE)
    assert "resuming at epoch 6, which all have, instead of 8" in caplog.text
    assert resume_of(store) == Resume(1, 6, 1, 1)
    for path in partitions(store):
        with closing(sqlite3.connect(path)) as part:
            assert part.execute("SELECT MAX(snap_epoch) FROM snaps").fetchone() == (5,)
    caplog.clear()
    prepare(store, SHAPE)
    assert not caplog.messages


@pytest.mark.parametrize(
    "change",
    [
        lambda files: [forget(files[0], "> 2"), forget(files[1], "< 4")],  # not kept for as long as the copy took
        lambda files: forget(files[2], "> 0"),
    ],
    ids=["apart", "empty"],
)
def test_files_without_an_epoch_in_common_are_refused(store: Path, change: Callable[[list[Path]], object]) -> None:
    change(partitions(store))
    with pytest.raises(StoreMisfitError, match=r"files are of different moments.*Files of different moments"):
        prepare(store, SHAPE)


def test_files_of_two_runs_that_share_only_epochs_of_the_first_are_refused(store: Path) -> None:
    with closing(sqlite3.connect(partitions(store)[0])) as part, part:
        part.execute("INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (1, 1, 7)")
    forget(partitions(store)[2], "> 5")
    with pytest.raises(StoreMisfitError, match="files are of different moments"):
        prepare(store, SHAPE)


def test_a_run_that_ended_before_its_first_epoch_is_followed(store: Path) -> None:
    with closing(sqlite3.connect(partitions(store)[0])) as part, part:
        part.execute("INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (1, 1, 8)")
    prepare(store, SHAPE)
    assert resume_of(store) == Resume(2, 8, 1, 8)
