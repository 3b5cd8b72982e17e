"""Logs on standard error: short lines on a terminal, one JSON object per line elsewhere.

Fields of a message go into ``extra``: ``log.info("listening", extra={"port": 9464})``. Text of a customer is never
written, and the identity of a customer only at level debug, even if a caller passes them. Of a secret that csq has read
only `***` is written.
"""

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec

from operators.documents.secret import HidingStream, hidden

NEVER: Final = frozenset({"text", "comment", "query", "raw", "value", "payload"})
"""Fields that may contain text of a customer."""
WHO: Final = frozenset({"customer", "customer_id", "conversation", "conversation_id", "agent_id", "message_id"})
"""Fields that identify a person; written at level debug only."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_encode = msgspec.json.Encoder(enc_hook=str).encode


def start(level: str, stream: TextIO | None = None, process: str | None = None) -> None:
    """Send all messages of at least `level` (debug, info, warning, error) to `stream`, by default standard error.

    `process` is the name of this process among several, a field of each line. A second call replaces the first.
    Warnings of Python are logged too. Standard error that hides secrets is bypassed, because the formatters hide them
    value by value, which leaves JSON whole.
    """
    if stream is None:
        stream = sys.stderr.unhidden if isinstance(sys.stderr, HidingStream) else sys.stderr
    handler = logging.StreamHandler(stream)
    if process is not None:
        handler.addFilter(_named(process))
    handler.setFormatter(Human() if stream.isatty() else Json())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def _named(process: str) -> Callable[[logging.LogRecord], bool]:
    def name(record: logging.LogRecord) -> bool:
        record.member = process
        return True

    return name


class Json(logging.Formatter):
    """One JSON object per line: time, level, logger, message, then the fields; a traceback under `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Turn a record into its line."""
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": hidden(record.getMessage()),
        }
        entry |= {name: value for name, value in fields(record).items() if name not in entry}
        if record.exc_info:
            entry["exception"] = hidden(self.formatException(record.exc_info))
        return _encode(entry).decode()


class Human(logging.Formatter):
    """`12:30:05 warning  flows.live: lagging (messages=120)`, UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Turn a record into its line; a traceback follows on further ones."""
        message = hidden(record.getMessage()).replace("\r", "\\r").replace("\n", "\\n")
        extra = ", ".join(f"{name}={value}" for name, value in fields(record).items())
        line = f"{_time(record)[11:19]} {record.levelname.lower():<8} {record.name}: {message}"
        line += f" ({extra})" if extra else ""
        return f"{line}\n{hidden(self.formatException(record.exc_info))}" if record.exc_info else line


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that a caller passed as ``extra``, without those that may not be written, and without secrets."""
    left_out = NEVER if record.levelno <= logging.DEBUG else NEVER | WHO
    given = {name: value for name, value in vars(record).items() if name not in _STANDARD and name not in left_out}
    return {name: _shown(value) for name, value in given.items()}


def _shown(value: object) -> object:
    """A field without secrets: text in it, also of objects that JSON does not have."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return hidden(value)
        case list() | tuple() | set() | frozenset():
            return [_shown(each) for each in value]
        case dict():
            return {hidden(str(key)): _shown(each) for key, each in value.items()}
        case _:
            return hidden(str(value))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
