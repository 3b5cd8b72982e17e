"""Exposed: what a process last showed Prometheus, kept beside the recovery store, so that no counter ever goes back.

After a kill the counters resume from the last snapshot, which is older than the last scrape; to Prometheus a counter
that goes back has begun anew, and everything would be counted twice. So before each answer goes out, what it says is
written down, and the next process shows the greater of the two until its own counts have come past. Events that are
read again are then counted once towards what Prometheus has seen.
"""

import logging
import os
from itertools import accumulate
from pathlib import Path
from typing import Any

from operators.domain.stage.seal import StateDamagedError, seal, unseal
from operators.metrics.catalogue import PROMISED

VERSION = 2
Series = dict[tuple[str, tuple[str, ...]], Any]
"""(metric, label values) -> value of a counter, or (counts below each bound, not cumulated; sum) of a histogram."""
Limits = tuple[float, ...]
_log = logging.getLogger(__name__)


def pack(series: Series, processes: int, limits: Limits = ()) -> bytes:
    """The series that are not 0, for a process of so many, counted with bounds at the promised `limits` (seconds)."""
    kept = [[name, labels, value] for (name, labels), value in series.items() if _moved(value)]
    return seal({"v": VERSION, "processes": processes, "limits": limits, "series": kept})


def unpack(packed: bytes, what: str, processes: int, limits: Limits = ()) -> Series:
    """The series; none where another version wrote them, or a cluster of another size: then counters begin anew.

    Where other limits were promised, the histograms that have bounds at them begin anew.

    >>> unpack(pack({("csq_turns_total", ("orders",)): 3.0, ("csq_late_events_total", ()): 0.0}, 1), "counters", 1)
    {('csq_turns_total', ('orders',)): 3.0}
    >>> unpack(pack({("csq_turns_total", ("orders",)): 3.0}, 1), "counters", 2)
    {}

    Raises:
        StateDamagedError: it is not what was written.
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
    if len(counts) != len(least):  # of a release with other buckets
        return value
    totals = list(map(max, accumulate(counts), accumulate(least)))
    return [after - before for before, after in zip([0, *totals], totals, strict=False)], max(total, least_total)


class Journal:
    """What was last exposed, in a file of its own; `floors` is what the process before this one had exposed."""

    def __init__(self, path: Path, processes: int, limits: Limits = ()) -> None:
        self._path = path
        self._processes, self._limits = processes, limits
        self._failed = False
        self.floors: Series = {}
        try:
            self.floors = unpack(path.read_bytes(), f"{path}", processes, limits)
        except FileNotFoundError:
            pass
        except (OSError, StateDamagedError) as error:
            _log.warning(
                "what was last shown to Prometheus is lost, counters may be counted twice once: %s",
                error,
                extra={"event": "journal_lost"},
            )

    def write(self, series: Series) -> None:
        """Write down what is about to be exposed. A disk that is full must not hide the metrics that say so."""
        try:
            replace_file(self._path, pack(series, self._processes, self._limits))
        except FileNotFoundError:  # the recovery store is not made yet, and nothing is counted yet
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


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file by another that is whole, for nobody else to read."""
    fresh = path.with_name(f".{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123  needs a mode
        file.write(content)
    fresh.replace(path)
