"""The settings explained: a default file and a page of documentation, both written from the types themselves."""

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Meta, Struct

from flows.settings.environment import variable
from operators.connectors.kafka.librdkafka import BOUNDS, CLOSED, OPEN
from operators.documents.secret import HIDDEN
from operators.documents.validator import expected, hints, strip
from operators.documents.yaml import write

_WIDTH = 110
_HEAD = """\
# Every setting with its default; written by `make docs`, used only where it is named: `csq run -c FILE`.
# Keep what you change and drop the rest. CSQ_SECTION__KEY=value in the environment wins over the file.
# Secrets may be read from elsewhere: `{file: PATH}` or `{env: NAME}`. `csq config` prints what is in effect.
"""
_INTRODUCTION = """\
# Settings

<!-- Written by `make docs` from the types of the settings. -->

`csq run -c my.yaml` reads one YAML file; every setting has a default, so the file holds only what differs. A wrong key
or value stops the start with its place and what was expected. `csq config` prints the settings in effect, with secrets
hidden. [`config/default.yaml`](../config/default.yaml) has all of them to copy from.

**Environment.** A variable named after section and key wins over the file: `CSQ_HTTP__PORT=9000`,
`CSQ_KAFKA__BROKERS='[k1:9092, k2:9092]'`. The value is YAML; where text is wanted it is taken as it is. `__` goes one
table deeper; under `kafka.security` `_` stands for a dot: `CSQ_KAFKA__SECURITY__SASL_PASSWORD`.

**Secrets.** A value under `kafka.security` is the text itself, `{file: PATH}` (its last line break does not count) or
`{env: NAME}`. It is shown as `***` everywhere: in `csq config` and `csq check`, in the log, and in errors that
librdkafka or Python write. So is the value of any key whose name contains `password`, `passphrase` or `secret`, or ends
with `.pem`. A broker is `host:port`: an address with user and password is refused.

**YAML.** Only `true` and `false` are booleans (`NO` is Norway) and only plain decimal numbers are numbers; a key given
twice, anchors and tags are refused.
"""


def default_yaml(kind: type[Struct]) -> str:
    r"""A commented file with every default of `kind`.

    >>> from typing import Annotated
    >>> class Order(Struct, frozen=True):
    ...     "Events out of order."
    ...     seconds: Annotated[float, Meta(ge=0, description="Seconds to wait.")] = 2.0
    >>> class All(Struct):
    ...     order: Order = Order()
    >>> print(default_yaml(All).split("\n\n")[1], end="")
    # Events out of order.
    order:
      # Seconds to wait. (a number from 0 up)
      seconds: 2.0
    """
    return _HEAD + "\n" + "\n".join(_yaml(kind, kind(), ""))


def markdown(kind: type[Struct]) -> str:
    """A page with a table per section, and one of the settings of librdkafka."""
    return _INTRODUCTION + "".join(_tables(kind, kind(), "")) + "".join(_librdkafka())


def main(kind: type[Struct], arguments: list[str] | None = None) -> None:
    """Write the generated files, or list the stale ones; run it in the root of the project."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.settings.model", description="The files made from the settings."
    )
    parser.add_argument("--write", action="store_true", help="write them")
    parser.add_argument("--check", action="store_true", help="fail when one of them is stale (the default)")
    writes = parser.parse_args(arguments).write
    files: dict[str, Callable[[type[Struct]], str]] = {
        "config/default.yaml": default_yaml,
        "docs/settings.md": markdown,
    }
    for name, make in files.items():
        path, text = Path(name), make(kind)
        if writes:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{name} is not what the settings say; run `make docs` and commit what it writes")


def description(hint: Any) -> str:  # noqa: ANN401 - any type hint
    """What a setting is for: unit, why this value, when to change it."""
    found = [part.description for part in get_args(hint) if isinstance(part, Meta) and part.description]
    return str(found[-1]).strip() if found else ""


def _first_line(kind: Any) -> str:  # noqa: ANN401 - a struct type
    return (strip(kind).__doc__ or "").strip().split("\n")[0]


def _plain(value: object) -> object:
    return msgspec.to_builtins(value, enc_hook=lambda _: HIDDEN)


def _yaml(kind: Any, defaults: Struct, indent: str) -> Iterator[str]:  # noqa: ANN401 - a struct type
    for name, hint in hints(kind).items():
        value = getattr(defaults, name)
        if hints(hint):
            yield f"{_comment(_first_line(hint), indent)}{indent}{name}:\n{''.join(_yaml(hint, value, indent + '  '))}"
        else:
            yield _comment(f"{description(hint)} ({expected(hint)})", indent)
            yield textwrap.indent(write({name: _plain(value)}), indent)


def _comment(text: str, indent: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ") + "\n"


def _tables(kind: Any, defaults: Struct, title: str) -> Iterator[str]:  # noqa: ANN401 - a struct type
    rows, sections = [], []
    for name, hint in hints(kind).items():
        value = getattr(defaults, name)
        if hints(hint):
            sections.append((f"{title}.{name}".lstrip("."), hint, value))
        else:
            default = write(_plain(value)).removesuffix("\n").removesuffix("\n...").replace("\n", " ")
            rows.append(f"| `{name}` | `{default}` | {expected(hint)} | {description(hint)} |\n".replace("\\", "\\\\"))
    if rows:
        example = variable((*title.split("."), next(iter(hints(kind)))))
        yield f"\n## {title}\n\n{_first_line(kind)} `{example}` is the variable of the first.\n\n"
        yield "| key | default | takes | meaning |\n| --- | --- | --- | --- |\n" + "".join(rows)
    for section in sections:
        yield from _tables(section[1], section[2], section[0])


def _librdkafka() -> Iterator[str]:
    yield "\n## Settings of librdkafka\n\nThese may be set under `kafka.librdkafka`:\n"
    yield textwrap.fill(", ".join(f"`{name}`" for name in sorted(OPEN)), 120, break_on_hyphens=False) + ".\n\n"
    yield "| within bounds | from | to | because otherwise |\n| --- | --- | --- | --- |\n"
    yield from (f"| `{name}` | {bound.least} | {bound.most} | {bound.why} |\n" for name, bound in BOUNDS.items())
    yield "\nAny other setting is refused at the start:\n\n"
    yield "| refused | why | set instead |\n| --- | --- | --- |\n"
    for closed in dict.fromkeys(CLOSED.values()):
        names = ", ".join(f"`{name}`" for name in closed.names.split())
        yield f"| {names} | {closed.why} | {closed.instead or 'nothing'} |\n"
