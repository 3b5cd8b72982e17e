"""The journal of counters: what the last answer to Prometheus showed, kept beside the recovery store.

After a kill the counters resume from the last snapshot, which is older than the last scrape. To Prometheus a counter
that decreases was reset, so everything since the snapshot would be counted twice. So each scrape is written to the
journal before it is answered, and the next process exposes the greater of its own value and the journal's, the floor.
Events that are read again are then counted once towards what Prometheus has seen.
"""

import logging
from itertools import accumulate
from pathlib import Path
from typing import Any

from operators.documents.durable import replace_file
from operators.domain.stage.seal import StateDamagedError, seal, unseal
from operators.metrics.catalogue import PROMISED

VERSION = 2
Series = dict[tuple[str, tuple[str, ...]], Any]
"""(metric, label values) -> value of a counter, or (counts below each bound, not cumulated; sum) of a histogram."""
Limits = tuple[float, ...]
_log = logging.getLogger(__name__)


def pack(series: Series, processes: int, limits: Limits = ()) -> bytes:
    """Encode the series that are not 0, of one of `processes` processes, with bounds at `limits` (seconds)."""
    kept = [[name, labels, value] for (name, labels), value in series.items() if _moved(value)]
    return seal({"v": VERSION, "processes": processes, "limits": limits, "series": kept})


def unpack(packed: bytes, what: str, processes: int, limits: Limits = ()) -> Series:
    """Decode series; empty where another version or another number of processes wrote them: counters restart from 0.

    Where the promised limits differ, histograms with bounds at them restart too.

    >>> unpack(pack({("csq_turns_total", ("orders",)): 3.0, ("csq_late_events_total", ()): 0.0}, 1), "counters", 1)
    {('csq_turns_total', ('orders',)): 3.0}
    >>> unpack(pack({("csq_turns_total", ("orders",)): 3.0}, 1), "counters", 2)
    {}

    Raises:
        StateDamagedError: the bytes are damaged.
    """
    state = unseal(packed, what)
    if state["v"] != VERSION or state["processes"] != processes:
        return {}
    begin_anew = PROMISED if tuple(state["limits"]) != limits else frozenset()
    return {(name, tuple(labels)): value for name, labels, value in state["series"] if name not in begin_anew}


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
        self.floors: Series = {}
        """What the previous process exposed."""
        try:
            self.floors = unpack(path.read_bytes(), f"{path}", processes, limits)
        except FileNotFoundError:
            pass
        except (OSError, StateDamagedError) as error:
            _log.warning(
                "the journal of counters cannot be read, so events since the last snapshot may be counted twice: %s",
                error,
                extra={"event": "journal_lost"},
            )

    def write(self, series: Series) -> None:
        """Write the series of one scrape. Logs the first error: a full disk must not hide the metrics."""
        try:
            replace_file(self._path, pack(series, self._processes, self._limits))
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
