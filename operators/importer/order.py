"""Order: events by time, whatever their number, in bounded memory: what does not fit waits in temporary files.

csq reads events in time order: one that comes after later ones is late, and no longer changes what was measured.
"""

import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryFile, gettempdir
from typing import IO, NamedTuple

from operators.importer.errors import FileError
from operators.importer.rule import RuleResult

IN_MEMORY = 64 << 20
"""Bytes of events that are sorted at once."""
_AT_ONCE = 64
"""Temporary files that are merged at once: far fewer than a process may open."""
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)


class _Timed(NamedTuple):
    """An event: microseconds since the year 1, its JSON."""

    at: int
    raw: bytes


def by_time(events: Iterable[RuleResult], in_memory: int = IN_MEMORY) -> Iterator[bytes]:
    """The JSON of `events` in the order of their times; those of the same time in the order in which they come.

    Raises:
        FileError: the folder for temporary files is full, or cannot be written.
    """
    with ExitStack() as stack:
        files: list[IO[bytes]] = []
        held: list[_Timed] = []
        size = 0
        for event in events:
            held.append(_Timed((event.time - _EPOCH) // timedelta(microseconds=1), event.raw))
            size += len(event.raw)
            if size > in_memory:
                files.append(_written(_sorted(held), stack))
                held, size = [], 0
                if len(files) == _AT_ONCE:
                    files = [_written(_merged(files), stack)]
        yield from (timed.raw for timed in heapq.merge(_merged(files), _sorted(held), key=_time))


def _time(timed: _Timed) -> int:
    return timed.at


def _sorted(held: list[_Timed]) -> list[_Timed]:
    return sorted(held, key=_time)


def _merged(files: list[IO[bytes]]) -> Iterator[_Timed]:
    """Events of sorted files, in order: of the same time, those of an earlier file first."""
    return heapq.merge(*map(_read, files), key=_time)


def _written(held: Iterable[_Timed], stack: ExitStack) -> IO[bytes]:
    try:
        file = stack.enter_context(TemporaryFile("w+b", buffering=1 << 16))  # noqa: SIM115 - closed by the stack
        file.writelines(b"%d %b\n" % timed for timed in held)
        file.flush()
    except OSError as error:
        raise FileError(
            f"{gettempdir()}: cannot hold the events that are sorted: {error.strerror}; expected room for as many "
            "bytes as are written (the variable TMPDIR names another folder)"
        ) from None
    return file


def _read(file: IO[bytes]) -> Iterator[_Timed]:
    file.seek(0)
    for line in file:
        at, _, raw = line.partition(b" ")
        yield _Timed(int(at), raw[:-1])
    file.close()
