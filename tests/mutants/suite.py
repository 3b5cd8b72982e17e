"""Runs tests in a copy of the checkout, each time in a forked process, and traces which lines each test executes.

A fork starts with River, NumPy, Hypothesis and so on loaded, which takes longer than most of the tests. The code under
test is imported anew in each fork, from the copy; the copy's compiled modules are kept, that of the mutated module is not.
"""

import gc
import importlib
import importlib.util
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import coverage
import msgspec
import pytest

ROOT = Path(__file__).parents[2]
OWN = frozenset(path.stem for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py")
"""Top-level packages of the checkout: a fork imports them from its copy."""
PYTEST = ["-q", "-m", "not slow", "-o", "timeout=0", "-p", "no:cacheprovider", "-p", "no:xdist"]
PRELOADED = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
"""Plugins that a fork finds loaded can no longer be rewritten; their asserts are not ours."""
RESULT, OUTPUT = ".result.json", ".output"
IGNORED = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "build", "dist")
CRASHED = 70
MEMORY_BYTES = 4 * 2**30
FIXTURES = ""
"""Stands for a test's name where all tests of a file share what was executed: collection and fixtures."""


class Trace(msgspec.Struct, frozen=True):
    """What the tests of one file execute."""

    file: str
    tests: dict[str, dict[int, list[str]]] = {}
    """By module and line."""
    seconds: dict[str, float] = {}
    """CPU seconds by test."""
    failed: list[str] = []
    """Tests that fail without a mutant, such as those that measure time, which tracing slows down."""


def copy_checkout(source: Path, target: Path) -> None:
    """Copy the files that tests need: neither environments nor caches."""
    shutil.copytree(source, target, ignore=IGNORED)


def preload(copy: Path, tests: Sequence[str]) -> None:
    """Import what collecting these tests imports, but for the code of the copy: no fork then has to."""
    _fork(copy, lambda: _collected(copy, tests), None)
    for name in msgspec.json.decode((copy / RESULT).read_bytes(), type=list[str]):
        if name.partition(".")[0] not in {*OWN, "__main__", "__mp_main__"}:
            with suppress(Exception), warnings.catch_warnings(action="ignore"):
                importlib.import_module(name)
    gc.freeze()


def trace(copy: Path, file: str, folder: str) -> Trace:
    """Run the tests of one file and note which lines below the folder each of them executes.

    Raises:
        RuntimeError: the tests could not be collected; its text is the end of what pytest said.
    """
    (copy / RESULT).unlink(missing_ok=True)
    code, _ = _fork(copy, lambda: _traced(copy, file, folder), None)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        return Trace(file)
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        raise RuntimeError(f"{file}: exit code {code}\n{(copy / OUTPUT).read_text()[-3_000:]}")
    return msgspec.json.decode((copy / RESULT).read_bytes(), type=Trace)


def run(copy: Path, tests: list[str], seconds: float) -> int | None:
    """Run these tests, stopping at the first that fails; pytest's exit code, `None` if the time was up."""
    order = {test: number for number, test in enumerate(tests)}
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    code, timed_out = _fork(
        copy, lambda: int(pytest.main([*PYTEST, *PRELOADED, "-x", *files], plugins=[_Selection(order)])), seconds
    )
    return None if timed_out else code


def forget_compiled(path: Path) -> None:
    """Remove the compiled module: Python does not detect a change that keeps the length and the second of the source."""
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def _fork(copy: Path, work: Callable[[], int], seconds: float | None) -> tuple[int, bool]:
    """Do the work in a fork; its exit code, and whether it used up its CPU seconds, or waited far longer than that."""
    child = os.fork()
    if child == 0:
        code = CRASHED
        try:
            _enter(copy, seconds)
            code = work()
        except BaseException:  # noqa: BLE001  a fork has no caller to raise to
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + 20 * seconds if seconds is not None else float("inf")
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return code, code == -signal.SIGXCPU
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return CRASHED, True
        time.sleep(0.01)


def _enter(copy: Path, seconds: float | None) -> None:
    os.chdir(copy)
    output = os.open(OUTPUT, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]
    sys.path[:] = [str(copy), *(entry for entry in sys.path if entry and Path(entry) != ROOT)]
    os.environ["PYTHONPATH"] = str(copy)
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    if seconds is not None:
        sys.dont_write_bytecode = True
        soft = int(seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft, soft + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _collected(copy: Path, tests: Sequence[str]) -> int:
    code = pytest.main([*PYTEST, *PRELOADED, "--collect-only", *tests])
    (copy / RESULT).write_bytes(msgspec.json.encode(list(sys.modules)))
    return int(code)


def _traced(copy: Path, file: str, folder: str) -> int:
    # The C tracer alone: tests that measure time should pass, and most of a trace's time would else be tracing.
    cover = coverage.Coverage(data_file=None, config_file=False, source=[folder])
    contexts = _Contexts(cover)
    cover.start()
    code = pytest.main([*PYTEST, *PRELOADED, file], plugins=[contexts])
    cover.stop()
    data = cover.get_data()
    lines = {Path(path).relative_to(copy).as_posix(): data.contexts_by_lineno(path) for path in data.measured_files()}
    found = Trace(file, lines, contexts.seconds, contexts.failed)
    (copy / RESULT).write_bytes(msgspec.json.encode(found))
    return int(code)


class _Selection:
    """Keeps the tests asked for, in that order."""

    def __init__(self, order: dict[str, int]) -> None:
        self._order = order

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        known = [item for item in items if item.nodeid in self._order]
        items[:] = sorted(known, key=lambda item: self._order[item.nodeid])


class _Contexts:
    """Sets coverage's context to the running test, between tests to `FIXTURES`; records CPU seconds and failures."""

    def __init__(self, cover: coverage.Coverage) -> None:
        self._cover = cover
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self._cover.switch_context(item.nodeid)
        began = time.process_time()
        try:
            yield
        finally:
            self.seconds[item.nodeid] = time.process_time() - began
            self._cover.switch_context(FIXTURES)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)
