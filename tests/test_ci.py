"""`.ci/run`, with a `make` that fails on request: retries, and the list at the end."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE = """#!/bin/sh
echo "make $*" >> calls
count=$(grep -c "^make $*\\$" calls)
if [ -f "fails/$1" ] && [ "$count" -le "$(cat "fails/$1")" ]; then
  mkdir -p .pytest_cache/v/cache
  cp lastfailed .pytest_cache/v/cache/lastfailed
  exit 1
fi
"""
LASTFAILED = '{\n  "tests/test_a.py::test_late": true,\n  "tests/test_b.py::test_table[a \\"b\\"]": true\n}'
LISTED = 'Tests that failed once and were tried again:\n  tests/test_a.py::test_late\n  tests/test_b.py::test_table[a \\"b\\"]\n'
RETRY = "make test-all COVERAGE= ARGS=--last-failed --last-failed-no-failures none"
ALL = ["make check", "make test", "make test-all COVERAGE= ARGS=-m slow --durations=25"]


class Place:
    """A folder with the script and replacements of the programs that it calls."""

    def __init__(self, folder: Path, fails: dict[str, int]) -> None:
        self.folder = folder
        (folder / ".ci").mkdir()
        shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
        (folder / "fails").mkdir()
        for target, times in fails.items():
            (folder / "fails" / target).write_text(str(times), encoding="utf-8")
        (folder / "lastfailed").write_text(LASTFAILED, encoding="utf-8")
        (folder / "bin").mkdir()
        for program, text in {"make": MAKE, "java": "#!/bin/sh\n", "mvn": "#!/bin/sh\n"}.items():
            (folder / "bin" / program).write_text(text, encoding="utf-8")
            (folder / "bin" / program).chmod(0o755)

    def run(self) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        return subprocess.run(  # noqa: S603 - our own script
            [self.folder / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False
        )

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text(encoding="utf-8").splitlines()


@pytest.fixture(autouse=True)
def _bash() -> None:
    if shutil.which("bash") is None:
        pytest.skip("NOT TESTED: .ci/run is a script for bash")


def test_where_all_passes_the_end_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path, {})
    done = place.run()
    assert (done.returncode, place.calls) == (0, ALL)
    assert done.stdout.endswith("No test was tried again.\n")


def test_what_fails_once_is_tried_again_and_listed_although_all_pass(tmp_path: Path) -> None:
    place = Place(tmp_path, {"test": 1})
    done = place.run()
    assert (done.returncode, place.calls) == (0, [*ALL[:2], RETRY, ALL[2]])
    assert done.stdout.endswith(LISTED)


def test_what_fails_twice_ends_the_run_and_is_listed(tmp_path: Path) -> None:
    place = Place(tmp_path, {"test": 1, "test-all": 1})
    done = place.run()
    assert (done.returncode, place.calls) == (1, [*ALL[:2], RETRY])
    assert done.stdout.endswith(LISTED)


def test_a_failed_check_is_not_tried_again(tmp_path: Path) -> None:
    place = Place(tmp_path, {"check": 9})
    done = place.run()
    assert (done.returncode, place.calls) == (1, ALL[:1])
