"""Pseudonyms from the settings to the published records, and back for who has the key."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.commands.main import main
from operators.documents.yaml import write

KEY = "of a test, sixteen bytes or more"
MAIL, PHONE, QUEUE = "ann@example.com", "conv +49 170 1234567", "Ann Smith 4111111111111111"


def csq(*arguments: str | Path, text: str | None = None):
    return CliRunner().invoke(main, [str(each) for each in arguments], input=text)


def event(number: int, kind: str, **data: object) -> str:
    return json.dumps({
        "specversion": "1.0", "id": f"{number}", "source": "shop", "type": kind,
        "time": f"2024-05-01T10:{number:02}:00Z", "data": data,
    })  # fmt: skip


@pytest.fixture
def replayed(tmp_path: Path):
    """The published records of a small conversation, with settings."""

    def run(**privacy: object) -> dict[str, str]:
        where = {"customer_id": MAIL, "conversation_id": PHONE, "channel": "chat", "queue": QUEUE}
        lines = [
            event(
                1, "csq.message.created", message_id="m1", author={"role": "customer", "id": "a"}, text="hello", **where
            ),
            event(
                2, "csq.message.created", message_id="m2", author={"role": "agent", "id": "b"}, text="hello", **where
            ),
            event(3, "csq.conversation.resolved", **where),
            event(4, "csq.customer.updated", customer_id=MAIL, attributes={}, segment=QUEUE),
            event(5, "csq.message.created", customer_id=MAIL),
        ]
        (tmp_path / "events.jsonl").write_text("\n".join(lines))
        (tmp_path / "key").write_text(KEY)
        (tmp_path / "csq.yaml").write_text(write({"privacy": {"key_file": str(tmp_path / "key"), **privacy}}))
        done = csq("replay", tmp_path / "events.jsonl", "--out", tmp_path / "out", "-c", tmp_path / "csq.yaml")
        assert done.exit_code == 0, done.output
        return {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}

    return run


def test_no_published_id_is_personal_data_and_who_has_the_key_finds_it_again(replayed, tmp_path):
    written = replayed(pseudonyms=["email", "phone", "card"])

    scores = json.loads(written["csq.turn.scored.jsonl"])["data"]
    ids = csq("id", MAIL, PHONE, QUEUE, "-c", tmp_path / "csq.yaml").stdout.split()
    assert [scores[name] for name in ("customer_id", "conversation_id", "queue")] == ids
    assert csq("id", "-c", tmp_path / "csq.yaml", text=f"{MAIL}\n\n{PHONE}\n").stdout.split() == ids[:2]
    published = [name for name in written if name.startswith("csq.") and "dead" not in name]
    assert len(published) == 4
    assert not [name for name in published for each in (MAIL, PHONE, QUEUE) if each in written[name]]
    assert MAIL in written["csq.deadletters.jsonl"]  # the raw event, to be sent again


def test_without_pseudonyms_ids_leave_as_they_came_and_names_are_no_labels_all_the_same(replayed):
    written = replayed()

    assert json.loads(written["csq.turn.scored.jsonl"])["data"]["customer_id"] == MAIL
    assert 'queue="other"' in written["metrics.prom"]
    assert "Smith" not in written["metrics.prom"] + written["summary.json"]


@pytest.mark.parametrize(
    ("privacy", "expected"),
    [
        ({"pseudonyms": ["email"], "key_file": None}, "privacy.pseudonyms needs privacy.key_file"),
        (
            {"pseudonyms": ["email"], "key_file": "none"},
            "privacy.key_file: none cannot be read: No such file or directory",
        ),
        (
            {"pseudonyms": ["email"], "key_file": "short"},
            "privacy.key_file: short: a key of 5 bytes; expected 16 or more",
        ),
        ({"pseudonyms": ["names"]}, "privacy.pseudonyms[0]: got text 'names', expected conversation_id"),
    ],
)
@pytest.mark.parametrize(
    "command", [("replay", "none.jsonl", "--out", "out"), ("id", "x"), ("run",)], ids=["replay", "id", "run"]
)
def test_a_key_that_is_not_there_ends_the_command_with_what_to_do(command, privacy, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("none.jsonl").touch()
    Path("short").write_text("short\n")
    Path("csq.yaml").write_text(write({"privacy": privacy, "http": {"port": 0}}))

    done = csq(*command, "-c", "csq.yaml")

    assert done.exit_code == 2
    assert expected in done.output
