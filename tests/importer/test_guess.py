"""Guesses: what is found in unknown files, that it is a mapping, and that what was not decided is marked."""

import gzip
import io
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.importer import FileError, ImporterError, import_file, load_mapping, propose
from tests.importer.test_shipped import EXPORTS
from tests.streams import ROOT

CHAT = (
    "id,ticket,time,from,text\n1,17,2026-01-05T10:31:00Z,client,My hat\n2,17,2026-01-05T10:40:00Z,support,Gone today\n"
)


def file_of(folder: Path, content: str | bytes, name: str = "export.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def events_of(proposed: str, path: Path) -> list[dict[str, Any]]:
    """What the proposal makes of the whole file."""
    out = io.BytesIO()
    with TemporaryDirectory() as folder:
        mapping = Path(folder) / "m.yaml"
        mapping.write_text(proposed, "utf-8")
        import_file(load_mapping(mapping), path, out, strict=True, report=pytest.fail)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def messages(folder: Path, content: str | bytes, name: str = "export.csv") -> list[tuple[str, str, str, str]]:
    """Conversation, time, role and text of the messages that the proposal makes."""
    path = file_of(folder, content, name)
    found = [event for event in events_of(propose(path), path) if event["type"] == "csq.message.created"]
    return [
        (event["data"]["conversation_id"], event["time"], event["data"]["author"]["role"], event["data"]["text"])
        for event in found
    ]


EXPECTED = [
    ("17", "2026-01-05T10:31:00Z", "customer", "My hat"),
    ("17", "2026-01-05T10:40:00Z", "agent", "Gone today"),
]


LIST = """[{"id": 1, "ticket": 17, "time": "2026-01-05T10:31:00Z", "from": "client", "text": "My hat"},
{"id": 2, "ticket": 17, "time": "2026-01-05T10:40:00Z", "from": "support", "text": "Gone today"}]"""
LINES = """{"id": 17, "parts": [{"id": 1, "body": "My hat", "created_at": 1767609060, "author": {"role": "end-user"}}]}
{"id": 17, "parts": [{"id": 2, "body": "Gone today", "created_at": 1767609600, "author": {"role": "agent"}}]}"""
ANSWER = """{"count": 1, "tickets": [{"id": 17, "messages": [
{"id": 1, "text": "My hat", "sent_at": 1767609060, "from_agent": false},
{"id": 2, "text": "Gone today", "sent_at": 1767609600, "from_agent": true}]}]}"""
FORMS: dict[str, str | bytes] = {
    "comma": CHAT,
    "semicolon": CHAT.replace(",", ";"),
    "tabs in UTF-16": CHAT.replace(",", "\t").encode("utf-16"),
    "gzip": gzip.compress(CHAT.encode("utf-8-sig")),
    "no header": CHAT.partition("\n")[2],
    "a name twice": CHAT.replace("id,ticket", "text,ticket"),
    "day first": re.sub(r"2026-01-05T(\d\d:\d\d):00Z", r"05.01.2026 \1", CHAT),
    "Excel": CHAT.replace("2026-01-05T10:31:00Z", "46027.4381944").replace("2026-01-05T10:40:00Z", "46027.4444444"),
    "seconds": CHAT.replace("2026-01-05T10:31:00Z", "1767609060").replace("2026-01-05T10:40:00Z", "1767609600"),
    "JSON": LIST,
    "JSON lines": LINES,
    "messages in tickets in an answer": ANSWER,
}


@pytest.mark.parametrize("form", FORMS)
def test_messages_are_found_in_any_form(tmp_path: Path, form: str) -> None:
    found = messages(tmp_path, FORMS[form])
    if form == "no header":  # nothing names the conversation
        assert [row[1:] for row in found] == [row[1:] for row in EXPECTED]
    else:
        assert found == EXPECTED


def test_tickets_get_their_steps_and_ratings(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        "Ticket ID,Subject,Status,Created,Resolved at,Satisfaction,Team\n"
        "t1,My hat is late,Solved,2026-01-05 10:00,2026-01-06 10:00,Good,Shop\n"
        "t2,Where is it now,Open,2026-01-05 11:00,,,Shop\n"
        "t3,A broken box came,Solved,2026-01-05 12:00,2026-01-06 12:00,Bad,Shop\n",
    )
    events = [(event["type"][4:], event["id"], event["time"]) for event in events_of(propose(path), path)]
    assert events == [
        ("conversation.opened", "t1-opened", "2026-01-05T10:00:00Z"),
        ("message.created", "t1-1", "2026-01-05T10:00:00Z"),
        ("feedback.submitted", "t1-rating", "2026-01-05T10:00:00Z"),
        ("conversation.opened", "t2-opened", "2026-01-05T11:00:00Z"),
        ("message.created", "t2-1", "2026-01-05T11:00:00Z"),
        ("conversation.opened", "t3-opened", "2026-01-05T12:00:00Z"),
        ("message.created", "t3-1", "2026-01-05T12:00:00Z"),
        ("feedback.submitted", "t3-rating", "2026-01-05T12:00:00Z"),
        ("conversation.resolved", "t1-resolved", "2026-01-06T10:00:00Z"),
        ("conversation.resolved", "t3-resolved", "2026-01-06T12:00:00Z"),
    ]


def marked(folder: Path, content: str | bytes) -> list[str]:
    """The doubts of a proposal."""
    return [line.partition("# ? ")[2] for line in propose(file_of(folder, content)).splitlines() if "# ? " in line]


def test_what_is_not_decided_is_marked(tmp_path: Path) -> None:
    assert marked(tmp_path, CHAT) == ["no column names the customer: each conversation has its own"]
    vague = "when,note\n03/04/2026 10:00,hat came late today\n05/04/2026 11:00,box came broken today\n" + "".join(
        f"0{n}/04/2026 12:00,line of text {n}\n" for n in range(1, 9)
    )
    assert marked(tmp_path, vague) == [
        "day or month first? %m/%d/%Y %H:%M is possible too; no zone in the file: taken as UTC",
        "no column names the conversation: each row has its own",
        "no column names the customer: each conversation has its own",
        "no column is unique: the number of the row",
        "no column says who wrote: all are taken as the customer's",
    ]
    assert "also has: agnet" in marked(tmp_path, CHAT + "3,17,2026-01-05T10:41:00Z,agnet,x\n")
    assert "no column is a time: a minute per row" in marked(tmp_path, CHAT.replace("2026-01-05T", "at "))
    assert marked(tmp_path, CHAT.encode() + b"3,17,2026-01-05T10:41:00Z,client,caf\xe9\n")[0].startswith(
        "not UTF-8: taken"
    )


def test_notes_are_not_public(tmp_path: Path) -> None:
    rows = CHAT.replace("text\n", "text,private\n").replace("hat\n", "hat,false\n").replace("today\n", "today,true\n")
    path = file_of(tmp_path, rows)
    assert [event["data"]["is_public"] for event in events_of(propose(path), path)] == [True, False]


def test_replies_are_followed_to_where_they_begin(tmp_path: Path) -> None:
    rows = "message_id,in_reply_to,sent,inbound,body\na,,2026-01-05T10:00:00Z,True,My hat is late\nb,a,2026-01-05T10:01:00Z,False,Gone today it is\n"
    assert [row[0] for row in messages(tmp_path, rows)] == ["a", "a"]


def test_the_zone_in_the_name_of_a_column_is_taken(tmp_path: Path) -> None:
    rows = CHAT.replace("time", "Sent at (America/New_York)").replace("Z,", ",")
    assert [row[1] for row in messages(tmp_path, rows)] == ["2026-01-05T15:31:00Z", "2026-01-05T15:40:00Z"]


@pytest.mark.parametrize(
    ("export", "mapping"),
    [
        ("zendesk_tickets/tickets.csv", "zendesk_tickets"),
        ("intercom_conversations/conversations.csv", "intercom_conversations"),
        ("freshdesk_tickets/tickets.csv", "freshdesk_tickets"),
        ("chatwoot_csat/csat.csv", "chatwoot_csat"),
        ("sheet/sheet.csv", "sheet"),
        ("whatsapp/ios.txt", "whatsapp"),
        ("whatsapp/android.txt", "whatsapp"),
    ],
)
def test_a_file_of_a_shipped_mapping_is_named(export: str, mapping: str) -> None:
    assert f"# This looks like a file for config/imports/{mapping}.yaml: try that first." in propose(EXPORTS / export)


def test_the_first_rows_are_shown_as_events(tmp_path: Path) -> None:
    proposed = propose(file_of(tmp_path, CHAT + "3,17,never,client,x\n" * 9))
    assert proposed.count('\n#   {"specversion":"1.0","type":"csq.message.created"') == 5
    assert propose(file_of(tmp_path, CHAT)) == propose(file_of(tmp_path, CHAT))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"PK\x03\x04rest", "is a workbook or an archive; expected text: save the sheet as CSV"),
        (b" \n", "is empty; expected rows"),
        (b"[1, 2]", "is JSON without objects; expected a list of objects, or one per line"),
        (b"\x1f\x8bno", "cannot be read: "),
    ],
)
def test_a_file_without_a_table_is_one_error(tmp_path: Path, content: bytes, expected: str) -> None:
    with pytest.raises(FileError) as caught:
        propose(file_of(tmp_path, content))
    assert str(caught.value).startswith(f"{tmp_path}/export.csv: {expected}")
    with pytest.raises(FileError, match="No such file"):
        propose(tmp_path / "none.csv")


cells = st.one_of(
    st.sampled_from(
        ["2026-01-05 10:00", "True", "17", "customer", "", "1767609060", "a b c", "Solved", "5", '"', "{x}", "0"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n,"), max_size=8),
)
tables = st.lists(st.lists(cells, min_size=1, max_size=6).map(",".join), min_size=1, max_size=8).map("\n".join)
objects = st.dictionaries(
    st.text(max_size=6) | st.sampled_from(["id", "body", "created_at", "role", "comments"]),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=4), of, max_size=3), max_leaves=6),
    max_size=5,
)  # fmt: skip


@settings(deadline=None, max_examples=80)
@given(
    tables.map(str.encode)
    | st.binary(min_size=1, max_size=200)
    | st.lists(objects, max_size=4).map(json.dumps).map(str.encode)
)
def test_of_any_file_comes_a_mapping_or_one_error(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = file_of(Path(folder), content)
        try:
            proposed = propose(path)
        except FileError:
            return
        (Path(folder) / "m.yaml").write_text(proposed, "utf-8")
        mapping = load_mapping(Path(folder) / "m.yaml")
        try:
            import_file(mapping, path, io.BytesIO(), strict=False, report=lambda _: None)
        except ImporterError:
            return


def test_the_proposal_in_the_guide_is_what_csq_proposes(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "importing.md").read_text("utf-8")
    shown = next(block for block in re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL) if block.startswith("# A guess"))
    rows = "1,03/04/2026 10:00,client,My hat is late\n1,03/04/2026 10:05,support,It left today\n"
    assert propose(file_of(tmp_path, f"ticket,sent,who,body\n{rows}")).startswith(shown)
