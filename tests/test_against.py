"""Two revisions are compared in pairs: the right code runs on each side, and the bounds decide the exit code."""

import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from bench import against, child, ledger
from bench.meter import Figures
from bench.runs import Job
from bench.texts import Texts
from tests.figures import figures

BASE = Path("/base")
TEXTS = Texts([("thanks", "positive")], ["One moment."], "one text")
JOB = Job(way="flow", path="events", last=0.0, events=10)
needs_git = pytest.mark.skipif(not (child.ROOT / ".git").exists(), reason="needs a git checkout")


def costing(micros: float, **changed) -> Figures:
    """A run whose CPU time per event is `micros`."""
    return figures(cpu_seconds=micros * 10 / 1e6, **changed)


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Runs that are pretended; this checkout needs 21 us per event, the other 20."""
    order: list[tuple[Path, int | None]] = []

    def measure(job: Job, folder: Path, core: int | None = None) -> Figures:
        order.append((folder, core))
        if folder == BASE:
            return costing(20.0, stages={"route": 2e-5, "learn": 1e-5})
        return costing(21.0, stages={"route": 3e-5, "study": 1e-5})

    def together(job: Job, folders: list[Path], core: int) -> list[Figures]:
        return [measure(job, folder, core) for folder in folders]

    monkeypatch.setattr(against, "texts_of", lambda _: TEXTS)
    monkeypatch.setattr(ledger, "texts_of", lambda _: TEXTS)
    monkeypatch.setattr(against, "measure", measure)
    monkeypatch.setattr(against, "measure_together", together)
    monkeypatch.setattr(against, "worktree", lambda revision: nullcontext(BASE))
    monkeypatch.setattr(ledger, "worktree", lambda revision: nullcontext(BASE))
    return order


def test_pairs_share_a_core_and_swap_who_starts_first(ran):
    pairs = against.pairs_of(JOB, BASE, 4, apart=False)
    here = child.ROOT
    assert ran == [(BASE, 0), (here, 0), (here, 0), (BASE, 0), (BASE, 1), (here, 1), (here, 1), (BASE, 1)]
    assert all(new.cpu_seconds > old.cpu_seconds for new, old in pairs)


def test_apart_they_run_one_after_the_other(ran):
    against.pairs_of(JOB, BASE, 2, apart=True)
    assert ran == [(BASE, None), (child.ROOT, None), (child.ROOT, None), (BASE, None)]


def test_an_upper_bound_above_the_limit_fails(ran, capsys):
    arguments = ["HEAD~1", "--pairs", "6", "--events", "10"]
    against.main([*arguments, "--max-ratio", "1.06"])
    with pytest.raises(SystemExit, match="1"):
        against.main([*arguments, "--max-ratio", "1.04"])
    said = capsys.readouterr()
    assert "CPU per event, this checkout / HEAD~1: 1.050 (1.050 .. 1.050), 95% bounds, 6 pairs" in said.out
    assert "is above 1.04" in said.err


def test_a_revision_that_counts_otherwise_fails(ran, monkeypatch):
    def together(job: Job, folders: list[Path], core: int) -> list[Figures]:
        return [costing(20.0, counted={"csq_events_total": 9 if folder == BASE else 10}) for folder in folders]

    monkeypatch.setattr(against, "measure_together", together)
    with pytest.raises(SystemExit, match="csq_events_total: 10 and 9"):
        against.main(["HEAD", "--events", "10"])


def test_the_ledger_shows_each_stage_before_and_after(ran, capsys):
    ledger.main(["HEAD", "--runs", "3", "--events", "10"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["route", "2.00", "3.00", "+1.00"] in lines
    assert ["learn", "1.00", "0.00", "-1.00"] in lines
    assert ["study", "0.00", "1.00", "+1.00"] in lines


def test_an_installed_copy_is_not_measured_in_place_of_the_revision(tmp_path):
    with pytest.raises(SystemExit, match=r"expected csq to be imported from"):
        child.check_imports(tmp_path)


@needs_git
def test_a_worktree_holds_the_revision_and_is_removed():
    with child.worktree("HEAD") as folder:
        child.check_imports(folder)
        assert (folder / "flows" / "quality.py").exists()
    assert not folder.exists()
    command = ["git", "worktree", "list"]
    listed = subprocess.run(command, cwd=child.ROOT, capture_output=True, text=True, check=True)  # noqa: S603  git only
    assert str(folder) not in listed.stdout


@needs_git
def test_an_unknown_revision_is_named():
    with pytest.raises(SystemExit, match="no-such-revision"), child.worktree("no-such-revision"):
        pass


@pytest.mark.slow
@needs_git
def test_a_checkout_measured_against_itself_counts_the_same(capsys):
    against.main(["HEAD", "--pairs", "5", "--events", "2000"])
    assert "5 pairs" in capsys.readouterr().out
