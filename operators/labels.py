"""Labels: the one place that admits names of queues, channels and segments to series of their own."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from operators.domain.stage.admission import Admission
from operators.domain.stage.facts import Fact
from operators.domain.stage.labels import AUTO, Admitted, Labels
from operators.domain.stage.stage import Measurement, Port
from operators.domain.time.lanes import Lanes
from operators.domain.time.watermark import Tick
from operators.domain.wire.outgoing import Outgoing
from operators.engine.lanes import lane_stage, port

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelStreams:
    """What the stage hands on."""

    admitted: KeyedStream[list[Any] | Tick]
    """For every lane: admissions, as items of conversations, and how far the lane may settle."""
    dead: Stream[list[Outgoing]]
    measured: Stream[list[Measurement]]


@operator
def labels(
    step_id: str,
    up: KeyedStream[list[Fact] | Tick],
    names: Labels,
    lanes: Lanes,
    clock: Callable[[], float],
    take_snapshots: bool,
) -> LabelStreams:
    """Sightings of names that are not in, to admissions.

    In: lists of names seen, and ticks, on one key. Out: admissions and leases for every lane;
    measurements. State: the names admitted, and those seen with their last conversations; bounded. On resume:
    admissions are handed out again before any lane may settle anything.
    """
    out = lane_stage("lane", up, lambda: Admission(names), clock, take_snapshots)
    report = NamesLog(names)

    def pick(items: list[tuple[str, Port]]) -> list[tuple[str, Any]]:
        handed: list[tuple[str, Any]] = []
        for _, (at, value) in items:
            if at == "admitted":
                report.admitted(value)
                handed += [(lane, [(each.since, "", each, None) for each in value]) for lane in lanes.names]
            elif at == "lease":
                handed += [(lane, Tick("labels", value, 1, 2)) for lane in lanes.names]
            elif at == "seen":
                report.seen(value)
        return handed

    admitted = op.flat_map_batch("to_lanes", out, pick)
    return LabelStreams(admitted, port("dead", out, "published"), port("measured", out, "measured"))


class NamesLog:
    """Logs each admission, and once each name that stays in `other`; keeps the latter for summaries and views."""

    def __init__(self, names: Labels) -> None:
        self._names = names
        self._logged: set[tuple[str, str]] = set()

    def admitted(self, admitted: list[Admitted]) -> None:
        """Log admissions."""
        for each in admitted:
            log.info(
                "%s %r has series of its own from now on: it occurs often enough",
                each.label,
                each.value,
                extra={"event": "label_admitted", "label": each.label, "value": each.value},
            )

    def seen(self, seen: dict[str, dict[str, int]]) -> None:
        """Take label -> name -> events; log names that are not going to be admitted."""
        self._names.seen = seen
        for label, names in seen.items():
            values = self._names.of[label]
            if values.has_room():
                continue
            for value in names.keys() - {value for known, value in self._logged if known == label}:
                self._logged.add((label, value))
                log.warning(
                    "%s %r is measured as `other`: %s; name it in labels.%ss",
                    label,
                    value,
                    f"{AUTO} admits {values.bound}" if values.is_open else "the settings do not name it",
                    label,
                    extra={"event": "label_other", "label": label, "value": value},
                )
