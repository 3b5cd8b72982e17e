"""Columns by name, cells by position: a mapping is compiled once, then each cell is one list look-up."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from operators.importer.errors import MappingError

Cells = list[str]
"""The cells of a row that the mapping uses: first the derived ones, then those of the file; "" is empty."""

Read = Callable[[Cells], str]

ROW = "$row"
"""The derived column that every row has: its number in the file, from 1, without the header."""


class Row(NamedTuple):
    """A row: the physical line (from 1) on which it begins, its cells."""

    line: int
    cells: Cells


class Columns:
    """Gives each column that a mapping names its place in `Cells`.

    >>> columns = Columns(["root"])
    >>> [columns.place(name) for name in ("root", "text", "$row", "text")], columns.of_file()
    ([1, 2, 0, 2], ['text'])
    """

    def __init__(self, derived: Iterable[str]) -> None:
        """`derived`: the columns that the group adds."""
        self._places = {ROW: 0}
        for name in derived:
            if name in self._places:
                raise MappingError(f"$.group: column `{name}` occurs twice; expected different names")
            self._places[name] = len(self._places)
        self.derived = tuple(self._places)

    def place(self, name: str) -> int:
        """The position of column `name`."""
        return self._places.setdefault(name, len(self._places))

    def of_file(self) -> list[str]:
        """The columns that have to be in the file, in the order of their places."""
        return list(self._places)[len(self.derived) :]
