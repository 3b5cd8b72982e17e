"""The disk space of the runtime environment is as documented."""

import re
from pathlib import Path

import pytest
from packaging.markers import Marker

from bench.size import main, sizes

ROOT = Path(__file__).parents[1]


def test_the_table_has_the_packages_of_the_runtime_lock_and_who_needs_them(capsys: pytest.CaptureFixture[str]) -> None:
    table = {name: (size, by) for name, size, by in sizes()}
    main()

    lock = (ROOT / "requirements-runtime.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+)==[^\s;]+(?: ; (.+?))? \\$", lock, re.MULTILINE)
    assert set(table) == {"csq", *(name for name, marker in pins if not marker or Marker(marker).evaluate())}
    assert table["scipy"][1] == "river"
    assert sum(size for size, _ in table.values()) == pytest.approx(float(capsys.readouterr().out.split()[-2]), abs=0.6)


def test_csq_itself_uses_no_scipy() -> None:
    sources = [path for part in ("flows", "operators") for path in (ROOT / part).rglob("*.py")]

    found = [path for path in sources if re.search(r"^\s*(import|from) scipy", path.read_text("utf-8"), re.MULTILINE)]
    assert found == []
