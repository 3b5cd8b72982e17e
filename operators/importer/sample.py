"""Sample: the first rows of an unknown file as a table, and the `file:` of a mapping that reads it.

Encoding, delimiter and header of a text are found by trying; of JSON the list of objects with the most fields is taken,
and with it the object around it. Nothing is decided by the name of the file.
"""

import csv
import gzip
import io
import json
import re
import string
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from operators.importer.errors import FileError
from operators.importer.query import quoted

LARGEST = 64 << 20
"""Bytes of JSON that are read to see its shape."""
_ROWS = 500
_HEAD = 1 << 20
"""Bytes of a text that are read."""
_DELIMITERS = ",;\t|"
_NESTED = 3
"""Levels of objects in an object whose fields become columns."""
_DATA = re.compile(r"[-+]?[\d.,:/ -]+|\S+@\S+\.\S+|true|false", re.IGNORECASE)
"""What a name of a column does not look like."""
_NO_NAME = re.compile(r"[{}!:\[\]]")
"""Signs that a template may not take in the name of a column."""
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class FileSample(NamedTuple):
    """A table: names of columns, rows of as many cells."""

    names: list[str]
    rows: list[list[str]]
    file: list[str]
    """YAML below `file:` of a mapping."""
    relation: str
    """The same in a query."""
    doubts: list[str]


def sample(path: Path) -> FileSample:
    """The first rows of `path`.

    Raises:
        FileError: it cannot be read, or is neither text nor JSON.
    """
    head = _bytes(path, _HEAD)
    if head.startswith(b"PK"):
        raise FileError(f"{path}: is a workbook or an archive; expected text: save the sheet as CSV")
    if not head.strip():
        raise FileError(f"{path}: is empty; expected rows")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["} and (found := _json(path)) is not None:
        return found
    return _text(path, head)


def _bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            return (gzip.GzipFile(fileobj=raw) if packed else raw).read(most)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise FileError(f"{path}: cannot be read: {why}; expected CSV or JSON, plain or gzip") from None


# ---- text


def _text(path: Path, head: bytes) -> FileSample:
    encoding, doubts = _encoding(head)
    text = head.decode(encoding, errors="replace")
    if len(head) == _HEAD:
        text = text[: text.rfind("\n") + 1]
    delimiter, table = max(
        ((sign, _table(text, sign)) for sign in _DELIMITERS), key=lambda found: _regular([len(row) for row in found[1]])
    )
    if not table:
        raise FileError(f"{path}: has no row; expected lines of fields")
    first, width = table[0], max(map(len, table))
    has_header = len(table) > 1 and all(cell.strip() and not _DATA.fullmatch(cell.strip()) for cell in first)
    rows = [row + [""] * (width - len(row)) for row in table[has_header:] if len(row) > 1 or width == 1]
    names = [name.strip() for name in first] if has_header and len(first) == width else []
    options = f"delim = '{delimiter}', quote = '\"', all_varchar = true, null_padding = true"
    if encoding not in {"utf-8", "utf-8-sig"}:
        options += f", encoding = '{encoding}'"
    if names and names == (usable := _usable(names)):
        relation = f"read_csv(getvariable('file'), header = true, {options})"
        return FileSample(names, rows, _plain(delimiter, encoding), relation, doubts)
    if names:
        doubts.append("names of columns occur twice or cannot be used: they are changed in the query")
        names = usable
    else:
        doubts.append("no line with names: columns are numbered")
        names = [f"c{number}" for number in range(1, width + 1)]
    listed = ", ".join(map(_literal, names))
    options = f"header = false, skip = {int(has_header)}, {options}, names = [{listed}]"
    relation = f"read_csv(getvariable('file'), {options})"
    return FileSample(names, rows, [f"sql: {yaml_of(f'FROM {relation}')}"], relation, doubts)


def _usable(names: list[str]) -> list[str]:
    """`names`, each a different one that a template of a mapping takes."""
    found: list[str] = []
    for place, name in enumerate(names, start=1):
        fits = name and name.isprintable() and _is_in_template(name)
        plain = name if fits else "".join(filter(str.isprintable, _NO_NAME.sub(" ", name))).strip() or f"c{place}"
        found.append(plain if plain not in found else f"{plain}_{place}")
    return found


def _is_in_template(name: str) -> bool:
    try:
        return list(string.Formatter().parse(f"{{{name}}}")) == [("", name, "", None)]
    except ValueError:
        return False


def _encoding(head: bytes) -> tuple[str, list[str]]:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", []
    try:
        head[: head.rfind(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252", ["not UTF-8: taken as cp1252 (Windows); names and umlauts show whether that is right"]
    return "utf-8-sig", []


def _table(text: str, delimiter: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > _ROWS:
                break
    except csv.Error:
        pass
    return rows


def _regular(widths: list[int]) -> tuple[float, int]:
    """How many rows are as wide as most; one column is no sign of a delimiter."""
    if not widths:
        return 0.0, 0
    usual = max(set(widths), key=widths.count)
    return (widths.count(usual) / len(widths) if usual > 1 else 0.0), usual


def _plain(delimiter: str, encoding: str) -> list[str]:
    lines = [] if delimiter == "," else [f"delimiter: {yaml_of(delimiter)}"]
    return lines if encoding == "utf-8-sig" else [*lines, f"encoding: {encoding}"]


# ---- JSON


class _Records(NamedTuple):
    """Objects of one kind: where they are in what is around them, and that, which may be of use too."""

    path: str
    """JSON path from the object around; "" for that itself."""
    objects: list[tuple[dict[str, Any], dict[str, Any]]]
    """(object, object around)."""


def _json(path: Path) -> FileSample | None:
    """The sample, or None if it only looks like JSON."""
    raw = _bytes(path, LARGEST + 1)
    if len(raw) > LARGEST:
        raise FileError(f"{path}: is JSON of more than {LARGEST:,} bytes; expected a smaller part of it to guess from")
    try:
        whole = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"))
        tops = whole if isinstance(whole, list) else [whole]
    except msgspec.DecodeError:
        try:
            tops = [msgspec.json.decode(line) for line in raw.splitlines()[: 10 * _ROWS] if line.strip()]
        except msgspec.DecodeError:
            return None
    objects = [top for top in tops if isinstance(top, dict)]
    if not objects:
        raise FileError(f"{path}: is JSON without objects; expected a list of objects, or one per line")
    outer, source = objects, "SELECT json AS t FROM read_json_objects(getvariable('file'))"
    wrapped = _lists(objects)
    if len(objects) == 1 and wrapped and "id" not in objects[0]:  # {"tickets": [...], "count": 9}
        inner = wrapped[0]
        outer = [one for one, _ in inner.objects]
        source = source.replace("json AS", f"unnest(json -> {_literal(inner.path)}) AS")
    return _table_of(outer, source)


def _lists(objects: list[dict[str, Any]]) -> list[_Records]:
    """Lists of objects in `objects`, those with the most values first."""
    found: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for one in objects:
        for steps, value in _walk(one):
            if isinstance(value, list):
                inside = [(item, one) for item in value if isinstance(item, dict)]
                found.setdefault(_path(steps) + "[*]", []).extend(inside)
    records = [_Records(path, inside) for path, inside in found.items() if inside]
    return sorted(records, key=lambda each: -sum(len(item) for item, _ in each.objects))


def _table_of(outer: list[dict[str, Any]], source: str) -> FileSample:
    messages = next((each for each in _lists(outer) if _is_messages(each)), None)
    if messages is None:
        pairs, parts = [(one, one) for one in outer], [("t", "", outer)]
    else:
        pairs = messages.objects
        parts = [("m", "", [one for one, _ in pairs]), ("t", "outer.", [one for _, one in pairs])]
        inner = f"unnest(t -> {_literal(messages.path)}) AS m"
        source = f"SELECT t, {inner} FROM ({source})"  # noqa: S608 - as above
    columns: list[tuple[str, str, list[str]]] = []
    for variable, prefix, objects in parts:
        fields = dict.fromkeys(steps for one in objects[:_ROWS] for steps, value in _walk(one) if _is_cell(value))
        for steps in fields:
            cells = [_cell(_get(one, steps)) for one in objects[:_ROWS]]
            name = prefix + "_".join(steps)
            if any(cells) and [name] == _usable([name]):
                columns.append((name, f"{variable} ->> {_literal(_path(steps))}", cells))
    chosen = ",\n  ".join(f"{read} AS {quoted(name)}" for name, read, _ in columns)
    sql = f"SELECT {chosen}\nFROM ({source})"
    rows = [list(row) for row in zip(*(cells for _, _, cells in columns), strict=True)]
    file = ["sql: |", *(f"  {line}" for line in sql.split("\n"))]
    return FileSample([name for name, _, _ in columns], rows, file, f"({sql})", [])


def _is_messages(records: _Records) -> bool:
    """Whether objects look like what somebody wrote: with a time and a text."""
    keys = {key.lower() for one, _ in records.objects[:_ROWS] for key in one}
    has_time = any("created" in key or "time" in key or key.endswith(("_at", "date")) for key in keys)
    return has_time and any(word in key for key in keys for word in ("body", "text", "content", "message"))


def _walk(one: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in one.items():
        if not key.isprintable() or '"' in key:
            continue  # cannot be written in a path
        if isinstance(value, dict) and len(above) + 1 < _NESTED:
            yield from _walk(value, (*above, key))
        else:
            yield (*above, key), value


def _get(one: Any, steps: tuple[str, ...]) -> Any:
    for step in steps:
        one = one.get(step) if isinstance(one, dict) else None
    return one


def _is_cell(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or not _is_cell(value) else str(value)


def _path(steps: tuple[str, ...]) -> str:
    return "$" + "".join(f".{step}" if _WORD.fullmatch(step) else f'."{step}"' for step in steps)


def _literal(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"


def yaml_of(value: object) -> str:
    """`value` as JSON that is YAML too: YAML takes no characters that cannot be printed, and no pairs of surrogates."""
    return printable(json.dumps(value, ensure_ascii=False))


def printable(text: str) -> str:
    """`text`, with other signs as YAML and JSON escape them."""
    return "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in text)
