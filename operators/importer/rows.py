"""Rows of a file: decompress, decode, cut into records, pick the columns; each bad record is refused by itself.

A quote that is never closed would swallow the rest of the file. So of a record that is not CSV only the first line is
skipped, and reading continues with the second. A record has at most `LONGEST` characters, and a cell at most as many as
the csv module takes (131,072), because a file of a megabyte may unpack to gigabytes.
"""

import csv
import gzip
import io
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import IO, Literal, TypedDict, cast

from operators.importer.columns import Cells, Columns, Row
from operators.importer.errors import FileError, MappingError, one_of, shown
from operators.importer.mapping import File

Refuse = Callable[[int, str], None]
"""Called with the line and the mistake of a bad row."""

_GZIP = b"\x1f\x8b"
LONGEST = 1 << 20
"""Characters of a record, over all of its lines."""


_JSON = re.compile(r"\s*(\{\s*[\"}]|\[\s*[\[{\"\]]|[{\[]\s*$)")


class _TooLongError(csv.Error):
    """A record has more than `LONGEST` characters."""


class _Dialect(TypedDict):
    delimiter: str
    quotechar: str | None
    escapechar: str | None
    quoting: Literal[0, 3]
    strict: bool


def check_file(file: File) -> None:
    """Refuse an encoding that Python does not know.

    Raises:
        MappingError: names it.
    """
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=file.encoding, errors="surrogateescape").read()
    except (LookupError, ValueError):
        raise MappingError(
            f"$.file.encoding: {shown(file.encoding)} is unknown; expected for example utf-8, utf-16, gb18030, cp1252"
        ) from None


def read_rows(path: Path, file: File, columns: Columns, limit: int | None, refuse: Refuse) -> Iterator[Row]:
    """The rows of `path`, at most the first `limit`, with room for the derived columns.

    Raises:
        FileError: the file cannot be read, or its header lacks a column.
    """
    lines = _Lines()
    try:
        with ExitStack() as stack:
            lines.text = _open(path, file, stack)
            yield from _rows(path, file, columns, limit, _Refusing(lines, refuse))
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        after = f" after line {lines.number}" if lines.number else ""
        why = getattr(error, "strerror", None) or error
        raise FileError(
            f"{path}: cannot be read{after}: {why}; expected a file in {file.encoding}, plain or gzip"
        ) from None


def _open(path: Path, file: File, stack: ExitStack) -> IO[str]:
    raw = stack.enter_context(path.open("rb"))
    plain = stack.enter_context(gzip.GzipFile(fileobj=raw)) if raw.peek(2)[:2] == _GZIP else raw
    is_utf8 = file.encoding.lower().replace("_", "-") in {"utf-8", "utf8"}
    encoding = "utf-8-sig" if is_utf8 else file.encoding  # a byte order mark is no part of the first column's name
    wrapper = io.TextIOWrapper(
        cast("IO[bytes]", plain),
        encoding=encoding,
        errors="surrogateescape",
        newline="",
    )
    return stack.enter_context(wrapper)


_BARE_CR = "\ud800"
"""Stands for a CR inside a line while the csv module cuts it: to that module a CR ends a record, quoted or not. No
encoding yields this character."""


class _Lines:
    """Physical lines with a way back to the second line of the record being read.

    A line ends as the first one does: with LF or CRLF, and then a CR alone is text; or, where the first ends with a CR
    alone, with any of the three.
    """

    def __init__(self) -> None:
        self.text: IO[str] = io.StringIO()
        self._cr_is_text: bool | None = None
        self.number = 0
        """Lines taken so far."""
        self.record: list[str] = []
        """Those of the present record."""
        self._again: deque[str] = deque()
        self._length = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        self.number += 1
        self.record.append(line)
        self._length += len(line)
        if self._length > LONGEST:
            raise _TooLongError
        return line

    def _read(self) -> str:
        """The next line, or the first characters of one that is too long."""
        line = piece = self.text.readline(LONGEST + 1)
        if not line:
            raise StopIteration
        if self._cr_is_text is None:
            self._cr_is_text = not line.endswith("\r")
        if not self._goes_on(piece):
            return line
        parts, length = [line], len(line)
        while self._goes_on(piece):
            piece = self.text.readline(LONGEST + 1)
            if length <= LONGEST:
                parts.append(piece)
                length += len(piece)
        line = "".join(parts)
        ending = next((end for end in ("\r\n", "\n", "\r") if line.endswith(end)), "")
        return line.removesuffix(ending).replace("\r", _BARE_CR if self._cr_is_text else "\r") + ending

    def _goes_on(self, piece: str) -> bool:
        """Whether what follows `piece` belongs to the same line."""
        if piece.endswith("\r"):
            return self._cr_is_text is True
        return len(piece) > LONGEST and not piece.endswith("\n")

    def begins_as_json(self) -> bool:
        """Whether the first record begins as an object or a list does."""
        return _JSON.match("".join(self.record)) is not None

    def has_bare_cr(self) -> bool:
        """Whether a line of the record has a CR that does not end it."""
        return any(_BARE_CR in line for line in self.record)

    def begin(self) -> int:
        """Begin a record; the number of its first line."""
        self.record.clear()
        self._length = 0
        return self.number + 1

    def retreat(self) -> None:
        """Read all lines of the record but the first again."""
        self._again.extendleft(reversed(self.record[1:]))
        self.number -= len(self.record) - 1


class _Refusing:
    """Lines, and the report of bad ones."""

    def __init__(self, lines: _Lines, refuse: Refuse) -> None:
        self.lines = lines
        self.refuse = refuse

    def records(self, file: File) -> Iterator[tuple[int, list[str] | str]]:
        """The line each record begins on, and its cells or what is wrong with it. Blank lines are no records."""
        dialect: _Dialect = {
            "delimiter": file.delimiter,
            "quotechar": file.quote,
            "escapechar": file.escape,
            "quoting": csv.QUOTE_NONE if file.quote is None else csv.QUOTE_MINIMAL,
            "strict": True,
        }
        lines, reader = self.lines, csv.reader(self.lines, **dialect)
        while True:
            first = lines.begin()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except _TooLongError:  # its lines are not read again: there may be many, of which each begins such a record
                reader = csv.reader(lines, **dialect)
                last = f" at line {lines.number}" if lines.number > first else ""
                yield first, f"is longer than {LONGEST:,} characters{last}; expected shorter records, each quote closed"
                continue
            except csv.Error as error:
                lines.retreat()
                reader = csv.reader(lines, **dialect)
                yield first, f"is not CSV: {error}; expected each quote to be closed"
                continue
            if any("\0" in line for line in lines.record):
                yield (
                    first,
                    "holds a NUL character; expected text (is `file.encoding` right?)",
                )
            elif cells:
                yield first, [cell.replace(_BARE_CR, "\r") for cell in cells] if lines.has_bare_cr() else cells


def _rows(path: Path, file: File, columns: Columns, limit: int | None, source: _Refusing) -> Iterator[Row]:
    records = source.records(file)
    _, header = next(records, (0, "is empty"))
    if source.lines.begins_as_json():
        raise FileError(
            f"{path}: is JSON; expected CSV. Read it with a query: `file: {{sql: ...}}` (docs/importing.md)"
        )
    if isinstance(header, str):
        raise FileError(f"{path}: the first line {header}; expected the names of columns: {one_of(columns.of_file())}")
    names = [name.strip() for name in header]
    check_columns(path, names, columns)
    pick = _picker(names, columns)
    room = [""] * (len(columns.derived) - 1)
    nothing = frozenset(file.empty)
    for number, (line, record) in enumerate(islice(records, limit), start=1):
        if isinstance(record, str):
            source.refuse(line, record)
        elif len(record) != len(header):
            source.refuse(
                line,
                f"has {len(record)} fields; expected {len(header)}, as the header has",
            )
        else:
            yield Row(line, [str(number), *room, *filled(pick(record), nothing)])


def filled(cells: Iterable[str], nothing: frozenset[str]) -> Cells:
    """`cells`, with "" for one of `nothing` and for one without a visible character."""
    return ["" if cell in nothing or cell.isspace() else cell for cell in cells]


def check_columns(path: Path, header: list[str], columns: Columns) -> None:
    """Refuse a header that lacks a column of the mapping, has it twice, or has a derived one.

    Raises:
        FileError: names it.
    """
    wanted = columns.of_file()
    if missing := [name for name in wanted if name not in header]:
        raise FileError(
            f"{path}: has no column {', '.join(f'`{name}`' for name in missing)}; its columns are: {', '.join(header)}"
        )
    if twice := [name for name in wanted if header.count(name) > 1]:
        raise FileError(f"{path}: has several columns `{twice[0]}`; expected unique names")
    if clash := [name for name in columns.derived if name in header]:
        raise FileError(f"{path}: has a column `{clash[0]}`, which is also a column of the mapping's group; rename one")


def _picker(header: list[str], columns: Columns) -> Callable[[list[str]], Cells]:
    """What takes the mapping's columns from a record."""
    wanted = columns.of_file()
    places = [header.index(name) for name in wanted]
    take = itemgetter(*places) if len(places) > 1 else lambda record: [record[place] for place in places]
    return cast("Callable[[list[str]], Cells]", take)
