"""The tool for mutation tests: its changes, and its report on a project whose tests have known gaps."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.mutants.__main__ import sample
from tests.mutants.sites import mutants_of, mutants_under
from tests.streams import ROOT


def changed(code: str) -> list[str]:
    """Every mutant of a module, as its whole source."""
    source = code.encode()
    return [mutant.apply(source).decode() for mutant in mutants_of("m.py", source)]


@pytest.mark.parametrize(
    ("code", "mutants"),
    [
        ("x = a < b", ["x = a <= b", "x = a >= b"]),
        ("x = a >= b", ["x = a < b", "x = a > b"]),
        ("x = a < b <= c", ["x = a < b < c", "x = a < b > c", "x = a <= b <= c", "x = a >= b <= c"]),
        ("x = a not in b", ["x = a in b"]),
        ("x = a is  not b", ["x = a is b"]),
        ("x = (a) == (b)", ["x = (a) != (b)"]),
        ("x = a - b", ["x = a + b"]),
        ("x = -a", ["x = a"]),
        ("x = not (a or b)", ["x = (a or b)", "x = not (a and b)"]),
        ("x = a and b or c", ["x = a and b and c", "x = a or b or c"]),
        ("x = 3", ["x = 4"]),
        ("x = 0.0", ["x = 1.0"]),
        ("x = 0.25", ["x = 0.5"]),
        ("x = True", ["x = False"]),
        ("x = {'a': 1}", ["x = {'a': 2}"]),
        ("x = min(a, b)", ["x = max(a, b)"]),
        ("x = math.floor(a)", ["x = math.ceil(a)"]),
        ("x = a if b else c", ["x = a if not (b) else c"]),
        ("if a:\n    x = b", ["if not (a):\n    x = b"]),
        ("while a:\n    break", ["while a:\n    continue", "while not (a):\n    break"]),
        ("x += a", ["x -= a"]),
        ("x = 'ä' * a + b", ["x = 'ä' * a - b", "x = 'ä' / a + b"]),
        ("class A(Struct):\n    x: int = 1", ["class A(Struct):\n    x: int = 2"]),
        ("def f(a: int = 1): ...", ["def f(a: int = 2): ..."]),
        ("def f():\n    a.b()", ["def f():\n    pass"]),
        ("def f():\n    a.b = c", ["def f():\n    pass"]),
        ("def f():\n    raise E(1)", ["def f():\n    pass"]),
    ],
)  # fmt: skip
def test_a_module_is_changed_in_every_way_it_can_be(code: str, mutants: list[str]) -> None:
    assert sorted(changed(code)) == mutants


@pytest.mark.parametrize(
    "code",
    [
        '"""A docstring: 1 < 2."""',
        "x: Annotated[int, Meta(ge=1)]",
        "class A(Struct):\n    x: Annotated[int, Meta(ge=1, description='Documented.')] = 2",
        "def f(a: Annotated[int, 3]) -> Literal[1]: ...",
        "@lru_cache(1_000)\ndef f(): ...",
        "class A(Struct, gc=False): ...",
        "x = Meta(description='1' + '2')",
        "x = zip(a, b, strict=True)",
        "x = f'{a:.3f}'",
        "x = 'a string'",
        "Either = A | B",
        "x = {'a': 1, 'b': 2, 'c': 3, 'd': -4, 'e': 5, 'f': 6, 'g': 7, 'h': 8}",
        "def f():\n    logger.info('%d', 1 + 2)",
        "def f():\n    self._log.warning('late', seconds=3)",
        "def f():\n    assert a < 1",
        "def f():\n    x = a",
        "def __init__(self):\n    self.x = a",
        "if TYPE_CHECKING:\n    x = 1",
        "a.b()",
    ],
)
def test_what_no_test_could_notice_is_left_alone(code: str) -> None:
    assert changed(code) == []


def test_the_text_of_an_error_is_left_alone_and_its_condition_is_not() -> None:
    code = "def f():\n    if a < 1:\n        raise E(f'{1 + 2}')\n"
    assert {mutant.splitlines()[1].strip() for mutant in changed(code)} == {
        "if a < 1:",  # without the raise
        "if a <= 1:",
        "if a >= 1:",
        "if a < 2:",
    }


def test_a_mutant_shows_the_lines_it_changes() -> None:
    source = b"def f():\n    go(\n        1,\n    )\n    return 2\n"
    first = mutants_of("m.py", source)[0]
    assert (first.line, first.diff(source)) == (2, "    - go(\n    - 1,\n    - )\n    + pass")


def test_every_mutant_of_the_domain_compiles_and_differs_from_its_module() -> None:
    for mutant in sample(mutants_under(ROOT, "operators/domain"), seed=5, count=40):
        source = (ROOT / mutant.path).read_bytes()
        assert mutant.apply(source) != source
        assert ast.parse(mutant.apply(source)), mutant


def test_a_sample_is_the_same_for_a_seed_and_in_order() -> None:
    mutants = mutants_of("m.py", b"x = [1, 2, 3, 4, 5, 6, 7, 8, 9]\n")
    drawn = sample(mutants, seed=3, count=4)
    assert drawn == sample(mutants, seed=3, count=4) != sample(mutants, seed=4, count=4)
    assert drawn == sorted(drawn, key=lambda mutant: mutant.start)
    assert sample(mutants, seed=3, count=100) == mutants


TOY = {
    "pyproject.toml": """
        [tool.pytest.ini_options]
        pythonpath = ["."]
        addopts = ["--import-mode=importlib", "--doctest-modules"]
        timeout = "60"
        markers = ["slow"]
        """,
    "shapes/__init__.py": "",
    "shapes/limits.py": "LIMIT = 10\n",
    "shapes/rule.py": """
        from shapes.limits import LIMIT


        def within(points):
            return points <= LIMIT


        def twice(points):
            '''
            >>> twice(4)
            8
            '''
            return points * 2


        def count_down(points):
            while points > 0:
                points -= 1
            return points


        def unseen(points):
            return points + 1
        """,
    "checks/test_rule.py": """
        from shapes.rule import count_down, within


        def test_within():
            assert within(9) and not within(12)


        def test_count_down():
            assert count_down(3) == 0
        """,
}


@pytest.mark.slow
def test_it_lists_the_gaps_of_a_project_and_leaves_its_files_unchanged(tmp_path: Path) -> None:
    for name, text in TOY.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(dedent(text).lstrip())
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    command = [sys.executable, "-m", "tests.mutants", "--root", tmp_path, "--folder", "shapes", "--processes", "1"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # it traces by itself
    reported = subprocess.run(  # noqa: S603  our own command
        [*command, "--tests", "checks", "--tests", "shapes", "--spare", "2"],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=True, timeout=110,
    )  # fmt: skip

    assert reported.stdout.splitlines() == [
        "timed out shapes/rule.py:18",
        "    - points -= 1",
        "    + pass",
        "timed out shapes/rule.py:18",
        "    - points -= 1",
        "    + points += 1",
        "survived shapes/limits.py:1",
        "    - LIMIT = 10",
        "    + LIMIT = 11",
        "survived shapes/rule.py:5",
        "    - return points <= LIMIT",
        "    + return points < LIMIT",
        "survived shapes/rule.py:23 (no test executes it)",
        "    - return points + 1",
        "    + return points - 1",
        "survived shapes/rule.py:23 (no test executes it)",
        "    - return points + 1",
        "    + return points + 2",
        "mutants 13, killed 7, survived 4, timed out 2: score 69.2 %",
    ], reported.stderr
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
