"""What the processes of a cluster must have in common, and the differences between them.

Each process describes itself as names and values: releases, models, every setting but those that are a process's own.
A secret is described by a digest that is expensive to guess, and is never shown.
"""

import hashlib
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from flows.settings.model import NO_SECRET, Settings
from operators.documents.secret import hidden
from operators.domain.models.registry import MODELS

OWN_SECTIONS: Final = frozenset({"log", "http"})
"""Sections of the settings that are a process's own."""
OWN_CLIENT: Final = frozenset({"client.id", "client.rack"})
"""Settings of librdkafka that say where a process runs."""
LOCATIONS: Final = (".location", ".keytab")
"""What the names of settings end with that are paths of a machine."""
SEALED: Final = "#"
"""First character of the description of a secret; other values are JSON, which never begins with it."""
ABSENT: Final = "not set"
SHOWN_CHARACTERS: Final = 80
"""Longer values are cut in texts."""
SHOWN_DIFFERENCES: Final = 20
"""Further differences are counted."""

Traits = Mapping[str, str]
"""Name -> value as JSON, or the description of a secret."""


def traits_of(settings: Settings, processes: int) -> dict[str, str]:
    """What the other processes must have too.

    >>> traits = traits_of(Settings(), 2)
    >>> traits["state.lanes"], traits["processes in --addresses"], "http.port" in traits
    ('64', '2', False)
    """
    releases = {f"release of {name}": version(name) for name in ("csq", "bytewax", "river")}
    python = ".".join(platform.python_version_tuple()[:2])
    others = {
        **releases,
        "release of Python": python,
        "models": sorted(MODELS),
        "processes in --addresses": processes,
    }
    traits = {name: msgspec.json.encode(value).decode() for name, value in others.items()}
    return traits | dict(_settings_of(settings))


def _settings_of(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each setting that is not a process's own, by its path."""
    plain = {key: secret.reveal() for key, secret in settings.kafka.security.items() if key in NO_SECRET}
    data = msgspec.to_builtins(settings, enc_hook=lambda secret: SEALED + secret.reveal())
    data = {name: section for name, section in data.items() if name not in OWN_SECTIONS}
    data["kafka"]["security"] |= plain
    data["kafka"]["brokers"] = sorted(data["kafka"]["brokers"])  # only where a client begins
    data["kafka"]["librdkafka"] = {
        key: value for key, value in data["kafka"]["librdkafka"].items() if key not in OWN_CLIENT
    }
    data["state"]["directory"] = "set" if settings.state.directory is not None else None
    key = settings.privacy.key_file
    data["privacy"]["key_file"] = None if key is None else SEALED + _read(key)
    for name, value in _flat(data, ""):
        if not name.endswith(LOCATIONS):
            yield name, _described(name, value)


def _flat(value: object, path: str) -> Iterator[tuple[str, object]]:
    """The values of nested tables by their paths; lists are values."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _described(name: str, value: object) -> str:
    """The value as JSON, or the digest of a secret."""
    text = msgspec.json.encode(value).decode()
    if not (isinstance(value, str) and value.startswith(SEALED)) and hidden(text) == text:
        return text
    digest = hashlib.scrypt(text.encode(), salt=f"csq {name}".encode(), n=2**14, r=8, p=1, dklen=16)
    return SEALED + digest.hex()


def _read(path: str) -> str:
    """The key in a file; its path where it cannot be read, which is an error of its own elsewhere."""
    try:
        return Path(path).read_bytes().strip().decode("latin-1")
    except OSError:
        return path


def differences(by_process: Mapping[str, Traits]) -> list[str]:
    """A line for each trait that is not the same in all processes.

    >>> differences({"p0": {"state.lanes": "64", "a": "#1"}, "p1": {"state.lanes": "32", "a": "#2"}})
    ['a: another secret in p0 than in p1', 'state.lanes: 64 in p0, 32 in p1']
    """
    names = sorted({name for traits in by_process.values() for name in traits})
    found = [(name, {process: traits.get(name) for process, traits in by_process.items()}) for name in names]
    lines = [f"{name}: {_said(values)}" for name, values in found if len(set(values.values())) > 1]
    more = len(lines) - SHOWN_DIFFERENCES
    return lines if more <= 0 else [*lines[:SHOWN_DIFFERENCES], f"and {more} more"]


def _said(values: Mapping[str, str | None]) -> str:
    groups: dict[str | None, list[str]] = {}
    for process, value in values.items():
        groups.setdefault(value, []).append(process)
    named = {value: ", ".join(processes) for value, processes in groups.items()}
    if all(value is not None and value.startswith(SEALED) for value in named):
        first, *others = named.values()
        return f"another secret in {first} than in {' than in '.join(others)}"
    return ", ".join(f"{_shown(value)} in {processes}" for value, processes in named.items())


def _shown(value: str | None) -> str:
    if value is None:
        return ABSENT
    if value.startswith(SEALED):
        return "a secret"
    return value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}..."
