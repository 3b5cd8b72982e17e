"""JSON lines, in and out: files (plain or ``.gz``) and standard input to raw bytes; outgoing streams to files."""

import base64
import gzip
import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from operators.domain.time.route import END, Chunk
from operators.domain.wire.outgoing import DEADLETTERS, Outgoing

BLOCK = 1 << 20
LONGEST = 1 << 20
"""Bytes kept of a line: more than an event may have, so that intake refuses the line as too large."""
STDIN = "-"


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    r"""The lines of a file without their ends and without a byte order mark, each cut at 1 MiB, in bounded memory.

    >>> import io
    >>> list(read_lines(io.BytesIO(b"a\nb\r\n\nc")))
    [b'a', b'b', b'', b'c']
    """
    rest, is_begin = b"", True
    while block := file.read(BLOCK):
        if is_begin:
            block, is_begin = block.removeprefix(BOM_UTF8), False
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if len(rest) > LONGEST:  # keep the head of the line, drop the rest of it
            rest = rest[: LONGEST + 1]
        for line in lines:
            yield line[: LONGEST + 1].removesuffix(b"\r")
    if rest:
        yield rest


def open_input(path: str) -> BinaryIO:
    """A file, a gzip file, or standard input for ``-``.

    Raises:
        OSError: it cannot be read.
    """
    if path == STDIN:
        return sys.stdin.buffer
    if path.endswith(".gz"):
        return cast("BinaryIO", gzip.open(path))
    return Path(path).open("rb")


class JsonlInputError(Exception):
    """A file is damaged."""


class JsonlSource(FixedPartitionedSource[Chunk, int]):
    """All lines of the files, in order, in chunks of `batch_size`; then the end of time.

    `ready` is asked before anything is read: models must be loaded. `progress` is called with the lines read so far.
    State: the number of lines handed on.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        batch_size: int,
        ready: Callable[[], bool],
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._paths = tuple(paths)
        self._batch_size = batch_size
        self._ready = ready
        self._progress = progress

    def list_parts(self) -> list[str]:
        """Files are read one after the other: one part."""
        return ["files"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_FilesPart":
        """Open nothing yet."""
        return _FilesPart(self._paths, self._batch_size, self._ready, self._progress, resume_state or 0)


class _FilesPart(StatefulSourcePartition[Chunk, int]):
    def __init__(
        self,
        paths: Sequence[str],
        batch_size: int,
        ready: Callable[[], bool],
        progress: Callable[[int], None],
        done: int,
    ) -> None:
        self._batch_size = batch_size
        self._ready = ready
        self._progress = progress
        self._skip = done
        self._done = done
        self._chunks = self._read(paths)
        self._at = paths[0] if paths else ""

    def _read(self, paths: Sequence[str]) -> Iterator[Chunk]:
        skip = self._skip
        for path, following in zip(paths, (*paths[1:], None), strict=True):
            positions: list[int] = []
            values: list[bytes | None] = []
            with open_input(path) as file:
                for number, line in enumerate(read_lines(file), 1):
                    if skip:
                        skip -= 1
                        continue
                    self._done += 1
                    if line:
                        positions.append(number)
                        values.append(line)
                    if len(values) >= self._batch_size:
                        yield Chunk(path, None, positions, values)
                        positions, values = [], []
            if following is None:
                yield Chunk(path, END, positions, values)
                return
            if values:
                yield Chunk(path, None, positions, values)
            yield Chunk(
                following, None, [], []
            )  # time ends with the last file only: the next one shows before this ends
            yield Chunk(path, END, [], [])

    def next_batch(self) -> list[Chunk]:
        if not self._ready():
            return []
        try:
            chunk = next(self._chunks)  # its StopIteration is the end of this part
        except (OSError, EOFError, zlib.error) as error:
            raise JsonlInputError(
                f"{self._at}: cannot be read to its end: {error}; check whether the file is complete"
            ) from error
        self._at = chunk.origin
        self._progress(self._done)
        return [chunk]

    def snapshot(self) -> int:
        return self._done


def dead_letter_line(record: Outgoing) -> bytes:
    """A dead letter as one line: the headers, and the raw bytes as text, or in base64 if they are not text.

    Without the time: a replay of the same file gives the same bytes, whenever it is made.
    """
    line = {name: value for name, value in record.headers if name != "time"}
    try:
        line["raw"] = record.value.decode()
    except UnicodeDecodeError:
        line["raw_base64"] = base64.b64encode(record.value).decode()
    return msgspec.json.encode(line)


class JsonlSink(DynamicSink[Outgoing]):
    """One file per stream in a folder: ``csq.turn.scored.jsonl`` and so on."""

    def __init__(self, folder: Path, streams: Sequence[str]) -> None:
        self._folder = folder
        self._streams = tuple(streams)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_Files":
        """Make the folder and its files."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return _Files({stream: (self._folder / f"{stream}.jsonl").open("wb") for stream in self._streams})


class _Files(StatelessSinkPartition[Outgoing]):
    def __init__(self, files: dict[str, BinaryIO]) -> None:
        self._files = files

    def write_batch(self, items: list[Outgoing]) -> None:
        for record in items:
            line = dead_letter_line(record) if record.stream == DEADLETTERS else record.value
            self._files[record.stream].write(line + b"\n")

    def close(self) -> None:
        for file in self._files.values():
            file.close()
