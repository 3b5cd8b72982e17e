"""Which fields the data of an event type has, so that a mapping is checked before the first row is read.

Taken from the structs in `operators.domain.wire.events`: nothing is declared twice.
"""

from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

from msgspec import inspect

from operators.domain.wire.events import AnyEvent

Kind = Literal["text", "number", "integer", "boolean", "list", "time", "open"]
"""What a field holds; `open` is a value of `attributes`: text, number or boolean, as the mapping says."""

_KINDS: dict[type[inspect.Type], Kind] = {
    inspect.StrType: "text",
    inspect.LiteralType: "text",
    inspect.FloatType: "number",
    inspect.IntType: "integer",
    inspect.BoolType: "boolean",
    inspect.ListType: "list",
    inspect.DateTimeType: "time",
}


class FieldTarget(NamedTuple):
    """A field to fill; `choices` are the only texts it takes, if it is that kind of field."""

    kind: Kind
    required: bool
    choices: tuple[str, ...] = ()


class Fields(NamedTuple):
    """The fields of a type's data by dotted name, and the dictionaries in it (`attributes`), which take any name."""

    targets: dict[str, FieldTarget]
    dictionaries: tuple[str, ...]

    def find(self, name: str) -> FieldTarget | None:
        """The field called `name`, or None."""
        parent, dot, key = name.partition(".")
        if dot and key and parent in self.dictionaries:
            return FieldTarget("open", required=False)
        return self.targets.get(name)

    def names(self) -> list[str]:
        """For messages."""
        return [*self.targets, *(f"{name}.<any name>" for name in self.dictionaries)]


@cache
def event_types() -> dict[str, Fields]:
    """All types and their fields.

    >>> sorted(event_types()["csq.message.created"].targets)[:2]
    ['author.id', 'author.role']
    >>> event_types()["csq.customer.updated"].find("attributes.plan")
    FieldTarget(kind='open', required=False, choices=())
    """
    return dict(map(_describe, AnyEvent.__args__))


def _describe(event: type) -> tuple[str, Fields]:
    info = inspect.type_info(event)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{event}: expected a struct")
    data = next(field.type for field in info.fields if field.name == "data")
    found = dict(_flatten(data))
    dictionaries = tuple(name for name, target in found.items() if target is None)
    return str(info.tag), Fields({name: target for name, target in found.items() if target}, dictionaries)


def _flatten(data: inspect.Type, prefix: str = "") -> Iterator[tuple[str, FieldTarget | None]]:
    """Each field below `data`; None for a dictionary."""
    if not isinstance(data, inspect.StructType):
        raise TypeError(f"{data}: expected a struct")
    for field in data.fields:
        name, kind = prefix + field.encode_name, _without_none(field.type)
        if isinstance(kind, inspect.StructType):
            yield from _flatten(kind, name + ".")
        elif isinstance(kind, inspect.DictType):
            yield name, None
        else:
            choices = tuple(map(str, kind.values)) if isinstance(kind, inspect.LiteralType) else ()
            yield name, FieldTarget(_KINDS[type(kind)], field.required, choices)


def _without_none(kind: inspect.Type) -> inspect.Type:
    if not isinstance(kind, inspect.UnionType):
        return kind
    (only,) = (member for member in kind.types if not isinstance(member, inspect.NoneType))
    return only
