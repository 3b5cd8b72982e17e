"""What a start reads from a store was written by csq, and is whole; nothing in it is executed."""

import pickle
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from operators.domain.stage.seal import StateDamagedError
from operators.engine.positions import Position, kept_position
from operators.engine.records import record_of
from operators.engine.store import StoreMisfitError, partitions, snaps_of
from tests.store_runs import BATCH, run, settings_for
from tests.streams import ROOT

GOLDEN = ROOT / "tests" / "fixtures" / "golden.jsonl"
POSITION = "UPDATE snaps SET ser_change = ? WHERE step_id = 'csq.kafka' AND ser_change IS NOT NULL"


def events() -> list[bytes]:
    return GOLDEN.read_bytes().splitlines()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three files after 160 events; for reading."""
    folder = tmp_path_factory.mktemp("filled") / "store"
    run(events(), settings(folder), until=10 * BATCH)
    return folder


def settings(folder: Path):
    return settings_for(folder, recovery_partitions=3)


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "store"))


@contextmanager
def each(store: Path) -> Iterator[list[sqlite3.Connection]]:
    parts = [sqlite3.connect(path) for path in partitions(store)]
    yield parts
    for part in parts:
        part.commit()
        part.close()


class Touch:
    """Code in a pickle: it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_code_in_a_store_is_refused_and_not_run(store: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    with each(store) as parts:
        for part in parts:
            part.execute(POSITION, (pickle.dumps(Touch(ran)),))
    with pytest.raises(
        StoreMisfitError, match=r"step csq\.kafka, key csq\.events\[0\]: this record was not written by csq.*Put"
    ):
        run(events(), settings(store))
    with pytest.raises(StoreMisfitError, match="this record was not written by csq"):
        list(snaps_of(store))
    assert not ran.exists()


def test_a_position_without_a_checksum_is_refused(store: Path) -> None:
    with each(store) as parts:
        for part in parts:
            part.execute(POSITION, (pickle.dumps(17),))
    with pytest.raises(StoreMisfitError, match="this record was not written by csq"):
        run(events(), settings(store))


def test_a_position_that_changed_is_refused(store: Path) -> None:
    moved = bytearray(kept_position(Position(160)))
    moved[-9] ^= 1
    with each(store) as parts:
        for part in parts:
            part.execute(POSITION, (record_of(bytes(moved)),))
    with pytest.raises(StateDamagedError, match=r"step csq\.kafka, key csq\.events\[0\] is damaged: its checksum"):
        run(events(), settings(store))


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("CREATE TRIGGER later AFTER INSERT ON exs BEGIN DELETE FROM snaps; END", "trigger later"),
        ("CREATE VIEW other AS SELECT * FROM snaps", "view other"),
        ("CREATE TABLE more (id INTEGER)", "table more"),
    ],
)
def test_what_could_change_records_after_they_were_checked_is_refused(store: Path, made: str, named: str) -> None:
    with each(store) as parts:
        parts[1].execute(made)
    with pytest.raises(StoreMisfitError, match=rf"part-1\.sqlite3: csq did not create {named}"):
        run(events(), settings(store))


def test_statistics_of_sqlite_are_no_reason_to_refuse(store: Path) -> None:
    with closing(sqlite3.connect(partitions(store)[0])) as part, part:
        part.execute("ANALYZE")
    run(events()[: 11 * BATCH], settings(store), until=11 * BATCH)
