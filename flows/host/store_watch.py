"""What a live process does when it loses its store or shares its outputs: not ready, a loud log, a stop."""

import logging
from collections.abc import Callable
from pathlib import Path

from operators.engine.guard import StoreGuard, StoreTakenError
from operators.engine.recovery import StoreRun
from operators.engine.store import StoreError

log = logging.getLogger(__name__)


class StoreWatch:
    """The recovery store of one process, from when it is open.

    A process that runs alone stops in good order: it reads nothing more, and delivers what it has read. Processes of a
    cluster end together only by an error, so theirs is raised inside the flow. The same holds where another run has
    taken the store: nothing may be written to it any more.

    Args:
        stop: called when the store is lost.
        run: name of this run as long as no store is open.
    """

    def __init__(self, stop: Callable[[], None], run: str = "") -> None:
        self.run = StoreRun(run)
        """The present run; without marks as long as no store is open, and in all processes but the first."""
        self.lost: Exception | None = None
        """Why the process may not go on."""
        self.ends_in_order = False
        """Whether `stop` ends the process."""
        self._stop = stop
        self._guard: StoreGuard | None = None

    def begin(self, folder: Path, run: StoreRun) -> None:
        """Watch a store that was opened."""
        self.run = run
        if run.marks:
            self._guard = StoreGuard(folder, run.name, self.lose)

    def end(self) -> None:
        """Stop watching, and give the store back."""
        if self._guard is not None:
            self._guard.end()

    def obstacles(self) -> list[str]:
        """Reasons why the process is not ready."""
        return [] if self.lost is None else [str(self.lost)]

    def look(self) -> None:
        """Raise what the guard has found, where it has to end the flow."""
        if not self.ends_in_order or isinstance(self.lost, StoreTakenError):
            self.raise_lost()

    def raise_lost(self) -> None:
        """Raise what the guard has found."""
        if self.lost is not None:
            raise self.lost from None

    def check(self) -> None:
        """Look at the store now, and do as `look`."""
        if self.lost is None and self._guard is not None:
            try:
                self._guard.check()
            except StoreError as error:
                self.lose(error)
        self.look()

    def lose(self, error: Exception) -> None:
        """Note and log why the process may not go on, and stop it; further reasons are left out."""
        if self.lost is not None:
            return
        self.lost = error
        if isinstance(error, StoreError):
            log.critical("%s", error, extra={"event": "store_lost"})
        else:
            log.critical("%s", error, extra={"event": "outputs_shared"})
        self._stop()
