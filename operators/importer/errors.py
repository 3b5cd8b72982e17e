"""Errors of an import. Each message has the place, the value and the expectation."""

from collections.abc import Iterable

_SHOWN = 60
"""Characters of a cell that a message shows: enough to find it, too few to reveal a customer's text."""


class ImporterError(Exception):
    """An import cannot continue; the message says what to correct in the mapping or the file."""


class MappingError(ImporterError):
    """The mapping is wrong; the message begins with the path of the key. `load_mapping` adds file and line."""


class FileError(ImporterError):
    """The file cannot be read at all, or lacks columns that the mapping names."""


class RowError(ImporterError):
    """A bad row under `strict`; the message begins with file and line."""


class CellError(Exception):
    """A row cannot become its events. Internal: `write` adds file and line, and reports it or raises `RowError`."""


def shown(value: object) -> str:
    """`value` as a message shows it.

    >>> shown("a" * 100)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' (100 characters)"
    >>> shown(True), shown(3)
    ('true', '3')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and len(value) > _SHOWN:
        return f"{value[:_SHOWN] + '...'!r} ({len(value)} characters)"
    return repr(value)


def one_of(names: Iterable[str]) -> str:
    """`names` as a list for a message.

    >>> one_of(["b", "a"])
    'a, b'
    """
    return ", ".join(sorted(names))
