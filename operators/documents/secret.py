"""Secrets: values that are printed, logged and dumped as `***`."""

import os
from collections.abc import Mapping
from pathlib import Path

HIDDEN = "***"


class Secret:
    """A text that only `reveal` gives away.

    >>> password = Secret("hunter2")
    >>> password, f"{password}", password.reveal()
    (***, '***', 'hunter2')
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: for the library that needs it, never for a message."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def read_secret(kind: type, value: object, environ: Mapping[str, str] = os.environ) -> Secret:
    """A secret of the settings: the text itself, `{file: PATH}` or `{env: NAME}`.

    The last line break of a file is not part of the secret. Numbers and booleans become the text that librdkafka reads.

    >>> read_secret(Secret, {"env": "PASSWORD"}, {"PASSWORD": "hunter2"}).reveal()
    'hunter2'

    Raises:
        ValueError: the file or variable is not there, or `value` is something else; the text does not hold the value.
    """
    match value:
        case _ if kind is not Secret:
            raise NotImplementedError(f"settings hold no {kind}")
        case str():
            return Secret(value)
        case bool() | int() | float():
            return Secret(str(value).lower())
        case {"file": str(name), **rest} if not rest:
            return Secret(_text_of(Path(name)))
        case {"env": str(name), **rest} if not rest:
            if name not in environ:
                raise ValueError(f"environment variable {name}, which contains the secret, is not set")
            return Secret(environ[name])
        case _:
            raise ValueError("expected text, {file: PATH} or {env: NAME}")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ValueError(f"file {path}, which contains the secret, cannot be read: {reason}") from None
