"""The mappings that come with csq for exports of helpdesks, each on a small made-up export of the same shape."""

import io
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from operators.importer import ImportSummary, import_file, load_mapping
from tests.streams import ROOT

EXPORTS = ROOT / "tests" / "fixtures" / "imports"


def imported(name: str, path: Path) -> tuple[list[dict[str, Any]], ImportSummary, list[str]]:
    out, said = io.BytesIO(), []
    mapping = load_mapping(ROOT / "config" / "imports" / f"{name}.yaml")
    summary = import_file(mapping, path, out, strict=False, report=said.append)
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len({event["id"] for event in events}) == len(events)
    return events, summary, [text.removeprefix(f"{path}") for text in said]


def shown(event: dict[str, Any]) -> str:
    """An event in a line: time, type, id, then what its type has."""
    data = event["data"]
    words = [event["time"].removeprefix("2026-").removesuffix("Z"), event["type"].removeprefix("csq."), event["id"]]
    if event["type"] == "csq.message.created":
        kind = data.get("content_type", "text")
        words += [data["author"]["role"], data["author"]["id"], *["note"] * (not data.get("is_public", True))]
        words += [*[kind] * (kind != "text"), repr(data["text"])]
    elif event["type"] == "csq.feedback.submitted":
        words += [f"{data['score']:g} of {data['scale_max']:g}", repr(data.get("comment")), str(data.get("agent_id"))]
    else:
        words += [*filter(None, [data.get("outcome")]), str(data.get("agent_id"))]
    return " ".join(words)


CASES = {
    "zendesk": """
02-03T09:00:00 conversation.opened 71-opened 500
02-03T09:00:00 message.created 71-7003 customer 900000000000001 'Where is it?'
02-03T09:30:00 message.created 71-7001 agent 500 'Packed now'
02-03T10:00:00 message.created 71-7002 agent 500 'On its way.'
02-03T11:00:00 conversation.opened 73-opened 500
02-03T11:00:00 message.created 73-7020 customer 900000000000003 'For my colleague: broken'
02-03T11:00:01 message.created 73-7021 system -1 'We have received your request.'
02-03T11:05:00 message.created 73-7022 agent 500 note 'ask the depot'
02-03T11:06:00 message.created 73-7023 system 500 note 'Request #70 was closed and merged into this request.'
02-03T11:10:00 message.created 73-7024 customer 900000000000002 voice 'Inbound call'
02-03T11:30:00 conversation.resolved 73-resolved partial 500
02-03T18:00:00 conversation.resolved 71-resolved solved 500
02-04T09:40:00 feedback.submitted 71-rating 1 of 1 'it came' 500
skipped: csq.message.created, data.author.role: column `role` is empty (1 times)
""",
    "zendesk_tables": """
02-03T09:00:00 conversation.opened 81-opened 500
02-03T09:00:00 message.created 81-9003 customer 901 'Do you have it?'
02-03T09:20:00 message.created 81-9002 agent 500 'Yes,\\nwe have'
02-03T09:25:00 message.created 81-9004 agent 500 note 'note'
02-03T09:26:00 message.created 83-9006 customer 902 'orphan'
02-04T08:00:00 conversation.resolved 81-resolved solved 500
skipped: csq.message.created, data.author.role: column `role` is empty (1 times)
""",
    "zendesk_tickets/tickets.csv": """
02-03T10:00:00 conversation.opened 91-opened Odo
02-03T10:00:00 message.created 91-1 customer 901 'Hat too small'
02-03T10:05:00 conversation.opened 92-opened None
02-03T10:05:00 message.created 92-1 customer 902 'Invoice; "second" one'
02-03T10:06:00 conversation.opened 93-opened None
02-03T10:06:00 message.created 93-1 customer 903 ''
02-03T10:30:00 conversation.resolved 92-resolved partial None
02-03T11:30:00 message.created 91-2 agent Odo ''
02-04T09:00:00 conversation.resolved 91-resolved solved Odo
02-05T12:00:00 feedback.submitted 91-rating 0 of 1 None Odo
""",
    "intercom": """
02-03T09:00:00 conversation.opened 2154726212026931-opened 40
02-03T09:00:00 message.created 2154726212026931-source-s1 customer lead1 '<p>My hat is late</p>'
02-03T09:00:04 message.created 2154726212026931-p1 system 41 '<p>We reply within an hour.</p>'
02-03T09:00:10 message.created 2154726212026931-p2 bot 41 '<p>Which order?</p>'
02-03T09:05:00 conversation.assigned 2154726212026931-282-assigned 40
02-03T09:05:00 message.created 2154726212026931-282 agent 40 '<p>Hello, I look.</p>'
02-03T09:05:10 message.created 2154726212026931-p4 agent 40 note '<p>angry</p>'
02-03T09:05:30 message.created 2154726212026931-p6 agent 40 ''
02-03T09:13:20 conversation.resolved 2154726212026931-p7-resolved solved 40
02-03T09:46:40 message.created 2154726212026931-p8 customer lead1 '<p>It is still not here</p>'
02-03T09:46:40 conversation.reopened 2154726212026931-p8-reopened 40
02-03T10:01:40 feedback.submitted 2154726212026931-rating 2 of 5 'slow' 40
02-03T10:03:20 conversation.resolved 2154726212026931-p10-resolved solved 40
02-04T10:13:20 conversation.opened 88-opened 40
02-04T10:13:20 message.created 88-source-s2 agent 40 '<p>Can we help?</p>'
02-04T10:23:20 conversation.resolved 88-resolved solved 40
02-04T10:30:00 feedback.submitted 88-rating 5 of 5 None None
""",
    "intercom_conversations/conversations.csv": """
2025-11-02T06:30:00 conversation.opened 2154726212026932-opened Odo
2025-11-02T06:30:00 feedback.submitted 2154726212026932-rating 5 of 5 None None
2025-11-02T06:30:00 conversation.resolved 2154726212026932-resolved solved Odo
2025-11-02T06:30:00 message.created 2154726212026932-1 agent Odo ''
02-03T09:00:00 conversation.opened 2154726212026931-opened Odo
02-03T09:00:00 message.created 2154726212026931-1 customer ann@example.com 'Hat is late'
02-03T09:05:00.500000 message.created 2154726212026931-2 agent Odo ''
02-03T10:00:00 feedback.submitted 2154726212026931-rating 2 of 5 'slow, "very"' Odo
02-03T10:00:00 conversation.resolved 2154726212026931-resolved solved Odo
""",
    "freshdesk": """
02-03T09:00:00 conversation.opened 51-opened 601
02-03T09:00:00 message.created 51-0 customer 6012691534 'It is late'
02-03T09:00:00 conversation.opened 53-opened None
02-03T09:00:00 message.created 53-0 customer 602 'Old one'
02-03T09:20:00 message.created 51-510 agent 601 'Soon'
02-03T09:21:00 message.created 51-511 agent 601 note 'note'
02-03T09:22:00 message.created 51-512 customer 6012691534 'Thanks'
02-03T09:23:00 message.created 51-513 system unknown 'Out of office'
02-03T10:00:00 message.created 53-5006713943 agent 601 'Done.'
02-03T11:00:00 conversation.resolved 53-resolved solved None
02-04T10:00:00 conversation.resolved 51-resolved solved 601
""",
    "freshdesk_tickets/tickets.csv": """
02-05T10:00:00 conversation.opened 62-opened None
02-05T10:00:00 message.created 62-1 customer bea@example.com 'Bill, two'
02-05T10:00:00 conversation.opened 63-opened Odo
02-05T10:00:00 message.created 63-1 customer unknown 'Box'
02-05T11:05:00 message.created 62-2 agent unknown ''
02-05T12:00:00 conversation.resolved 63-resolved solved Odo
02-06T12:00:00 conversation.resolved 62-resolved solved None
02-06T12:00:00 feedback.submitted 62-rating 3 of 7 None None
02-13T01:30:00 conversation.opened 61-opened ODO Berg
02-13T01:30:00 message.created 61-1 customer ann@example.com 'Hat is late'
skipped: csq.feedback.submitted, data.score: column `Survey results` is 'Great' (1 times)
""",
    "chatwoot": """
02-03T09:00:00 message.created 1001 customer 4711 'My hat is late'
02-03T09:00:01 message.created 1002 system unknown 'Give the team a way to reach you.'
02-03T09:00:10 message.created 1003 bot 2 'Which order?'
02-03T09:01:00 message.created 1005 agent 7 note 'angry'
02-03T09:01:40 message.created 1006 agent 7 'On its way.'
02-03T09:03:20 message.created 1008 customer 4711 voice ''
02-03T09:03:30 message.created 1009 customer 4711 image ''
02-03T09:04:10 message.created 1011 agent 7 ''
02-03T09:05:00 conversation.resolved 1010-resolved solved None
02-03T09:06:40 conversation.reopened 1012-reopened None
02-03T09:08:20 message.created 1013 agent 7 'A picture'
02-03T09:10:00 message.created 1014 customer 4711 'Thanks'
02-03T09:10:00.204000 message.created 2001 customer 4711 'Hi'
02-03T09:12:30 feedback.submitted csat-28-rating 4 of 5 'ok now' 7
""",
    "chatwoot_csat/csat.csv": """
02-03T09:12:30 feedback.submitted csat-28-rating 4 of 5 'fine,\\nthanks' Odo (odo@example.com)
02-03T09:13:00 feedback.submitted csat-29-rating 1 of 5 None None
""",
    "gorgias": """
02-03T09:00:00.201204 message.created 1 customer 387 'My hat is late'
02-03T09:00:00.201204 conversation.opened 865-opened 38
02-03T09:00:01.000001 message.created 4 system 38 'We received your message.'
02-03T09:40:00.300000 message.created 2 agent 38 'Hello Ann'
02-03T09:47:00 message.created 3 agent 38 note 'lost'
02-04T08:00:00 conversation.resolved 865-resolved solved 38
02-06T09:00:00 feedback.submitted 865-rating 4 of 5 'ok' 38
""",
    "whatsapp": """
01-05T09:59:00 message.created zh-000001 customer 李娜 '没有到'
01-05T09:59:15 message.created ios-000002 customer Ann 'Hallo'
01-05T10:01:40 message.created ios-000003 agent Acme Desk voice ''
01-05T10:02:00 message.created ios-000004 customer Ann image ''
01-05T10:03:00 message.created ios-000005 customer Ann ''
01-05T13:05:00 message.created zh-000002 agent Acme Support '对不起'
05-01T09:59:00 message.created android-000002 customer Ann Lee 'My hat: late\\nOrder 12\\n\\n10:30 - it was promised'
05-01T09:59:00.001000 message.created android-000006 customer Ann Lee image ''
05-01T12:01:00 message.created android-000007 agent Acme Support image 'your label'
05-13T00:00:00 message.created android-000009 customer Ann Lee ''
05-13T13:05:00 message.created android-000010 customer Bea 'ok'
05-13T13:06:00 message.created android-000011 agent Acme Support ''
bad: , row 7: csq.message.created, time: column `moment` is empty; expected a time
""",
    "sheet/sheet.csv": """
01-05T10:01:00 message.created 17-0001 customer customer 'My hat, late'
01-05T10:31:00 message.created 17-0002 agent support 'It left today.'
skipped: csq.message.created, data.author.role: column `who` is 'agnet' (1 times)
""",
}
"""The export of each mapping, and its events: time (of 2026), type, id; for a message role, author, note, kind and text; for a
rating score, comment and agent; for a step outcome and agent."""


@pytest.mark.parametrize("export", CASES)
def test_a_shipped_mapping_makes_of_an_export_what_it_says(export: str) -> None:
    events, summary, said = imported(export.partition("/")[0], EXPORTS / export)
    lines = [*map(shown, events), *(f"skipped: {line}" for line in summary.skipped), *(f"bad: {text}" for text in said)]
    assert lines == CASES[export].strip().split("\n")


def test_chats_without_any_of_the_names_that_answer_make_nothing_and_say_so(tmp_path: Path) -> None:
    (tmp_path / "chat.txt").write_text("05/01/2026, 09:59 - Ann: Hi\n05/01/2026, 10:01 - My Shop: Hello\n", "utf-8")
    events, summary, _ = imported("whatsapp", tmp_path / "chat.txt")
    assert events == []
    assert summary.skipped == ["csq.message.created, data.author.role: column `role` is empty (2 times)"]


@pytest.mark.parametrize("export", CASES)
def test_every_event_of_a_shipped_mapping_has_its_conversation_and_a_customer(export: str) -> None:
    events, _, _ = imported(export.partition("/")[0], EXPORTS / export)
    assert all(event["data"]["conversation_id"] and event["data"]["customer_id"] for event in events)
    times = [datetime.fromisoformat(event["time"]) for event in events]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("name", "file", "expected"),
    [
        ("zendesk_tickets", "zendesk/ui_export_full.shape.csv", "opened 3, resolved 2, submitted 1, created 5"),
        ("intercom_conversations", "intercom/ui_export_conversations.shape.csv", "opened 3, resolved 1, submitted 2, created 4"),
        ("freshdesk_tickets", "freshdesk/ui_export_tickets.csv", "opened 21, resolved 6, submitted 1, created 31"),
        ("chatwoot", "chatwoot/api_messages_media.json", "reopened 1, resolved 1, created 22"),
        ("chatwoot_csat", "chatwoot/ui_csat_export.shape.csv", "submitted 3"),
        ("gorgias", "gorgias", "opened 1, resolved 1, submitted 1, created 4"),
        ("whatsapp", "whatsapp_export", "created 41"),
    ],
)  # fmt: skip
def test_a_shipped_mapping_reads_public_samples_without_a_bad_row(name: str, file: str, expected: str) -> None:
    folder = os.environ.get("CSQ_DATA")
    if folder is None or not Path(folder, "helpdesk_payloads", file).exists():
        pytest.skip(f"needs helpdesk_payloads/{file} in the folder that CSQ_DATA names")
    _, summary, said = imported(name, Path(folder, "helpdesk_payloads", file))
    assert said == []
    assert ", ".join(f"{kind.rpartition('.')[2]} {count}" for kind, count in summary.events.items()) == expected
