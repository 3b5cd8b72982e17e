"""The journal of counters: what the last answer to Prometheus showed, kept beside the recovery store.

After a kill the counters resume from the last snapshot, which is older than the last scrape. To Prometheus a counter
that decreases was reset, so everything since the snapshot would be counted twice. So each scrape is written to the
journal before it is answered, and the next process exposes the greater of its own value and the journal's, the floor.
Events that are read again are then counted once towards what Prometheus has seen.

That holds for the journal of the counters that are resumed, not for one that was left in the directory by another
store: its floors would hide all events up to them. So counters have a history, a name by chance from the moment they
begin at 0, which is in each snapshot and in the journal. A journal of another history is ignored. Before the first
snapshot is complete the store has no history: then the journal belongs to it only if it says so.
"""

import logging
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from operators.documents.durable import replace_file
from operators.domain.stage.seal import StateDamagedError, seal, unseal
from operators.metrics.catalogue import PROMISED

VERSION = 2
Series = dict[tuple[str, tuple[str, ...]], Any]
"""(metric, label values) -> value of a counter, or (counts below each bound, not cumulated; sum) of a histogram."""
Limits = tuple[float, ...]
_log = logging.getLogger(__name__)


class Counts(NamedTuple):
    """Counters and histograms at one moment."""

    series: Series
    history: str = ""
    """Name of the history that they belong to."""
    is_stored: bool = False
    """Whether a snapshot of this history is complete."""


def pack(counts: Counts, processes: int, limits: Limits = ()) -> bytes:
    """Encode the series that are not 0, of one of `processes` processes, with bounds at `limits` (seconds)."""
    kept = [[name, labels, value] for (name, labels), value in counts.series.items() if _moved(value)]
    history = {"history": counts.history, "stored": counts.is_stored}
    return seal({"v": VERSION, "processes": processes, "limits": limits, "series": kept, **history})


def unpack(packed: bytes, what: str, processes: int, limits: Limits = ()) -> Counts | None:
    """Decode counters; None where another version or another number of processes wrote them: they restart from 0.

    Where the promised limits differ, histograms with bounds at them restart too.

    >>> counts = Counts({("csq_turns_total", ("orders",)): 3.0, ("csq_late_events_total", ()): 0.0}, "5f0c", True)
    >>> unpack(pack(counts, 1), "counters", 1)
    Counts(series={('csq_turns_total', ('orders',)): 3.0}, history='5f0c', is_stored=True)
    >>> unpack(pack(counts, 1), "counters", 2)

    Raises:
        StateDamagedError: the bytes are damaged.
    """
    state = unseal(packed, what)
    if state["v"] != VERSION or state["processes"] != processes:
        return None
    begin_anew = PROMISED if tuple(state["limits"]) != limits else frozenset()
    series = {(name, tuple(labels)): value for name, labels, value in state["series"] if name not in begin_anew}
    return Counts(series, state.get("history", ""), state.get("stored", True))


def _moved(value: Any) -> bool:
    return any(value[0]) if isinstance(value, tuple | list) else bool(value)


def at_least(value: Any, floor: Any) -> Any:
    """The greater of two values of a counter or, bucket by bucket, of a histogram.

    >>> at_least(3.0, 5.0)
    5.0
    >>> at_least(([1, 0, 2], 9.0), ([0, 2, 0], 4.0))
    ([1, 1, 1], 9.0)
    """
    if isinstance(value, float):
        return max(value, floor)
    (counts, total), (least, least_total) = value, floor
    if len(counts) != len(least):  # from a release with other buckets
        return value
    totals = list(map(max, accumulate(counts), accumulate(least)))
    return [after - before for before, after in zip([0, *totals], totals, strict=False)], max(total, least_total)


class Journal:
    """The file with the last scrape of a process.

    Args:
        path: the file; it need not exist.
        processes: how many processes there are; a journal of another number is ignored.
        limits: promised limits (seconds), which are bounds of histograms.
    """

    def __init__(self, path: Path, processes: int, limits: Limits = ()) -> None:
        self._path = path
        self._processes, self._limits = processes, limits
        self._failed = False
        self._found = Counts({})
        try:
            self._found = unpack(path.read_bytes(), f"{path}", processes, limits) or Counts({})
        except FileNotFoundError:
            pass
        except (OSError, StateDamagedError) as error:
            _log.warning(
                "the journal of counters cannot be read, so events since the last snapshot may be counted twice: %s",
                error,
                extra={"event": "journal_lost"},
            )

    @property
    def floors(self) -> Series:
        """What the previous process exposed."""
        return self._found.series

    @property
    def history(self) -> tuple[str, bool]:
        """The history of the floors, and whether a snapshot of it is complete."""
        return self._found.history, self._found.is_stored

    def fit(self, history: str | None) -> None:
        """Ignore the floors if they are not of the resumed counters, those of `history`; None: the store has none."""
        found = self._found
        if found.history == history if history is not None else not found.is_stored:
            return
        if found.series:
            _log.warning(
                "%s: the journal of counters is of another store: counters go on from the snapshot",
                self._path,
                extra={"event": "journal_of_another_store"},
            )
        self._found = Counts({})

    def write(self, counts: Counts) -> None:
        """Write the series of one scrape. Logs the first error: a full disk must not hide the metrics."""
        try:
            replace_file(self._path, pack(counts, self._processes, self._limits))
        except FileNotFoundError:  # the recovery store does not exist yet, and nothing is counted yet
            pass
        except OSError as error:
            if not self._failed:
                _log.error(
                    "%s: cannot be written: %s; counters are exact only without a crash",
                    self._path,
                    error,
                    extra={"event": "journal_not_written"},
                )
            self._failed = True
        else:
            self._failed = False
