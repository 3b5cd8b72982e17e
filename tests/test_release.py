"""What a release consists of, and that it works where there is no checkout."""

import hashlib
import json
import os
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
LOCK, RUNTIME_LOCK = ROOT / "requirements.lock", ROOT / "requirements-runtime.lock"


def pins(lock: Path) -> dict[str, tuple[str, str]]:
    """Name to version, and the rest of the entry: marker and hashes."""
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    return {
        name: (version, " ".join(rest.split()))
        for name, version, rest in re.findall(r"^([\w.-]+)==([^\s;]+)(.*)$", text, re.MULTILINE)
    }


def installed_here(lock: Path) -> dict[str, str]:
    """Name to version, without what is for other systems or other Pythons."""
    found = {}
    for name, (version, rest) in pins(lock).items():
        marker = re.match(r"; (.+?) --hash", rest)
        if marker is None or Marker(marker[1]).evaluate():
            found[name] = version
    return found


def test_the_runtime_lock_has_the_versions_and_hashes_of_the_lock_that_is_tested():
    runtime, tested = pins(RUNTIME_LOCK), pins(LOCK)

    assert runtime
    assert {name: pin for name, pin in runtime.items() if tested.get(name) != pin} == {}


def test_the_runtime_lock_has_what_csq_needs_and_nothing_of_the_tests():
    names = set(pins(RUNTIME_LOCK))

    assert {Requirement(line).name.lower() for line in PROJECT["dependencies"]} <= names
    assert names & {"pytest", "mypy", "ruff", "hatchling", "uv", "cyclonedx-bom", "nltk"} == set()


def test_the_runtime_lock_names_no_registry():
    assert "://" not in RUNTIME_LOCK.read_text(encoding="utf-8")


class Release:
    """The files of `make release`, and the environment that was made of them."""

    def __init__(self, folder: Path) -> None:
        self.dist, self.bin, self.elsewhere = folder / "dist", folder / "runtime" / "bin", folder / "elsewhere"
        self.elsewhere.mkdir()
        done = subprocess.run(  # noqa: S603 - our own Makefile
            ["make", "--no-print-directory", "release", f"DIST={self.dist}", f"RUNTIME={folder / 'runtime'}"],  # noqa: S607 - as a developer does
            cwd=ROOT, env=outside(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, program: str, *arguments: str) -> str:
        """The output of a program of the environment, in an empty folder."""
        done = subprocess.run(  # noqa: S603 - of the environment just made
            [self.bin / program, *arguments],
            cwd=self.elsewhere, env=outside(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def outside() -> dict[str, str]:
    """The environment without what would lead back to the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CSQ_", "MAKE"))}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(tmp_path_factory.mktemp("release"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_release_has_the_files_that_the_page_lists(release: Release):
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^\| `(\S+)` \|", page.partition("## Install a release")[2].partition("\n## ")[0], re.MULTILINE
    )

    assert sorted(name.replace("VERSION", VERSION) for name in listed) == sorted(
        path.name for path in release.dist.iterdir()
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_checksums_are_those_of_the_files(release: Release):
    sums = dict(
        reversed(line.split()) for line in (release.dist / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    )

    assert sums == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in release.dist.iterdir()
        if path.name != "SHA256SUMS"
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_wheel_has_every_file_of_config_and_no_secret(release: Release):
    [wheel] = release.dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.removeprefix("flows/") for name in archive.namelist() if name.startswith("flows/config/")}
    listed = subprocess.run(["git", "ls-files", "config"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607 - as a developer does

    assert packed == set(listed.stdout.split())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_program_runs_where_there_is_no_checkout(release: Release):
    assert release.run("csq", "--version") == f"csq, version {VERSION}\n"
    assert "rules" in release.run("csq", "--help")
    assert release.run("python", "-c", "import flows; print(flows.__file__)").startswith(str(release.bin.parent))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_rules_are_listed_and_built_from_the_installed_objectives(release: Release):
    assert "CsqReplyBurn" in release.run("csq", "rules", "list")

    release.run("csq", "rules", "build")

    built = release.elsewhere / "config" / "prometheus"
    committed = ROOT / "config" / "prometheus"
    assert {path.name: path.read_bytes() for path in built.iterdir()} == {
        path.name: path.read_bytes() for path in committed.glob("*.rules.yaml")
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_events_are_replayed_where_there_is_no_checkout(release: Release):
    release.run("csq", "simulate", "--events", "200", "--out", "shop.jsonl")

    assert json.loads(release.run("csq", "replay", "shop.jsonl", "--out", "out", "--json"))["events"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_bill_of_materials_lists_every_package_of_the_runtime_lock_with_its_licence(release: Release):
    bill = json.loads((release.dist / f"csq-{VERSION}.cdx.json").read_text(encoding="utf-8"))
    listed = {part["name"].lower().replace("_", "-"): part["version"] for part in bill["components"]}

    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "csq")
    assert listed == installed_here(RUNTIME_LOCK)
    unlicensed = {part["name"] for part in bill["components"] if not part.get("licenses")}
    assert unlicensed <= {"bytewax", "vaderSentiment"}  # their metadata names none; both ship a licence file
