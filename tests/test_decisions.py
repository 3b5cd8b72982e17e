"""Decision records: numbered, dated, with the alternatives that lost, and listed in docs/architecture.md."""

import re
from datetime import date
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
RECORDS = sorted((DOCS / "decisions").glob("*.md"))


def title(record: Path) -> str:
    return record.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def test_they_are_numbered_without_a_gap():
    assert [record.name[:5] for record in RECORDS] == [f"{number:04}-" for number in range(1, len(RECORDS) + 1)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_has_a_date_and_the_alternatives_that_lost(record):
    text = record.read_text(encoding="utf-8")
    found = re.search(r"^Date: (\S+)$", text, re.MULTILINE)
    alternatives = re.findall(r"^\| (?!alternative|---)\S.* \| \S.* \|$", text, re.MULTILINE)

    assert text.startswith(f"# {record.name[:4]} ")
    assert found is not None
    assert date(2026, 11, 22) <= date.fromisoformat(found[1])
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Alternatives", "Consequences"]
    assert alternatives


def test_the_page_on_the_architecture_lists_them():
    listed = re.findall(
        r"^- \[(\d{4} .+)\]\((decisions/.+)\)$", (DOCS / "architecture.md").read_text("utf-8"), re.MULTILINE
    )

    assert listed == [(title(record), f"decisions/{record.name}") for record in RECORDS]
