"""The provisioning files: versions, uids that agree with one another and with the declaration, nothing overwritten."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.commands.rules.load import load
from flows.settings.model import Settings
from tests.grafana.boards import BOARDS, ROOT

FOLDER = ROOT / "grafana" / "provisioning"
FILES = sorted(FOLDER.rglob("*.yaml"))
DECLARED = load(ROOT / "config" / "slo.yaml", Settings())


def read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return data


def nodes(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}/{path.name}" for path in FILES])
def test_a_file_is_of_version_1_and_of_the_first_organisation(path: Path):
    data = yaml.safe_load(path.read_text(encoding="utf-8"))

    assert data["apiVersion"] == 1
    assert {node["orgId"] for node in nodes(data) if "orgId" in node} == {1}


def test_the_folders_are_those_that_grafana_reads():
    assert {path.relative_to(FOLDER).parts[0] for path in FILES} == {"alerting", "dashboards", "datasources"}


def test_the_data_source_has_the_uid_that_alerts_ask():
    sources = {source["type"]: source for source in read("datasources/csq.yaml")["datasources"]}

    assert sources["prometheus"]["uid"] == DECLARED.links.datasource
    assert sources["prometheus"]["isDefault"] is True
    assert sources["alertmanager"]["jsonData"]["implementation"] == "prometheus"


def test_grafana_managed_alerts_ask_a_data_source_that_is_provisioned():
    uids = {source["uid"] for source in read("datasources/csq.yaml")["datasources"]} | {"__expr__"}
    asked = {node["datasourceUid"] for node in nodes(read("alerting/rules.yaml")) if "datasourceUid" in node}

    assert asked <= uids
    assert asked - {"__expr__"}


def test_dashboards_that_alerts_link_to_are_provisioned():
    boards = {board["uid"] for board in BOARDS.values()}
    linked = {node["__dashboardUid__"] for node in nodes(read("alerting/rules.yaml")) if "__dashboardUid__" in node}

    assert linked <= boards
    assert set(DECLARED.links.dashboards.values()) == boards


def test_dashboards_cannot_be_saved_in_the_browser_and_go_with_their_file():
    [provider] = read("dashboards/csq.yaml")["providers"]

    assert (provider["type"], provider["allowUiUpdates"], provider["disableDeletion"]) == ("file", False, False)
    assert provider["folder"] == read("alerting/rules.yaml")["groups"][0]["folder"]


def test_the_notification_policy_of_the_organisation_is_left_alone():
    """A provisioned policy would overwrite the whole tree of the organisation."""
    keys = set().union(*(yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES))

    assert keys == {"apiVersion", "datasources", "providers", "groups", "contactPoints"}


def test_contact_points_have_names_of_their_own():
    points = read("alerting/contact-points.yaml")["contactPoints"]
    receivers = [receiver["uid"] for point in points for receiver in point["receivers"]]

    assert all(each["name"].startswith("csq-") for each in points)
    assert len(set(receivers)) == len(receivers)
    assert {receiver["type"] for point in points for receiver in point["receivers"]} == {
        "prometheus-alertmanager",
        "webhook",
        "email",
    }


def test_no_secret_stands_in_a_file():
    words = ("password", "token", "secret", "credentials")
    for path in FILES:
        for node in nodes(yaml.safe_load(path.read_text(encoding="utf-8"))):
            for key, value in node.items():
                if any(word in str(key).lower() for word in words):
                    assert str(value).startswith("$"), f"{path.name}: {key}"
