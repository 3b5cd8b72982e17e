"""`csq state` and `csq warm-start`: what is in a store, out to plain lines and back, and history into a fresh one."""

import json
import pickle
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from operators.domain.stage.seal import unseal
from operators.engine.fit import STATE_VERSION
from operators.engine.generation import STEP
from operators.engine.store import partitions, read_manifest, resume_of, snaps_of
from tests.cli import csq
from tests.store_runs import BATCH, run, settings_for
from tests.streams import NAMES_YAML, ROOT, SERVICE, differences

GOLDEN = ROOT / "tests" / "fixtures" / "golden.jsonl"
CUT = 19 * BATCH


def events() -> list[bytes]:
    return GOLDEN.read_bytes().splitlines()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store after half of the golden stream; for reading."""
    folder = tmp_path_factory.mktemp("state") / "store"
    run(events(), settings_for(folder), until=CUT)
    return Path(shutil.copytree(folder, folder.with_name("free")))  # no process holds the copy


def held(folder: Path) -> list[Any]:
    """Every snapshot but for marks, as data: the same table may be written in one way or another."""
    found = [(snap.step, snap.key, snap.value) for snap in snaps_of(folder) if snap.step != STEP]
    return sorted(
        [step, key, unseal(value, step) if isinstance(value, bytes) and value else value] for step, key, value in found
    )


# ---- show


def test_show_prints_the_content(store: Path) -> None:
    shown = json.loads(csq("state", "show", store, "--json").stdout)
    assert (shown["lanes"], shown["partitions"], shown["state_version"]) == (2, 1, STATE_VERSION)
    assert (shown["csq"], shown["river"]) == (read_manifest(store).csq, read_manifest(store).river)  # type: ignore[union-attr]  # it has one
    assert shown["positions"] == {"csq.events[0]": CUT}
    assert 0 <= shown["age_seconds"] < 600
    stages = {stage["stage"]: stage for stage in shown["stages"]}
    assert stages.keys() == {"conversations", "customers", "intake", "labels", "learn", "observe", "queues"}
    assert stages["intake"]["keys"] == 2
    taken = run(events(), settings_for(None), until=CUT).values["csq_events_total"]
    assert stages["intake"]["records"] == sum(taken.values())
    assert all(stage["records"] >= 0 and stage["bytes"] > 0 for stage in stages.values())
    assert shown["in_use_by"] is None


@pytest.mark.parametrize("until", [4 * BATCH, CUT])
def test_show_counts_what_the_metric_counts(tmp_path: Path, until: int) -> None:
    settings = settings_for(tmp_path / "store")
    values = run(events(), settings, until=until).values
    held = values["csq_held_facts"]
    assert sum(held.values()) > 0
    shown = json.loads(csq("state", "show", tmp_path / "store", "--json").stdout)
    stored = {(stage["stage"],): stage["records"] for stage in shown["stages"] if stage["stage"] != "observe"}
    assert stored == values["csq_state_entries"]


def test_show_makes_a_table_for_people(store: Path) -> None:
    shown = csq("state", "show", store).stdout
    assert "conversations" in shown
    assert "newest snapshot" in shown
    assert f"csq.events[0]  next offset {CUT}" in shown


def test_a_folder_without_a_store_is_reported(tmp_path: Path) -> None:
    result = csq("state", "show", tmp_path, code=1)
    assert "there is no recovery store here (csq.json is missing); name the state.directory" in result.stderr


def test_reading_a_store_runs_no_code_in_it(store: Path, tmp_path: Path) -> None:
    class CodeOnLoad:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return Path.touch, (tmp_path / "owned",)

    folder = Path(shutil.copytree(store, tmp_path / "store"))
    (path,) = partitions(folder)
    with closing(sqlite3.connect(path)) as part, part:
        part.execute("UPDATE snaps SET ser_change = ? WHERE step_id = 'csq.kafka'", (pickle.dumps(CodeOnLoad()),))
    result = csq("state", "show", folder, code=1)
    assert "step csq.kafka, key csq.events[0]: this record was not written by csq" in result.stderr
    assert not (tmp_path / "owned").exists()


# ---- export and import


def test_an_export_is_plain_lines_and_an_import_resumes_from_them(store: Path, tmp_path: Path) -> None:
    file, fresh = tmp_path / "state.jsonl", tmp_path / "fresh"
    csq("state", "export", store, "--out", file)
    head, *records = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    assert head["csq_state"] == 1
    assert {record["step"] for record in records} >= {"csq.kafka", "csq.observe", *head["manifest"]["steps"]}
    assert all(record.keys() in ({"step", "key", "state"}, {"step", "key", "value"}) for record in records)
    csq("state", "import", file, "--recovery", fresh, "--partitions", 3)
    assert len(partitions(fresh)) == 3
    assert held(fresh) == held(store)
    again = tmp_path / "again.jsonl"
    csq("state", "export", fresh, "--out", again)
    assert file.read_bytes().split(b"\n")[1:] == again.read_bytes().split(b"\n")[1:]
    resumed = run(events(), settings_for(fresh, recovery_partitions=3))
    whole = run(events(), settings_for(None))
    names = [name for name in SERVICE if name != "csq_newest_event_timestamp_seconds"]  # a gauge, of what came last
    assert differences(whole.values, resumed.values, names) == []


def test_an_import_overwrites_nothing(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"
    csq("state", "export", store, "--out", file)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").touch()
    result = csq("state", "import", file, "--recovery", tmp_path / "mine", code=1)
    assert "the directory is not empty; a store is never overwritten. Use a new directory" in result.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter"]


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        pytest.param(0, "line 1: not an export of `csq state export`", id="head"),
        pytest.param(3, "line 4: expected step, key and state, as `csq state export` writes them", id="record"),
    ],
)
def test_lines_that_are_none_leave_no_store(store: Path, tmp_path: Path, line: int, reported: str) -> None:
    file = tmp_path / "state.jsonl"
    csq("state", "export", store, "--out", file)
    lines = file.read_bytes().splitlines(keepends=True)
    lines[line] = b'{"step": 1\n'
    file.write_bytes(b"".join(lines))
    assert reported in csq("state", "import", file, "--recovery", tmp_path / "fresh", code=1).stderr
    assert not (tmp_path / "fresh").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["state.jsonl"]


def test_an_export_of_a_newer_release_is_refused(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"
    csq("state", "export", store, "--out", file)
    head, rest = file.read_text(encoding="utf-8").split("\n", 1)
    file.write_text(
        head.replace(f'"state":{STATE_VERSION}', f'"state":{STATE_VERSION + 1}') + "\n" + rest, encoding="utf-8"
    )
    result = csq("state", "import", file, "--recovery", tmp_path / "fresh", code=1)
    assert f"with state version {STATE_VERSION + 1}" in result.stderr


def test_a_store_in_use_is_not_exported(store: Path, tmp_path: Path) -> None:
    settings = settings_for(Path(shutil.copytree(store, tmp_path / "store")))
    run(events(), settings)  # this process holds it from now on
    result = csq("state", "export", settings.state.directory, "--out", tmp_path / "x", code=1)
    assert "another csq (p0) uses it now" in result.stderr
    assert json.loads(csq("state", "show", settings.state.directory, "--json").stdout)["in_use_by"] == "p0"


# ---- warm start


def test_history_makes_a_store_that_live_running_goes_on_from(tmp_path: Path) -> None:
    history, folder, settings = tmp_path / "history.jsonl", tmp_path / "warm", settings_for(tmp_path / "warm")
    history.write_bytes(b"\n".join(events()[:CUT]) + b"\n")
    config = tmp_path / "csq.yaml"
    config.write_text(
        f"state: {{lanes: 2, recovery_partitions: 1}}\nfeedback: {{settle_seconds: 0}}\n{NAMES_YAML}", encoding="utf-8"
    )
    reported = csq("warm-start", history, "--recovery", folder, "-c", config, "--batch", BATCH).stdout
    assert reported.startswith(f"created a recovery store in {folder}: ")
    assert "csq.history" not in {snap.step for snap in snaps_of(folder)}
    assert "csq.kafka" not in {snap.step for snap in snaps_of(folder)}
    rest, whole = run(events()[CUT:], settings), run(events(), settings_for(None))
    first = run(events()[:CUT], settings_for(None))  # as history ends: no more events
    replies = "csq.reply.measured"
    assert whole.published[replies] - first.published[replies] == rest.published[replies]
    assert sum(rest.values["csq_events_total"].values()) > 0
    labels = {
        name: sum(run_.values["csq_model_examples_total"].values())
        for name, run_ in (("rest", rest), ("first", first), ("whole", whole))
    }
    assert labels["rest"] == labels["whole"] - labels["first"] > 0


def test_a_warm_start_overwrites_nothing(store: Path) -> None:
    before = resume_of(store)
    result = csq("warm-start", GOLDEN, "--recovery", store, code=1)
    assert "the directory is not empty" in result.stderr
    assert before == resume_of(store)


def test_repeats_across_the_stop_are_still_repeats(store: Path, tmp_path: Path) -> None:
    settings = settings_for(Path(shutil.copytree(store, tmp_path / "store")))
    again = [*events()[:CUT], *events()[:CUT]]  # as if a producer sent everything again
    resumed = run(again, settings)
    whole = run(again, settings_for(None))
    assert resumed.values["csq_duplicates_total"] == whole.values["csq_duplicates_total"]
    assert Counter(resumed.values["csq_events_total"]) == Counter(whole.values["csq_events_total"])
