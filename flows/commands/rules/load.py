"""Load: reads `config/slo.yaml`; every mistake is told with its line and what was expected.

Whoever draws or writes something from the declaration reads it with this::

    declaration = load(Path("config/slo.yaml"), Settings())
    for name, slo in declaration.slos.items(): ...
"""

from pathlib import Path
from typing import Any

import msgspec

from flows.commands.rules.declaration import Declaration, Slo
from flows.commands.rules.misfits import misfits
from flows.commands.rules.selection import PromisedPart
from flows.settings.model import Settings
from operators.documents.validator import Problem, fill, problems
from operators.documents.yaml import Place, YamlError, line_of, read_file
from operators.domain.stage.promise import PromisesParams


class RulesError(Exception):
    """The declaration is wrong; a line per mistake says where, what came and what was expected."""


def load(path: Path, settings: Settings) -> Declaration:
    """The declaration of a file; queues, channels and other label values are those of `settings`.

    Raises:
        RulesError: with every mistake.
    """
    data, lines = _read(path)
    data = fill(Declaration, data)
    found = problems(Declaration, data, _no_hook)
    if not found:
        declaration = msgspec.convert(data, Declaration)
        found = [Problem(place, text) for place, text in misfits(declaration, settings)]
    if found:
        raise RulesError("\n".join(_told(problem, path, lines) for problem in found))
    return _with_limits(declaration, settings.promises)


def _with_limits(declaration: Declaration, promises: PromisesParams) -> Declaration:
    """The declaration, with a selection for each limit in place of `within_seconds: promise`."""

    def limited(slo: Slo) -> Slo:
        parts = {
            role: tuple(part for each in getattr(slo, role) for part in PromisedPart.all_of(each, promises))
            for role in ("good", "bad", "total")
        }
        return msgspec.structs.replace(slo, **parts)

    return msgspec.structs.replace(declaration, slos={name: limited(slo) for name, slo in declaration.slos.items()})


def _no_hook(kind: type, value: Any) -> Any:  # noqa: ANN401 - any plain data
    raise NotImplementedError(f"{kind} in the declaration: nothing converts {value!r}")


def _read(path: Path) -> tuple[dict[str, Any], dict[Place, int]]:
    try:
        data, lines = read_file(path, "a file such as config/slo.yaml")
    except YamlError as error:
        raise RulesError(str(error)) from None
    if not isinstance(data, dict):
        raise RulesError(f"{path}, line {lines.get((), 1)}: expected tables such as `slos:` (see docs/slo.md)")
    return data, lines


def _told(problem: Problem, path: Path, lines: dict[Place, int]) -> str:
    name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in problem.path).lstrip(".")
    return f"{path}, line {line_of(problem.path, lines)}: {name}: {problem.text}" if name else f"{path}: {problem.text}"
