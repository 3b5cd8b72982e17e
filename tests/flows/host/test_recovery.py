"""The recovery store: created once, never overwritten, refused if it does not fit, with clear errors."""

import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig
from bytewax.testing import cluster_main

from flows.host.cluster.place import ProcessPlace
from flows.host.recovery import check_runner, recovery_of, shape_of, store_errors
from flows.settings.model import Settings
from operators.domain.stage.seal import StateDamagedError
from operators.engine.fit import STATE_VERSION, StoreShape, stateful_steps
from operators.engine.locks import users_of
from operators.engine.recovery import MAKING, prepare
from operators.engine.store import (
    MANIFEST,
    Manifest,
    StoreError,
    StoreMisfitError,
    partitions,
    read_manifest,
    resume_of,
    snaps_of,
    write_manifest,
)
from tests.store_runs import BATCH, run, settings_for
from tests.streams import CSQ, ENVIRON, ROOT, SETTINGS, with_settings

STEPS = ["csq.intake.lane.stage", "csq.learn.model"]
SHAPE = StoreShape(4, 2, STEPS)
GOLDEN = ROOT / "tests" / "fixtures" / "golden.jsonl"


def manifest_of(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def changed(folder: Path, **fields: object) -> None:
    write_manifest(folder, msgspec.structs.replace(manifest_of(folder), **fields))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    prepare(tmp_path / "store", SHAPE)
    return tmp_path / "store"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store after 160 events; for reading."""
    folder = tmp_path_factory.mktemp("filled") / "store"
    run(events(), settings_for(folder), until=10 * BATCH)
    return folder


def events() -> list[bytes]:
    return GOLDEN.read_bytes().splitlines()


# ---- made once


def test_the_first_start_makes_it_for_its_owner_alone(store: Path) -> None:
    assert [path.name for path in partitions(store)] == ["part-0.sqlite3", "part-1.sqlite3"]
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in partitions(store)} == {0o600}
    manifest = manifest_of(store)
    assert (manifest.csq, manifest.river) == (version("csq"), version("river"))
    assert (manifest.lanes, manifest.partitions, manifest.steps, manifest.state) == (4, 2, STEPS, STATE_VERSION)


def test_a_new_store_has_large_pages_and_one_of_before_keeps_its_own(store: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(ROOT / "tests" / "fixtures" / f"store-0.1.0-{STATE_VERSION}", kept)
    run(GOLDEN.read_bytes().splitlines(), settings_for(kept), until=320)
    sizes = []
    for path in [*partitions(store), *partitions(kept)]:
        with closing(sqlite3.connect(path)) as part:
            sizes += [part.execute("PRAGMA page_size").fetchone()[0], part.execute("PRAGMA journal_mode").fetchone()[0]]
    assert sizes == [65_536, "wal", 65_536, "wal", 4_096, "wal"]


def test_a_store_of_an_older_state_is_refused(store: Path) -> None:
    changed(store, state=STATE_VERSION - 1)
    with pytest.raises(
        StoreMisfitError, match=r"with state version 4, .*reads 5\. The store is older: start csq .*empty"
    ):
        prepare(store, SHAPE)


def test_a_second_start_leaves_it_as_it_is(filled: Path) -> None:
    before = list(snaps_of(filled))
    settings = settings_for(filled)
    prepare(filled, shape_of(settings.state, manifest_of(filled).steps))
    assert before == list(snaps_of(filled))


def test_a_start_that_was_killed_while_it_made_the_store_is_done_again(store: Path) -> None:
    (store / MANIFEST).unlink()
    (store / "part-1.sqlite3").unlink()
    (store / MAKING).touch()
    prepare(store, SHAPE)
    assert manifest_of(store).partitions == len(partitions(store)) == 2
    assert not (store / MAKING).exists()


def test_on_several_machines_process_0_keeps_it(tmp_path: Path) -> None:
    place = ProcessPlace(1, ("a:1", "b:1"))
    recovery_of(settings_for(tmp_path, shared=False), Dataflow("csq"), place)
    assert partitions(tmp_path) == []
    assert users_of(tmp_path) == ["p1"]


# ---- refused if it does not fit


def test_other_lanes_are_refused(store: Path) -> None:
    with pytest.raises(
        StoreMisfitError, match=r"created with state.lanes 4, the settings say 8\..* set state.lanes to 4, or"
    ):
        prepare(store, StoreShape(8, 2, STEPS))


def test_other_steps_are_refused_by_name(store: Path) -> None:
    with pytest.raises(
        StoreMisfitError,
        match=r"Only in the store: csq\.learn\.model; only in this flow: csq\.learn\.models\. .*begins without its state",
    ):
        prepare(store, StoreShape(4, 2, ["csq.intake.lane.stage", "csq.learn.models"]))


def test_a_store_of_a_newer_release_is_refused(store: Path) -> None:
    changed(store, state=STATE_VERSION + 1, csq="9.0.0")
    with pytest.raises(
        StoreMisfitError, match=r"written by csq 9\.0\.0 with state version 6, .*reads 5\. .*start csq 9\.0\.0"
    ):
        prepare(store, SHAPE)


def test_a_store_without_manifest_is_refused(store: Path) -> None:
    (store / MANIFEST).unlink()
    with pytest.raises(StoreMisfitError, match=r"2 partitions without csq\.json.* Restore csq\.json from a backup"):
        prepare(store, SHAPE)
    assert len(partitions(store)) == 2


def test_a_store_that_is_not_whole_is_refused(store: Path) -> None:
    (store / "part-1.sqlite3").unlink()
    with pytest.raises(StoreMisfitError, match=r"1 of its 2 partitions exist \(part-N\.sqlite3\)\. Restore the others"):
        prepare(store, SHAPE)


def test_numbers_of_another_river_are_refused_and_those_of_a_patch_go_on(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changed(store, river="0.26.0")
    with caplog.at_level("INFO"):
        prepare(store, SHAPE)
    assert "models of River 0.26.0 continue with River" in caplog.text
    assert manifest_of(store).river == version("river")
    changed(store, river="0.21.2")
    with pytest.raises(StoreMisfitError, match=r"numbers of River 0\.21\.2, this release reads those of River 0\.26\."):
        prepare(store, SHAPE)


def test_another_number_of_partitions_is_reported_and_ignored(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepare(store, StoreShape(4, 7, STEPS))
    assert "has 2 and keeps them" in caplog.text


def test_an_invalid_manifest_is_refused(store: Path) -> None:
    (store / MANIFEST).write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError, match=r"csq\.json: not a manifest of a recovery store: .*`csq`"):
        prepare(store, SHAPE)


def test_two_processes_of_one_name_do_not_share_it(store: Path) -> None:
    code = (
        "from pathlib import Path; from operators.engine.fit import StoreShape; from operators.engine.recovery import prepare; "
        f"prepare(Path({str(store)!r}), StoreShape(4, 2, {STEPS}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  our own code
    assert "another csq (p0) uses it now. Stop that one first" in done.stderr


def test_the_runner_of_bytewax_must_store_where_the_settings_say(tmp_path: Path) -> None:
    kept, none = settings_for(tmp_path), settings_for(None)
    check_runner(kept, ["flows.live", "-r", str(tmp_path), "-s", "10", "-b", "0"], {})
    check_runner(kept, ["flows.live"], {"BYTEWAX_RECOVERY_DIRECTORY": str(tmp_path)})
    check_runner(none, ["flows.live"], {})
    for settings, arguments in ((kept, ["flows.live"]), (none, ["flows.live", "-r", "x"]), (kept, ["f", "-r", "x"])):
        with pytest.raises(
            StoreError, match=r"python -m bytewax\.run stores in .*they must be the same\. Start it with -r"
        ):
            check_runner(settings, arguments, {})


# ---- resumed where it stands


def test_what_a_killed_run_stored_of_an_unfinished_epoch_is_dropped(filled: Path, tmp_path: Path) -> None:
    """Bytewax keeps it and continues from the same epoch: state that no step reads would be resumed from."""
    folder = Path(shutil.copytree(filled, tmp_path / "store"))
    settings, resume = settings_for(folder), resume_of(folder)
    assert resume is not None
    (path,) = partitions(folder)
    with closing(sqlite3.connect(path)) as part, part:
        part.execute(
            "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) "
            "SELECT step_id, state_key, ?, ser_change FROM snaps WHERE step_id = 'csq.intake.lane.stage'",
            (resume.epoch,),
        )
    prepare(folder, shape_of(settings.state, manifest_of(folder).steps))
    with closing(sqlite3.connect(path)) as part:
        assert part.execute("SELECT COUNT(*), MAX(snap_epoch) FROM snaps").fetchone()[1] < resume.epoch
    assert list(snaps_of(folder)) == list(snaps_of(filled))


def test_a_store_that_is_written_to_is_copied_by_sqlite_itself(filled: Path, tmp_path: Path) -> None:
    folder, copy = Path(shutil.copytree(filled, tmp_path / "store")), tmp_path / "copy"
    copy.mkdir()
    shutil.copy(folder / "csq.json", copy)
    (path,) = partitions(folder)
    with closing(sqlite3.connect(path)) as writer, closing(sqlite3.connect(path)) as part:
        writer.execute("PRAGMA wal_autocheckpoint = 0")  # what is new lies in the log alone
        with writer:
            writer.execute("UPDATE snaps SET ser_change = ser_change")
        with closing(sqlite3.connect(copy / path.name)) as other:
            part.backup(other)  # `.backup` of the sqlite3 command
    prepare(copy, shape_of(settings_for(copy).state, manifest_of(copy).steps))
    assert list(snaps_of(copy)) == list(snaps_of(filled))


# ---- faults


def flipped(path: Path, at: Callable[[int], bool]) -> None:
    content = bytearray(path.read_bytes())
    for place in range(len(content)):
        if at(place):
            content[place] ^= 0xFF
    path.write_bytes(content)


def test_a_store_with_damaged_pages_is_reported_with_the_remedy(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "store"))
    flipped(folder / "part-0.sqlite3", lambda place: place % 997 == 0)
    with pytest.raises(
        StoreError, match=r'the store is damaged\. Put back a backup .*docs/state\.md, "A damaged store"'
    ):
        run(events(), settings_for(folder))


def test_a_file_that_is_not_a_database_is_reported(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "store"))
    flipped(folder / "part-0.sqlite3", lambda place: place < 16)
    with pytest.raises(StoreError, match="the store is damaged"):
        run(events(), settings_for(folder))


def test_a_flipped_byte_that_sqlite_does_not_see_is_reported(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "store"))
    (path,) = partitions(folder)
    with closing(sqlite3.connect(path)) as part, part:
        part.create_function("flipped", 1, lambda value: value[:-20] + bytes([value[-20] ^ 1]) + value[-19:])
        part.execute("UPDATE snaps SET ser_change = flipped(ser_change) WHERE step_id = 'csq.customers.lane.stage'")
    with pytest.raises(
        StateDamagedError, match=r"state of step csq\.customers\.lane\.stage, key 0 is damaged: its checksum"
    ):
        run(events(), settings_for(folder))


def test_a_path_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError, match=r"cannot be written: File exists .*state\.directory names a directory that"):
        prepare(tmp_path / "store", SHAPE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_another_user_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(
        StoreError, match=r"cannot be written: Permission denied .*csq|state\.directory names a directory"
    ):
        prepare(tmp_path / "store", SHAPE)


def test_a_read_only_partition_is_reported(filled: Path) -> None:
    error = RuntimeError(
        'SqliteFailure(Error { code: ReadOnly, extended_code: 8 }, Some("attempt to write a readonly"))'
    )
    with (
        pytest.raises(StoreError, match=r"cannot be opened for writing\. csq needs to own the directory"),
        store_errors(settings_for(filled)),
    ):
        raise error


def limited() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_full_disk_is_reported_and_nothing_is_lost(filled: Path, tmp_path: Path) -> None:
    """A limit on the size of files simulates a full disk: no file grows beyond it."""
    folder = Path(shutil.copytree(filled, tmp_path / "store"))
    before = resume_of(folder)
    code = (
        "from pathlib import Path; from tests.store_runs import run, settings_for; from operators.engine.store import StoreError\n"
        f"values = Path({str(GOLDEN)!r}).read_bytes().splitlines()\n"
        f"try: run(values, settings_for(Path({str(folder)!r})))\n"
        "except StoreError as error: print('reported:', error)"
    )
    done = subprocess.run(  # noqa: S603  our own code
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limited
    )  # fmt: skip
    assert "reported: recovery store" in done.stdout, done.stderr
    assert "the disk is full, or failing. The last whole snapshot is still there" in done.stdout
    resumed, whole = run(events(), settings_for(folder)), run(events(), settings_for(None))
    after = resume_of(folder)
    assert before is not None
    assert after is not None
    assert after.epoch > before.epoch
    assert resumed.values["csq_events_total"] == whole.values["csq_events_total"]


def test_the_command_ends_with_a_clear_word_and_2_where_starting_again_does_not_help(
    filled: Path, tmp_path: Path
) -> None:
    from operators.connectors.embedded import EmbeddedBroker  # noqa: PLC0415  only here

    folder = Path(shutil.copytree(filled, tmp_path / "store"))
    with EmbeddedBroker(["csq.events"]) as broker:
        environ = {
            "CSQ_KAFKA__BROKERS": f"[{broker.bootstrap_servers}]",
            "CSQ_STATE__DIRECTORY": str(folder),
            "CSQ_STATE__LANES": "3",
            "CSQ_HTTP__PORT": "0",
        }
        done = subprocess.run(  # noqa: S603  our own command
            [*CSQ, "run"], cwd=ROOT, env=ENVIRON | environ, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert f"recovery store {folder}: created with state.lanes 2, the settings say 3" in done.stderr
    assert "Traceback" not in done.stderr


# ---- names that are public


def test_the_names_of_the_steps_are_what_stores_know_them_by(filled: Path) -> None:
    assert manifest_of(filled).steps == [
        "csq.conversations.lane.stage",
        "csq.customers.lane.stage",
        "csq.intake.lane.stage",
        "csq.labels.lane.stage",
        "csq.learn.model",
        "csq.queues.lane.stage",
    ]


def test_live_running_has_the_same_steps(filled: Path) -> None:
    from flows.live import Live  # noqa: PLC0415  only here

    live = Live(SETTINGS)
    try:
        assert sorted(stateful_steps(live.flow())) == manifest_of(filled).steps
    finally:
        assert live.broker is not None
        live.broker.close()


def test_without_a_directory_nothing_is_kept() -> None:
    settings: Settings = with_settings(state={"directory": None})
    assert run(events()[:BATCH], settings).values["csq_events_total"]


def test_bytewax_resumes_from_what_was_made(store: Path) -> None:
    """The store is Bytewax's own: a flow of another shape would start on it."""
    from bytewax import operators as op  # noqa: PLC0415  only here
    from bytewax.testing import TestingSink, TestingSource  # noqa: PLC0415  only here

    flow = Dataflow("csq")
    op.output("out", op.input("in", flow, TestingSource([1])), TestingSink([]))
    cluster_main(flow, [], 0, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(str(store)))
    assert resume_of(store) is not None
