"""Groups: values of a row that depend on the other rows of its conversation.

An export of replies names the message that each answers, not the conversation; an export of updates holds states, not
changes. A group joins such rows and gives each the root's id, its position, cells of the row before and first cells.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from operators.importer.columns import Cells, Columns, Row
from operators.importer.errors import CellError, MappingError, one_of
from operators.importer.mapping import Group
from operators.importer.rows import Refuse
from operators.importer.times import Moment
from operators.importer.values import columns_of, compile_when


class _First(NamedTuple):
    into: int
    column: int
    applies: Callable[[Cells], bool]
    default: str


class Grouping(NamedTuple):
    """A group with its columns as places."""

    name: str
    column: int
    parent: int | None
    order: Moment | None
    root: int | None
    position: int | None
    previous: tuple[tuple[int, int], ...]
    first: tuple[_First, ...]

    def derive(self, rows: Iterable[Row], refuse: Refuse) -> list[Row]:
        """All rows that have their place in a group, as in the file, with the group's columns filled in."""
        kept: list[Row] = []
        moments: list[datetime] = []
        for row in rows:
            if not row.cells[self.column]:
                refuse(
                    row.line,
                    f"column `{self.name}` is empty; expected what names the group",
                )
                continue
            try:
                if self.order is not None:
                    moments.append(self.order(row.cells))
                kept.append(row)
            except CellError as error:
                refuse(row.line, str(error))
        members = sorted(range(len(kept)), key=moments.__getitem__) if moments else range(len(kept))
        self._fill([kept[index].cells for index in members], [row.cells for row in kept])
        return kept

    def _fill(self, ordered: list[Cells], as_in_file: list[Cells]) -> None:
        tops = self._roots(as_in_file)
        groups: dict[str, list[Cells]] = {}
        for cells in ordered:
            groups.setdefault(tops[cells[self.column]], []).append(cells)
        for top, group in groups.items():
            firsts = [(first.into, _first(first, group)) for first in self.first]
            before: Cells | None = None
            for position, cells in enumerate(group, start=1):
                for into, value in firsts:
                    cells[into] = value
                if self.root is not None:
                    cells[self.root] = top
                if self.position is not None:
                    cells[self.position] = str(position)
                for into, column in self.previous:
                    cells[into] = before[column] if before else ""
                before = cells

    def _roots(self, rows: list[Cells]) -> dict[str, str]:
        parents: dict[str, str] = {}
        for cells in rows:
            parents.setdefault(cells[self.column], "" if self.parent is None else cells[self.parent])
        return roots(parents)


def roots(parents: dict[str, str]) -> dict[str, str]:
    """The root of every id, given each id's parent ("" for none).

    A parent that is not in the file is a root too, so its answers stay together. A circle's root is its first id.

    >>> roots({"c": "b", "b": "a", "a": "", "x": "gone", "p": "q", "q": "p"})
    {'c': 'a', 'b': 'a', 'a': 'a', 'x': 'gone', 'gone': 'gone', 'p': 'p', 'q': 'p'}
    """
    found: dict[str, str] = {}
    order = {one: index for index, one in enumerate(parents)}
    for start in parents:
        way: dict[str, None] = {}
        one = start
        while one not in found and one not in way and parents.get(one):
            way[one] = None
            one = parents[one]
        if one in way:
            circle = list(way)[list(way).index(one) :]
            top = min(circle, key=order.__getitem__)
        else:
            top = found.get(one, one)
        found.update(dict.fromkeys(way, top))
        found.setdefault(one, top)
    return found


def _first(first: _First, group: list[Cells]) -> str:
    return next(
        (cells[first.column] for cells in group if cells[first.column] and first.applies(cells)),
        first.default,
    )


def derived_columns(group: Group | None) -> list[str]:
    """The columns that `group` adds."""
    if group is None:
        return []
    single = [name for name in (group.root, group.position) if name is not None]
    return [*single, *group.previous, *group.first]


def compile_group(group: Group, columns: Columns, times: dict[str, Moment]) -> Grouping:
    """`group` with its columns as places.

    Raises:
        MappingError: it builds on its own columns, or on an unknown time.
    """
    if group.order is not None and group.order not in times:
        raise MappingError(f"$.group.order: `{group.order}` is not a time; expected one of {one_of(times)}")
    own = set(derived_columns(group))
    conditions = [
        (f"first.{name}.when", column) for name, one in group.first.items() for column in columns_of(one.when)
    ]
    sources = [(f"first.{name}.column", one.column) for name, one in group.first.items()]
    sources += [(f"previous.{name}", column) for name, column in group.previous.items()]
    for path, column in [
        ("column", group.column),
        ("parent", group.parent or ""),
        *sources,
        *conditions,
    ]:
        if column in own:
            raise MappingError(f"$.group.{path}: `{column}` is a column of the group; expected one of the file")
    return Grouping(
        group.column,
        columns.place(group.column),
        None if group.parent is None else columns.place(group.parent),
        None if group.order is None else times[group.order],
        None if group.root is None else columns.place(group.root),
        None if group.position is None else columns.place(group.position),
        tuple((columns.place(name), columns.place(column)) for name, column in group.previous.items()),
        tuple(
            _First(
                columns.place(name),
                columns.place(one.column),
                compile_when(one.when, columns, f"$.group.first.{name}.when"),
                one.default,
            )
            for name, one in group.first.items()
        ),
    )
