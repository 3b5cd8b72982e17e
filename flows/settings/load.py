"""Loading: one YAML file and the environment become one frozen `Settings`, or an error that lists every mistake."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from flows.settings import explain as explanation
from flows.settings.environment import override
from flows.settings.model import SHOWN, Settings
from operators.documents.load import Source, read_source
from operators.documents.secret import HIDDEN, Secret, note_in, read_secret
from operators.documents.validator import Problem
from operators.documents.yaml import Place, write

MOVED: dict[Place, str] = {
    ("conversations", "reply_limit_seconds"): "promises.limit_seconds",
    ("conversations", "queue_limits"): "promises.queues",
    ("conversations", "idle_days"): "conversations.auto_close_hours",
    ("queues", "service_level_seconds"): "promises.limit_seconds",
    ("queues", "grace_seconds"): "promises.grace_seconds",
    ("simulator", "reply_limit_seconds"): "promises.limit_seconds",
}
"""Keys of before, and where they are now."""


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a file, of `environ` where it names any (`CSQ_HTTP__PORT=9000`), and defaults for the rest.

    >>> load(None, {"CSQ_HTTP__PORT": "9000"}).http.port
    9000
    >>> load(None, {"CSQ_HTTP__PROT": "9000"})
    Traceback (most recent call last):
    operators.documents.load.DocumentError: environment variable CSQ_HTTP__PROT: http.prot: unknown key; did you mean...

    Raises:
        DocumentError: with every mistake.
    """

    def hook(kind: type, value: object) -> Secret:
        return read_secret(kind, value, environ)

    source = read_source(path, "settings such as config/default.yaml") if path else Source()
    source.variables, found = override(Settings, source.data, environ)
    note_in(source.data)
    found += [Problem(place, f"moved to `{new}`") for place, new in MOVED.items() if _take_out(source.data, place)]
    settings = source.build(Settings, hook, known=found)
    if twins := list(_twins(settings)):
        raise source.error(twins)
    return settings


def _twins(settings: Settings) -> Iterator[Problem]:
    """Names under `promises` that differ from one under `labels` only in case or spaces."""
    promises = settings.promises
    named: list[tuple[str, Place, Iterable[str]]] = [
        ("queues", ("promises", "queues"), promises.queues),
        ("channels", ("promises", "channels"), promises.channels),
        *(
            ("channels", ("promises", "queues", name, "channels"), own.channels)
            for name, own in promises.queues.items()
        ),
    ]
    for label, place, names in named:
        choice = getattr(settings.labels, label)
        known = () if isinstance(choice, str) else choice
        folded = {each.casefold().strip(): each for each in known}
        for name in names:
            twin = folded.get(name.casefold().strip(), name)
            if twin != name and name not in known:
                yield Problem((*place, name), f"labels.{label} says {twin!r}; write both alike, as the events do")


def _take_out(data: dict[str, Any], place: Place) -> bool:
    """Take a value out of its section; whether it was there."""
    section, key = place
    table = data.get(str(section))
    return isinstance(table, dict) and table.pop(key, data) is not data


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


def cluster_id(settings: Settings) -> str:
    """Twelve hexadecimal digits that name a deployment: of the topics that it writes, which no other one may write to.

    They are the same for all of its processes and starts, also when it reads other topics.

    >>> from flows.settings.model import Log
    >>> cluster_id(Settings()) == cluster_id(Settings(log=Log("debug")))
    True
    """
    named = sorted(settings.kafka.outputs.by_stream().items())
    return hashlib.sha256(msgspec.json.encode(named)).hexdigest()[:12]


def explain() -> str:
    """``config/default.yaml``: every setting with its default and what it is for."""
    return explanation.default_yaml(Settings)
