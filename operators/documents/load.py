"""Load: a YAML file becomes a struct, or one error that lists every mistake with its file, line and place.

Settings, objectives, the web configuration and mappings of the importer are all read here::

    declaration = load_document(Path("config/slo.yaml"), Declaration, "objectives such as config/slo.yaml")
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from operators.documents.validator import Hook, Problem, fill, problems, shown
from operators.documents.yaml import Place, YamlError, line_of, name_of, read_file

T = TypeVar("T", bound=msgspec.Struct)


Stamp = tuple[int, int, int]
"""Time of the last change (ns), size, number of the file."""


class DocumentError(ValueError):
    """A document is wrong: a line per mistake with file and line, path, value and expectation."""


def no_hook(kind: type, value: Any) -> Any:
    """Convert nothing: for documents that hold plain values only."""
    raise NotImplementedError(f"nothing converts {value!r} to {kind}")


class Source:
    """Plain data, and where each of its values was given: a line of a file, or a variable of the environment."""

    def __init__(self, path: Path | None = None, data: Any = None, lines: Mapping[Place, int] | None = None) -> None:
        self.path = path
        self.data: Any = {} if data is None else data
        self.lines = lines or {}
        self.variables: Mapping[Place, str] = {}
        """The variables that override values, by the place of the value."""

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the document start from."""
        return self.path.parent if self.path is not None else Path()

    def build(self, kind: type[T], hook: Hook = no_hook, known: Iterable[Problem] = ()) -> T:
        """Return the data as a `kind`.

        Raises:
            DocumentError: with every mistake, those that are `known` first.
        """
        data = fill(kind, self.data)
        if found := [*known, *problems(kind, data, hook)]:
            raise self.error(found)
        return msgspec.convert(data, kind, dec_hook=hook)

    def error(self, found: Iterable[Problem]) -> DocumentError:
        """Return the error that lists these mistakes."""
        return DocumentError("\n".join(self._line(problem) for problem in found))

    def _line(self, problem: Problem) -> str:
        name = name_of(problem.path)
        text = problem.text if not name or problem.text.startswith(f"{name}.") else f"{name}: {problem.text}"
        where = self._where((*problem.path, *problem.inside))
        return f"{where}: {text}" if where else text

    def _where(self, place: Place) -> str:
        """The origin of the value at a place: of the nearest around it that has one, else of one inside it."""
        around = [place[:end] for end in range(len(place), 0, -1)]
        if variable := next((self.variables[each] for each in around if each in self.variables), None):
            return f"environment variable {variable}"  # it replaces what the file has inside of its value
        if line := next((self.lines[each] for each in around if each in self.lines), None):
            return f"{self.path}, line {line}"
        inside = [name for variable, name in self.variables.items() if place and variable[: len(place)] == place]
        if inside:
            return f"environment variable {inside[0]}"
        return f"{self.path}, line {line_of(place, self.lines)}" if self.path is not None else ""


def stamp(path: Path) -> Stamp | None:
    """Return what changes whenever a file does, also where Kubernetes swaps a link; `None`: it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_source(path: Path, expected: str) -> Source:
    """Read a YAML file; `expected` describes its content in an error.

    Raises:
        DocumentError: it cannot be read, it is not YAML, or it is not a table.
    """
    try:
        data, lines = read_file(path, expected)
    except YamlError as error:
        raise DocumentError(str(error)) from None
    if data is not None and not isinstance(data, dict):
        raise DocumentError(f"{path}, line {lines[()]}: got {shown(object, data)}, expected {expected}")
    return Source(path, data, lines)


def load_document(
    path: Path,
    kind: type[T],
    expected: str,
    hook: Hook = no_hook,
    check: Callable[[T], Iterable[Problem]] = lambda _: (),
) -> T:
    """Return a file as a `kind`; `check` finds what types alone cannot: names that do not exist, values that clash.

    Raises:
        DocumentError: with every mistake; `check` runs when there is no other.
    """
    source = read_source(path, expected)
    document = source.build(kind, hook)
    if found := list(check(document)):
        raise source.error(found)
    return document
