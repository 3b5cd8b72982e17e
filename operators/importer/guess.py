"""Guess: what the columns of an unknown file are, from their names and what is in them."""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from operators.importer.errors import CellError
from operators.importer.mapping import Time
from operators.importer.sample import FileSample
from operators.importer.times import parser

FORMATS = (
    "iso",
    *("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%y %H:%M", "%d.%m.%Y"),
    *("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y"),
    *("%m/%d/%y %H:%M", "%d/%m/%y %H:%M", "%m/%d/%Y %I:%M %p", "%d/%m/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p"),
    *("%d-%m-%Y %H:%M", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y-%m-%d %H:%M:%S %Z", "%Y-%m-%d %H:%M:%S %z"),
    *("%a %b %d %H:%M:%S %z %Y", "%d %b %Y %H:%M", "%b %d, %Y %H:%M", "%b %d, %Y %I:%M %p"),
)
ROLES = {
    "customer": "customer client user end-user visitor guest contact lead requester incoming inbound in c buyer",
    "agent": "agent admin support operator staff employee outgoing outbound out rep representative a seller business",
    "bot": "bot ai assistant chatbot agent_bot",
    "system": "system automation rule activity template auto",
}
_ROLE_OF = {word: role for role, words in ROLES.items() for word in words.split()}
DONE = {"solved", "closed", "resolved", "done", "completed", "complete", "finished"}
RATINGS = {"good": 1, "bad": 0, "positive": 1, "negative": 0, "satisfied": 1, "dissatisfied": 0}
_IDS = {"id", "number", "no", "key"}
_MIXED = 3
"""Formats of one column."""
_FEW = 12
"""Different values of a column that are words of a closed set."""
_EPOCH, _EPOCH_MS = re.compile(r"1\d{9}(\.\d+)?"), re.compile(r"1\d{12}")
ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
ZONE_NAME = re.compile(r"\(((?:[A-Z][A-Za-z]+/[A-Za-z_]+)|UTC|GMT|[+-]\d\d:\d\d)\)$")
CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d)?( ?[AaPp][Mm])?")
_EXCEL = re.compile(r"[34]\d{4}(\.\d+)?")


class GuessedColumn(NamedTuple):
    """A column: its name, and its cells that are not empty, in the order of the rows."""

    name: str
    cells: list[str]
    filled: float
    """Share of rows."""

    @property
    def words(self) -> set[str]:
        """The words of its name, in lower case."""
        spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", self.name.removeprefix("outer."))
        return set(re.findall(r"[a-z]+", spaced.lower()))

    @property
    def different(self) -> int:
        """Different values."""
        return len(set(self.cells))


class Guess:
    """What each column is taken for."""

    def __init__(self, found: FileSample) -> None:
        self.found = found
        columns = [
            GuessedColumn(name, [row[place] for row in found.rows if row[place].strip()], 0.0)
            for place, name in enumerate(found.names)
        ]
        rows = max(len(found.rows), 1)
        self.columns = [column._replace(filled=len(column.cells) / rows) for column in columns if column.cells]
        self.times = {column.name: formats for column in self.columns if (formats := time_formats(column.cells))}
        self._used: set[str] = set()

        self.role = self._take(self._roles())
        self.public = self._take(
            column for column in self.columns if self._is_free(column) and is_public(column) is not None
        )
        self.done_at = self._time({"resolved", "closed", "solved", "closing", "done"}, must=True)
        self.at = self._time(
            {"created", "sent", "time", "date", "timestamp", "at", "opened", "written", "when", "said"}
        )
        self.text = self._take(self._texts())
        conversations = "conversation ticket case chat thread session dialogue convo"
        self.conversation = self._named(conversations, ids=True, least=1.0) or self._take(
            column
            for column in self.columns
            if column.name == "outer.id" or (column.words <= _IDS and column.different * 5 < rows * 4)
        )
        self.message = self._take(
            column
            for column in self.columns
            if self._is_free(column) and column.words & {"message", *_IDS}
            if column.different == rows or (column.name in {"id", "message_id"} and column.different * 2 > rows)
        )
        self.parent = None if self.conversation else self._named("parent reply response", ids=True, last=True)
        if self.conversation is None and self.text is None:
            self.conversation, self.message = self.message, None
        self.customer = self._named("customer client requester contact caller buyer user email", ids=True)
        self.author = self._named("author sender who writer from name user") if self.text else None
        self.agent = self._named("agent assignee admin teammate operator responder assigned")
        self.status = self._take(
            column for column in self.columns if {cell.lower() for cell in column.cells} & DONE and self._is_few(column)
        )
        self.rating = self._take(column for column in self.columns if self._is_rating(column))
        self.queue = self._named("queue team group department brand company inbox category topic", few=True)
        self.channel = self._named("channel via source medium", few=True)

    # ---- columns

    def _is_free(self, column: GuessedColumn) -> bool:
        return column.name not in self._used and column.name not in self.times

    def _is_few(self, column: GuessedColumn) -> bool:
        return self._is_free(column) and column.different <= _FEW

    def _take(self, columns: Iterable[GuessedColumn]) -> GuessedColumn | None:
        column = next(iter(columns), None)
        if column is not None:
            self._used.add(column.name)
        return column

    def _named(
        self, words: str, *, ids: bool = False, few: bool = False, last: bool = False, least: float = 0.0
    ) -> GuessedColumn | None:
        wanted = {word: rank for rank, word in enumerate(words.split())}
        hits = [
            (ids and not column.words & _IDS, min(wanted[word] for word in column.words & wanted.keys()), place, column)
            for place, column in enumerate(self.columns)
            if column.words & wanted.keys() and self._is_free(column) and column.filled >= least
            if not few or column.different <= max(_FEW, len(column.cells) // 5)
            if not ids or max(map(len, column.cells)) <= 64  # noqa: PLR2004 - longer than an id of any helpdesk
        ]
        return self._take(column for *_, column in sorted(hits, key=lambda hit: hit[:3], reverse=last))

    def _roles(self) -> Iterable[GuessedColumn]:
        hits = []
        for column in self.columns:
            if self._is_few(column):
                known = sum(is_role(column, cell) is not None for cell in set(column.cells))
                if known > 1 or (known and column.words & {"role", "who", "sender", "author", "from"}):
                    hits.append((known / column.different, column))
        return (column for _, column in sorted(hits, key=lambda hit: -hit[0]))

    def _texts(self) -> Iterable[GuessedColumn]:
        by_length = sorted(self.columns, key=lambda column: -sum(map(len, column.cells)) / len(column.cells))
        names = {"text", "body", "message", "content", "comment", "utterance", "description", "subject", "title"}
        free = [column for column in by_length if self._is_free(column)]
        yield from (
            column for column in free if column.words & names and not column.words & {"id", "ids", "html", "type"}
        )
        yield from (
            column
            for column in free
            if column.different * 2 > len(column.cells)
            and sum(" " in cell for cell in column.cells) * 2 > len(column.cells)
        )

    def _time(self, words: set[str], *, must: bool = False) -> GuessedColumn | None:
        times = [column for column in self.columns if column.name in self.times and column.name not in self._used]
        named = [column for column in times if column.words & words]
        inner = sorted(named, key=lambda column: (column.name.startswith("outer."), -column.filled))
        return self._take(inner or ([] if must else times))

    def _is_rating(self, column: GuessedColumn) -> bool:
        if not column.words & {"rating", "score", "csat", "stars", "satisfaction", "nps", "grade"}:
            return False
        return self._is_free(column) and (
            scale_of(column) is not None or bool({c.lower() for c in column.cells} & set(RATINGS))
        )


def is_public(column: GuessedColumn) -> bool | None:
    """What "true" in `column` says: that a message is public, or that it is a note; None if it says neither."""
    if not {cell.lower() for cell in column.cells} <= {"true", "false"}:
        return None
    return True if "public" in column.words else False if column.words & {"private", "internal"} else None


def is_role(column: GuessedColumn, cell: str) -> str | None:
    """The role that `cell` names, or None."""
    cell = cell.strip().lower()
    inbound = bool(column.words & {"inbound", "incoming"}) or {"from", "customer"} <= column.words
    if inbound or {"from", "agent"} <= column.words or column.words & {"outbound", "outgoing"}:
        is_true = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(cell)
        if is_true is not None:
            return "customer" if is_true is inbound else "agent"
    return _ROLE_OF.get(cell)


def scale_of(column: GuessedColumn) -> tuple[int, int] | None:
    """The smallest usual scale that holds all ratings, or None."""
    try:
        numbers = [float(cell) for cell in column.cells]
    except ValueError:
        return None
    return next(
        (
            scale
            for scale in ((0, 1), (1, 5), (1, 7), (0, 10), (0, 100))
            if scale[0] <= min(numbers) and max(numbers) <= scale[1]
        ),
        None,
    )


class TimeFormats(NamedTuple):
    """Formats that together read all cells, and others each of which reads them all too."""

    formats: list[str]
    others: list[str]


def time_formats(cells: list[str]) -> TimeFormats | None:
    """The formats of `cells`, the likeliest first; None if they are no times."""
    some = [cell.strip() for cell in cells[:200]]
    for shape, name in ((_EPOCH_MS, "epoch_ms"), (_EPOCH, "epoch"), (_EXCEL, "excel")):
        if all(map(shape.fullmatch, some)):
            return TimeFormats([name], [])
    if not all(re.search(r"\d\D+\d+\D+\d", cell) for cell in some):
        return None
    if one := [pattern for pattern in FORMATS if _count(pattern, some) == len(some)]:
        return TimeFormats(one[:1], one[1:])
    needed: list[str] = []
    for pattern in FORMATS:
        if _count(pattern, some):
            needed.append(pattern)
            some = [cell for cell in some if not _count(pattern, [cell])]
    return TimeFormats(needed, []) if not some and len(needed) <= _MIXED else None


def _count(pattern: str, cells: list[str]) -> int:
    """How many of `cells` are times of `pattern`."""
    parse = parser(Time(column="x", formats=(pattern,), zone="UTC"), "$")
    found = 0
    for cell in cells:
        with suppress(CellError):
            parse(cell)
            found += 1
    return found
