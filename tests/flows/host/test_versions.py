"""A store that an earlier release wrote is resumed from, and what follows is what follows without a stop.

``tests/fixtures/store-*`` are such stores, each written by the release in its name (and with the version of the state
behind it) over the first part of ``tests/fixtures/golden.jsonl``. They stay for ever. A release that changes what is stored adds one more::

    .venv/bin/python -m tests.flows.host.test_versions --write
"""

import argparse
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from operators.domain.conversations.stage import Conversations, ConversationsParams
from operators.domain.customers.params import CustomersParams
from operators.domain.customers.stage import Customers
from operators.domain.models.churn import ChurnParams, ChurnScorer
from operators.domain.stage.labels import Labels, LabelsParams
from operators.domain.stage.promise import Promises, PromisesParams
from operators.domain.stage.seal import unseal
from operators.domain.time.lanes import Lanes
from operators.engine.fit import STATE_VERSION
from operators.engine.store import partitions, read_manifest, snaps_of
from tests.builders import restored, state_of
from tests.store_runs import PARTITION, Result, run, settings_for
from tests.streams import SERVICE, differences

FIXTURES = Path(__file__).parents[2] / "fixtures"
STORES = sorted(FIXTURES.glob("store-*"))
STORED = 304
"""Events that a store has taken: a whole number of batches, about half of them."""
MOST_BYTES = 200_000
STAGES: dict[str, Any] = {
    "conversations": lambda: Conversations(
        ConversationsParams(), Labels(LabelsParams()), Promises(PromisesParams()), Lanes(2), lambda **_: (None, {})
    ),
    "customers": lambda: Customers(CustomersParams(), Labels(LabelsParams()), ChurnScorer(ChurnParams(), {}), "0"),
}


def events() -> list[bytes]:
    return (FIXTURES / "golden.jsonl").read_bytes().splitlines()


@pytest.fixture(scope="module")
def undisturbed() -> Result:
    return run(events(), settings_for(None))


@pytest.fixture(scope="module")
def before() -> Result:
    """What was published until the store was written."""
    return run(events(), settings_for(None), until=STORED)


def copy_of(store: Path, folder: Path) -> Path:
    return Path(shutil.copytree(store, folder / "store"))


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
def test_what_follows_is_what_follows_without_a_stop(
    store: Path, tmp_path: Path, undisturbed: Result, before: Result
) -> None:
    resumed = run(events(), settings_for(copy_of(store, tmp_path)))
    for stream, records in undisturbed.published.items():
        rest = records - before.published.get(stream, Counter())
        assert rest == resumed.published.get(stream, Counter()), stream
    assert resumed.published.keys() <= undisturbed.published.keys()


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
def test_counters_go_on_too(store: Path, tmp_path: Path, undisturbed: Result) -> None:
    resumed = run(events(), settings_for(copy_of(store, tmp_path)))
    shown_at_changes = ("csq_newest_event_timestamp_seconds",)  # a gauge is not stored; this one comes with events
    names = [name for name in SERVICE if name not in shown_at_changes]
    assert differences(undisturbed.values, resumed.values, names) == []


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
@pytest.mark.parametrize("name", ["conversations", "customers"])
def test_every_record_is_read_as_it_was_and_is_read_again_as_it_is_now(store: Path, name: str, tmp_path: Path) -> None:
    lanes = [unseal(snap.value, "") for snap in snaps_of(copy_of(store, tmp_path)) if snap.step.split(".")[1] == name]
    assert sum(len(lane["stage"]["records"]) for lane in lanes) > 10
    for lane in lanes:
        old, again = STAGES[name](), STAGES[name]()
        old.restore(Raw(msgspec.msgpack.encode(lane["stage"])))
        restored(again, old)
        for key in lane["stage"]["records"]:
            assert old._records[key] == again._records[key]
        assert state_of(old) == state_of(again)


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
def test_it_is_worth_having(store: Path, undisturbed: Result, before: Result) -> None:
    assert sum(path.stat().st_size for path in store.iterdir()) < MOST_BYTES
    for stream, records in undisturbed.published.items():
        assert 0 < before.published[stream].total() < records.total(), stream


def test_this_release_has_left_a_store() -> None:
    found = [read_manifest(store) for store in STORES]
    assert STATE_VERSION in {manifest.state for manifest in found if manifest is not None}


def main() -> None:
    """Write the store of this release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", required=True, help="write the store of this release")
    parser.parse_args()
    folder = FIXTURES / f"store-{version('csq')}-{STATE_VERSION}"
    shutil.rmtree(folder, ignore_errors=True)
    run(events(), settings_for(folder), until=STORED)
    (folder / "lock-p0").unlink()
    for path in partitions(folder):
        with closing(sqlite3.connect(path)) as part:  # pages of 64 KiB would be half empty
            for step in ("PRAGMA journal_mode = DELETE", "PRAGMA page_size = 4096", "VACUUM"):
                part.execute(step)
    print([path.name for path in partitions(folder)], PARTITION)  # noqa: T201  a program


if __name__ == "__main__":
    main()
