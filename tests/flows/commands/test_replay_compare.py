"""`csq replay --compare`: what other opening hours change, by queue."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flows.commands.main import main
from tests.builders import raw

FRIDAY = datetime(2026, 11, 27, 16, 2, tzinfo=UTC).timestamp()
"""17:02 in Berlin."""
WEEKEND = 2.0 * 86_400 + 15 * 3_600
"""Until Monday, 08:02."""
CALENDAR = {
    "CSQ_LABELS__QUEUES": "[orders, billing]",
    "CSQ_PROMISES__CALENDARS": "{office: {zone: Europe/Berlin, hours: {mon-fri: [08:00-17:00]}}}",
    "CSQ_PROMISES__QUEUES": "{orders: {calendar: office}}",
}


def message(role: str, time: float, queue: str) -> bytes:
    author = {"role": role, "id": role}
    name = f"{role}-{time}-{queue}"
    data = {"conversation_id": queue, "customer_id": queue, "queue": queue, "author": author, "message_id": name}
    return raw("csq.message.created", time, name, **data)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    lines = [
        message(role, time, queue)
        for queue in ("orders", "billing")
        for role, time in (("customer", FRIDAY), ("agent", FRIDAY + WEEKEND))
    ]
    path.write_bytes(b"\n".join(lines))
    return path


def replay(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["replay", *map(str, arguments)], env=env or {}, catch_exceptions=False)


def test_what_differs_is_printed_by_queue(events: Path, tmp_path: Path) -> None:
    before = {"CSQ_LABELS__QUEUES": "[orders, billing]"}
    assert replay(events, "--out", tmp_path / "before", env=before).exit_code == 0
    after = replay(events, "--out", tmp_path / "after", "--compare", tmp_path / "before", env=CALENDAR)
    assert after.exit_code == 0, after.output
    table = after.output.partition("compared with")[2].splitlines()[1:]
    assert [line.split()[0] for line in table] == ["queue", "all", "orders"]
    assert "0 → 1" in table[2]
    assert "1 → 0" in table[2]
    assert "226,800 → 120" in table[2]

    same = replay(events, "--out", tmp_path / "again", "--compare", tmp_path / "after", env=CALENDAR)
    assert same.output.splitlines()[-1] == f"no figure differs from those of {tmp_path / 'after'}"


def test_as_json_it_is_a_list_of_figures(events: Path, tmp_path: Path) -> None:
    replay(events, "--out", tmp_path / "before", env={"CSQ_LABELS__QUEUES": "[orders, billing]"})
    printed = replay(events, "--out", tmp_path / "after", "--compare", tmp_path / "before", "--json", env=CALENDAR)
    differences: list[dict[str, Any]] = json.loads(printed.stdout)["differences"]
    assert {"queue": "orders", "figure": "missed", "before": 1, "after": 0} in differences
    assert {"queue": "orders", "figure": "reply_seconds p50", "before": 226_800.0, "after": 120.0} in differences
    assert {difference["queue"] for difference in differences} == {"all queues", "orders"}
    stored = json.loads((tmp_path / "after" / "summary.json").read_bytes())
    assert "differences" not in stored
    assert stored["queues"]["orders"]["rounds"] == {
        "answered_by_human": 1, "answered_by_bot": 0, "met": 1, "missed": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory; --compare names the --out of a replay"),
        ("{", "is no summary of a replay"),
        ("[]", "is no summary of a replay"),
        ('{"events": {}}', "has no figures by queue: an earlier release wrote it"),
    ],
)
def test_what_is_no_replay_is_named_before_anything_is_replayed(
    events: Path, tmp_path: Path, content: str | None, why: str
) -> None:
    folder = tmp_path / "earlier"
    folder.mkdir()
    if content is not None:
        (folder / "summary.json").write_text(content)
    refused = replay(events, "--out", tmp_path / "out", "--compare", folder)
    assert refused.exit_code == 1
    assert f"{folder / 'summary.json'}: {why}" in refused.output
    assert not (tmp_path / "out").exists()
