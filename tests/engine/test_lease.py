"""One run at a time holds the lease of a store; another waits for a sign of life, by its own clock only."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.engine import lease
from operators.engine.lease import EXPIRES_SECONDS, LEASE, SIZE, Lease, is_renewed, read_lease, take_lease, write_lease
from operators.engine.store import StoreError


class Clock:
    """Time that passes while somebody sleeps; `during` is called at each sleep."""

    def __init__(self, during: Callable[[], object] = lambda: None) -> None:
        self.now = 50.0
        self._during = during

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._during()

    def __call__(self) -> float:
        return self.now


def renewed(folder: Path, clock: Clock) -> bool:
    return is_renewed(folder, clock.sleep, clock)


def test_a_store_without_a_lease_is_taken_at_once(tmp_path: Path) -> None:
    take_lease(tmp_path, "a")
    assert read_lease(tmp_path) == Lease("a", lease.kernel())
    assert (tmp_path / LEASE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "left",
    [Lease("a", lease.kernel(), 7), Lease("a", "another", 7, ended=True), Lease("a", "", 7, ended=True)],
    ids=["this kernel, whose lock is free", "ended", "ended, no name of a kernel"],
)
def test_what_a_run_left_that_cannot_be_alive_is_taken_at_once(tmp_path: Path, left: Lease) -> None:
    write_lease(tmp_path, left, create=True)
    clock = Clock()
    assert not renewed(tmp_path, clock)
    assert clock.now == 50.0


@pytest.mark.parametrize("kernel", ["another", ""])
def test_a_lease_that_stays_the_same_expires(tmp_path: Path, kernel: str) -> None:
    write_lease(tmp_path, Lease("a", kernel, 7), create=True)
    clock = Clock()
    assert not renewed(tmp_path, clock)
    assert clock.now == 50.0 + EXPIRES_SECONDS


def test_a_lease_that_is_renewed_is_in_use_and_stays_as_it_is(tmp_path: Path) -> None:
    write_lease(tmp_path, Lease("a", "another", 7), create=True)
    clock = Clock(lambda: write_lease(tmp_path, Lease("a", "another", 8)))
    with pytest.raises(
        StoreError, match=r"another csq \(run a, on another machine\) uses it now\. Stop that one first"
    ):
        take_lease(tmp_path, "b", clock.sleep)
    assert read_lease(tmp_path) == Lease("a", "another", 8)


def test_a_run_that_ends_while_it_is_watched_is_followed_at_once(tmp_path: Path) -> None:
    write_lease(tmp_path, Lease("a", "another", 7), create=True)
    clock = Clock(lambda: write_lease(tmp_path, Lease("a", "another", 8, ended=True)))
    take_lease(tmp_path, "b", clock.sleep)
    assert clock.now < 51.0
    assert read_lease(tmp_path) == Lease("b", lease.kernel())


@given(st.text(max_size=16), st.text(max_size=36), st.integers(0, 2**62), st.booleans())
def test_it_has_one_size_and_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, run: str, kernel: str, beat: int, ended: bool
) -> None:
    folder = tmp_path_factory.mktemp("lease")
    written = Lease(run, kernel, beat, ended)
    write_lease(folder, Lease("x" * 16, "y" * 36, 2**62), create=True)
    write_lease(folder, written)
    assert read_lease(folder) == written
    if run.isalnum() and run.isascii():
        assert (folder / LEASE).stat().st_size == SIZE


def test_a_lease_that_is_none_is_no_lease(tmp_path: Path) -> None:
    (tmp_path / LEASE).write_bytes(b"\xff{")
    assert read_lease(tmp_path) is None
