"""A strict subset of YAML; every mistake has a line.

Plain words follow YAML 1.2: only `true` and `false` are booleans, so `NO` stays Norway; only plain decimal numbers are
numbers, so `1_000`, `012`, `1:30`, `.inf` and dates stay text, which a check of types then refuses by name. A key
given twice, a key that is not text, an anchor, an alias and a tag are mistakes.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]
"""Path of a value: keys and list positions."""


class YamlError(ValueError):
    """It is not the YAML we read; the message begins with the line, that of `read_file` with the file."""


_WORDS = (
    ("tag:yaml.org,2002:bool", r"true|false", "tf"),
    ("tag:yaml.org,2002:null", r"null|~|", ["n", "~", ""]),
    ("tag:yaml.org,2002:int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?",
        "-+0123456789",
    ),
)

_INT_DIGITS = 19
"""As many as a number of 64 bits has; longer ones become floats."""


class _Loader(yaml.SafeLoader):
    """Composes nodes, with our rules for plain scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave its types out
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not read",
                problem_mark=event.start_mark,
            )
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(problem=f"tag {event.tag} is not read", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


_BREAKS = re.compile("[\x85\u2028\u2029]")
"""Line breaks of Unicode: YAML reads them as a space unless they are escaped."""


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or this module would not read as text; a list of plain values is on one line."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = '"' if _BREAKS.search(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        del flow_style
        plain = not any(isinstance(item, dict | list | tuple) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=plain)


_Dumper.add_representer(str, _Dumper.represent_str)
for _tag, _pattern, _first in _WORDS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))


def read(text: str) -> tuple[Any, dict[Place, int]]:
    r"""The data in `text`, and the line (from 1) of each key and item.

    >>> read("country: NO\nwaits: [1, 2.5]")
    ({'country': 'NO', 'waits': [1, 2.5]}, {(): 1, ('country',): 1, ('waits',): 2, ('waits', 0): 2, ('waits', 1): 2})
    >>> read("a: 1\na: 2")
    Traceback (most recent call last):
    operators.documents.yaml.YamlError: line 2, column 1: key `a` is given twice

    Raises:
        YamlError: with line and column.
    """
    loader = _loader(text)
    lines: dict[Place, int] = {}
    try:
        node = loader.get_single_node()
        return (None if node is None else _value(node, (), lines)), lines
    except yaml.MarkedYAMLError as error:
        raise YamlError(_describe(error)) from None
    except RecursionError:
        raise YamlError("line 1: nested too deeply") from None


def read_file(path: Path, expected: str) -> tuple[Any, dict[Place, int]]:
    """The same for a file; `expected` describes its content in a message.

    Raises:
        YamlError: it cannot be read, or not as YAML; with the file, and the line if there is one.
    """
    try:
        return read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise YamlError(f"{path}: cannot be read: {reason}; expected {expected}") from None
    except YamlError as error:
        raise YamlError(f"{path}, {error}") from None


def line_of(place: Place, lines: Mapping[Place, int]) -> int:
    """The line of a place, or of the nearest around it that has one.

    >>> line_of(("waits", 7, "x"), {(): 1, ("waits",): 2}), line_of((), {})
    (2, 1)
    """
    known = (place[:end] for end in range(len(place), -1, -1))
    return next((lines[around] for around in known if around in lines), 1)


def name_of(place: Place) -> str:
    """A place as messages name it.

    >>> name_of(("events", 0, "data", "queue"))
    'events[0].data.queue'
    """
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).lstrip(".")


def write(data: object) -> str:
    """`data` as YAML that `read` and any other reader take for the same.

    >>> print(write({"country": "NO", "waits": [1, 2.5]}), end="")
    country: 'NO'
    waits: [1, 2.5]
    """
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


def _loader(text: str) -> _Loader:
    """The loader of `text`; PyYAML refuses control characters without a line."""
    try:
        return _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(f"line {line}: character {error.character!r} is not allowed") from None


def _value(node: yaml.Node, path: Place, lines: dict[Place, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(key_node, mapping)
            lines[*path, key] = key_node.start_mark.line + 1
            mapping[key] = _value(value_node, (*path, key), lines)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, position), lines) for position, item in enumerate(node.value)]
    return _scalar(node)


def _key(node: yaml.Node, mapping: dict[str, Any]) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
        raise yaml.MarkedYAMLError(
            problem="a key has to be text; put it in quotes",
            problem_mark=node.start_mark,
        )
    key = str(node.value)
    if key in mapping:
        raise yaml.MarkedYAMLError(problem=f"key `{key}` is given twice", problem_mark=node.start_mark)
    return key


def _scalar(node: yaml.Node) -> str | float | bool | None:
    match node.tag.removeprefix("tag:yaml.org,2002:"):
        case "null":
            return None
        case "bool":
            return bool(node.value == "true")
        case "int" if len(node.value) <= _INT_DIGITS:
            return int(node.value)
        case "int" | "float":
            number = float(node.value)
            if not math.isfinite(number):
                raise yaml.MarkedYAMLError(problem="the number is too large", problem_mark=node.start_mark)
            return number
        case _:
            return str(node.value)


def _describe(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = "line 1" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
    return f"{where}: {error.problem or error.context}"
