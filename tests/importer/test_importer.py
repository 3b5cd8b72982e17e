"""Imports: mappings, the events of rows, and reports of bad rows."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.documents.load import DocumentError
from operators.domain.wire.events import AnyEvent
from operators.importer import FileError, ImportSummary, Mapping, RowError, import_file, load_mapping
from operators.importer.order import by_time
from operators.importer.rows import LONGEST
from operators.importer.rule import RuleResult
from tests.streams import CSQ, ENVIRON, ROOT

CONFIG = Path(__file__).parents[2] / "config" / "imports"

MESSAGE = """
source: shop
times:
  said: {column: at, zone: UTC}
events:
  - type: csq.message.created
    id: "{id}"
    time: said
    data:
      message_id: "{id}"
      conversation_id: "c{id}"
      customer_id: "{who}"
      author.role: customer
      author.id: "{who}"
      channel: chat
      queue: sales
      text: "{text}"
"""
HEADER = "id,at,who,text\n"
GOOD = "1,2024-05-01T10:00:00,ann,hello\n"

ATTRIBUTES = """
source: shop
times:
  known: {start: "2024-01-01T00:00:00Z", step_seconds: 60}
events:
  - type: csq.customer.updated
    id: "{id}"
    time: known
    data:
      customer_id: "{id}"
"""


class Result(NamedTuple):
    """Events, reports and counts of an import."""

    events: list[dict[str, Any]]
    said: list[str]
    summary: ImportSummary


def mapping_of(folder: Path, text: str) -> Mapping:
    path = folder / "m.yaml"
    path.write_text(text, "utf-8")
    return load_mapping(path)


def run(folder: Path, mapping: str, content: str | bytes, *, strict: bool = False, limit: int | None = None) -> Result:
    path, out = folder / "x.csv", io.BytesIO()
    said: list[str] = []
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    summary = import_file(mapping_of(folder, mapping), path, out, strict=strict, report=said.append, limit=limit)
    return Result([json.loads(line) for line in out.getvalue().splitlines()], said, summary)


def complaint(folder: Path, mapping: str) -> str:
    """What is wrong with `mapping`, without the path of its file."""
    with pytest.raises(DocumentError) as caught:
        mapping_of(folder, mapping)
    text = str(caught.value).removeprefix(f"{folder}/")
    assert re.match(r"m\.yaml, line \d+", text)
    return re.sub(r"^m\.yaml, (line \d+: )?", "", text)


def bad(folder: Path, mapping: str, content: str | bytes) -> list[str]:
    """Reports of bad rows, from the line number on."""
    return [text.removeprefix(f"{folder / 'x.csv'}:") for text in run(folder, mapping, content).said]


def data_of(result: Result) -> list[dict[str, Any]]:
    return [event["data"] for event in result.events]


# --- rows to events


def test_a_row_becomes_an_event_in_its_envelope(tmp_path: Path) -> None:
    assert run(tmp_path, MESSAGE, HEADER + GOOD) == Result(
        [
            {
                "specversion": "1.0",
                "type": "csq.message.created",
                "source": "shop",
                "id": "1",
                "time": "2024-05-01T10:00:00Z",
                "data": {
                    "message_id": "1",
                    "conversation_id": "c1",
                    "customer_id": "ann",
                    "author": {"role": "customer", "id": "ann"},
                    "channel": "chat",
                    "queue": "sales",
                    "text": "hello",
                },
            }
        ],
        [],
        ImportSummary(rows=1, bad_rows=0, rows_without_event=0, events={"csq.message.created": 1}, skipped=[]),
    )


def test_gzip_is_recognised_under_any_name(tmp_path: Path) -> None:
    plain = run(tmp_path, MESSAGE, HEADER + GOOD)
    assert run(tmp_path, MESSAGE, gzip.compress((HEADER + GOOD).encode())) == plain


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert run(tmp_path, MESSAGE, (HEADER + GOOD).encode("utf-8-sig")).summary.bad_rows == 0


def test_other_delimiters_and_encodings_are_declared(tmp_path: Path) -> None:
    mapping = MESSAGE + 'file: {delimiter: "\\t", encoding: gb18030}\n'
    content = "id\tat\twho\ttext\n1\t2024-05-01\tann\t你好, 在吗\n".encode("gb18030")
    assert data_of(run(tmp_path, mapping, content))[0]["text"] == "你好, 在吗"


def test_without_quoting_quotes_are_text(tmp_path: Path) -> None:
    mapping = MESSAGE + "file: {quote: null, escape: '\\'}\n"
    result = run(tmp_path, mapping, HEADER + '1,2024-05-01,ann,"so\\, well\n')
    assert data_of(result)[0]["text"] == '"so, well'


def test_a_record_over_several_lines_keeps_its_text_and_the_next_its_line(tmp_path: Path) -> None:
    content = HEADER + '1,2024-05-01,ann,"a\r\nb ""c"""\r\n2,never,ann,x\r\n'
    result = run(tmp_path, MESSAGE, content)
    assert data_of(result)[0]["text"] == 'a\r\nb "c"'
    assert [text.split(":")[1] for text in result.said] == ["4"]


def test_long_texts_pass(tmp_path: Path) -> None:
    content = HEADER + f"1,2024-05-01,ann,{'long ' * 2_000}\n"
    assert len(data_of(run(tmp_path, MESSAGE, content))[0]["text"]) == 10_000


def test_a_line_that_is_too_long_makes_a_bad_row_and_the_next_is_read(tmp_path: Path) -> None:
    content = HEADER + f"1,2024-05-01,ann,{'x' * 3_000_000}\r\n" + GOOD + f"3,2024-05-01,ann,{'y' * 2_000_000}"
    result = run(tmp_path, MESSAGE, content)

    assert [text.removeprefix(str(tmp_path / "x.csv:")) for text in result.said] == [
        f"{line}: is longer than 1,048,576 characters; expected shorter records, each quote closed" for line in (2, 4)
    ]
    assert len(result.events) == 1


def test_a_record_whose_lines_are_too_long_together_makes_one_bad_row(tmp_path: Path) -> None:
    lines = 'b","c\n' * (1 + LONGEST // 6)  # each closes the quote of the line before and opens one
    result = run(tmp_path, MESSAGE, HEADER + lines + '"\n' + GOOD)

    assert result.said[0].endswith(
        ":2: is longer than 1,048,576 characters at line 174764; expected shorter records, each quote closed"
    )
    assert len(result.events) == 1


def test_a_header_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="the first line is longer than 1,048,576 characters"):
        run(tmp_path, MESSAGE, HEADER.strip() + ",x" * 1_000_000 + "\n" + GOOD)


@pytest.mark.slow
def test_a_small_file_that_unpacks_to_gigabytes_takes_little_memory(tmp_path: Path) -> None:
    bomb = tmp_path / "x.csv.gz"
    with gzip.open(bomb, "wb", 9) as file:
        file.write(HEADER.encode() + b"1,2024-05-01,ann,")
        for _ in range(512):
            file.write(b"a" * (1 << 20))
        file.write(b"\n" + GOOD.encode())
    mapping_of(tmp_path, MESSAGE)
    limited = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_DATA, (300 << 20,) * 2); os.execv(sys.executable, sys.argv[1:])"
    command = [*CSQ, "import", "--mapping", tmp_path / "m.yaml", bomb]
    done = subprocess.run(  # noqa: S603 - our own command, with 300 MB
        [sys.executable, "-c", limited, *command], capture_output=True, text=True, cwd=ROOT, env=ENVIRON, check=False
    )
    assert done.returncode == 0, done.stderr

    assert bomb.stat().st_size < 1_000_000
    assert len(done.stdout.splitlines()) == 1
    assert ":2: is longer than 1,048,576 characters" in done.stderr


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_bare_cr_in_a_cell_is_text_and_cuts_no_row(tmp_path: Path, ends: str) -> None:
    rows = [
        "id,at,who,text",
        "1,2024-05-01,ann,one\rtwo",
        '2,2024-05-01,ann,"three\rfour"',
        "3,2024-05-01,ann,\r5\r\r6\r\r",
    ]
    result = run(tmp_path, MESSAGE, ends.join([*rows, "4,never,ann,x", ""]))
    assert [data["text"] for data in data_of(result)] == [
        "one\rtwo",
        "three\rfour",
        "\r5\r\r6\r" + "\r" * (ends == "\r\n"),
    ]
    assert [text.split(":")[1] for text in result.said] == ["5"]


def test_the_rest_of_a_line_that_is_too_long_is_no_row_after_a_bare_cr(tmp_path: Path) -> None:
    content = HEADER + f"1,2024-05-01,ann,{'x' * 3_000_000}\r2,2024-05-01,ann,y\n" + GOOD
    result = run(tmp_path, MESSAGE, content)
    assert [text.partition(":2: ")[2] for text in result.said] == [
        "is longer than 1,048,576 characters; expected shorter records, each quote closed"
    ]
    assert len(result.events) == 1


def test_a_file_whose_lines_end_with_cr_alone_is_read(tmp_path: Path) -> None:
    content = HEADER + '1,2024-05-01,ann,x\n2,2024-05-01,ann,"y\nz"\n'
    assert [data["text"] for data in data_of(run(tmp_path, MESSAGE, content.replace("\n", "\r")))] == ["x", "y\rz"]


@pytest.mark.parametrize("content", ['{"id": 1}\n', '[{"id": 1}]', " [\n  {", "{\n", "[]"])
def test_json_is_named_as_json(tmp_path: Path, content: str) -> None:
    with pytest.raises(FileError, match=r"x\.csv: is JSON; expected CSV\. Read it with a query: `file: \{sql: "):
        run(tmp_path, MESSAGE, content)


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    assert run(tmp_path, MESSAGE, HEADER + "\n" + GOOD + "\n\n").summary.rows == 1


def test_the_limit_counts_rows(tmp_path: Path) -> None:
    content = HEADER + "1,2024-05-01,a,x\n2,never,a,x\n3,2024-05-01,a,x\n"
    assert run(tmp_path, MESSAGE, content, limit=2).summary == ImportSummary(2, 1, 0, {"csq.message.created": 1}, [])


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(HEADER + GOOD * 3)
    outs = [io.BytesIO(), io.BytesIO()]
    for out in outs:
        mapping = mapping_of(tmp_path, MESSAGE)
        import_file(mapping, tmp_path / "x.csv", out, strict=True, report=pytest.fail)
    assert outs[0].getvalue() == outs[1].getvalue()


def test_a_row_becomes_several_events_each_on_its_condition(tmp_path: Path) -> None:
    mapping = (
        MESSAGE
        + """
  - type: csq.label.sentiment
    id: "{id}-label"
    time: later
    when: [{column: mood, empty: false}]
    data: {message_id: "{id}", conversation_id: "c{id}", label: "{mood}", labeller: crowd}
"""
    ).replace("times:\n", "times:\n  later: {after: said, plus_seconds: 0.001}\n")
    content = "id,at,who,text,mood\n1,2024-05-01T10:00:00,ann,hello,positive\n2,2024-05-01T11:00:00,ann,?,\n"
    result = run(tmp_path, mapping, content)
    assert [(event["id"], event["time"]) for event in result.events] == [
        ("1", "2024-05-01T10:00:00Z"),
        ("1-label", "2024-05-01T10:00:00.001000Z"),
        ("2", "2024-05-01T11:00:00Z"),
    ]


def test_shared_data_goes_to_the_events_that_have_the_field_and_leave_it_open(tmp_path: Path) -> None:
    mapping = """
source: shop
times: {t: {column: at, zone: UTC}}
data: {customer_id: "{who}", queue: sales, channel: chat, conversation_id: "{id}"}
events:
  - {type: csq.conversation.opened, id: "{id}-o", time: t}
  - {type: csq.conversation.resolved, id: "{id}-r", time: t, data: {queue: support, outcome: solved}}
  - {type: csq.order.x, id: "{id}-r", time: t}
"""
    good = mapping.replace('  - {type: csq.order.x, id: "{id}-r", time: t}\n', "")
    assert [data["queue"] for data in data_of(run(tmp_path, good, HEADER + GOOD))] == ["sales", "support"]
    assert complaint(tmp_path, mapping).startswith("events[2].type: 'csq.order.x'; expected one of csq.action.applied,")
    assert complaint(tmp_path, good.replace("data: {customer_id", "data: {text: x, customer_id")) == (
        "data.text: no event takes it; expected a field of an event that does not set it"
    )


def test_sorted_by_time_ties_follow_the_file(tmp_path: Path) -> None:
    rows = ["1,2024-05-02,a,x", "2,2024-05-01,a,x", "3,2024-05-02,a,x", "4,2024-05-01,a,x"]
    result = run(tmp_path, MESSAGE, HEADER + "\n".join(rows))
    assert [event["id"] for event in result.events] == ["2", "4", "1", "3"]


def events_of(minutes: list[int]) -> list[RuleResult]:
    start = datetime(2024, 5, 1, tzinfo=UTC)
    return [
        RuleResult(start + timedelta(minutes=minute), "t", b'{"n":%d}' % place) for place, minute in enumerate(minutes)
    ]


@pytest.mark.parametrize("in_memory", [0, 60, 1_000_000])
def test_events_are_sorted_by_time_in_temporary_files_if_they_do_not_fit(in_memory: int) -> None:
    events = events_of([(n * 7919) % 501 for n in range(1_000)])
    expected = [event.raw for event in sorted(events, key=lambda event: event.time)]
    assert list(by_time(events, in_memory)) == expected


def test_a_folder_for_temporary_files_that_takes_nothing_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("operators.importer.order.TemporaryFile", full)
    with pytest.raises(FileError, match=r"cannot hold the events that are sorted: No space left.*TMPDIR"):
        list(by_time(events_of([2, 1]), 0))


# --- conditions


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("{column: who, equals: ann}", ["1", "4"]),
        ("{column: who, in: [bob, ann]}", ["1", "2", "4"]),
        ("{column: who, not_in: [bob, ann]}", ["3"]),
        ("{column: text, empty: true}", ["3"]),
        ("{column: text, empty: false}", ["1", "2", "4"]),
        ('{column: text, matches: "^h.*o$"}', ["1", "2"]),
        ("{column: who, differs_from: text}", ["1", "2", "3"]),
        ("{any: [{column: who, equals: bob}, {column: text, equals: ann}]}", ["2", "4"]),
        ('{column: $row, in: ["2", "3"]}', ["2", "3"]),
    ],
)
def test_conditions_choose_rows(tmp_path: Path, test: str, expected: list[str]) -> None:
    content = HEADER + "1,2024,ann,hello\n2,2024,bob,hallo\n3,2024,eve, \n4,2024,ann,ann\n"
    mapping = MESSAGE.replace('"{text}"', '{column: text, default: ""}').replace(
        "zone: UTC", 'zone: UTC, formats: ["%Y"]'
    )
    everywhere = run(tmp_path, mapping + f"when: [{test}]\n", content)
    assert [event["id"] for event in everywhere.events] == expected
    assert everywhere.summary.rows_without_event == 4 - len(expected)
    on_event = mapping.replace("    time: said\n    data:", f"    time: said\n    when: [{test}]\n    data:")
    assert run(tmp_path, on_event, content).events == everywhere.events


def test_a_condition_is_one_test(tmp_path: Path) -> None:
    expected = "expected column and one of equals, in, not_in, empty, matches, differs_from; or only any"
    for test in ("{column: who}", "{column: who, equals: a, empty: true}", "{equals: a}", "{column: a, any: []}"):
        assert complaint(tmp_path, MESSAGE + f"when: [{test}]\n") == f"when[0]: {expected}"
    assert complaint(tmp_path, MESSAGE + 'when: [{column: who, matches: "("}]\n') == (
        "when[0].matches: missing ), unterminated subpattern at position 0; expected a regular expression"
    )


# --- values


def test_a_map_gives_values_and_its_default_the_rest(tmp_path: Path) -> None:
    mapping = MESSAGE.replace("queue: sales", "queue: {column: q, map: {s: sales, v: service}, default: other}")
    content = "id,at,who,text,q\n" + "".join(f"{n},2024-05-01,ann,x,{q}\n" for n, q in enumerate(["s", "v", "?", ""]))
    assert [data["queue"] for data in data_of(run(tmp_path, mapping, content))] == [
        "sales",
        "service",
        "other",
        "other",
    ]


def test_a_map_may_skip_the_event_or_refuse_the_row(tmp_path: Path) -> None:
    mapping = MESSAGE.replace("queue: sales", "queue: {column: q, map: {s: sales}, skip: true}")
    content = "id,at,who,text,q\n1,2024-05-01,ann,x,s\n2,2024-05-01,ann,x,t\n3,2024-05-01,ann,x,\n"
    assert run(tmp_path, mapping, content).summary == ImportSummary(
        3, 0, 2, {"csq.message.created": 1}, ["csq.message.created, data.queue: column `q` is empty (1 times), 't' (1)"]
    )
    assert bad(tmp_path, mapping.replace(", skip: true", ""), content) == [
        "3: csq.message.created, data.queue: column `q` is 't'; expected one of s",
        "4: csq.message.created, data.queue: column `q` is empty; expected a value",
    ]
    skipped_id = MESSAGE.replace('    id: "{id}"', "    id: {column: id, skip: true}")
    assert run(tmp_path, skipped_id, HEADER + ",2024-05-01,ann,x\n").summary.rows_without_event == 1


def test_values_that_are_skipped_are_listed_by_how_often_they_came(tmp_path: Path) -> None:
    mapping = MESSAGE.replace("author.role: customer", "author.role: {column: r, map: {c: customer}, skip: true}")
    rows = [f"{n},2024-05-01,ann,x,{role}" for n, role in enumerate(["agnet"] * 3 + ["c", "", "bot", "agnet"])]
    many = [f"{n},2024-05-01,ann,x,r{n:04}" for n in range(1_100)]
    result = run(tmp_path, mapping, "\n".join(["id,at,who,text,r", *rows, *many]))
    listed = ", ".join(f"'r{n:04}' (1)" for n in range(17))
    field = "csq.message.created, data.author.role: column `r`"
    assert result.summary.skipped == [f"{field} is 'agnet' (4 times), empty (1), 'bot' (1), {listed}, others (1083)"]
    assert result.summary.rows_without_event == 1_106


def test_templates_pad_with_zeros_and_double_braces_are_braces(tmp_path: Path) -> None:
    mapping = MESSAGE.replace('    id: "{id}"', '    id: "{{{who}}}-{id:04}-{$row}"')
    assert run(tmp_path, mapping, HEADER + GOOD).events[0]["id"] == "{ann}-0001-1"


def test_a_template_with_an_empty_cell_is_empty(tmp_path: Path) -> None:
    assert bad(tmp_path, MESSAGE.replace('    id: "{id}"', '    id: "{id}-{who}"'), HEADER + "1,2024-05-01,,x\n") == [
        "2: csq.message.created, id: template '{id}-{who}' is empty; expected a value"
    ]


@pytest.mark.parametrize("template", ["{}", "{id!r}", "{id:>9}", "{id"])
def test_a_wrong_template_is_a_mistake_of_the_mapping(tmp_path: Path, template: str) -> None:
    text = complaint(tmp_path, MESSAGE.replace('    id: "{id}"', f'    id: "{template}"'))
    assert text.startswith(f"events[0].id: '{template}': ")


def test_cells_that_mean_nothing_are_left_out_where_a_field_may_be_absent(tmp_path: Path) -> None:
    mapping = MESSAGE + '      language: "{lang}"\nfile: {empty: ["?", NULL]}\n'
    content = "id,at,who,text,lang\n" + "".join(
        f"{n},2024-05-01,a,x,{q}\n" for n, q in enumerate(["en", "?", " ", "NULL"])
    )
    assert [data.get("language") for data in data_of(run(tmp_path, mapping, content))] == ["en", None, None, None]


def test_the_event_decides_the_type_of_a_field(tmp_path: Path) -> None:
    mapping = """
source: shop
times: {t: {column: at, zone: UTC}}
events:
  - type: csq.behavior.products_searched
    id: "{id}"
    time: t
    data:
      customer_id: "{id}"
      sku: {column: skus, separator: "|"}
      result_count: "{n}"
      dwell_seconds: "{s}"
  - type: csq.churn.labelled
    id: "{id}-churn"
    time: t
    data: {customer_id: "{id}", churned: "{lost}", observed_until: t, label_source: crm}
"""
    result = run(tmp_path, mapping, "id,at,skus,n,s,lost\n1,2024-05-01,a| b ||c, 12 ,1.5e1,No\n")
    assert data_of(result) == [
        {"customer_id": "1", "sku": ["a", "b", "c"], "result_count": 12, "dwell_seconds": 15.0},
        {"customer_id": "1", "churned": False, "observed_until": "2024-05-01T00:00:00Z", "label_source": "crm"},
    ]
    rows = ["a,1.5,,no", "a,1,1_0,no", "a,1,1e999,no", "a,1,1,maybe"]
    content = "id,at,skus,n,s,lost\n" + "".join(f"1,2024-05-01,{row}\n" for row in rows)
    search = "csq.behavior.products_searched, data"
    yes_or_no = "one of 0, 1, f, false, n, no, t, true, y, yes"
    assert bad(tmp_path, mapping, content) == [
        f"2: {search}.result_count: template '{{n}}' is '1.5'; expected a whole number",
        f"3: {search}.dwell_seconds: template '{{s}}' is '1_0'; expected a number such as 29.85",
        f"4: {search}.dwell_seconds: template '{{s}}' is '1e999'; expected a number such as 29.85",
        f"5: csq.churn.labelled, data.churned: template '{{lost}}' is 'maybe'; expected {yes_or_no}",
    ]
    assert complaint(tmp_path, mapping.replace("observed_until: t,", 'observed_until: "{at}",')) == (
        "events[1].data.observed_until: is a time; expected the name of one of `times`: t"
    )


def test_attributes_take_any_name_and_a_declared_type(tmp_path: Path) -> None:
    mapping = (
        ATTRIBUTES
        + """
      attributes.plan: "{plan}"
      attributes.months: {column: months, type: number}
      attributes.visits: {column: months, type: integer}
      attributes.senior: {column: senior, type: boolean}
      attributes.partner: {column: partner, map: {"Yes": true, "No": false}}
      attributes.band: {column: months, map: {"3": 1}, default: 2}
      attributes.version: 2
"""
    )
    result = run(tmp_path, mapping, "id,plan,months,senior,partner\na,gold,3,1,Yes\nb,,, , \n")
    assert [data["attributes"] for data in data_of(result)] == [
        {"plan": "gold", "months": 3.0, "visits": 3, "senior": True, "partner": True, "band": 1, "version": 2},
        {"band": 2, "version": 2},
    ]


def test_an_event_with_no_attribute_left_is_still_valid(tmp_path: Path) -> None:
    result = run(tmp_path, ATTRIBUTES + '      attributes.plan: "{plan}"\n', "id,plan\na,\n")
    assert data_of(result) == [{"attributes": {}, "customer_id": "a"}]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("queue: 5", "events[0].data.queue: 5; expected text in quotes"),
        ("author.role: boss", "events[0].data.author.role: 'boss'; expected one of agent, bot, customer, system"),
        ("is_public: {column: id, map: {a: maybe}}", "events[0].data.is_public.map.a: 'maybe'; expected one of 0,"),
        ("is_public: 1", "events[0].data.is_public: 1; expected boolean"),
        (
            "text: {column: id, type: number}",
            "events[0].data.text.type: is for attributes and parameters; this field",
        ),
        (
            "mood: x",
            "events[0].data.mood: csq.message.created has no such field; expected one of author.id, author.role",
        ),
        ("queue: {colum: x}", "events[0].data.queue.colum: unknown key; did you mean `column`?"),
        ("queue: {default: x}", "events[0].data.queue: expected either column or template"),
        ("queue: {column: x, default: y, skip: true}", "events[0].data.queue: expected default or skip, not both"),
        (
            "queue: {column: x, map: [a]}",
            "events[0].data.queue.map: got a list, expected a table, each value text, ",
        ),
        ("queue: [a]", "events[0].data.queue: got a list, expected text, a whole number,"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(tmp_path: Path, field: str, expected: str) -> None:
    name = field.partition(":")[0]
    kept = [line for line in MESSAGE.splitlines() if not line.startswith(f"      {name}:")]
    assert complaint(tmp_path, "\n".join([*kept, f"      {field}", ""])).startswith(expected)


# --- times


@pytest.mark.parametrize(
    ("time", "cell", "expected"),
    [
        ("{column: at}", "2024-05-01T10:00:00.250+02:00", "2024-05-01T08:00:00.250000Z"),
        ("{column: at, formats: [epoch]}", "1509487847", "2017-10-31T22:10:47Z"),
        ("{column: at, formats: [epoch_ms]}", "1509487847250", "2017-10-31T22:10:47.250000Z"),
        (
            '{column: at, formats: ["%a %b %d %H:%M:%S %z %Y"]}',
            "Tue Oct 31 22:10:47 +0000 2017",
            "2017-10-31T22:10:47Z",
        ),
        ('{column: at, zone: "+05:30", formats: ["%d/%m/%Y %H:%M"]}', "31/10/2017 05:30", "2017-10-31T00:00:00Z"),
        ('{column: at, zone: UTC, formats: [iso, "%d.%m.%Y"]}', " 31.10.2017 ", "2017-10-31T00:00:00Z"),
        ("{column: at, zone: America/New_York}", "2024-01-15T12:00:00", "2024-01-15T17:00:00Z"),
        ("{column: at, zone: America/New_York}", "2024-07-15T12:00:00", "2024-07-15T16:00:00Z"),
        # the hour that comes twice: its first time; the hour that never comes: as if the clock had not been changed
        ("{column: at, zone: Europe/Paris}", "2024-10-27T02:30:00", "2024-10-27T00:30:00Z"),
        ("{column: at, zone: Europe/Paris}", "2024-03-31T02:30:00", "2024-03-31T01:30:00Z"),
        ("{column: at, zone: Europe/Paris}", "2024-07-01T00:00:00Z", "2024-07-01T00:00:00Z"),
    ],
)
def test_times_are_read_by_format_and_zone(tmp_path: Path, time: str, cell: str, expected: str) -> None:
    result = run(tmp_path, MESSAGE.replace("{column: at, zone: UTC}", time), HEADER + f"1,{cell},ann,x\n")
    assert [event["time"] for event in result.events] == [expected]


def test_times_can_be_counted_up_and_come_after_another(tmp_path: Path) -> None:
    mapping = MESSAGE.replace(
        "said: {column: at, zone: UTC}",
        'said: {after: base, plus_seconds: -0.5}\n  base: {start: "2024-01-01T01:00:00+01:00", step_seconds: 60}',
    )
    assert [event["time"] for event in run(tmp_path, mapping, HEADER + GOOD * 2).events] == [
        "2023-12-31T23:59:59.500000Z",
        "2024-01-01T00:00:59.500000Z",
    ]


def test_a_bad_time_says_what_was_expected(tmp_path: Path) -> None:
    mapping = MESSAGE.replace("zone: UTC", 'formats: [iso, epoch, "%d.%m.%Y"]')
    content = HEADER + "1,soon,ann,x\n2,,ann,x\n3,01.05.2024,ann,x\n4,0001-01-01T00:00:00+10:00,ann,x\n"
    column, formats = "csq.message.created, time: column `at` is", "expected a time as iso or epoch or %d.%m.%Y"
    no_zone = "a time without zone; expected one with an offset, or `zone` at $.times.said"
    assert bad(tmp_path, mapping, content) == [
        f"2: {column} 'soon'; {formats}",
        f"3: {column} empty; expected a time",
        f"4: {column} '01.05.2024', {no_zone}",
        f"5: {column} '0001-01-01T00:00:00+10:00'; {formats}",
    ]
    later = MESSAGE.replace("said: {", "base: {").replace(
        "zone: UTC}", "zone: UTC}\n  said: {after: base, plus_seconds: 1}"
    )
    assert bad(tmp_path, later, HEADER + "1,9999-12-31T23:59:59,ann,x\n") == [
        "2: csq.message.created, time: 9999-12-31 23:59:59+00:00 plus 1.0 s is outside the years 1 to 9999"
    ]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (
            "{column: at, start: '2024-01-01T00:00:00Z'}",
            "times.said: expected either column, or start and step_seconds,",
        ),
        (
            "{start: '2024-01-01T00:00:00Z'}",
            "times.said: expected either column, or start and step_seconds, or after",
        ),
        (
            "{start: '2024-01-01', step_seconds: 1}",
            "times.said.start: got text '2024-01-01', expected a time with zone such as",
        ),
        ("{column: at, zone: Mars/Base}", "times.said.zone: 'Mars/Base' is not a zone; expected an IANA name such as"),
        ("{column: at, formats: []}", "times.said.formats: is empty; expected at least one format"),
        (
            "{column: at, formats: [isoo]}",
            "times.said.formats[0]: 'isoo'; expected iso, epoch, epoch_ms or a strptime",
        ),
        ("{column: at, formats: ['%Q']}", "times.said.formats[0]: '%Q'; expected iso, epoch, epoch_ms or a strptime"),
        ("{column: at, formats: ['%d %d']}", "times.said.formats[0]: '%d %d' names a part twice; expected a pattern"),
        (
            "{after: said, plus_seconds: 1}",
            "times.said.after: `said` is not another time; expected one of: none is left",
        ),
        (
            "{after: x, plus_seconds: 1}\n  y: {column: at}",
            "times.said.after: `x` is not another time; expected one of: y",
        ),
    ],
)
def test_a_wrong_time_is_named_by_its_path(tmp_path: Path, time: str, expected: str) -> None:
    assert complaint(tmp_path, MESSAGE.replace("{column: at, zone: UTC}", time)).startswith(expected)


# --- groups


GROUP = """
group:
  column: id
  parent: parent
  order: said
  root: root
  position: position
  previous: {text_before: text}
  first: {customer: {column: who, when: [{column: who, matches: "^c"}], default: nobody}}
"""
GROUPED = (
    MESSAGE.replace('conversation_id: "c{id}"', 'conversation_id: "{root}"')
    .replace('customer_id: "{who}"', 'customer_id: "{customer}"')
    .replace('text: "{text}"', 'text: {template: "{position}:{text}<{text_before}", default: first}')
    + GROUP
)


def test_a_group_follows_parents_to_the_root_in_any_order(tmp_path: Path) -> None:
    content = (
        "id,parent,at,who,text\n"
        "3,2,2024-05-03,c2,c\n"  # before its parent in the file
        "2,1,2024-05-02,agent,b\n"
        "1,,2024-05-01,c1,a\n"
        "9,,2024-05-01,agent,z\n"
        "8,7,2024-05-02,agent,y\n"  # 7 is not in the file
        "6,7,2024-05-01,c3,x\n"
        "4,5,2024-05-02,c4,v\n"  # a circle
        "5,4,2024-05-01,c5,w\n"
    )
    found = {event["id"]: event["data"] for event in run(tmp_path, GROUPED, content).events}
    assert {ident: (data["conversation_id"], data["customer_id"], data["text"]) for ident, data in found.items()} == {
        "1": ("1", "c1", "first"),
        "2": ("1", "c1", "2:b<a"),
        "3": ("1", "c1", "3:c<b"),
        "9": ("9", "nobody", "first"),
        "6": ("7", "c3", "first"),
        "8": ("7", "c3", "2:y<x"),
        "5": ("4", "c5", "first"),
        "4": ("4", "c5", "2:v<w"),
    }


def test_a_group_without_parent_is_the_rows_with_the_same_value_in_their_order(tmp_path: Path) -> None:
    mapping = MESSAGE.replace('text: "{text}"', 'text: "{n}{text}"') + "group: {column: who, position: n}\n"
    content = HEADER + "1,2024-05-03,ann,x\n2,2024-05-02,bob,x\n3,2024-05-01,ann,x\n"
    assert [data["text"] for data in data_of(run(tmp_path, mapping, content))] == ["2x", "1x", "1x"]


def test_rows_without_a_place_in_a_group_are_reported_once(tmp_path: Path) -> None:
    content = "id,parent,at,who,text\n,1,2024-05-01,c,x\n1,,never,c,x\n"
    assert bad(tmp_path, GROUPED, content) == [
        "2: column `id` is empty; expected what names the group",
        "3: column `at` is 'never'; expected a time as iso",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("order: said", "order: then", "group.order: `then` is not a time; expected one of said"),
        ("root: root", "root: position", "group: column `position` occurs twice; expected different names"),
        ("root: root", "root: $row", "group: column `$row` occurs twice; expected different names"),
        ("text_before: text", "text_before: root", "group.previous.text_before: `root` is a column of the group;"),
        (
            "root: root",
            "rot: root",
            "group.rot: unknown key; did you mean `root`?",
        ),
    ],
)
def test_a_wrong_group_is_named_by_its_path(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert complaint(tmp_path, GROUPED.replace(old, new)).startswith(expected)


# --- mappings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "key `events` is missing"),
        ("source: x", "key `events` is missing"),
        ("source: x\ntimes: {}\nevents: []", "events: expected at least one"),
        ("source: x\nsource: y", "line 2, column 1: key `source` is given twice"),
        ("source: x\n1: y", "line 2, column 1: a key has to be text; put it in quotes"),
        ("source: [", "line 1, column 10: expected the node content, but found '<stream end>'"),
        ("source: \x07", "character 7 is not allowed"),
        (
            MESSAGE + "files: {}",
            "files: unknown key; did you mean `file`?",
        ),
        (MESSAGE + "file: {encoding: klingon}", "file.encoding: 'klingon' is unknown; expected for example utf-8,"),
        (MESSAGE + "file: {delimiter: '\"'}", "file: delimiter, quote and escape have to be different characters"),
        (MESSAGE + "file: {delimiter: ';;'}", "file.delimiter: got text ';;', expected one character"),
        (MESSAGE + "sort: time", "sort: unknown key"),
        (MESSAGE.replace("time: said", "time: sad"), "events[0].time: `sad` is not a time; expected one of said"),
        (
            MESSAGE.replace("      queue: sales\n", ""),
            "events[0].data: csq.message.created needs queue; give it here",
        ),
    ],
)
def test_a_wrong_mapping_is_named_by_its_path(tmp_path: Path, text: str, expected: str) -> None:
    assert complaint(tmp_path, text).startswith(expected)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("source: x\ntimes: {}\nevents: []", 3),
        (MESSAGE.lstrip() + "file:\n  delimiter: ';'\n  escape: ';'", 19),
        (MESSAGE.lstrip() + "file:\n  encoding: utf-8\n  quote: ' '", 19),
        (MESSAGE.lstrip() + "data:\n  segment:\n    column: who\n    default: x\n    skip: true", 21),
    ],
)
def test_a_mistake_that_types_do_not_find_is_named_by_the_line_of_its_key(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(DocumentError, match=rf"m\.yaml, line {line}: "):
        mapping_of(tmp_path, text)


def test_a_mapping_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"none\.yaml: cannot be read: .*No such file"):
        load_mapping(tmp_path / "none.yaml")


def test_words_are_what_is_written(tmp_path: Path) -> None:
    mapping = MESSAGE.replace("queue: sales", "queue: No").replace("channel: chat", "channel: 1_000")
    data = data_of(run(tmp_path, mapping, HEADER + GOOD))[0]
    assert (data["queue"], data["channel"]) == ("No", "1_000")


# --- files and rows that are not what they should be


def test_a_missing_column_is_one_error_that_lists_those_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"x\.csv: has no column `at`, `text`; its columns are: id, when, who$"):
        run(tmp_path, MESSAGE, "id,when,who\n1,2,3\n")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the first line is empty; expected the names of columns: at, id, text, who"),
        (b'"id,at\n', "the first line is not CSV: unexpected end of data; expected each quote to be closed; expected"),
        (b"id,at,who,text,id\n", "has several columns `id`; expected unique names"),
        (
            gzip.compress(b"id,at,who,text\n" * 99)[:-9],
            "cannot be read after line 99: Compressed file ended before the end-of-stream",
        ),
        (b"\x1f\x8bno", "cannot be read: "),
    ],
    ids=["empty", "open quote", "column twice", "gzip cut off", "no gzip"],
)
def test_a_file_that_cannot_be_read_is_one_error(tmp_path: Path, content: bytes, expected: str) -> None:
    with pytest.raises(FileError) as caught:
        run(tmp_path, MESSAGE, content)
    assert str(caught.value).startswith(f"{tmp_path / 'x.csv'}: {expected}")


def test_a_file_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.csv: cannot be read: .*No such file"):
        import_file(
            mapping_of(tmp_path, MESSAGE), tmp_path / "none.csv", io.BytesIO(), strict=False, report=pytest.fail
        )


def test_the_wrong_encoding_is_one_error_or_a_bad_row(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot be read: .*; expected a file in utf-16, plain or gzip"):
        run(tmp_path, MESSAGE + "file: {encoding: utf-16}\n", HEADER + GOOD)
    content = HEADER.encode() + b"1,2024-05-01,ann,caf\xe9\n2,2024-05-01,ann,cafe\n"
    assert bad(tmp_path, MESSAGE, content) == [
        "2: csq.message.created: a cell holds bytes that are not text in `file.encoding`"
    ]


def test_a_column_of_the_file_may_not_have_the_name_of_one_the_group_makes(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"has a column `root`, which is also a column of the mapping's group"):
        run(tmp_path, GROUPED, "id,parent,at,who,text,root\n")


def test_a_quote_never_closed_costs_its_line_only(tmp_path: Path) -> None:
    content = HEADER + '1,2024-05-01,ann,"oh\n' + "".join(f"{n},2024-05-01,ann,x\n" for n in range(2, 2_000))
    result = run(tmp_path, MESSAGE, content)
    assert [text.partition(":2: ")[2] for text in result.said] == [
        "is not CSV: unexpected end of data; expected each quote to be closed"
    ]
    assert len(result.events) == 1_998


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('1,2024-05-01,ann,"a"b\n', "is not CSV: ',' expected after '\"'; expected each quote to be closed"),
        ("1,2024-05-01,ann\n", "has 3 fields; expected 4, as the header has"),
        ("1,2024-05-01,ann,a\0b\n", "holds a NUL character; expected text (is `file.encoding` right?)"),
        ("1,2024-05-01,ann,\n", "csq.message.created, data.text: template '{text}' is empty; expected a value"),
        (
            f"{'1' * 512},2024-05-01,ann,x\n",
            "csq.message.created: data.conversation_id is 'c" + "1" * 59 + "...' (513 characters); "
            "Expected `str` of length <= 512",
        ),
        (
            f"1,2024-05-01,ann,{'x' * 140_000}\n",
            "is not CSV: field larger than field limit (131072); expected each quote",
        ),
    ],
)
def test_a_bad_row_is_reported_by_file_and_line_and_left_out(tmp_path: Path, row: str, expected: str) -> None:
    result = run(tmp_path, MESSAGE, HEADER + GOOD + row + GOOD)
    assert len(result.events) == 2
    assert result.summary.bad_rows == 1
    assert len(result.said) == 1
    assert result.said[0].startswith(f"{tmp_path / 'x.csv'}:3: {expected}")


def test_strict_stops_at_the_first_bad_row(tmp_path: Path) -> None:
    with pytest.raises(RowError, match=r"x\.csv:3: has 1 fields; expected 4, as the header has"):
        run(tmp_path, MESSAGE, HEADER + GOOD + "2\n3\n", strict=True)


def test_a_bad_row_produces_no_event(tmp_path: Path) -> None:
    mapping = (
        MESSAGE
        + """
  - type: csq.label.sentiment
    id: "{id}-label"
    time: said
    data: {message_id: "{id}", conversation_id: "c{id}", label: "{mood}", labeller: crowd}
"""
    )
    result = run(tmp_path, mapping, "id,at,who,text,mood\n1,2024-05-01,ann,x,angry\n")
    assert result.events == []
    assert result.said[0].endswith(":2: csq.label.sentiment: data.label is 'angry'; Invalid enum value 'angry'")


# --- properties


lines = st.lists(
    st.one_of(
        st.text(st.sampled_from('1a",\n\r \0é;{}-:T'), max_size=30),
        st.lists(st.sampled_from(["1", "2", "", "2024-05-01", '"x', '"a""b"', "ann", "1e9", " "]), max_size=6).map(
            ",".join
        ),
    ),
    max_size=12,
).map("\n".join)


@settings(deadline=None, max_examples=300)
@given(lines.map(str.encode) | st.binary(max_size=200), st.sampled_from([MESSAGE, GROUPED]))
def test_any_rows_give_events_that_decode_or_are_reported(rows: bytes, mapping: str) -> None:
    with TemporaryDirectory() as folder:
        result = run(Path(folder), mapping, b"id,at,who,text,parent\n" + rows)
    for event in result.events:
        msgspec.convert(event, AnyEvent)
    assert len(result.said) == result.summary.bad_rows
    assert result.summary.rows == result.summary.bad_rows + result.summary.rows_without_event + len(result.events)


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=300) | st.binary(max_size=50).map(gzip.compress), st.sampled_from(["utf-8", "utf-16", "gb18030"])
)
def test_any_bytes_raise_nothing_but_what_is_declared(content: bytes, encoding: str) -> None:
    with TemporaryDirectory() as folder, suppress(FileError):
        run(Path(folder), MESSAGE + f"file: {{encoding: {encoding}}}\n", content)


@settings(deadline=None, max_examples=200)
@given(
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.sampled_from(["source: shop", "said:", "time: said", '"{id}"', "queue: sales", "events:", "zone: UTC"]),
)
def test_any_text_in_a_mapping_raises_nothing_but_what_is_declared(text: str, place: str) -> None:
    with TemporaryDirectory() as folder, suppress(DocumentError):
        mapping_of(Path(folder), MESSAGE.replace(place, text))


# --- the guide, and the mappings included in csq


def test_the_example_of_the_guide_gives_what_the_guide_says(tmp_path: Path) -> None:
    guide = (CONFIG.parents[1] / "docs" / "importing.md").read_text("utf-8")
    content, mapping, written = (
        guide.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("csv", "yaml", "json")
    )
    result = run(tmp_path, mapping, content, strict=True)
    assert result.events == [json.loads(line) for line in written.splitlines()]


def test_each_mapping_that_comes_with_csq_is_right_and_says_where_its_data_are_from() -> None:
    paths = sorted(CONFIG.glob("*.yaml"))
    assert [path.stem for path in paths] == [
        "airline_tweets",
        "chatwoot",
        "chatwoot_csat",
        "freshdesk",
        "freshdesk_tickets",
        "gorgias",
        "incident_log",
        "intercom",
        "intercom_conversations",
        "sheet",
        "telco_churn",
        "twitter_care_conversations",
        "twitter_support_twcs",
        "whatsapp",
        "zendesk",
        "zendesk_tables",
        "zendesk_tickets",
    ]
    for path in paths:
        load_mapping(path)
        text = path.read_text("utf-8")
        for word in (
            "# Origin: ",
            "# Licence: ",
            "# Makes: ",
            f"# Run:     csq import --mapping config/imports/{path.name} ",
        ):
            assert word in text


def imported(mapping: str, file: str) -> tuple[ImportSummary, list[dict[str, Any]]]:
    """What the mapping makes of a public data set; CSQ_DATA names the folder that holds them."""
    folder = os.environ.get("CSQ_DATA")
    if folder is None or not Path(folder, file).is_file():
        pytest.skip(f"needs {file} in the folder that CSQ_DATA names")
    out = io.BytesIO()
    summary = import_file(
        load_mapping(CONFIG / f"{mapping}.yaml"), Path(folder, file), out, strict=True, report=pytest.fail
    )
    return summary, [json.loads(line) for line in out.getvalue().splitlines()]


def moment(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def reply_seconds(events: list[dict[str, Any]]) -> Iterator[float]:
    """Reply times by rounds, recounted by hand from the definition."""
    conversations: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        conversations[event["data"]["conversation_id"]].append(event)
    for steps in conversations.values():
        since: float | None = None
        for event in sorted(steps, key=lambda step: (moment(step), step["id"])):
            if event["type"] == "csq.conversation.resolved":
                since = None
            elif event["type"] == "csq.message.created":
                if event["data"]["author"]["role"] == "customer":
                    since = moment(event) if since is None else since
                elif since is not None:
                    yield moment(event) - since
                    since = None


def test_twitter_care_gives_the_published_reply_times() -> None:
    summary, events = imported("twitter_care_conversations", "twitter_care_conversations/conversations.csv")
    assert summary.events == {
        "csq.conversation.opened": 558,
        "csq.conversation.resolved": 558,
        "csq.message.created": 1_333,
    }
    replies = list(reply_seconds(events))
    assert len(replies) == 642
    assert np.quantile(replies, [0.1, 0.5, 0.75, 0.9]) == pytest.approx([106, 2_387, 33_031, 368_270], abs=1.5)
    assert len({event["id"] for event in events}) == len(events)


def test_twitter_support_finds_conversations_customers_and_brands() -> None:
    summary, events = imported("twitter_support_twcs", "twitter_support/twcs_subset.csv")
    assert summary.events == {"csq.message.created": 2_588}
    roles = [event["data"]["author"]["role"] for event in events]
    assert (roles.count("customer"), roles.count("agent")) == (1_416, 1_172)
    assert len({event["data"]["conversation_id"] for event in events}) == 726
    assert len({event["data"]["queue"] for event in events}) == 38
    # The 1,159 pairs of request and reply that the data's description counts are 1,094 rounds: a second reply to the
    # same customer message closes nothing, and a round is as long as its first message has waited.
    replies = list(reply_seconds(events))
    assert len(replies) == 1_094
    assert np.quantile(replies, [0.1, 0.5, 0.75, 0.9]) == pytest.approx([185.3, 777, 3_027, 19_666.2])


def test_airline_tweets_come_by_time_and_each_before_its_label() -> None:
    summary, events = imported("airline_tweets", "airline_tweets/airline_tweets.csv")
    assert summary.events == {"csq.label.sentiment": 14_640, "csq.message.created": 14_640}
    assert len({event["id"] for event in events}) == 2 * 14_485  # 155 repeats of each
    assert [moment(event) for event in events] == sorted(map(moment, events))
    seen: set[str] = set()
    for event in events:
        if event["type"] == "csq.message.created":
            seen.add(event["data"]["message_id"])
        else:
            assert event["data"]["message_id"] in seen


def test_telco_customers_have_all_attributes_and_are_labelled_after() -> None:
    summary, events = imported("telco_churn", "telco_churn/telco_customer_churn.csv")
    assert summary.events == {"csq.churn.labelled": 7_043, "csq.customer.updated": 7_043}
    assert [event["type"] for event in events[:2]] == ["csq.customer.updated", "csq.churn.labelled"]
    attributes = [event["data"]["attributes"] for event in events[::2]]
    assert sorted(map(len, attributes)) == [18] * 11 + [19] * 7_032
    kinds = {name: type(value) for name, value in attributes[0].items()}
    assert [list(kinds.values()).count(kind) for kind in (str, bool, float)] == [11, 5, 3]
    assert sum(event["data"]["churned"] for event in events[1::2]) == 1_869


def test_incident_log_gives_the_resolution_times_of_the_log() -> None:
    summary, events = imported("incident_log", "incident_log/incident_event_log.csv.gz")
    assert summary.events["csq.conversation.opened"] == 12_480
    assert summary.events["csq.conversation.reopened"] == 144
    assert [moment(event) for event in events] == sorted(map(moment, events))
    opened = {e["data"]["conversation_id"]: moment(e) for e in events if e["type"] == "csq.conversation.opened"}
    resolved = [e for e in events if e["type"] == "csq.conversation.resolved"]
    assert [sum(e["data"]["outcome"] == outcome for e in resolved) for outcome in ("solved", "unsolved")] == [
        12_861,
        10,
    ]
    last = {e["data"]["conversation_id"]: moment(e) for e in resolved if e["data"]["outcome"] == "solved"}
    with gzip.open(
        Path(os.environ["CSQ_DATA"], "incident_log/incident_event_log.csv.gz"), "rt", encoding="utf-8"
    ) as file:
        header = next(file).rstrip("\n").split(",")
        rows = [dict(zip(header, line.rstrip("\n").split(","), strict=True)) for line in file]
    stated = {row["number"]: f"{row['resolved_at']}Z" for row in rows if row["resolved_at"]}
    assert {number: last[number] for number in stated} == {
        number: datetime.fromisoformat(time).timestamp() for number, time in stated.items()
    }
    hours = [(last[number] - opened[number]) / 3_600 for number in stated]
    assert len(hours) == 11_698
    assert np.quantile(hours, [0.25, 0.5, 0.75, 0.9]) == pytest.approx([0.4, 21.8, 149, 382], abs=0.5)


def test_a_mistake_in_a_mapping_has_its_line_and_all_of_them_are_named(tmp_path: Path) -> None:
    wrong = MESSAGE.replace("queue: sales", "queue: {colum: x}") + "sorted: time\n"
    lines = wrong.split("\n")
    (tmp_path / "m.yaml").write_text(wrong, "utf-8")

    with pytest.raises(DocumentError) as caught:
        load_mapping(tmp_path / "m.yaml")

    assert [text.removeprefix(f"{tmp_path}/m.yaml, ").partition(": ")[0] for text in str(caught.value).split("\n")] == [
        f"line {next(n for n, text in enumerate(lines, 1) if 'colum:' in text)}",
        f"line {next(n for n, text in enumerate(lines, 1) if 'sorted' in text)}",
    ]


def test_a_field_that_no_event_has_is_named_with_its_line(tmp_path: Path) -> None:
    wrong = MESSAGE.replace("queue: sales", "queue: sales\n      mood: good")
    line = next(n for n, text in enumerate(wrong.split("\n"), 1) if "mood" in text)
    (tmp_path / "m.yaml").write_text(wrong, "utf-8")

    with pytest.raises(
        DocumentError, match=rf"m\.yaml, line {line}: events\[0\]\.data\.mood: csq\.message\.created has"
    ):
        load_mapping(tmp_path / "m.yaml")
