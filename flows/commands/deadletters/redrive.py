"""Redrive: dead letters are decoded again; those that would be accepted now are sent again, the others stay.

An event is sent as it was, with its own id: csq drops it as a repeat where it has seen it within the dedupe window.
What leaves is noted with the letter (a receipt), so that a second run sends it no second time. First the events are
delivered, then the receipts are written: a crash in between sends the last events twice, and loses none.
"""

import gzip
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from flows.commands.deadletters.letters import LetterFilter, iso
from operators.connectors.files.letters import Box, DeadLettersError, Identity, Letter, Receipt
from operators.connectors.kafka.letters import FROM, MARK
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.producer import ANY_PARTITION, Headers, Sender
from operators.documents.durable import sync_folder
from operators.domain.wire.decode import Door, Refusal
from operators.domain.wire.events import AnyEvent
from operators.domain.wire.key import key_of

NOTED_EVERY = 500
NOTED_SECONDS = 1.0
"""Receipts are written after so many events, or so long."""


class RedriveTarget(Protocol):
    """Where events are sent to."""

    def name_of(self, letter: Letter) -> str:
        """Topic or file to which the event of this letter is sent."""

    def send(self, letter: Letter, event: AnyEvent, times: int, delivered: Callable[[], None]) -> None:
        """Send it; `delivered` is called, then or during `flush`, once it is there."""

    def flush(self) -> None:
        """Wait until all is there."""


class TopicTarget:
    """The topic and partition from which the event of a letter was read.

    An event that was read from a file goes to the only input topic, with the key of events (conversation, else
    customer).
    """

    def __init__(self, params: KafkaParams, topics: Sequence[str], to: str | None) -> None:
        self._topics = topics
        self._to = to
        self._sender = Sender(params)

    def _place(self, letter: Letter) -> tuple[str, int]:
        read_from = letter.origin_partition()
        if self._to is not None and (read_from is None or read_from[0] != self._to):
            return self._to, ANY_PARTITION
        if read_from is not None and read_from[0] in (*self._topics, self._to):
            return read_from
        if len(self._topics) == 1:
            return self._topics[0], ANY_PARTITION
        raise DeadLettersError(
            f"{letter.place}: read from {letter.headers.get('origin')}, which is not among the topics of the settings "
            f"({', '.join(self._topics)}): name the topic with --to"
        )

    def name_of(self, letter: Letter) -> str:
        """Its topic."""
        return self._place(letter)[0]

    def send(self, letter: Letter, event: AnyEvent, times: int, delivered: Callable[[], None]) -> None:
        """Send the bytes as they were read."""
        topic, partition = self._place(letter)
        headers: Headers = [(MARK, str(times)), (FROM, letter.place)]
        self._sender.send(topic, key_of(event), letter.raw, partition=partition, headers=headers, delivered=delivered)

    def flush(self) -> None:
        """Wait until all are delivered."""
        self._sender.flush()


class FileTarget:
    """A new file of events, one a line, for `csq replay`; `.gz` is compressed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._is_listed = False
        """Whether the name of the file is on the disk."""
        self._delivered: list[Callable[[], None]] = []

    def name_of(self, letter: Letter) -> str:  # noqa: ARG002 - all go to one file
        """The file."""
        return str(self._path)

    def send(self, letter: Letter, event: AnyEvent, times: int, delivered: Callable[[], None]) -> None:  # noqa: ARG002 - a line has no headers
        """Write it on one line: JSON may have line breaks outside of strings only."""
        if self._file is None:
            self._file = self._open()
        with self._failing():
            self._file.write(letter.raw.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")
        self._delivered.append(delivered)

    def flush(self) -> None:
        """Bring it to the disk."""
        if self._file is not None:
            with self._failing():
                self._file.flush()
                os.fsync(self._file.fileno())
                if not self._is_listed:
                    sync_folder(self._path.parent)
                    self._is_listed = True
        for delivered in self._delivered:
            delivered()
        self._delivered.clear()

    def close(self) -> None:
        """End the file, if anything was sent."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> BinaryIO:
        path = self._path
        try:
            file = gzip.open(path, "xb") if path.suffix == ".gz" else path.open("xb")  # noqa: SIM115 - `close` closes it
        except FileExistsError:
            raise DeadLettersError(f"{path}: exists already and is not overwritten: name a new file") from None
        except OSError as error:
            raise DeadLettersError(f"{path}: cannot be written: {error.strerror}; --out names a new file") from None
        return cast("BinaryIO", file)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DeadLettersError(
                f"{self._path}: cannot be written: {error.strerror}; free disk space, delete the "
                "file, and start again: "
                "letters without a receipt are sent again"
            ) from None


def judge_one(letter: Letter, door: Door, now: float) -> AnyEvent | str:
    """The event of a letter if it would be accepted at `now`, else why it would be left."""
    if not letter.is_raw():
        return (
            f"{letter.reason}: it holds what stage {letter.headers['stage']} saw, not the raw event; intake had "
            "accepted and counted that, so it would be a repeat"
        )
    if letter.is_cut():
        return f"{letter.reason}: its bytes are cut at {len(letter.raw)}; the whole event is where it was read"
    decoded = door.decode_one(letter.raw, now)
    return f"{decoded.reason}: {decoded.detail}" if isinstance(decoded, Refusal) else decoded[1]


@dataclass
class Outcome:
    """Wanted letters by outcome."""

    wanted: int = 0
    sent: int = 0
    """Of a dry run: would have been sent."""
    earlier: int = 0
    """Sent again by an earlier run, and left."""
    doubles: int = 0
    """The same letter twice, as a crash of csq leaves them: counted with its first."""
    left: Counter[str] = field(default_factory=Counter)
    """Why letters would fail again -> how many."""
    examples: dict[str, str] = field(default_factory=dict)
    """Reason -> place of the first such letter."""
    to: Counter[str] = field(default_factory=Counter)
    """Topic or file -> how many."""


class Redrive:
    """One run over a box.

    Args:
        box: where the letters are.
        wanted: which of them.
        door: decides which events are accepted.
        target: where to send them; None only counts what would be sent.
        again: also those that were sent again before.
        wait: called before each event is sent; bounds the rate.
        progress: called with how many of the wanted letters are done, and of how many.
        clock: POSIX seconds.
        stopwatch: monotonic seconds.
    """

    def __init__(
        self,
        box: Box,
        wanted: LetterFilter,
        door: Door,
        target: RedriveTarget | None,
        *,
        again: bool = False,
        wait: Callable[[], None] = lambda: None,
        progress: Callable[[int, int], None] = lambda *_: None,
        clock: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outcome = Outcome()
        self._box, self._wanted, self._door, self._target = box, wanted, door, target
        self._again = again
        self._wait = wait
        self._progress = progress
        self._clock, self._stopwatch = clock, stopwatch
        self._times: dict[Identity, int] = {}
        self._done: set[Identity] = set()
        self._delivered: list[Receipt] = []

    def run(self) -> Outcome:
        """Read all letters twice: for the receipts, which follow their letters, and to send.

        Raises:
            DeadLettersError: something cannot be read or written; what was delivered until then is noted.
        """
        for found in self._box.read():
            if isinstance(found, Receipt):
                self._times[found.identity] = max(found.times, self._times.get(found.identity, 0))
            elif self._wanted.takes(found):
                self.outcome.wanted += 1
        try:
            self._send_all()
        finally:
            self._note()
        return self.outcome

    def _send_all(self) -> None:
        noted = self._stopwatch()
        done = 0
        for letter in self._box.read():
            if isinstance(letter, Receipt) or not self._wanted.takes(letter):
                continue
            done += 1
            self.outcome.wanted = max(self.outcome.wanted, done)  # more may have arrived since the first pass
            self._progress(done, self.outcome.wanted)
            event = self._judge(letter)
            if event is None:
                continue
            if self._target is not None:
                self._wait()
            self._take(letter, event)
            if self.outcome.sent % NOTED_EVERY == 0 or self._stopwatch() - noted > NOTED_SECONDS:
                self._note()
                noted = self._stopwatch()

    def _judge(self, letter: Letter) -> AnyEvent | None:
        """The event, if it is to be sent; else it is counted as what it is."""
        outcome, identity = self.outcome, letter.identity
        if identity in self._done:
            outcome.doubles += 1
            return None
        self._done.add(identity)
        if self._times.get(identity, 0) and not self._again:
            outcome.earlier += 1
            return None
        judged = judge_one(letter, self._door, self._clock())
        if isinstance(judged, str):
            outcome.left[judged] += 1
            outcome.examples.setdefault(judged, letter.place)
            return None
        return judged

    def _take(self, letter: Letter, event: AnyEvent) -> None:
        outcome = self.outcome
        outcome.sent += 1
        if self._target is None:
            return
        to = self._target.name_of(letter)
        outcome.to[to] += 1
        identity = letter.identity
        times = self._times.get(identity, 0) + 1
        receipt = Receipt(*identity, times, iso(self._clock()), to, letter.place)
        self._target.send(letter, event, times, lambda: self._delivered.append(receipt))

    def _note(self) -> None:
        """Wait for the events, then write the receipts of those that arrived, even if others failed."""
        if self._target is None:
            return
        try:
            self._target.flush()
        finally:
            receipts, self._delivered = self._delivered, []
            if receipts:
                self._box.note(receipts)
