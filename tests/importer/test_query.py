"""Queries: rows of `file.sql`, what they may read, and what they say when they fail."""

import gzip
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from operators.documents.load import DocumentError
from operators.importer import FileError, ImportSummary, import_file, load_mapping
from operators.importer.query import REQUIREMENT
from tests.streams import ROOT

MAPPING = """
source: shop
file:
  empty: ["-"]
  sql: |
    {sql}
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
      text: {column: text, default: ""}
"""
GUIDE = (ROOT / "docs" / "importing.md").read_text("utf-8")
ROW = "'1' AS id, '2024-05-01' AS at, 'ann' AS who"


def run(
    folder: Path, sql: str, path: Path | None = None, limit: int | None = None
) -> tuple[list[dict[str, Any]], ImportSummary, list[str]]:
    (folder / "m.yaml").write_text(MAPPING.replace("{sql}", sql.replace("\n", "\n    ")), "utf-8")
    out, said = io.BytesIO(), []
    summary = import_file(
        load_mapping(folder / "m.yaml"), path or folder, out, strict=False, report=said.append, limit=limit
    )
    return [json.loads(line) for line in out.getvalue().splitlines()], summary, said


def texts(folder: Path, sql: str, path: Path | None = None) -> list[str]:
    events, _, said = run(folder, sql, path)
    assert said == []
    return [event["data"]["text"] for event in events]


def text_of(folder: Path, expression: str) -> str:
    return texts(folder, f"SELECT {ROW}, {expression} AS text")[0]


def refusal(folder: Path, sql: str) -> str:
    with pytest.raises(FileError) as caught:
        run(folder, sql)
    return str(caught.value).removeprefix(f"{folder}: ")


def test_a_query_joins_files_of_the_folder_and_what_no_dialect_says(tmp_path: Path) -> None:
    (tmp_path / "tickets.csv").write_text(
        "id;at;user;text;text\n1;45413.5;7;hello|again;x\n2;45413.75;8;late;y\n", "utf-8"
    )
    (tmp_path / "users.json").write_text('[{"id": 7, "name": "ann"}, {"id": 8, "name": "bob"}]', "utf-8")
    events, summary, said = run(
        tmp_path,
        """SELECT t.id || '-' || part.place AS id, TIMESTAMP '1899-12-30' + to_seconds(86400 * t.at) AS at,
  u.name AS who, part.text AS text
FROM read_csv('tickets.csv', names = ['id', 'at', 'user', 'text', 'more']) t
JOIN read_json('users.json') u ON u.id = t.user,
  (SELECT unnest(string_split(t.text, '|')) AS text, generate_subscripts(string_split(t.text, '|'), 1) AS place) part
WHERE t.at > 0 AND t.user < 9 AND TIMESTAMP '1899-12-30' + to_seconds(86400 * t.at) > TIMESTAMP '2024-05-01 00:00:00'
ORDER BY id;""",
    )
    assert said == []
    assert summary.rows == 3
    assert [(event["id"], event["time"], event["data"]["customer_id"], event["data"]["text"]) for event in events] == [
        ("1-1", "2024-05-01T12:00:00Z", "ann", "hello"),
        ("1-2", "2024-05-01T12:00:00Z", "ann", "again"),
        ("2-1", "2024-05-01T18:00:00Z", "bob", "late"),
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("NULL", ""),
        ("'-'", ""),  # one of file.empty
        ("' '", ""),
        ("TRUE", "true"),
        ("215472621202693", "215472621202693"),
        ("CAST(29.9 AS DECIMAL(9, 2))", "29.90"),
        ("CAST(0.1 AS DOUBLE)", "0.1"),
        ("TIMESTAMP '2024-05-01 10:00:00.25'", "2024-05-01 10:00:00.25"),
        ("timezone('America/New_York', TIMESTAMP '2024-05-01 10:00:00')", "2024-05-01 14:00:00+00"),
        ("DATE '2024-05-01'", "2024-05-01"),
        ("['a', 'b']", "[a, b]"),
        ("CAST('{\"a\": \"x\"}' AS JSON) ->> 'a'", "x"),
    ],
)
def test_cells_are_text_as_duckdb_casts_it(tmp_path: Path, expression: str, expected: str) -> None:
    assert text_of(tmp_path, expression) == expected


def test_a_time_with_a_zone_is_read_as_iso(tmp_path: Path) -> None:
    events, _, _ = run(
        tmp_path,
        "SELECT '1' AS id, timezone('America/New_York', TIMESTAMP '2024-05-01 10:00:00') AS at, 'ann' AS who, 'x' AS text",
    )
    assert events[0]["time"] == "2024-05-01T14:00:00Z"


def test_the_variable_file_is_the_file_of_the_command_or_all_files_of_the_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    odd = data / "it's [1] *.json"
    odd.write_text('{"text": "odd"}', "utf-8")
    (data / "it's [1] x.json").write_text('{"text": "other"}', "utf-8")
    (data / "packed.json.gz").write_bytes(gzip.compress(b'{"text": "packed"}'))
    sql = "SELECT '1' AS id, '2024-05-01' AS at, 'ann' AS who, json ->> 'text' AS text FROM read_json_objects(getvariable('file'))"

    assert texts(tmp_path, sql, odd) == ["odd"]
    assert texts(tmp_path, sql, data / "packed.json.gz") == ["packed"]
    assert sorted(texts(tmp_path, sql, data)) == ["odd", "other", "packed"]


def test_bad_rows_have_their_number_in_the_result(tmp_path: Path) -> None:
    sql = f"SELECT {ROW}, 'x' AS text UNION ALL SELECT '2', 'never', 'ann', 'x'"
    events, summary, said = run(tmp_path, sql)
    assert (len(events), summary.bad_rows) == (1, 1)
    assert said == [f"{tmp_path}, row 2: csq.message.created, time: column `at` is 'never'; expected a time as iso"]
    assert run(tmp_path, sql, limit=1)[1].rows == 1


@pytest.mark.parametrize(
    "source",
    [
        "read_text('/etc/hostname')",
        "read_csv('../secret.csv')",
        "read_csv('../data2/secret.csv')",
        "glob('/etc/*')",
        "read_csv('https://example.com/a.csv')",
        "read_parquet('s3://bucket/a.parquet')",
        "'m.db'.main.t",
        "read_blob('/dev/stdin')",
        "sqlite_scan('a.db', 't')",
        "duckdb_secrets()",
        "nothing_here",
    ],
)
def test_a_query_reads_files_of_its_folder_and_nothing_else(tmp_path: Path, source: str) -> None:
    for folder in ("data", "data2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "secret.csv").write_text("text\nsecret\n")
    (tmp_path / "secret.csv").write_text("text\nsecret\n")
    nothing_here = [1]  # noqa: F841 - a query does not see variables of the program
    with pytest.raises(FileError, match=r"the query `file\.sql` (fails|cannot be understood): .*; expected a SELECT"):
        run(tmp_path, f"SELECT {ROW}, text FROM {source}", tmp_path / "data")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.csv").write_text("text\nsecret\n")
    (tmp_path / "data" / "link.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(FileError, match=r'Cannot access file "link\.csv"'):
        run(tmp_path, f"SELECT {ROW}, text FROM read_csv('link.csv')", tmp_path / "data")


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'x.db'",
        "SET threads = 4",
        "INSTALL httpfs",
        f"CREATE TABLE t AS SELECT {ROW}",
        f"SELECT {ROW}, 'x' AS text; SELECT 1",
        "-- nothing",
    ],
)
def test_a_query_is_one_select(tmp_path: Path, sql: str) -> None:
    assert refusal(tmp_path, sql) == "the query `file.sql` is not one SELECT; expected one, and no other statement"
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]


def test_errors_say_where_and_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3,4,secret text of a customer\n")
    assert re.fullmatch(
        r"the query `file\.sql` fails: Binder Error: Referenced column \"wh\" not found in FROM clause! .*LINE 1: .*; "
        r"expected a SELECT of DuckDB over files of its folder \(docs/importing\.md\)",
        refusal(tmp_path, f"SELECT wh, {ROW} FROM (SELECT 1 AS x)"),
    )
    assert refusal(tmp_path, "SELEC 1").startswith("the query `file.sql` cannot be understood: Parser Error: syntax")
    assert 'No files found that match the pattern "no.csv"' in refusal(tmp_path, "FROM read_csv('no.csv')")
    wrong = refusal(
        tmp_path,
        f"SELECT {ROW}, a AS text FROM read_csv('bad.csv', header = true, columns = {{'a': 'INT', 'b': 'INT'}}, auto_detect = false)",
    )
    assert "CSV Error on Line: 3" in wrong
    assert "secret" not in wrong
    assert refusal(tmp_path, f"SELECT {ROW}") == "has no column `text`; its columns are: id, at, who"
    assert refusal(tmp_path, f"SELECT {ROW}, 'x' AS text, 'y' AS text").startswith("has several columns `text`")


def test_a_folder_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none: cannot be read: No such file or directory"):
        run(tmp_path, f"SELECT {ROW}", tmp_path / "none")


def test_what_is_for_csv_is_refused_beside_a_query(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        MAPPING.replace("{sql}", "SELECT 1").replace("  empty:", "  delimiter: ';'\n  empty:"), "utf-8"
    )
    with pytest.raises(DocumentError, match=r"file: delimiter, quote, escape, encoding are for CSV"):
        load_mapping(tmp_path / "m.yaml")


def test_without_duckdb_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert refusal(tmp_path, "SELECT 1") == (
        'the query `file.sql` needs DuckDB, which is not installed; run: pip install "duckdb>=1.5,<2"'
    )


def test_the_message_and_the_extra_name_the_same_versions() -> None:
    assert f'import = ["{REQUIREMENT}"]' in (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("expression", "given", "expected"),
    [
        ("unnest(string_split(cell, chr(10)))", "'a' || chr(10) || 'b' AS cell", ["a", "b"]),
        ("regexp_extract(cell, 'Order ([0-9]+)', 1)", "'see Order 12, please' AS cell", ["12"]),
        ("TIMESTAMP '1899-12-30' + to_seconds(86400 * cell)", "45413.5 AS cell", ["2024-05-01 12:00:00"]),
        (
            "opened + CAST(cell AS INTERVAL)",
            "TIMESTAMP '2024-05-01 10:00:00' AS opened, '64:00:00' AS cell",
            ["2024-05-04 02:00:00"],
        ),
        ("CAST(round(price * 100) AS BIGINT)", "29.85 AS price", ["2985"]),
        (
            "timezone('Europe/Paris', CAST(written AS TIMESTAMP))",
            "'2024-05-01 10:00' AS written",
            ["2024-05-01 08:00:00+00"],
        ),
        ("array_to_string(tags, ',')", "['a', 'b'] AS tags", ["a,b"]),
    ],
)
def test_an_expression_of_the_guide_gives_what_it_says(
    tmp_path: Path, expression: str, given: str, expected: list[str]
) -> None:
    assert f"`{expression}`" in GUIDE or f"{expression} AS text`" in GUIDE
    assert sorted(texts(tmp_path, f"SELECT {ROW}, {expression} AS text FROM (SELECT {given})")) == expected


def test_files_of_the_guide_are_read_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("17,2024-05-01,hello\n")
    (tmp_path / "a.json").write_text('{"comments": [{"body": "one"}, {"body": "two"}]}')
    without_header = "read_csv('a.csv', header = false, names = ['ticket', 'written', 'text'])"
    inside = "SELECT unnest(json -> '$.comments[*]') AS c FROM read_json_objects('a.json')"
    assert f"`{without_header}`" in GUIDE
    assert f"`{inside}`" in GUIDE
    assert texts(tmp_path, f"SELECT {ROW}, text FROM {without_header}") == ["hello"]
    assert sorted(texts(tmp_path, f"SELECT {ROW}, c ->> 'body' AS text FROM ({inside})")) == ["one", "two"]
