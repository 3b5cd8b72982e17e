"""Loading: one YAML file and the environment become one frozen `Settings`, or an error that lists every mistake."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from flows.settings import explain as explanation
from flows.settings.environment import override
from flows.settings.model import SHOWN, Settings
from operators.documents.secret import HIDDEN, Secret, read_secret
from operators.documents.validator import Problem, fill, problems, shown
from operators.documents.yaml import Place, YamlError, read_file, write


class SettingsError(Exception):
    """The settings are wrong; a line per mistake says where, what came and what was expected."""


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a file, of `environ` where it names any (`CSQ_HTTP__PORT=9000`), and defaults for the rest.

    >>> load(None, {"CSQ_HTTP__PORT": "9000"}).http.port
    9000
    >>> load(None, {"CSQ_HTTP__PROT": "9000"})
    Traceback (most recent call last):
    flows.settings.load.SettingsError: environment variable CSQ_HTTP__PROT: http.prot: unknown key; did you mean...

    Raises:
        SettingsError: with every mistake.
    """

    def hook(kind: type, value: object) -> Secret:
        return read_secret(kind, value, environ)

    data, lines = _read(path) if path else ({}, {})
    variables, found = override(Settings, data, environ)
    data = fill(Settings, data)
    found += problems(Settings, data, hook)
    if found:
        raise SettingsError("\n".join(_told(problem, path, lines, variables) for problem in found))
    return msgspec.convert(data, Settings, dec_hook=hook)


def dump(settings: Settings) -> str:
    """The settings as YAML, secrets hidden."""
    data = msgspec.to_builtins(settings, enc_hook=lambda _: HIDDEN)
    shown = {key: secret.reveal() for key, secret in settings.kafka.security.items() if key in SHOWN}
    data["kafka"]["security"].update(shown)
    return write(data)


def settings_digest(settings: Settings) -> str:
    """Twelve hexadecimal digits that are the same for the same effective settings; secrets do not count.

    >>> from flows.settings.model import Log
    >>> settings_digest(Settings()) == settings_digest(load(None, {})) != settings_digest(Settings(log=Log("debug")))
    True
    """
    return hashlib.sha256(dump(settings).encode()).hexdigest()[:12]


def explain() -> str:
    """``config/default.yaml``: every setting with its default and what it is for."""
    return explanation.default_yaml(Settings)


def _read(path: Path) -> tuple[dict[str, Any], dict[Place, int]]:
    try:
        data, lines = read_file(path, "a YAML file such as config/default.yaml")
    except YamlError as error:
        raise SettingsError(str(error)) from None
    if data is not None and not isinstance(data, dict):
        raise SettingsError(
            f"{path}, line {lines[()]}: expected sections such as `kafka:`, got {shown(Settings, data)}"
        )
    return data or {}, lines


def _told(
    problem: Problem,
    path: Path | None,
    lines: dict[Place, int],
    variables: dict[Place, str],
) -> str:
    """A mistake with the file and line, or the variable, that it comes from."""
    name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in problem.path).lstrip(".")
    text = problem.text if problem.text.startswith(f"{name}.") or not name else f"{name}: {problem.text}"
    for end in range(len(problem.path), 0, -1):
        place = problem.path[:end]
        if place in variables:
            return f"environment variable {variables[place]}: {text}"
        if place in lines:
            return f"{path}, line {lines[place]}: {text}"
    below = [name for place, name in variables.items() if problem.path and place[: len(problem.path)] == problem.path]
    return f"environment variable {below[0]}: {text}" if below else text
