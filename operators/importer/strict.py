"""Strict YAML to msgspec structs: what people write is what they get, and a mistake is named by its path.

msgspec alone would say `$.events[...]` for a key of a dictionary and would not list what it knows.
"""

from types import UnionType
from typing import Union, get_args, get_origin

import msgspec

from operators.documents import yaml as strict_yaml
from operators.importer.errors import MappingError, one_of, shown


def read_yaml(text: str) -> object:
    """The plain data that `text` holds.

    >>> read_yaml("country: No")
    {'country': 'No'}

    Raises:
        MappingError: with the line.
    """
    try:
        return strict_yaml.read(text)[0]
    except strict_yaml.YamlError as error:
        raise MappingError(str(error)) from None


def build(raw: object, wanted: object, path: str = "$") -> object:
    """`raw` as `wanted`: a struct class, a dict, a tuple of any length, a union of these, or a plain type.

    >>> build({"a": 1}, dict[str, str])
    Traceback (most recent call last):
    operators.importer.errors.MappingError: $.a: Expected `str`, got `int`; came 1

    Raises:
        MappingError: names the path, what came and what was expected.
    """
    struct = _struct_in(wanted)
    if isinstance(raw, dict) and struct is not None:
        return _build_struct(raw, struct, path)
    items = {get_origin(one): get_args(one) for one in _members(wanted)}
    if isinstance(raw, dict) and dict in items:
        return {key: build(value, items[dict][1], f"{path}.{key}") for key, value in raw.items()}
    if isinstance(raw, list) and tuple in items:
        return tuple(build(item, items[tuple][0], f"{path}[{index}]") for index, item in enumerate(raw))
    try:
        built: object = msgspec.convert(raw, wanted)
    except msgspec.ValidationError as error:
        raise MappingError(f"{path}: {error}; came {shown(raw)}") from None
    return built


def _struct_in(wanted: object) -> type[msgspec.Struct] | None:
    """The struct class that `wanted` is, or has among the members of its union."""
    return next(
        (one for one in _members(wanted) if isinstance(one, type) and issubclass(one, msgspec.Struct)),
        None,
    )


def _members(wanted: object) -> tuple[object, ...]:
    return get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)


def _build_struct(raw: dict[str, object], struct: type[msgspec.Struct], path: str) -> msgspec.Struct:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for key in raw:
        if key not in fields:
            raise MappingError(f"{path}.{key}: unknown key; expected one of {one_of(fields)}")
    for key, field in fields.items():
        if field.required and key not in raw:
            raise MappingError(f"{path}: key `{key}` is missing")
    values = {fields[key].name: build(value, fields[key].type, f"{path}.{key}") for key, value in raw.items()}
    try:
        return struct(**values)
    except ValueError as error:  # from __post_init__
        raise MappingError(f"{path}: {error}") from None
