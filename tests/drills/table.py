"""The results of the drills, as text."""

from collections import Counter
from collections.abc import Sequence

from tests.drills.run import Row

SHOWN = ("severity", "team", "slo", "class", "queue", "model", "reason")
HEAD = ("drill", "fault", "alert", "labels", "after", "objective", "resolved", "inhibited", "event to metric")
NOTE = """\
after, resolved: wall-clock time from the fault, and from its end, to the notification at the pager. objective: the same in
objective time, with the factor by which windows are shorter; csq and the delivery of notifications are not faster, so
real times are shorter. inhibited: alerts that fired and were inhibited. event to metric: p99 of csq_event_age_seconds
before the fault (target: below 100 ms). summary: the summary of the first notification."""


def table(rows: Sequence[Row]) -> str:
    """A line per drill, then the failures."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines += ["", NOTE, ""]
    lines += [f"{row.drill.name}: summary: {row.said}" for row in rows if row.said]
    lines += [f"{row.drill.name}: FAILED: {row.failed}" for row in rows if row.failed]
    lines += [
        f"{row.drill.name}: the machine was too busy: the shop up to {row.behind_seconds:.1f} s late, "
        f"{row.missed_scrapes} scrapes missed"
        for row in rows
        if row.was_held_back
    ]
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    drill = row.drill
    by = drill.long_by or drill.by
    return (
        drill.name,
        drill.cause,
        drill.alert,
        _labels(row),
        _seconds(row.to_alert),
        "never" if row.to_alert is None else f"{span(row.to_alert * by)} ({by:g}x)",
        _seconds(row.to_resolved),
        ", ".join(f"{count} {name}" for name, count in sorted(Counter(row.held).items())) or "nothing follows",
        f"{row.age_p99 * 1000:.0f} ms",
    )


def _labels(row: Row) -> str:
    seen: dict[str, list[str]] = {}
    for labels in row.labels:
        for name in SHOWN:
            if name in labels and labels[name] not in seen.setdefault(name, []):
                seen[name].append(labels[name])
    return " ".join(f"{name}={','.join(sorted(values))}" for name, values in seen.items() if values)


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def span(seconds: float) -> str:
    """Seconds as text.

    >>> span(42.4), span(600), span(9_000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
