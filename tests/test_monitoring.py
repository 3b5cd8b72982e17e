"""docs/monitoring.md: its snippets are valid, and the files, ports, uids and names in it are those of the project."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.grafana.boards import BOARDS
from tests.servers.prometheus import promtool

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
PROVISIONING = ROOT / "grafana" / "provisioning"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_files_that_it_names_are_there():
    paths = set(re.findall(r"`((?:config|deploy|grafana|tests)/[\w./*-]*)`", PAGE))

    assert len(paths) > 8
    for path in paths - {"grafana/*.py"}:
        assert list(ROOT.glob(path.rstrip("/"))), path


def test_every_provisioning_file_is_documented_with_what_it_overwrites():
    reported = re.findall(r"^\| `(\w+/[\w-]+\.yaml)` \|", PAGE, re.MULTILINE)

    assert sorted(reported) == sorted(str(path.relative_to(PROVISIONING)) for path in PROVISIONING.rglob("*.yaml"))


def test_the_dashboards_are_documented_with_their_uid_and_question():
    rows = re.findall(r"^\| ([\w ]+) \| `(csq-\w+)` \| (.+\?) \|$", PAGE, re.MULTILINE)

    assert sorted(rows) == sorted(
        (board["title"].removeprefix("csq / "), board["uid"], board["description"]) for board in BOARDS.values()
    )


def test_addresses_are_those_of_compose():
    open_ports = {port.split(":")[1] for service in COMPOSE["services"].values() for port in service.get("ports", [])}

    assert set(re.findall(r"127\.0\.0\.1:(\d+)", PAGE)) == open_ports


def test_the_scrape_snippet_is_one_that_prometheus_takes(prometheus_programs, tmp_path):
    snippet = next(yaml.safe_load(block) for block in blocks("yaml") if block.startswith("- job_name"))
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump({"scrape_configs": snippet}), encoding="utf-8")

    assert "SUCCESS" in promtool("check", "config", path)
    assert snippet[0]["job_name"] == "csq"


def test_routes_name_contact_points_that_are_provisioned():
    points = yaml.safe_load((PROVISIONING / "alerting/contact-points.yaml").read_text(encoding="utf-8"))
    routes = [
        route for block in blocks("yaml") if block.startswith("routes:") for route in yaml.safe_load(block)["routes"]
    ]

    assert {route["receiver"] for route in routes} == {point["name"] for point in points["contactPoints"]}


def test_the_loop_makes_a_prometheus_rule_of_every_file(tmp_path):
    [loop] = blocks("bash")
    (tmp_path / "config").symlink_to(ROOT / "config")

    subprocess.run(["/bin/sh", "-euc", loop], cwd=tmp_path, check=True)  # noqa: S603 - our own page

    made = sorted(tmp_path.glob("csq-*.yaml"))
    assert len(made) == len(list((ROOT / "config/prometheus").glob("*.rules.yaml")))
    for path in made:
        rule = yaml.safe_load(path.read_text(encoding="utf-8"))
        source = ROOT / "config/prometheus" / path.name.removeprefix("csq-").replace(".yaml", ".rules.yaml")
        assert (rule["kind"], rule["metadata"]["name"]) == ("PrometheusRule", path.stem)
        assert rule["spec"] == yaml.safe_load(source.read_text(encoding="utf-8"))


@pytest.mark.parametrize("target", ["docs", "generated"])
def test_make_writes_and_checks_the_dashboards(target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition(f"\n{target}:")[2].partition("\n\n")[0]

    assert f"grafana.build {'--write' if target == 'docs' else '--check'}" in recipe
