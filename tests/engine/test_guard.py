"""A store that is removed, replaced, made read-only or taken by another run is noticed at the next look."""

import errno
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.host.store_watch import StoreWatch
from operators.engine import guard
from operators.engine.fit import StoreShape
from operators.engine.guard import StoreGoneError, StoreGuard, StoreTakenError
from operators.engine.lease import LEASE, Lease, read_lease, write_lease
from operators.engine.recovery import StoreRun, prepare
from operators.engine.store import StoreError

SHAPE = StoreShape(4, 2, ["csq.intake.lane.stage"])


@pytest.fixture
def store(tmp_path: Path) -> tuple[Path, StoreRun]:
    folder = tmp_path / "store"
    return folder, prepare(folder, SHAPE)


@pytest.fixture
def watched(store: tuple[Path, StoreRun], monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreGuard]:
    monkeypatch.setattr(guard, "RENEW_SECONDS", 3600.0)  # only the test looks
    one = StoreGuard(store[0], store[1].name, lambda error: None)
    yield one
    one.end()


def removed(folder: Path) -> None:
    shutil.rmtree(folder)


def renamed(folder: Path) -> None:
    folder.rename(folder.with_name("aside"))


def replaced(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("copy"))
    removed(folder)
    folder.with_name("copy").rename(folder)


def one_removed(folder: Path) -> None:
    (folder / "part-1.sqlite3").unlink()


def one_replaced(folder: Path) -> None:
    part = folder / "part-0.sqlite3"
    shutil.copy(part, folder / "copy")
    (folder / "copy").replace(part)


def lease_removed(folder: Path) -> None:
    (folder / LEASE).unlink()


def test_a_store_that_is_there_is_renewed(watched: StoreGuard, store: tuple[Path, StoreRun]) -> None:
    for _ in range(3):
        watched.check()
    found = read_lease(store[0])
    assert found is not None
    assert (found.run, found.beat, found.ended) == (store[1].name, 3, False)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (removed, "the directory was removed or renamed while csq used it: No such file or directory"),
        (renamed, "the directory was removed or renamed while csq used it"),
        (replaced, "the directory was replaced by another while csq used it"),
        (one_removed, r"the file part-1\.sqlite3 was removed or renamed"),
        (one_replaced, r"the file part-0\.sqlite3 was replaced by another"),
        (lease_removed, "its lease was removed or replaced"),
    ],
)
def test_a_store_that_is_gone_is_noticed(
    watched: StoreGuard, store: tuple[Path, StoreRun], change: Callable[[Path], None], expected: str
) -> None:
    change(store[0])
    with pytest.raises(StoreGoneError, match=rf'{expected}.*docs/state\.md, "The store is gone"'):
        watched.check()


def test_a_store_that_another_run_has_taken_is_noticed_and_left_to_it(
    watched: StoreGuard, store: tuple[Path, StoreRun]
) -> None:
    other = Lease("other", "another", 3)
    write_lease(store[0], other)
    with pytest.raises(StoreTakenError, match="run other has taken it over"):
        watched.check()
    watched.end()
    assert read_lease(store[0]) == other


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


def test_a_store_that_is_read_only_is_noticed(watched: StoreGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "write_lease", refuse)
    with pytest.raises(
        StoreError, match=r"cannot be written any more: Read-only file system\. Repair the disk"
    ) as found:
        watched.check()
    assert not isinstance(found.value, StoreGoneError)  # a restart helps, once the disk is repaired


def test_a_write_that_is_lost_is_noticed(watched: StoreGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "write_lease", lambda folder, lease: None)
    with pytest.raises(StoreError, match="what was written cannot be read back"):
        watched.check()


def test_a_run_that_ends_gives_its_lease_back(store: tuple[Path, StoreRun]) -> None:
    StoreGuard(store[0], store[1].name, lambda error: None).end()
    found = read_lease(store[0])
    assert found is not None
    assert found.ended


def test_the_thread_looks_by_itself(store: tuple[Path, StoreRun], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RENEW_SECONDS", 0.01)
    was_called, found = threading.Event(), []
    StoreGuard(store[0], store[1].name, lambda error: (found.append(error), was_called.set()))
    removed(store[0])
    assert was_called.wait(10.0)
    assert [type(error) for error in found] == [StoreGoneError]


# ---- what a process does


@pytest.mark.parametrize("alone", [True, False])
def test_a_process_that_lost_its_store_is_not_ready_and_stops(
    store: tuple[Path, StoreRun], caplog: pytest.LogCaptureFixture, alone: bool
) -> None:
    stopped: list[bool] = []
    watch = StoreWatch(lambda: stopped.append(True))
    watch.ends_in_order = alone
    watch.begin(*store)
    watch.check()
    assert watch.obstacles() == []
    removed(store[0])
    if alone:
        watch.check()
    else:  # processes end together only by an error
        with pytest.raises(StoreGoneError):
            watch.check()
    assert stopped == [True]
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert watch.obstacles() == caplog.messages
    with pytest.raises(StoreGoneError):
        watch.raise_lost()
    watch.end()


def test_a_store_that_was_taken_ends_the_flow_before_its_next_snapshot(store: tuple[Path, StoreRun]) -> None:
    watch = StoreWatch(lambda: None)
    watch.ends_in_order = True
    watch.begin(*store)
    write_lease(store[0], Lease("other", "another"))
    with pytest.raises(StoreTakenError):
        watch.check()
    with pytest.raises(StoreTakenError):
        watch.look()
    watch.end()
