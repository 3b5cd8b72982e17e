"""Measured runs in processes of their own, from this checkout or from a worktree of another revision."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.meter import Figures
from bench.runs import Job

ROOT = Path(__file__).resolve().parent.parent
"""The checkout that this file is part of."""
TIME_LIMIT_SECONDS = 600
_LOCATE = "import bench, flows, operators as o; print(bench.__path__[0], flows.__path__[0], o.__path__[0], sep='\\n')"


def measure(job: Job, folder: Path = ROOT) -> Figures:
    """Run `job` with the code in `folder`, a checkout of csq, in a process of its own.

    Raises:
        SystemExit: the run failed; its error is on standard error.
    """
    return _finish([_start(job, folder)])[0]


def measure_together(job: Job, folders: Sequence[Path], core: int) -> list[Figures]:
    """Run `job` with the code in each of `folders` at the same time, all on one core.

    The kernel gives them the core in turns of a few milliseconds, so what else the machine does slows them alike. CPU
    time stays comparable; wall time is not comparable.

    Args:
        job: what to measure.
        folders: checkouts of csq.
        core: counts the cores that this process may use; taken modulo their number.

    Raises:
        SystemExit: a run failed; its error is on standard error.
    """
    cores = sorted(os.sched_getaffinity(0))
    return _finish([_start(job, folder, cores[core % len(cores)]) for folder in folders])


def _start(job: Job, folder: Path, core: int | None = None) -> "subprocess.Popen[bytes]":
    progress(f"{job.origin}: {job.way}")
    command = [sys.executable, "-m", "bench.runs", msgspec.json.encode(job).decode()]
    child = subprocess.Popen(command, cwd=folder, env=_environment(folder), stdout=subprocess.PIPE)  # noqa: S603  ours
    if core is not None:
        os.sched_setaffinity(child.pid, {core})
    return child


def _finish(children: "list[subprocess.Popen[bytes]]") -> list[Figures]:
    try:
        outputs = [child.communicate(timeout=TIME_LIMIT_SECONDS)[0] for child in children]
    finally:
        for child in children:
            child.kill()
        progress("")
    if codes := [child.returncode for child in children if child.returncode]:
        raise SystemExit(f"bench: a run ended with exit code {codes[0]}; see above")
    return [msgspec.json.decode(output.splitlines()[-1], type=Figures) for output in outputs]


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """A temporary checkout of `revision`, removed after the block.

    Raises:
        SystemExit: git does not know the revision, or Python would import csq from another folder.
    """
    with tempfile.TemporaryDirectory(prefix="csq-bench-revision-") as parent:
        folder = Path(parent).resolve() / "csq"
        _git("worktree", "add", "--quiet", "--detach", str(folder), revision)
        try:
            check_imports(folder)
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


def check_imports(folder: Path) -> None:
    """Check that a process started in `folder` imports csq from there and not from an installed package.

    Raises:
        SystemExit: it imports another copy, or fails to import.
    """
    command = [sys.executable, "-c", _LOCATE]
    found = subprocess.run(  # noqa: S603  ours
        command, cwd=folder, env=_environment(folder), capture_output=True, text=True, check=False
    )
    expected = [str(folder / package) for package in ("bench", "flows", "operators")]
    if found.returncode or found.stdout.split() != expected:
        raise SystemExit(
            f"bench: expected csq to be imported from {folder}; got {found.stdout.split() or found.stderr}"
        )


def progress(what: str) -> None:
    """Show what is being measured, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r{what:30}\r", end="", file=sys.stderr, flush=True)


def _environment(folder: Path) -> dict[str, str]:
    """The environment with `folder` first on the import path, before the editable install of this checkout."""
    return {**os.environ, "PYTHONPATH": str(folder)}


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607  ours; git is where PATH says
    if done.returncode:
        raise SystemExit(f"bench: git {' '.join(arguments[:2])}: {done.stderr.strip()}")
