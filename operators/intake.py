"""Intake: decode, and drop repeats; what is refused leaves as a dead letter."""

from collections.abc import Callable
from dataclasses import dataclass

from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from operators.domain.stage.admission import KEY
from operators.domain.stage.facts import Fact
from operators.domain.stage.intake import Arrived, Intake, IntakeParams
from operators.domain.stage.labels import Labels
from operators.domain.stage.stage import Measurement
from operators.domain.time.lanes import Lanes
from operators.domain.time.route import RawRecord
from operators.domain.time.watermark import Tick
from operators.domain.wire import dedupe
from operators.domain.wire.outgoing import Outgoing
from operators.engine.lanes import lane_port, lane_stage, port, rekeyed_port


@dataclass(frozen=True)
class IntakeStreams:
    """Output streams of intake."""

    events: KeyedStream[list[Arrived] | Tick]
    sightings: KeyedStream[list[Fact] | Tick]
    """Names that have no series of their own yet, on one key."""
    dead: Stream[list[Outgoing]]
    measured: Stream[list[Measurement]]


@operator
def intake(
    step_id: str,
    up: KeyedStream[list[RawRecord] | Tick],
    params: IntakeParams,
    window: dedupe.DedupeParams,
    labels: Labels,
    lanes: Lanes,
    process: str,
    clock: Callable[[], float],
    take_snapshots: bool,
) -> IntakeStreams:
    """Raw records to events, each once.

    In: lists of raw records and ticks, keyed by lane. Out: lists of (time, name, event) and ticks, keyed by lane; names
    without series, on one key; dead letters; measurements. State: the ids of a window of event time, bounded. On
    resume: duplicates of events that were read before are still recognised.
    """
    out = lane_stage("lane", up, lambda: Intake(params, window, labels), clock, take_snapshots)
    events, dead = lane_port("events", out, "events", 2), port("dead", out, "published")
    sightings = rekeyed_port("sightings", out, "labels", (KEY,), lanes.count, process)
    return IntakeStreams(events, sightings, dead, port("measured", out, "measured"))
