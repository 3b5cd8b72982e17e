"""Figures of a benchmark run, for tests of what is made of them."""

from typing import Any

import msgspec

from bench.meter import Figures


def figures(**changed: Any) -> Figures:
    """Ten events in a second of wall and CPU time, with these fields changed."""
    base = Figures(
        events=10,
        seconds=1.0,
        cpu_seconds=1.0,
        rss_bytes=1,
        counted={"csq_events_total": 10},
        published=1,
        published_bytes=1,
        yardstick_seconds=0.1,
    )
    return msgspec.structs.replace(base, **changed)
