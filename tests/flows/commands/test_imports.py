"""Commands that need neither the engine nor a broker nor a model start without loading them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = ("bytewax", "confluent_kafka", "river", "pandas", "scipy")
SCRIPT = """
import json, sys
from flows.commands.main import main
try:
    main(json.loads(sys.argv[1]))
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded(*arguments: str) -> set[str]:
    """Top-level modules that are loaded after a command."""
    command = [sys.executable, "-c", SCRIPT, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S603  ours
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("rules", "--help"),
        ("rules", "list"),
        ("rules", "check"),
        ("config",),
        ("schema",),
    ],
    ids=" ".join,
)
def test_a_light_command_loads_no_engine_no_broker_and_no_model(arguments: tuple[str, ...]) -> None:
    modules = loaded(*arguments)
    assert "flows" in modules
    assert sorted(modules & set(HEAVY)) == []


def test_a_command_that_needs_the_engine_loads_it() -> None:
    assert "bytewax" in loaded("replay", "--help")
