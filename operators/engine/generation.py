"""Generations: each file of a recovery store says which run wrote it, and up to which epoch.

Bytewax spreads records over the files by a hash, and stores the epoch to resume at in one of them. If one file was
restored from an older backup, Bytewax resumes from a mixture, and events are counted twice or not at all.

So a source stores a mark in each file at the end of each epoch: the name of the run. A start compares the marks. Files
of one run that were copied one after the other, as ``.backup`` does while csq runs, have marks in common if
`state.backup_seconds` was longer than the copy: the start then resumes at the newest of these.
"""

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from operators.domain.stage.seal import seal, unseal
from operators.engine.records import record_of
from operators.engine.refill import StoredValue, refill
from operators.engine.store import Resume, StoreMisfitError, checked_content, opened, partitions, resume_of

log = logging.getLogger(__name__)

STEP: Final = "csq.pulse"
"""Full name of the step whose source stores the marks; public, like all step names."""
NAMES_PER_FILE: Final = 16
"""Names that are tried for each file. With 64 files, one of 100,000 stores needs more."""


class Mark(NamedTuple):
    """A run that wrote a file, and an epoch that it finished."""

    epoch: int
    run: str


def place_marks(folder: Path) -> dict[str, str]:
    """Find names for the marks of an empty store: file -> a name that Bytewax stores in this file.

    The store is empty again afterwards.
    """
    files = partitions(folder)
    found: dict[str, str] = {}
    first = 0
    while len(found) < len(files):
        names = [f"mark-{first + number}" for number in range(NAMES_PER_FILE * len(files))]
        refill(folder, [StoredValue(STEP, name, None) for name in names])
        for path in files:
            with closing(sqlite3.connect(path)) as part, part:
                [(name,)] = part.execute("SELECT MIN(state_key) FROM snaps")
                for table in ("snaps", "exs", "fronts", "commits"):
                    part.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
            if name is not None:
                found.setdefault(path.name, name)
        first += len(names)
    return found


def mark_of(run: str) -> bytes:
    """What a mark holds."""
    return seal({"v": 1, "run": run})


def stamp(folder: Path, marks: Mapping[str, str], run: str) -> None:
    """Mark all files of a store that a flow without a source of marks has written."""
    resume = resume_of(folder)
    if resume is None:
        return
    for path in partitions(folder):
        with closing(sqlite3.connect(path)) as part, part:
            part.execute(
                "INSERT OR REPLACE INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, ?, ?)",
                (STEP, marks[path.name], resume.epoch - 1, record_of(mark_of(run))),
            )


def agreed_epoch(folder: Path, marks: Mapping[str, str], resume: Resume) -> int:
    """The epoch to begin at: as Bytewax says where all files are of one moment, else the newest that they share.

    Raises:
        StoreMisfitError: the files share none.
    """
    if resume.epoch <= 1:  # no epoch was finished yet
        return resume.epoch
    files = partitions(folder)
    found = {path.name: _marks_in(path, marks.get(path.name, ""), resume.epoch) for path in files}
    collected = max(map(_collected, files))
    newest = {max(of) if of else None for of in found.values()}
    if len(newest) == 1 and None not in newest and collected <= resume.epoch:
        return resume.epoch
    whole_from = max(resume.began - 1, collected)
    shared = {mark for mark in set.intersection(*found.values()) if mark.epoch >= whole_from}
    if not shared:
        raise StoreMisfitError(
            f"recovery store {folder}: its files are of different moments: {_listed(found)}. Each holds a share of the "
            "state, so csq would resume from a mixture. Put back all files of one backup, csq.json too (docs/state.md, "
            '"Files of different moments")'
        )
    epoch = max(shared).epoch + 1
    log.warning(
        "the files of the recovery store in %s were copied one after the other: resuming at epoch %d, which all have, "
        "instead of %d",
        folder,
        epoch,
        resume.epoch,
        extra={"event": "store_set_back", "epoch": epoch},
    )
    return epoch


def set_back(part: sqlite3.Connection, resume: Resume, epoch: int) -> None:
    """Let Bytewax resume at an earlier epoch of the last run."""
    part.execute("UPDATE fronts SET worker_frontier = ? WHERE ex_num = ?", (epoch, resume.runs - 1))


def _marks_in(path: Path, name: str, before: int) -> set[Mark]:
    """The marks in a file of epochs before one: the last, and those that `state.backup_seconds` keeps."""
    select = (
        "SELECT snap_epoch, ser_change FROM snaps "
        "WHERE step_id = ? AND state_key = ? AND snap_epoch < ? AND ser_change IS NOT NULL"
    )
    with opened(path) as part:
        rows = part.execute(select, (STEP, name, before)).fetchall()
    return {Mark(epoch, _run_in(record, path, name)) for epoch, record in rows}


def _collected(path: Path) -> int:
    """The epoch up to which Bytewax has deleted what a later snapshot replaces: a file is not whole at earlier ones."""
    with opened(path) as part:
        return int(part.execute("SELECT COALESCE(MAX(commit_epoch), 0) FROM commits").fetchone()[0])


def _run_in(record: bytes, path: Path, name: str) -> str:
    content = checked_content(record, path, STEP, name)
    return "" if content is None else str(unseal(content, f"step {STEP}, key {name}")["run"])


def _listed(found: Mapping[str, set[Mark]]) -> str:
    return ", ".join(
        f"{name} epoch {max(of).epoch} (run {max(of).run})" if of else f"{name} none" for name, of in found.items()
    )
