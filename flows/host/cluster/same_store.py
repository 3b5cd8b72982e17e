"""Whether a restart of all processes resumes from the recovery store that they used before.

A process that uses a store notices when it is removed or replaced. Another one may exit first, of an error of SQLite
that says nothing of it; a restart would then begin with an empty store and count everything again.
"""

from contextlib import suppress
from pathlib import Path

from operators.engine.guard import StoreGoneError
from operators.engine.store import StoreError, read_manifest


class SameStore:
    """The store of the processes of one machine, as their supervisor sees it.

    Args:
        folder: `state.directory`; `None` without a store.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._run: str | None = None
        """The newest run that was seen in it."""

    def look(self) -> None:
        """Note the newest run, while processes run."""
        with suppress(StoreError):
            runs = self._runs()
            if runs and (self._run is None or self._run in runs):
                self._run = runs[-1]

    def check(self) -> None:
        """Check before a restart.

        Raises:
            StoreGoneError: it was removed, or another store is in its place.
            StoreError: it cannot be read.
        """
        runs = self._runs()
        if self._run is not None and self._run not in runs:
            what = "replaced by another" if runs else "removed or renamed"
            raise StoreGoneError(
                f"recovery store {self._folder}: it was {what} while csq used it, so a restart would not resume from "
                f'the last snapshot. Put it back and start csq again (docs/state.md, "The store is gone")'
            )

    def _runs(self) -> list[str]:
        manifest = None if self._folder is None else read_manifest(self._folder)
        return [] if manifest is None else manifest.runs
