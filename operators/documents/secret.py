"""Secrets: values that are printed, logged and dumped as `***`.

A `Secret` hides itself, but its text reaches libraries, whose errors may repeat it. So every secret that is read is
also noted here, and what goes out as text goes through `hidden`: logs, standard error, `csq config`, `csq check`, the
reasons of `/readyz`.
"""

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import quote

HIDDEN = "***"
ANYWHERE: Final = 4
"""Characters from which a secret is replaced inside words too; a shorter one only where it stands alone."""
WORDS: Final = frozenset({"true", "false", "null", "none"})
"""Texts that are no secret under any key."""
_NAMES = re.compile(r"passw|passphrase|secret|[._]pem$|oauthbearer[._]config|jaas", re.IGNORECASE)
"""Names of keys whose values are secret, wherever they stand: also where a key was put into the wrong table."""
_IN_URL = re.compile(r"//[^/@\s]*?:([^/\s]+)@")
_PARTS = re.compile(r"[\s=,\"]+")
_PART_LENGTH = 6
_KEYWORDS = frozenset({"principal", "principalClaimName", "scope", "scopeClaimName", "lifeSeconds"})
"""Names in `sasl.oauthbearer.config`, whose error repeats the rest of the text from any of its parts on."""


class KnownSecrets:
    """The secrets of this process, and their removal from texts.

    >>> known = KnownSecrets()
    >>> known.add("hunter2")
    >>> known.hidden("refused: hunter2 of anna")
    'refused: *** of anna'
    """

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, text: str) -> None:
        """Note a secret, and the lines of one that has several."""
        lines = [line for line in text.splitlines() if not line.startswith("-----")]
        added = {each for each in (text, *lines) if each.strip() and each.lower() not in WORDS}
        if not added <= self._texts:
            self._texts |= added
            forms = {form for each in self._texts for form in _forms(each)}
            self._pattern = re.compile("|".join(map(_matching, sorted(forms, key=len, reverse=True))))

    def forget(self) -> None:
        """Know no secret any more; for tests."""
        self._texts.clear()
        self._pattern = None

    def hidden(self, text: str) -> str:
        """Return `text` with `***` for each secret, also for one that is quoted or encoded."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)


def _forms(text: str) -> Iterator[str]:
    """A secret as messages write it: as it is, as Python, JSON, an address and a header write it."""
    raw = text.encode("utf-8", "surrogateescape")
    yield text
    yield from (repr(text)[1:-1], repr(raw)[2:-1])
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    yield from (quote(raw), quote(raw, safe=""), b64encode(raw).decode())


def _matching(form: str) -> str:
    return re.escape(form) if len(form) >= ANYWHERE else rf"(?<!\w){re.escape(form)}(?!\w)"


KNOWN: Final = KnownSecrets()
"""The secrets of this process."""


def hidden(text: str) -> str:
    """Return `text` with `***` for each secret that this process has read."""
    return KNOWN.hidden(text)


def note(texts: Iterable[str]) -> None:
    """Note secrets, and the parts of those that consist of several."""
    for text in texts:
        KNOWN.add(text)
        parts = [part for part in _PARTS.split(text) if len(part) >= _PART_LENGTH and part not in _KEYWORDS]
        for part in parts if "=" in text else ():
            KNOWN.add(part)


def note_in(data: Any, name: str = "") -> None:
    """Note what is secret in plain data by the names of its keys, and passwords inside addresses.

    It sees a document before it is checked, so no message about a mistake repeats a password in the wrong place.
    """
    match data:
        case {"file": str(), **rest} | {"env": str(), **rest} if not rest:  # where a secret is, not what it is
            return
        case dict():
            for key, value in data.items():
                note_in(value, name if _NAMES.search(name) else str(key))
        case list() | tuple():
            for value in data:
                note_in(value, name)
        case str() | int() | float():
            note([str(data)] if _NAMES.search(name) else _IN_URL.findall(str(data)))


class HidingStream:
    """A text stream that writes `***` for each secret: for messages and tracebacks, not for data.

    >>> from io import StringIO
    >>> HidingStream(StringIO()).write("refused")
    7
    """

    def __init__(self, unhidden: TextIO) -> None:
        self.unhidden = unhidden
        """The stream behind it, for a writer that hides secrets itself."""

    def write(self, text: str | bytes) -> int:
        """Write a text; the number of characters that were taken."""
        self.unhidden.write(hidden(text) if isinstance(text, str) else text)  # type: ignore[arg-type] # refused there
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unhidden, name)


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
