"""Write: the events of a file, one JSON object a line, each checked as the reader will check it."""

from collections import Counter
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

from operators.importer.errors import CellError, RowError
from operators.importer.mapping import Mapping
from operators.importer.plan import Plan, compile_mapping
from operators.importer.rows import read_rows
from operators.importer.rule import RuleResult


class ImportSummary(NamedTuple):
    """What an import did."""

    rows: int
    """Records read, the header not counted."""
    bad_rows: int
    """Reported and left out, with all their events."""
    rows_without_event: int
    """Filtered out by the mapping."""
    events: dict[str, int]
    """Events written, per type in the order of their names."""


def import_file(
    mapping: Mapping,
    path: Path,
    out: BinaryIO,
    *,
    strict: bool,
    report: Callable[[str], None],
    limit: int | None = None,
) -> ImportSummary:
    """Write the events that `mapping` makes of the file `path` to `out`; the same file gives the same bytes.

    `report` gets one message per bad row: file, line, value, expectation. `limit`: maximum number of rows. What
    was written before an exception stays in `out`.

    Raises:
        RowError: the first bad row, if `strict`.
        FileError: the file cannot be read, or lacks a column.
        MappingError: the mapping contradicts itself (`load_mapping` has looked already).
    """
    ledger = _Ledger(path, report if not strict else _raise)
    written: Counter[str] = Counter()
    made = _made(mapping, compile_mapping(mapping), path, limit, ledger)
    for event in sorted(made, key=attrgetter("time")) if mapping.sort == "time" else made:
        out.write(event.raw + b"\n")
        written[event.type] += 1
    return ImportSummary(
        ledger.good + ledger.bad,
        ledger.bad,
        ledger.without_event,
        dict(sorted(written.items())),
    )


def _raise(message: str) -> None:
    raise RowError(message)


class _Ledger:
    """Counts rows and reports the bad ones."""

    def __init__(self, path: Path, report: Callable[[str], None]) -> None:
        self.good = 0
        self.bad = 0
        self.without_event = 0
        self._path = path
        self._report = report

    def refuse(self, line: int, message: str) -> None:
        self.bad += 1
        self._report(f"{self._path}:{line}: {message}")


def _made(mapping: Mapping, plan: Plan, path: Path, limit: int | None, ledger: _Ledger) -> Iterator[RuleResult]:
    """The events, row by row as in the file: a stable sort by time then orders by time, row, event of the row."""
    rows = read_rows(path, mapping.file, plan.columns, limit, ledger.refuse)
    for row in rows if plan.grouping is None else plan.grouping.derive(rows, ledger.refuse):
        try:
            events = plan.make(row.cells)
        except CellError as error:
            ledger.refuse(row.line, str(error))
            continue
        ledger.good += 1
        ledger.without_event += not events
        yield from events
