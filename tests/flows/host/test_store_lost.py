"""csq as a process whose store goes away, or which finds another at work on it: it ends with the reason, not with 0."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from operators.connectors.embedded import EmbeddedBroker
from operators.engine.lease import LEASE, Lease, read_lease, write_lease
from operators.engine.store import resume_of
from tests.servers.process import Csq

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(["csq.events"]) as broker:
        yield broker


@pytest.fixture
def settings(broker: EmbeddedBroker, tmp_path: Path) -> dict[str, Any]:
    return {
        "kafka": {"brokers": [broker.bootstrap_servers]},
        "state": {"directory": str(tmp_path / "state"), "snapshot_seconds": 1.0},
    }


def is_ready(csq: Csq) -> bool:
    return csq.get("/readyz")[0] == 200


def test_a_store_that_goes_away_ends_csq_with_2(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with Csq(tmp_path / "csq", settings) as csq:
        csq.until(lambda: is_ready(csq) and resume_of(folder) is not None)
        folder.rename(folder.with_name("aside"))
        assert csq.process.wait(20) == 2
        [message] = csq.messages("critical")
        assert "the directory was removed or renamed while csq used it" in message
        assert f"Error: {message}" in csq.log()
        assert "Traceback" not in csq.log()
    assert not folder.exists()


def test_a_store_that_another_run_has_taken_ends_csq_with_2_and_stays_as_it_is(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    with Csq(tmp_path / "csq", settings) as csq:
        csq.until(lambda: is_ready(csq) and resume_of(folder) is not None)
        write_lease(folder, Lease("other", "another"))
        assert csq.process.wait(20) == 2
        assert "run other has taken it over" in csq.messages("critical")[0]
    assert read_lease(folder) == Lease("other", "another")


def test_the_store_of_a_run_on_another_machine_is_not_taken_while_that_run_lives(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    with Csq(tmp_path / "first", settings) as csq:
        csq.until(lambda: is_ready(csq))
        csq.stop()
    found = read_lease(folder)
    assert found is not None
    assert found.ended
    (folder / LEASE).unlink()
    write_lease(folder, Lease("other", "another"), create=True)
    ended = threading.Event()

    def live() -> None:
        beat = 0
        while not ended.wait(1.0):
            beat += 1
            write_lease(folder, Lease("other", "another", beat))

    other = threading.Thread(target=live)
    other.start()
    try:
        with Csq(tmp_path / "second", settings) as csq:
            assert csq.process.wait(20) == 1
            assert "another csq (run other, on another machine) uses it now" in csq.log()
    finally:
        ended.set()
        other.join()
