"""What a start checks in each file of a recovery store before Bytewax reads it, in one pass over its records."""

import sqlite3
from pathlib import Path

from operators.domain.stage.seal import opened
from operators.engine.store import DAMAGED, StoreMisfitError, checked_content

TABLES = frozenset({"parts", "exs", "fronts", "commits", "snaps"})
"""What Bytewax creates. A view or a trigger could change records after they were checked."""

_LAST = """
    SELECT step_id, state_key, ser_change FROM snaps
    JOIN (SELECT step_id, state_key, MAX(snap_epoch) AS snap_epoch FROM snaps GROUP BY step_id, state_key)
    USING (step_id, state_key, snap_epoch)
    WHERE ser_change IS NOT NULL
"""


def check_file(part: sqlite3.Connection, path: Path, epoch: int) -> None:
    """Check all that a run which begins at `epoch` reads from a file: its tables, and form and checksum of each record.

    Snapshots of `epoch` itself are deleted: they are those of an epoch that a killed run did not finish. Bytewax keeps
    them and continues with the same epoch. A key without events in that epoch would keep the state of the killed run,
    ahead of all others; after a second kill Bytewax would resume from it, and events would be lost.

    Raises:
        StoreMisfitError: csq did not write it.
        StateDamagedError: a checksum does not match.
    """
    found = part.execute("SELECT type, name FROM sqlite_master WHERE type <> 'index'")
    known = {("table", name) for name in TABLES}
    if other := [f"{kind} {name}" for kind, name in found if (kind, name) not in known and name[:7] != "sqlite_"]:
        raise StoreMisfitError(f"{path}: csq did not create {', '.join(sorted(other))}. {DAMAGED}")
    part.execute("DELETE FROM snaps WHERE snap_epoch >= ?", (epoch,))
    for step, key, record in part.execute(_LAST):
        if content := checked_content(record, path, step, key):
            opened(content, f"step {step}, key {key}")
