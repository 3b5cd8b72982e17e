"""Write: the events of a file, one JSON object a line, each checked as the reader will check it."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from operators.importer.errors import CellError, RowError
from operators.importer.mapping import Mapping
from operators.importer.order import by_time
from operators.importer.plan import Plan, compile_mapping
from operators.importer.query import query_rows
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
    skipped: list[str]
    """Each field whose `skip` left out events, with the values and how often they came."""


def import_file(
    mapping: Mapping,
    path: Path,
    out: BinaryIO,
    *,
    strict: bool,
    report: Callable[[str], None],
    limit: int | None = None,
) -> ImportSummary:
    """Write the events that `mapping` makes of the file `path` to `out`, by time; the same file gives the same bytes.

    `report` gets one message per bad row: file, line, value, expectation. `limit`: maximum number of rows. Nothing is
    written before the file has been read to its end.

    Raises:
        RowError: the first bad row, if `strict`.
        FileError: the file cannot be read, or lacks a column.
        MappingError: the mapping contradicts itself (`load_mapping` has looked already).
    """
    ledger = _Ledger(f"{path}:" if mapping.file.sql is None else f"{path}, row ", report if not strict else _raise)
    written: Counter[str] = Counter()
    plan = compile_mapping(mapping)
    made = _counted(_made(mapping, plan, path, limit, ledger), written)
    out.writelines(raw + b"\n" for raw in by_time(made))
    return ImportSummary(
        ledger.good + ledger.bad,
        ledger.bad,
        ledger.without_event,
        dict(sorted(written.items())),
        plan.skipped.lines(),
    )


def _raise(message: str) -> None:
    raise RowError(message)


class _Ledger:
    """Counts rows and reports the bad ones."""

    def __init__(self, place: str, report: Callable[[str], None]) -> None:
        self.good = 0
        self.bad = 0
        self.without_event = 0
        self._place = place
        self._report = report

    def refuse(self, line: int, message: str) -> None:
        self.bad += 1
        self._report(f"{self._place}{line}: {message}")


def _counted(events: Iterator[RuleResult], types: Counter[str]) -> Iterator[RuleResult]:
    for event in events:
        types[event.type] += 1
        yield event


def _made(mapping: Mapping, plan: Plan, path: Path, limit: int | None, ledger: _Ledger) -> Iterator[RuleResult]:
    """The events, row by row as in the file: those of the same time are written in this order."""
    if mapping.file.sql is None:
        rows = read_rows(path, mapping.file, plan.columns, limit, ledger.refuse)
    else:
        rows = query_rows(path, mapping.file, plan.columns, limit)
    for row in rows if plan.grouping is None else plan.grouping.derive(rows, ledger.refuse):
        try:
            events = plan.make(row.cells)
        except CellError as error:
            ledger.refuse(row.line, str(error))
            continue
        ledger.good += 1
        ledger.without_event += not events
        yield from events
