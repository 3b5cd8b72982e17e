"""Names in a recovery store: they outlive a restart, `csq state labels` lists and drops them, `csq check` names them."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from flows.commands.check.machine import check_labels
from flows.commands.state.labels import stored_labels
from flows.settings.model import Settings
from operators.domain.stage.labels import LabelsParams
from operators.domain.stage.promise import PromisesParams, QueuePromise
from operators.simulator import SimulatorParams, simulate
from tests.cli import csq
from tests.store_runs import run, settings_for
from tests.streams import SERVICE, differences, raws

EVENTS = raws(simulate(SimulatorParams(events_per_second=2.0, late_share=0.0), 1_600)[0])
CUT = 1_200
AUTO = LabelsParams()


def settings(folder: Path | None, **changed: object) -> Settings:
    return msgspec.structs.replace(settings_for(folder), labels=AUTO, **changed)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels") / "store"
    run(EVENTS, settings(folder), until=CUT)
    return folder


@pytest.fixture
def store(stored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stored, tmp_path / "store"))


def test_admitted_names_outlive_a_restart_and_every_number_is_the_same(store: Path) -> None:
    admitted = stored_labels(store).admitted
    assert admitted.keys() == {"queue", "channel", "segment"}
    resumed = run(EVENTS, settings(store)).values
    assert differences(run(EVENTS, settings(None)).values, resumed, (*SERVICE, "csq_turns_total")) == []


def test_the_command_lists_what_was_admitted_and_what_is_in_other(store: Path) -> None:
    found = json.loads(csq("state", "labels", store, "--json").stdout)
    kept = stored_labels(store)
    assert found == {"admitted": kept.admitted, "other": kept.seen}
    table = csq("state", "labels", store).stdout
    assert all(name in table for name in kept.admitted["queue"])


def test_a_dropped_name_is_gone_and_no_round_is_lost(store: Path) -> None:
    name = next(iter(stored_labels(store).admitted["queue"]))
    csq("state", "labels", store, "--drop", "queue", name)
    assert name not in stored_labels(store).admitted.get("queue", {})
    refused = csq("state", "labels", store, "--drop", "queue", name, code=1)
    assert f"queue {name!r} is not admitted" in refused.output
    resumed, undisturbed = (
        sum(run(EVENTS, settings(folder)).values["csq_reply_rounds_total"].values()) for folder in (store, None)
    )
    assert resumed == undisturbed


def test_check_names_the_queues_in_other_and_a_promise_that_is_misspelt(store: Path) -> None:
    kept = stored_labels(store)
    name = next(iter(kept.admitted["queue"]))
    promises = PromisesParams(queues={name.upper(): QueuePromise(limit_seconds=60.0)})
    says = [finding.line() for finding in check_labels(store, settings(None, promises=promises))]
    assert any(f"queue {name.upper()!r} of the settings: events have {name!r}." in line for line in says)
    [line] = [line for line in says if "queue `other`: " in line]
    assert " replies; seen: " in line
    assert line.endswith(". Name them in labels.queues.")
