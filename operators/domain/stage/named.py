"""Named: structs that are stored as arrays, read as the maps of names that version 1 stored."""

from inspect import isclass
from types import GenericAlias
from typing import Any, TypeVar

from msgspec import NODEFAULT, Raw, Struct, convert, defstruct, field, msgpack
from msgspec.structs import fields

S = TypeVar("S", bound=Struct)


def read_named(stored: Raw, kind: type[S]) -> dict[str, S]:
    """Key to record, stored as maps.

    >>> class Wait(Struct, array_like=True):
    ...     since: float
    ...     missed: bool = False
    >>> read_named(Raw(msgpack.encode({"c1": {"since": 1.0}})), Wait)
    {'c1': Wait(since=1.0, missed=False)}
    """
    found: dict[str, Any] = msgpack.decode(stored, type=GenericAlias(dict, (str, named(kind))))
    return {key: convert(record, kind, from_attributes=True) for key, record in found.items()}


def named(kind: type[Struct]) -> Any:
    """The same struct as a map of its names."""
    parts = []
    for each in fields(kind):
        inner = named(each.type) if isclass(each.type) and issubclass(each.type, Struct) else each.type
        default = {} if each.default is NODEFAULT else {"default": each.default}
        if each.default_factory is not NODEFAULT:
            default = {"default_factory": each.default_factory}
        parts.append((each.name, inner, field(**default)) if default else (each.name, inner))
    return defstruct(kind.__name__, parts)
