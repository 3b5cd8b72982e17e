"""Settings from the environment: `CSQ_SECTION__KEY=value` overrides the file.

`__` separates tables. A value is YAML; for a setting of type text it is used unchanged, so that passwords need no
quotes. In a table of librdkafka's names `_` is a dot: `CSQ_KAFKA__SECURITY__SASL_PASSWORD`.
"""

from collections.abc import Mapping
from typing import Any, get_args

from operators.documents.secret import Secret
from operators.documents.validator import Problem, hints, is_open_table, strip
from operators.documents.yaml import Place, YamlError, read

PREFIX = "CSQ_"


def override(kind: type, data: dict[str, Any], environ: Mapping[str, str]) -> tuple[dict[Place, str], list[Problem]]:
    """Put the variables that are settings into `data`; return which one set what, and what cannot be one.

    Variables without `__` are not settings (container platforms make up such names for services), unless they are
    the name of one but for an underscore.

    >>> from flows.settings.model import Settings
    >>> data = {"log": {"level": "info"}}
    >>> override(Settings, data, {"CSQ_LOG__LEVEL": "debug", "CSQ_HTTP__PORT": "9000", "CSQ_DATA": "elsewhere"})
    ({('http', 'port'): 'CSQ_HTTP__PORT', ('log', 'level'): 'CSQ_LOG__LEVEL'}, [])
    >>> data
    {'log': {'level': 'debug'}, 'http': {'port': 9000}}
    """
    names = {variable(path).replace("__", "_"): variable(path) for path in paths(kind)}
    variables: dict[Place, str] = {}
    found: list[Problem] = []
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        if "__" in name:
            try:
                variables[_put(kind, data, name, environ[name])] = name
            except YamlError as error:
                found.append(Problem((), f"environment variable {name}: {error}"))
        elif name in names:
            found.append(
                Problem(
                    (),
                    f"environment variable {name}: unknown; did you mean `{names[name]}`?",
                )
            )
    return variables, found


def paths(kind: Any, path: Place = ()) -> list[Place]:  # noqa: ANN401 - any type hint
    """The path of every setting of a struct type."""
    known = hints(kind)
    return [inner for key in known for inner in paths(known[key], (*path, key))] if known else [path]


def variable(path: Place) -> str:
    """The variable that overrides a setting.

    >>> variable(("dedupe", "window_seconds"))
    'CSQ_DEDUPE__WINDOW_SECONDS'
    """
    return PREFIX + "__".join(str(key) for key in path).upper()


def _put(kind: Any, data: dict[str, Any], name: str, text: str) -> Place:  # noqa: ANN401 - any type hint
    """Write one variable into the tables of `data`; return where. What is no table in the file stays: it is refused."""
    table: Any = data
    path: list[str] = []
    keys = name.removeprefix(PREFIX).lower().split("__")
    for position, word in enumerate(keys):
        key, kind = _step(kind, word)
        path.append(key)
        if not isinstance(table, dict):
            break
        if position == len(keys) - 1:
            table[key] = text if strip(kind) in {str, Secret} else read(text)[0]
        elif table.get(key) is None:
            table[key] = {}
        table = table[key]
    return tuple(path)


def _step(kind: Any, word: str) -> tuple[str, Any]:  # noqa: ANN401 - any type hint
    """The key that a word of a variable's name means inside a `kind`, and the type of its value."""
    if is_open_table(kind):
        inner = get_args(strip(kind))[1]
        return (word.replace("_", ".") if inner is Secret else word), inner
    return word, hints(kind).get(word)
