"""Dead letters, and the receipts of those that were sent again, in files; ``kafka/letters.py`` has those of Kafka.

A *receipt* records that a letter was sent again, how often, when and where to. It is stored beside the letters, since a
dead letter cannot change. Letters and receipts are matched by the letter's identity: where the event was read, and a
hash of its bytes. After a crash csq may write the same letter twice, and a recreated topic counts its offsets from 0.
"""

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
from xxhash import xxh3_64_hexdigest

from operators.connectors.files.jsonl import open_input, read_lines
from operators.documents.durable import append, replacing
from operators.domain.wire.outgoing import MAX_DEAD_BYTES

Identity = tuple[str, str]
"""Where the event was read, and a hash of its bytes."""

RECEIPTS = ".redriven"
"""Suffix of the file with the receipts of a file of letters."""


class DeadLettersError(Exception):
    """Dead letters cannot be read, or their receipts not be written; the text says what to do."""


class Letter(NamedTuple):
    """One dead letter.

    >>> letter = Letter("csq.deadletters:0:3", {"origin": "csq.events[2]", "position": "17"}, b"", None)
    >>> letter.id, letter.origin_partition()
    ('csq.events[2]@17', ('csq.events', 2))
    """

    place: str
    """Place of the letter: `topic:partition:offset` or `FILE:LINE`."""
    headers: dict[str, str]
    raw: bytes
    refused_at: float | None
    """POSIX seconds; None in a file, where a replay wrote it."""

    @property
    def reason(self) -> str:
        """Why it was refused."""
        return self.headers.get("reason", "")

    @property
    def id(self) -> str:
        """Where the event was read, as one word; also the Kafka key of the letter."""
        return f"{self.headers.get('origin', '')}@{self.headers.get('position', '')}"

    @property
    def identity(self) -> Identity:
        """The identity that its receipts carry."""
        return self.id, xxh3_64_hexdigest(self.raw)

    def origin_partition(self) -> tuple[str, int] | None:
        """Topic and partition that the event was read from; None where that was a file, or a stage."""
        topic, bracket, number = self.headers.get("origin", "").removesuffix("]").rpartition("[")
        return (topic, int(number)) if bracket and number.isdecimal() else None

    def is_raw(self) -> bool:
        """Whether the value is the event as it was read, not the input of a stage."""
        return "stage" not in self.headers

    def is_cut(self) -> bool:
        """Whether its end may be missing: csq keeps 64 KiB."""
        return self.reason == "too_large" and len(self.raw) >= MAX_DEAD_BYTES

    def envelope(self) -> "LetterEnvelope":
        """The envelope in its bytes, as far as it can be read."""
        try:
            return _peek(self.raw)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return LetterEnvelope()

    def time(self) -> float | None:
        """POSIX seconds at which it was refused, else the time in its event, else None."""
        return self.refused_at if self.refused_at is not None else self.envelope().posix()


class LetterEnvelope(msgspec.Struct):
    """The envelope of an event that may be anything."""

    id: Any = None
    source: Any = None
    type: Any = None
    time: Any = None

    def posix(self) -> float | None:
        """Its time in POSIX seconds, if it is one."""
        try:
            time = datetime.fromisoformat(self.time)
            return time.timestamp() if time.tzinfo is not None else None
        except (TypeError, ValueError, OverflowError):
            return None


_peek = msgspec.json.Decoder(LetterEnvelope).decode


class Receipt(msgspec.Struct, frozen=True):
    """A letter was sent again."""

    id: str
    digest: str
    times: int
    """How often, this time included."""
    at: str
    """When, RFC 3339."""
    to: str
    """Topic or file."""
    place: str
    """Place of the letter."""

    @property
    def identity(self) -> Identity:
        """Which letter."""
        return self.id, self.digest


class Box(Protocol):
    """A place with dead letters."""

    name: str
    """For messages."""

    def read(self) -> Iterator[Letter | Receipt]:
        """All letters and receipts, in no particular order; can be called again.

        Raises:
            DeadLettersError: it cannot be read.
        """

    def note(self, receipts: Sequence[Receipt]) -> None:
        """Write receipts durably.

        Raises:
            DeadLettersError: they cannot be written.
        """


class FileBox:
    """Files that `csq replay` wrote, plain or `.gz`; the receipts of `FILE` are in `FILE.redriven`."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.name = ", ".join(paths)
        self._paths = tuple(paths)

    def read(self) -> Iterator[Letter | Receipt]:
        """Receipts of a file, then its letters."""
        for path in self._paths:
            yield from _receipts(Path(path + RECEIPTS))
            for number, line in _lines(path):
                yield _letter_of(line, f"{path}:{number}")

    def note(self, receipts: Sequence[Receipt]) -> None:
        """Append to the files of receipts, durably."""
        for path in self._paths:
            own = [receipt for receipt in receipts if receipt.place.rpartition(":")[0] == path]
            if not own:
                continue
            target = Path(path + RECEIPTS)
            try:
                append(target, b"".join(msgspec.json.encode(receipt) + b"\n" for receipt in own))
            except OSError as error:
                raise DeadLettersError(
                    f"{target}: cannot be written: {error.strerror}; it records which letters were sent again. Make "
                    "the folder writable, or copy the letters to a writable one"
                ) from None


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not empty, with their numbers."""
    try:
        with open_input(path) as file:
            for number, line in enumerate(read_lines(file), 1):
                if line:
                    yield number, line
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        why = getattr(error, "strerror", None) or error
        raise DeadLettersError(
            f"{path}: cannot be read: {why}; expected csq.deadletters.jsonl of `csq replay --out`, plain or .gz"
        ) from None


def _letter_of(line: bytes, place: str) -> Letter:
    try:
        headers = msgspec.json.decode(line, type=dict[str, str])
        if "raw_base64" in headers:
            raw = base64.b64decode(headers.pop("raw_base64"), validate=True)
        else:
            raw = headers.pop("raw").encode()
        if "reason" in headers:
            return Letter(place, headers, raw, None)
    except (msgspec.MsgspecError, RecursionError, KeyError, UnicodeError, binascii.Error):
        pass
    raise DeadLettersError(
        f"{place}: is no dead letter; expected a line of csq.deadletters.jsonl, as `csq replay --out` writes them"
    )


def _receipts(path: Path) -> Iterator[Receipt]:
    if not path.exists():
        return
    for number, line in _lines(str(path)):
        try:
            yield msgspec.json.decode(line, type=Receipt)
        except msgspec.MsgspecError:
            raise DeadLettersError(
                f"{path}:{number}: is no receipt; the file records which letters were sent again. "
                "Correct or remove the line"
            ) from None


def remove_letters_of(path: Path, customer: str) -> int:
    """Remove the letters whose raw event has the id of a customer; return how many. The file changes as a whole or not.

    An id counts where it stands as a JSON string of its own, in whatever field.

    Raises:
        DeadLettersError: the file is compressed, cannot be read or written, or has a line that is no dead letter.
    """
    if path.suffix == ".gz":
        raise DeadLettersError(f"{path}: a compressed file is not changed in place; unpack it first")
    texts = (json.dumps(customer), json.dumps(customer, ensure_ascii=False))
    signs = {text.encode("utf-8", "surrogatepass") for text in texts}
    removed = 0
    try:
        with replacing(path) as kept:
            for number, line in _lines(str(path)):
                letter = _letter_of(line, f"{path}:{number}")
                if any(sign in letter.raw for sign in signs):
                    removed += 1
                else:
                    kept.write(line + b"\n")
    except OSError as error:
        raise DeadLettersError(f"{path}: cannot be changed: {error.strerror}; it is as it was") from None
    return removed
