"""The mapping: how the rows of an export become events, as declared in YAML.

Only the shapes are here; `plan` checks them against the events and makes them run. `docs/importing.md` explains every
key with an example.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from operators.domain.mistakes import Mistake, MistakesError

Scalar = str | int | float | bool
Character = Annotated[str, Meta(min_length=1, max_length=1)]
Finite = Annotated[float, Meta(ge=-1e10, le=1e10)]


class _Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a mapping."""


class File(_Strict, frozen=True, kw_only=True):
    """How the file is written. Gzip is recognised by its first bytes."""

    sql: str | None = None
    """A query of DuckDB whose rows are mapped, instead of those of one CSV file."""
    delimiter: Character = ","
    quote: Character | None = '"'
    """null: quotes have no special meaning."""
    escape: Character | None = None
    encoding: str = "utf-8"
    empty: tuple[str, ...] = ()
    """Cells that mean "nothing", besides those without a visible character."""

    def __post_init__(self) -> None:
        """Refuse characters that the csv module cannot distinguish, and what a query does not use."""
        csv = (self.delimiter, self.quote, self.escape, self.encoding)
        if self.sql is not None and csv != (",", '"', None, "utf-8"):
            text = (
                "delimiter, quote, escape, encoding are for CSV; expected them in the query: read_csv(..., delim = ';')"
            )
            raise MistakesError(Mistake(("sql",), text))
        seen = set("\r\n \0")
        for key in ("delimiter", "quote", "escape"):
            sign = getattr(self, key)
            if sign in seen:
                text = "delimiter, quote and escape have to be different characters, none of them a space or a line end"
                raise MistakesError(Mistake((key,), text))
            seen |= {sign} - {None}


class Time(_Strict, frozen=True, kw_only=True):
    """A moment of a row: read from a column, counted up from a start, or some seconds after another one."""

    column: str | None = None
    formats: tuple[str, ...] = ("iso",)
    """Tried in turn: `iso`, `epoch` (seconds), `epoch_ms`, or a pattern of strptime."""
    zone: str | None = None
    """IANA name or offset such as +08:00: for times without one."""
    start: Annotated[datetime, Meta(tz=True)] | None = None
    step_seconds: Finite | None = None
    """Row n is at start + (n - 1) steps."""
    after: str | None = None
    plus_seconds: Finite | None = None

    def __post_init__(self) -> None:
        """Exactly one of the three forms, complete."""
        column, counted = (
            (self.column is not None,),
            (self.start is not None, self.step_seconds is not None),
        )
        later = (self.after is not None, self.plus_seconds is not None)
        whole = [form for form in (column, counted, later) if all(form)]
        if len(whole) != 1 or sum(map(any, (column, counted, later))) != 1:
            raise ValueError("expected either column, or start and step_seconds, or after and plus_seconds")


class When(_Strict, frozen=True, kw_only=True):
    """A condition: one test of one column, or any of several conditions."""

    column: str | None = None
    equals: str | None = None
    in_: tuple[str, ...] | None = field(default=None, name="in")
    not_in: tuple[str, ...] | None = None
    empty: bool | None = None
    matches: str | None = None
    """A regular expression, looked for anywhere in the cell."""
    differs_from: str | None = None
    """Another column."""
    any: "tuple[When, ...] | None" = None

    def __post_init__(self) -> None:
        """Exactly one test."""
        tests = (
            self.equals,
            self.in_,
            self.not_in,
            self.empty,
            self.matches,
            self.differs_from,
            self.any,
        )
        if sum(test is not None for test in tests) != 1 or (self.column is None) != (self.any is not None):
            raise ValueError("expected column and one of equals, in, not_in, empty, matches, differs_from; or only any")


class Value(_Strict, frozen=True, kw_only=True):
    """What a field of an event gets, where a plain constant or template does not do."""

    column: str | None = None
    template: str | None = None
    map: dict[str, Scalar] | None = None
    default: Scalar | None = None
    """For an empty cell, and for one that `map` does not name."""
    skip: bool = False
    """In these cases make no event, instead."""
    type: Literal["text", "number", "integer", "boolean"] | None = None
    """Only in `attributes` and `parameters`; elsewhere the event decides."""
    separator: Annotated[str, Meta(min_length=1)] = ","
    """Between the items of a list."""

    def __post_init__(self) -> None:
        """One origin, one answer to nothing."""
        if (self.column is None) == (self.template is None):
            raise ValueError("expected either column or template")
        if self.default is not None and self.skip:
            raise MistakesError(Mistake(("skip",), "expected default or skip, not both"))


Values = dict[str, Scalar | Value]
"""Field of the event's data (`author.role` for a field of a field) to a constant, a template, or more."""


class First(_Strict, frozen=True, kw_only=True):
    """The first cell of a column in a group that is not empty and meets the conditions."""

    column: str
    when: tuple[When, ...] = ()
    default: str = ""


class Group(_Strict, frozen=True, kw_only=True):
    """Rows that belong together, and the columns that each of them gets from the others."""

    column: str
    """Rows with the same value here are one group."""
    parent: str | None = None
    """Rows that name another's `column` here belong to its group, through any number of steps."""
    order: str | None = None
    """The time by which the rows of a group follow one another; without it they follow as in the file."""
    root: str | None = None
    """New column: the value of `column` of the row where the group starts."""
    position: str | None = None
    """New column: 1 for the first row of the group, and so on."""
    previous: dict[str, str] = {}
    """New column to column: its value in the row before; empty in the first."""
    first: dict[str, First] = {}
    """New column -> its origin."""


class EventMapping(_Strict, frozen=True, kw_only=True):
    """One event that a row may become."""

    type: str
    id: Scalar | Value
    time: str
    """One of `times`."""
    when: tuple[When, ...] = ()
    """All conditions must be true."""
    data: Values = {}


class Mapping(_Strict, frozen=True, kw_only=True):
    """The mapping."""

    source: Annotated[str, Meta(min_length=1, max_length=128)]
    """The `source` of every event: with the event's id it names the event, so a second import repeats the first."""
    file: File = File()
    times: dict[str, Time]
    group: Group | None = None
    when: tuple[When, ...] = ()
    """Rows that do not meet all of these become nothing."""
    data: Values = {}
    """Fields for every event that has them and does not set them itself."""
    events: tuple[EventMapping, ...]

    def __post_init__(self) -> None:
        """An import that makes nothing is a mistake."""
        if not self.events:
            raise MistakesError(Mistake(("events",), "events: expected at least one"))
