"""Validates plain data against msgspec structs: all mistakes at once, each with path, value and expectation.

msgspec stops at the first mistake and suggests no key. It still decides what is valid, and converts the data.
"""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from operators.documents.secret import Secret
from operators.documents.yaml import Place, write
from operators.domain.mistakes import MistakesError

Hook = Callable[[type, Any], Any]


class Problem(NamedTuple):
    """A mistake and its path."""

    path: Place
    text: str
    inside: Place = ()
    """From the value at `path` to the one inside it whose line is named; the text names it."""


def hints(kind: Any) -> dict[str, Any]:
    """Name and type of each key of a struct type; empty for every other type.

    >>> from msgspec import Struct
    >>> hints(type("Point", (Struct,), {"__annotations__": {"x": float}}))
    {'x': <class 'float'>}
    """
    bare = strip(kind)
    return _hints(bare) if isinstance(bare, type) and issubclass(bare, msgspec.Struct) else {}


@cache
def _hints(kind: type) -> dict[str, Any]:
    found = get_type_hints(kind, include_extras=True)
    return {field.encode_name: found[field.name] for field in msgspec.structs.fields(kind)}


def strip(kind: Any) -> Any:
    """The type inside `Annotated`."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _part_for(kind: Any, value: Any) -> Any:
    """The member of a union that `value` is checked as: the struct, table or list among them."""
    bare = strip(kind)
    if get_origin(bare) not in {Union, UnionType}:
        return kind
    parts = [part for part in get_args(bare) if _is_table(part)] if isinstance(value, dict) else []
    parts += [part for part in get_args(bare) if _is_list(part)] if isinstance(value, list) else []
    return parts[0] if parts else kind


def _is_table(kind: Any) -> bool:
    return bool(hints(kind)) or is_open_table(kind)


def _is_list(kind: Any) -> bool:
    return get_origin(strip(kind)) in {list, tuple}


def is_open_table(kind: Any) -> bool:
    """Whether a type is a table with keys of the user's choice."""
    return get_origin(strip(kind)) is dict


def fill(kind: Any, value: Any) -> Any:
    """`value`, where a table without a single key (YAML gives `None`) is an empty one.

    It results from commenting out the last key of a section.
    """
    known = hints(kind)
    if known and value is None:
        return {}
    if known and isinstance(value, dict):
        return {key: fill(known.get(key), item) for key, item in value.items()}
    return value


def problems(kind: Any, value: Any, hook: Hook, path: Place = ()) -> list[Problem]:
    """Every mistake in `value` as a `kind`, in the order of the file."""
    found = list(_inside(kind, value, hook, path))
    if found:
        return found
    try:
        msgspec.convert(value, kind, dec_hook=hook)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, MistakesError):  # of the struct itself, about values inside it
            return [Problem(path, text, place) for place, text in error.__cause__.found]
        if isinstance(error.__cause__, ValueError):  # of a hook, or of the struct as a whole
            return [Problem(path, str(error.__cause__))]
        return [Problem(path, f"got {shown(kind, value)}, expected {expected(kind)}")]
    return []


def _inside(kind: Any, value: Any, hook: Hook, path: Place) -> Iterator[Problem]:
    """The mistakes of the parts of `value`."""
    kind = _part_for(kind, value)
    bare, known = strip(kind), hints(kind)
    if known and isinstance(value, dict):
        for key, item in value.items():
            if key in known:
                yield from problems(known[key], item, hook, (*path, key))
            else:
                yield Problem((*path, key), _unknown(key, list(known)))
        required = {field.encode_name for field in msgspec.structs.fields(bare) if field.required}
        yield from (Problem(path, f"key `{key}` is missing") for key in sorted(required - value.keys()))
    elif _is_list(kind) and isinstance(value, list):
        for position, item in enumerate(value):
            yield from problems(get_args(bare)[0], item, hook, (*path, position))
    elif get_origin(bare) is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from problems(get_args(bare)[1], item, hook, (*path, key))


def _unknown(key: str, known: list[str]) -> str:
    near = get_close_matches(key, known, n=1)
    return f"unknown key; did you mean `{near[0]}`?" if near else f"unknown key; known are {', '.join(known)}"


def shown(kind: Any, value: Any) -> str:
    """A value in words; the content of a secret is not shown."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a table"
        case list():
            return "a list"
        case str():
            return "text" if _holds_secret(kind) else f"text {value[:60]!r}"
        case _:
            return write(value).split("\n")[0]


def _holds_secret(kind: Any) -> bool:
    return kind is Secret or any(_holds_secret(part) for part in (*get_args(kind), *hints(kind).values()))


def expected(kind: Any) -> str:
    """Return a type in words, for messages and for documentation.

    >>> from typing import Annotated, Literal
    >>> expected(Annotated[float, msgspec.Meta(ge=0, le=1)]), expected(list[str]), expected(Literal["met", "missed"])
    ('a number from 0 to 1', 'a list, each text', 'met or missed')
    """
    return _words(inspect.type_info(kind))


def _words(kind: inspect.Type) -> str:  # noqa: C901, PLR0911, PLR0912 - one line per kind of value
    match kind:
        case inspect.Metadata(type=inner):
            return _words(inner)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_range(kind)}"
        case inspect.FloatType():
            return f"a number{_range(kind)}"
        case inspect.StrType(max_length=1):
            return "one character"
        case inspect.StrType(min_length=length):
            return "text that is not empty" if length else "text"
        case inspect.LiteralType(values=values):
            return _either([str(value) for value in values])
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return f"a list, each {_words(item)}"
        case inspect.DictType(value_type=item):
            return f"a table, each value {_words(item)}"
        case inspect.UnionType(types=types):
            return _either([_words(part) for part in types])
        case inspect.NoneType():
            return "null"
        case inspect.DateTimeType():
            return "a time with zone such as 2025-01-31T08:00:00Z"
        case inspect.StructType(fields=fields):
            return f"a table with {', '.join(field.encode_name for field in fields)}"
        case inspect.CustomType():
            return "text, {file: PATH} or {env: NAME}"
        case _:
            raise NotImplementedError(f"settings of type {kind} have no words yet: give them some here")


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    low = f"above {kind.gt:.15g}" if kind.gt is not None else f"from {kind.ge:.15g}" if kind.ge is not None else ""
    high = f"below {kind.lt:.15g}" if kind.lt is not None else f"to {kind.le:.15g}" if kind.le is not None else ""
    if low.startswith("from") and not high:
        high = "up"
    return "".join(f" {part}" for part in (low, high) if part)


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
