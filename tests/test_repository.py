"""Addresses, templates, workflows and hooks of the repository agree with the project."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.settings.config_folder import config_folder

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HOME = PROJECT["urls"]["Source"]
GITHUB = ROOT / ".github"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_every_address_is_below_that_of_the_source():
    declared = read(config_folder() / "slo.yaml")["links"]["runbooks"]

    assert all(url.startswith(HOME) for url in PROJECT["urls"].values())
    assert declared.startswith(f"{HOME}/")
    assert f"{HOME}/security/advisories/new" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["Documentation", "Changelog"])
def test_an_address_of_a_file_names_one_of_this_repository(name: str):
    path = PROJECT["urls"][name].removeprefix(f"{HOME}/").split("/", 2)[2]

    assert (ROOT / path).exists()


@pytest.mark.parametrize("form", sorted(GITHUB.glob("ISSUE_TEMPLATE/[!c]*.yml")), ids=lambda path: path.stem)
def test_an_issue_form_is_one_that_github_takes(form: Path):
    data = read(form)
    fields = [part for part in data["body"] if part["type"] != "markdown"]

    assert {"name", "description", "body"} <= set(data)
    assert {part["type"] for part in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert len({part["id"] for part in fields}) == len(fields)
    assert all(part["attributes"]["label"] for part in fields)


def test_hooks_run_the_tools_of_the_environment_and_targets_of_the_makefile():
    """No hook has a version of its own: what it runs is in requirements.lock."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    repositories = read(ROOT / ".pre-commit-config.yaml")["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]

    assert {repository["repo"] for repository in repositories} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    for program, *words in (hook["entry"].split() for hook in hooks):
        if program == "make":
            assert all(f"\n{word}: " in makefile for word in words if not word.startswith("-")), words
        else:
            assert program == ".venv/bin/ruff"
            assert f"\t@$(BIN)/ruff {' '.join(word for word in words if word != '--force-exclude')}\n" in makefile


def test_the_release_workflow_runs_all_tests_first_and_checks_the_tag():
    jobs = read(GITHUB / "workflows" / "release.yml")["jobs"]
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}

    assert commands["test"][-1] == "bash .ci/run"
    assert jobs["release"]["needs"] == "test"
    assert commands["release"][:2] == ['grep -qx "version = \\"${GITHUB_REF_NAME#v}\\"" pyproject.toml', "make release"]
