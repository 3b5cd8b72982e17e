"""Values of a row: templates, maps, types, conditions, each compiled to a function of the cells."""

import math
import re
import string
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import NamedTuple

from operators.importer.columns import Cells, Columns, Read
from operators.importer.errors import CellError, MappingError, one_of, shown
from operators.importer.mapping import Scalar, Value, When
from operators.importer.schema import FieldTarget, Kind

Get = Callable[[Cells], object]
"""A field's value: None if it is absent, a `SkippedValue` to omit the event; raises CellError."""


class SkippedValue(NamedTuple):
    """An event is omitted: where its value comes from, and the value ("" for an empty cell)."""

    origin: str
    text: str


_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_BOOLEANS = {"true": True, "yes": True, "y": True, "t": True, "1": True} | {
    "false": False,
    "no": False,
    "n": False,
    "f": False,
    "0": False,
}
_PAD = re.compile(r"0[0-9]{1,2}")


def boolean(text: str) -> bool:
    """One of true, yes, y, t, 1 or false, no, n, f, 0, in any case."""
    if (found := _BOOLEANS.get(text.strip().lower())) is None:
        raise CellError(f"{shown(text)}; expected one of {one_of(_BOOLEANS)}")
    return found


def number(text: str) -> float:
    """A decimal number with a point.

    >>> number(" 29.85 ")
    29.85
    """
    found = float(text) if _NUMBER.fullmatch(text.strip()) else math.inf
    if math.isinf(found):
        raise CellError(f"{shown(text)}; expected a number such as 29.85")
    return found


def integer(text: str) -> int:
    """A whole number of at most 18 digits."""
    if _INTEGER.fullmatch(text.strip()) is None:
        raise CellError(f"{shown(text)}; expected a whole number")
    return int(text)


def _parser(kind: Kind, separator: str) -> Callable[[str], object]:
    if kind == "list":
        return lambda text: [item.strip() for item in text.split(separator) if item.strip()]
    return {"number": number, "integer": integer, "boolean": boolean}.get(kind, str)


def template(text: str, columns: Columns, path: str) -> tuple[Read, bool]:
    """What fills `text`, and whether it names any column; empty as soon as one of its cells is empty.

    >>> fill, _ = template("{id}-{turn:03}", Columns([]), "$")
    >>> fill(["1", "c9", "7"]), fill(["1", "c9", ""])
    ('c9-007', '')
    """
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise MappingError(f"{path}: {shown(text)}: {error}; write a literal brace twice") from None
    pieces: list[str | tuple[int, int]] = []
    for literal, name, pad, conversion in parts:
        pieces.append(literal)
        if name is None:
            continue
        if not name or conversion or (pad and not _PAD.fullmatch(pad)):
            raise MappingError(f"{path}: {shown(text)}: expected {{column}}, or {{column:03}} for leading zeros")
        pieces.append((columns.place(name), int(pad or 0)))
    places = [piece[0] for piece in pieces if isinstance(piece, tuple)]
    if len(places) == 1 and pieces == ["", (places[0], 0)]:  # nothing but a column: the usual case, and the hot one
        return itemgetter(places[0]), True

    def fill(cells: Cells) -> str:
        if not all(cells[place] for place in places):
            return ""
        return "".join(piece if isinstance(piece, str) else cells[piece[0]].zfill(piece[1]) for piece in pieces)

    return fill, bool(places)


def compile_value(value: Scalar | Value, target: FieldTarget, columns: Columns, path: str) -> Get:
    """What gives a field its value."""
    if isinstance(value, Value):
        return _compile(value, target, columns, path)
    if isinstance(value, str):
        fill, filled = template(value, columns, path)
        if filled:
            return _compile(Value(template=value), target, columns, path)
        value = fill([])
    fixed = constant(value, target, target.kind, path)
    return lambda _cells: fixed


def constant(value: Scalar, target: FieldTarget, kind: Kind, path: str) -> object:
    """`value` of the mapping itself, checked against the field."""
    fits: dict[type, tuple[Kind, ...]] = {
        bool: ("boolean", "open"),
        int: ("integer", "number", "open"),
        float: ("number", "open"),
    }
    if not isinstance(value, str):
        if kind not in fits[type(value)]:
            raise MappingError(f"{path}: {shown(value)}; expected {kind}" + " in quotes" * (kind == "text"))
        return value
    if target.choices and value not in target.choices:
        raise MappingError(f"{path}: {shown(value)}; expected one of {one_of(target.choices)}")
    try:
        return _parser(kind, ",")(value)
    except CellError as error:
        raise MappingError(f"{path}: {error}") from None


class _Answer(NamedTuple):
    """What to do with a cell without a value; `get` is called with the complaint to raise otherwise."""

    skip: bool
    default: object
    origin: str

    def get(self, text: str, complaint: str) -> object:
        if self.skip:
            return SkippedValue(self.origin, text)
        if self.default is None:
            raise CellError(f"{self.origin} is {complaint}")
        return self.default


def _compile(value: Value, target: FieldTarget, columns: Columns, path: str) -> Get:
    kind = _kind(value, target, path)
    read, origin = _origin(value, columns, path)
    default = None if value.default is None else constant(value.default, target, kind, f"{path}.default")
    answer = _Answer(value.skip, default, origin)
    optional = not (target.required or value.skip or default is not None)
    known = None if value.map is None else _known(value.map, target, kind, path)
    parse = _parser(kind, value.separator)

    def get(cells: Cells) -> object:
        text = read(cells)
        if not text:
            return None if optional else answer.get("", "empty; expected a value")
        if known is not None:
            if text in known:
                return known[text]
            return answer.get(text, f"{shown(text)}; expected one of {one_of(known)}")
        try:
            return parse(text)
        except CellError as error:
            raise CellError(f"{origin} is {error}") from None

    return get


def _kind(value: Value, target: FieldTarget, path: str) -> Kind:
    if target.kind != "open":
        if value.type is not None:
            raise MappingError(f"{path}.type: is for attributes and parameters; this field is always {target.kind}")
        return target.kind
    return value.type or ("text" if value.map is None else "open")


def _known(values: Mapping[str, Scalar], target: FieldTarget, kind: Kind, path: str) -> dict[str, object]:
    return {text: constant(value, target, kind, f"{path}.map.{text}") for text, value in values.items()}


def _origin(value: Value, columns: Columns, path: str) -> tuple[Read, str]:
    if value.template is not None:
        return template(value.template, columns, f"{path}.template")[0], f"template {shown(value.template)}"
    place = columns.place(value.column or "")
    return lambda cells: cells[place], f"column `{value.column}`"


def compile_when(conditions: tuple[When, ...], columns: Columns, path: str) -> Callable[[Cells], bool]:
    """Whether all `conditions` are true."""
    tests = [_test(when, columns, f"{path}[{index}]") for index, when in enumerate(conditions)]
    return lambda cells: all(test(cells) for test in tests)


def columns_of(conditions: tuple[When, ...]) -> list[str]:
    """The columns that `conditions` look at."""
    found = [column for when in conditions for column in (when.column, when.differs_from) if column is not None]
    return found + [column for when in conditions for column in columns_of(when.any or ())]


def _test(when: When, columns: Columns, path: str) -> Callable[[Cells], bool]:
    if when.any is not None:
        either = [_test(one, columns, f"{path}.any[{index}]") for index, one in enumerate(when.any)]
        return lambda cells: any(test(cells) for test in either)
    place = columns.place(when.column or "")
    if when.differs_from is not None:
        other = columns.place(when.differs_from)
        return lambda cells: cells[place] != cells[other]
    if when.matches is not None:
        try:
            found = re.compile(when.matches).search
        except (re.error, OverflowError, RecursionError) as error:
            raise MappingError(f"{path}.matches: {error}; expected a regular expression") from None
        return lambda cells: found(cells[place]) is not None
    if when.empty is not None:
        empty = when.empty
        return lambda cells: (cells[place] == "") is empty
    if when.not_in is not None:
        unwanted = frozenset(when.not_in)
        return lambda cells: cells[place] not in unwanted
    wanted = frozenset(when.in_ if when.in_ is not None else (when.equals or "",))
    return lambda cells: cells[place] in wanted
