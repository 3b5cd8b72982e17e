"""Intake: decode, and drop repeats; what is refused leaves as a dead letter."""

from collections.abc import Callable
from dataclasses import dataclass

from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from operators.domain import dedupe
from operators.domain.intake import Arrived, Intake, Params
from operators.domain.outgoing import Outgoing
from operators.domain.route import Record
from operators.domain.stage import Measurement
from operators.domain.watermark import Tick
from operators.lanes import lane_port, lane_stage, port


@dataclass(frozen=True)
class Arrivals:
    """What comes through the door, and what does not."""

    events: KeyedStream[list[Arrived] | Tick]
    dead: Stream[list[Outgoing]]
    measured: Stream[list[Measurement]]


@operator
def intake(
    step_id: str,
    up: KeyedStream[list[Record] | Tick],
    params: Params,
    window: dedupe.Params,
    clock: Callable[[], float],
    keep: bool,
) -> Arrivals:
    """Raw records to events, each once.

    In: lists of raw records and ticks, keyed by lane. Out: lists of (time, name, event) and ticks, keyed by lane; dead
    letters; measurements. State: the ids of a window of event time, bounded; they expire with it. On resume: repeats of
    what was read before are still known.
    """
    out = lane_stage("lane", up, "intake", lambda: Intake(params, window), clock, keep)
    events, dead = lane_port("events", out, "events"), port("dead", out, "published")
    return Arrivals(events, dead, port("measured", out, "measured"))
