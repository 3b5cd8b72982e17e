"""Mutation testing of `operators/domain`: small changes to the code, each of which a test should detect.

``python -m tests.mutants --seed 1 --count 300`` draws a sample of the mutants that `tests.mutants.sites` finds, applies
one at a time in a copy of the checkout, and runs the tests that execute the changed statement. A mutant is killed when a
test fails. One whose tests run much longer than without it counts as killed too and is listed separately. The output
ends with the survivors, the changed lines, and ``mutants N, killed K, survived S, timed out T: score x %``.

The tests are those of the domain, its doctests and the golden stream, without the slow ones. A defect of the domain that
only a test of a whole process detects counts as not detected.

Why not mutmut or cosmic-ray: mutmut 3 changes the bodies of functions only, not the defaults of structs and the
constants of modules, which make up much of the domain. cosmic-ray starts the test command again for each mutant, where
River alone takes two seconds to load, and does not select the tests that execute a line.
"""

import argparse
import ast
import multiprocessing
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants import suite
from tests.mutants.sites import Mutant, mutants_under
from tests.mutants.suite import FIXTURES, ROOT, Trace

FOLDER = "operators/domain"
GOLDEN = "tests/flows/test_golden.py"
"""Runs the whole flow. Every mutant meets it, last: coverage does not trace the threads of the engine."""
TESTS = ("tests/domain", GOLDEN, FOLDER)
SPARE_SECONDS = 15.0
"""CPU seconds for pytest and imports, generously."""
SLOWER = 4.0
"""A mutant's tests may use this many times the CPU seconds of the traced run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`killed`, `survived` or `timed out`; how many tests executed the line."""

    mutant: Mutant
    word: str
    tests: int


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutant and the tests that should detect it."""

    mutant: Mutant
    near: list[str]
    """Tests of the package that the module is in."""
    far: list[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Project:
    """The folder of code to change, and the tests that should detect the changes."""

    root: Path
    folder: str
    tests: Sequence[str]
    spare_seconds: float


class Coverage:
    """Which tests execute which line, from the traces of all files of tests."""

    def __init__(self, project: Project, traces: Iterable[Trace]) -> None:
        self._spare_seconds = project.spare_seconds
        self._tests: dict[tuple[str, int], set[str]] = defaultdict(set)
        self._by_module: dict[str, set[str]] = defaultdict(set)
        self._seconds: dict[str, float] = {}
        self._importers = _importers(project.root, project.folder)
        self._always: list[str] = []
        for trace in traces:
            usable = trace.seconds.keys() - trace.failed
            self._seconds |= trace.seconds
            if trace.file == GOLDEN:
                self._always = sorted(usable)
                continue
            for module, by_line in trace.tests.items():
                for line, tests in by_line.items():
                    self._tests[module, line] |= usable if FIXTURES in tests else usable & set(tests)
                    self._by_module[module] |= usable & set(tests)

    def trial(self, mutant: Mutant) -> Trial:
        """The tests that execute the statement, files that take little time first; then the golden stream.

        Constants, defaults and structs are executed on import, before any test. For them these are the tests that
        execute a line of the module or of a module that imports it.
        """
        if mutant.at_import:
            modules = {mutant.path, *self._importers[mutant.path]}
            found = set().union(*(self._by_module[module] for module in modules))
        else:
            found = set().union(*(self._tests[mutant.path, line] for line in mutant.lines))
        by_file: dict[str, float] = defaultdict(float)
        for test in found:
            by_file[_file(test)] += self._seconds[test]
        order = sorted(found, key=lambda test: (by_file[_file(test)], _file(test), self._seconds[test], test))
        package = Path(mutant.path).parent.name
        near = [test for test in order if package in Path(_file(test)).parts]
        far = [test for test in order if package not in Path(_file(test)).parts] + self._always
        return Trial(mutant, near, far, self._spare_seconds + SLOWER * sum(by_file.values()))


class Worker:
    """One process with a copy of the checkout of its own."""

    copy: Path
    folder: str

    @classmethod
    def start(cls, project: Project, copies: str) -> None:
        """Make the copy, load what all tests need."""
        cls.copy = Path(tempfile.mkdtemp(dir=copies)) / "csq"
        cls.folder = project.folder
        suite.copy_checkout(project.root, cls.copy)
        suite.preload(cls.copy, project.tests)

    @classmethod
    def trace(cls, file: str) -> Trace:
        """`suite.trace` in this worker's copy."""
        return suite.trace(cls.copy, file, cls.folder)

    @classmethod
    def attempt(cls, trial: Trial) -> Outcome:
        """Apply the mutant, run its tests (most mutants are killed by those near them), take it back."""
        code: int | None = 0
        path = cls.copy / trial.mutant.path
        source = path.read_bytes()
        path.write_bytes(trial.mutant.apply(source))
        suite.forget_compiled(path)
        try:
            for tests in filter(None, (trial.near, trial.far)):
                code = suite.run(cls.copy, tests, trial.seconds)
                if code != 0:
                    break
        finally:
            path.write_bytes(source)
        word = "timed out" if code is None else "survived" if code == 0 else "killed"
        return Outcome(trial.mutant, word, len(trial.near) + len(trial.far))


def survey(project: Project, mutants: list[Mutant], processes: int) -> list[Outcome]:
    """Run every mutant; outcomes in the order of the mutants. Tests that fail without a mutant are left out."""
    context = multiprocessing.get_context("fork")
    with (
        tempfile.TemporaryDirectory(prefix="csq-mutants-") as copies,
        context.Pool(processes, Worker.start, (project, copies)) as pool,
    ):
        traces = []
        for trace in pool.imap_unordered(Worker.trace, _files(project.root, project.tests)):
            traces.append(trace)
            _say(f"{sum(trace.seconds.values()):5.1f} s: {len(trace.seconds)} tests of {trace.file}")
            for test in trace.failed:
                _say(f"left out, for it fails without a mutant: {test}")
        coverage = Coverage(project, traces)
        outcomes = []
        for outcome in pool.imap(Worker.attempt, map(coverage.trial, mutants)):
            outcomes.append(outcome)
            if outcome.word != "killed" or len(outcomes) % 25 == 0:
                _say(f"{len(outcomes)} of {len(mutants)}: {outcome.word} {_place(outcome.mutant)}")
    return outcomes


def report(root: Path, outcomes: list[Outcome]) -> str:
    """What survived and what timed out, with the lines changed; the summary comes last."""
    lines = []
    for word in ("timed out", "survived"):
        for outcome in outcomes:
            if outcome.word == word:
                unseen = "" if outcome.tests else " (no test executes it)"
                lines.append(f"{word} {_place(outcome.mutant)}{unseen}")
                lines.append(outcome.mutant.diff((root / outcome.mutant.path).read_bytes()))
    words = [outcome.word for outcome in outcomes]
    killed, survived, late = (words.count(word) for word in ("killed", "survived", "timed out"))
    score = 100 * (killed + late) / max(len(words), 1)
    lines.append(f"mutants {len(words)}, killed {killed}, survived {survived}, timed out {late}: score {score:.1f} %")
    return "\n".join(lines)


def sample(mutants: list[Mutant], seed: int, count: int) -> list[Mutant]:
    """As many mutants, drawn with the seed, in the order of the source; all if there are no more."""
    drawn = random.Random(seed).sample(range(len(mutants)), min(count, len(mutants)))  # noqa: S311  no secret
    return [mutants[number] for number in sorted(drawn)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with the arguments of the command line; the exit code is 0 however many mutants survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Mutation testing.")
    add = parser.add_argument
    add("--seed", type=int, default=1, help="seed of the sample (default 1)")
    add("--count", type=int, default=300, help="mutants in the sample (default 300)")
    add("--processes", type=int, default=2, help="mutants at a time (default 2)")
    add(
        "--only",
        action="append",
        metavar="PLACE",
        help="draw from the mutants whose file:line begins with this; repeatable",
    )
    add("--tests", action="append", metavar="PATH", help="use the tests of this file or folder only; repeatable")
    add("--root", type=Path, default=ROOT, metavar="FOLDER", help="project (default: this checkout)")
    add("--folder", default=FOLDER, help=f"folder whose modules are changed (default {FOLDER})")
    add(
        "--spare",
        type=float,
        default=SPARE_SECONDS,
        metavar="SECONDS",
        help=f"CPU seconds beyond those of the tests before a mutant times out (default {SPARE_SECONDS:.0f})",
    )
    given = parser.parse_args(arguments)
    root = given.root.resolve()
    found = mutants_under(root, given.folder)
    if given.only:
        found = [mutant for mutant in found if _place(mutant).startswith(tuple(given.only))]
    drawn = sample(found, given.seed, given.count)
    _say(f"{len(drawn)} of {len(found)} mutants drawn")
    project = Project(root, given.folder, given.tests or TESTS, given.spare)
    print(report(root, survey(project, drawn, given.processes)))
    return 0


def _file(test: str) -> str:
    return test.partition("::")[0]


def _place(mutant: Mutant) -> str:
    return f"{mutant.path}:{mutant.line}"


def _files(root: Path, tests: Sequence[str]) -> list[str]:
    """The files of tests below the folders given; a folder without any has doctests, which are traced at once."""
    found = []
    for test in tests:
        path = root / test
        found += sorted(path.rglob("test_*.py")) or [path]
    return [path.relative_to(root).as_posix() for path in found]


def _importers(root: Path, folder: str) -> dict[str, set[str]]:
    """For each module of the folder, those of the folder that import it or something from it."""
    found: dict[str, set[str]] = defaultdict(set)
    paths = {path.relative_to(root).as_posix() for path in (root / folder).rglob("*.py")}
    for path in paths:
        for node in ast.walk(ast.parse((root / path).read_bytes())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if (module := name.replace(".", "/") + ".py") in paths:
                    found[module].add(path)
    return found


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
