"""Chosen positions: where a partition begins that has no stored position, or none that the brokers hold.

A choice such as "the end" is another one a second later. So each is written to a file beside the recovery store before
the first record is read: after a crash before the next snapshot csq begins there again, and loses nothing in between.
Each process writes one file, `chosen-pN`. Choices of a partition are numbered, and a stored position names the last one
before it: a choice with a higher number is newer than the store, and replaces its position.
"""

from pathlib import Path
from typing import Any, Final

from operators.documents.durable import replace_file
from operators.domain.stage.seal import seal, unseal
from operators.engine.positions import Position, TopicId, from_plain, plain
from operators.engine.store import StoreError

VERSION: Final = 1
FILES: Final = "chosen-*"


class ChosenPositions:
    """The choices of one process.

    Args:
        folder: of the recovery store; without one nothing is kept.
        process: name of the process.
    """

    def __init__(self, folder: Path | None = None, process: str = "p0") -> None:
        self._folder = folder
        self._path = None if folder is None else folder / f"chosen-{process}"
        self._found: dict[str, Position] = {}
        self._own: dict[str, Position] = {}
        self._unsaved = False

    def load(self) -> None:
        """Read the choices of all processes in this directory: another process may have read a partition before.

        Raises:
            StateDamagedError: a checksum does not match.
            OSError: a file cannot be read.
        """
        if self._folder is not None:
            for path in self._folder.glob(FILES):
                self._found |= (read := _read(path))
                if path == self._path:
                    self._own |= read

    def parts(self) -> frozenset[str]:
        """The partitions with a choice that was found."""
        return frozenset(self._found)

    def newest(self, part: str, stored: Position | None) -> Position | None:
        """The choice that was found if it is newer than the stored position, else the stored position."""
        found = self._found.get(part)
        if found is None:
            return stored
        if stored is not None and stored.choice >= found.choice:
            self.forget(part, found.choice)
            return stored
        self._own[part] = found
        self._unsaved = True  # the file of another process may be removed
        return found

    def choose(self, part: str, offset: int, of: TopicId, before: Position | None) -> Position:
        """Choose an offset in the place of the position `before`; `save` makes it durable."""
        chosen = Position(offset, of, 1 if before is None else before.choice + 1)
        self._own[part] = chosen
        self._unsaved = True
        return chosen

    def save(self) -> None:
        """Write the choices, if they have changed.

        Raises:
            StoreError: the file cannot be written.
        """
        if self._unsaved and self._path is not None:
            try:
                if self._own:
                    replace_file(self._path, _packed(self._own))
                else:
                    self._path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(
                    f"{self._path}: the positions that reading begins at cannot be written: {error.strerror} "
                    '(docs/state.md, "The store cannot be written")'
                ) from error
        self._unsaved = False

    def forget(self, part: str, choice: int) -> None:
        """Remove a choice, when `save` is called next: the store has a position that follows it."""
        own = self._own.get(part)
        if own is not None and own.choice <= choice:
            del self._own[part]
            self._unsaved = True


def remove_choices(folder: Path) -> None:
    """Remove the choices that belong to an earlier store in this directory.

    Raises:
        OSError: a file cannot be removed.
    """
    for path in folder.glob(FILES):
        path.unlink()


def _packed(choices: dict[str, Position]) -> bytes:
    return seal({"v": VERSION, "parts": {part: plain(position) for part, position in choices.items()}})


def _read(path: Path) -> dict[str, Position]:
    try:
        packed = path.read_bytes()
    except FileNotFoundError:  # another process has just removed its own
        return {}
    state: dict[str, Any] = unseal(packed, str(path))
    return {part: from_plain(position) for part, position in state["parts"].items()}
