"""Rules of the project that no other tool checks."""

import ast
import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCES = sorted(path for part in ("flows", "operators", "tests", "bench") for path in (ROOT / part).rglob("*.py"))
TEXTS = [
    path
    for part in (
        "config", "docs", "grafana", "deploy", ".ci", ".github", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
        "Makefile", "pyproject.toml", "requirements.lock", "requirements-runtime.lock", ".pre-commit-config.yaml",
    )
    for path in ([ROOT / part] if (ROOT / part).is_file() else sorted((ROOT / part).rglob("*")))
    if path.is_file()
]  # fmt: skip

EXCEPTION = re.compile(r"#\s*(?:noqa|type: ignore)(?P<rest>.*)")
REASON = re.compile(r"(?:: [A-Z]+\d+(?:, ?[A-Z]+\d+)*|\[[a-z, -]+\])\W+\w+")
"""The rules that an exception is from, and after them at least a word."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_every_exception_from_a_rule_carries_its_reason(path):
    found = [match["rest"] for line in read(path).split("\n") if (match := EXCEPTION.search(line))]

    assert [rest for rest in found if not REASON.match(rest)] == []


def test_every_rule_that_is_off_carries_its_reason():
    lint = read(ROOT / "pyproject.toml").split("[tool.ruff.lint]")[1].split("[tool.ruff.lint.mccabe]")[0]
    rules = [line for line in lint.split("\n") if re.match(r'\s+"[A-Z]+\d*",', line)]

    assert rules
    assert [rule for rule in rules if not re.search(r"# \w+", rule)] == []


def test_every_skip_carries_its_reason():
    for path in SOURCES:
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {"pytest.mark.skip", "pytest.mark.xfail"}:
                assert "reason=" in read(path).split("\n")[node.lineno - 1], f"{name(path)}:{node.lineno}: no reason"


def test_a_class_name_means_one_thing():
    """A traceback or an import names the class without its module."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in SOURCES + sorted((ROOT / "grafana").rglob("*.py")):
        if path.is_relative_to(ROOT / "tests"):
            continue
        for node in ast.parse(read(path)).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{name(path)}:{node.lineno}")

    assert {known: where for known, where in places.items() if len(where) > 1} == {}


@pytest.mark.parametrize("path", [*SOURCES, *TEXTS], ids=name)
def test_no_file_names_a_folder_of_a_developers_machine(path):
    try:
        text = read(path)
    except UnicodeDecodeError:
        pytest.skip(f"{name(path)} is no text, and names nothing")

    assert re.findall(r"(?<![\w.~}/-])/(?:home|root|work|Users|tmp)/[^\s\"']*", text) == []


def test_the_lock_names_no_registry_and_has_hashes():
    lock = read(ROOT / "requirements.lock")

    assert "://" not in lock
    assert "--index" not in lock
    assert len(re.findall(r"^[\w.-]+==", lock, re.MULTILINE)) == len(
        re.findall(r"\\\n    --hash=.*(?:\n    --hash=.*)*", lock)
    )


def test_the_lock_has_every_dependency_within_its_range():
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", read(ROOT / "requirements.lock"), re.MULTILINE))
    wanted = [
        *PROJECT["project"]["dependencies"],
        *(line for group in PROJECT["dependency-groups"].values() for line in group),
    ]

    for line in wanted:
        requirement = Requirement(line)
        version = pins.get(requirement.name.lower())
        assert version, f"{line} is not in requirements.lock; run `make lock`"
        assert requirement.specifier.contains(version), f"{line}: {version} in requirements.lock; run `make lock`"


@pytest.mark.parametrize("package", ["flows", "operators", "operators/domain", "operators/connectors"])
def test_importing_a_package_imports_nothing_else(package):
    body = ast.parse(read(ROOT / package / "__init__.py")).body

    assert [ast.unparse(node) for node in body[1:]] == []
    assert ast.get_docstring(ast.Module(body, []))


@pytest.mark.parametrize("package", ["flows", "operators"])
def test_a_package_is_marked_as_typed(package):
    assert (ROOT / package / "py.typed").exists()


def test_commands_in_the_documents_exist():
    makefile = set(re.findall(r"^([a-z-]+):.*## ", read(ROOT / "Makefile"), re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = {
        target for page in pages for target in re.findall(r"(?:^|`)(?:\$ )?make ([a-z-]+)", read(page), re.MULTILINE)
    }

    assert named - makefile == set()


def test_continuous_integration_calls_only_make():
    commands = re.findall(r"\bmake ([\w-]+)", read(ROOT / ".ci" / "run"))

    assert set(commands) == {"check", "test", "test-all"}
