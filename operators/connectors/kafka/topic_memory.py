"""Which topics a recovery store knows: a partition of theirs without a stored position is a new one."""

import sqlite3
from contextlib import closing
from pathlib import Path

from operators.connectors.kafka.params import topic_and_partition

QUERY = "SELECT DISTINCT state_key FROM snaps WHERE step_id = ? AND ser_change IS NOT NULL"


SOURCE = "csq.kafka"
"""Full name of the source's step in `flows/live.py`; public, as all names of steps."""


def known_topics(folder: str | None, step_id: str = SOURCE) -> frozenset[str]:
    """Topics with a stored position in a recovery store of Bytewax; none where there is no store (yet)."""
    names: set[str] = set()
    for file in Path(folder).glob("part-*.sqlite3") if folder is not None else ():
        names |= _names(file, step_id)
    return frozenset(topic_and_partition(name)[0] for name in names)


def _names(file: Path, step_id: str) -> set[str]:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as store:
            return {name for (name,) in store.execute(QUERY, (step_id,))}
    except sqlite3.Error:
        return set()  # what is wrong with the store is told, with what to do, by whoever resumes from it
