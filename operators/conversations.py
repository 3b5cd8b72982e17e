"""Conversations: pair replies with messages, watch open waits, join ratings and labels to their turns."""

from collections.abc import Callable
from dataclasses import dataclass

from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from operators.domain.conversations.reading import Turn
from operators.domain.conversations.stage import Conversations
from operators.domain.models.model import Example
from operators.domain.stage.facts import Fact
from operators.domain.stage.stage import Measurement
from operators.domain.time.lanes import Lanes, queue_lanes
from operators.domain.time.watermark import Tick
from operators.domain.wire.outgoing import Outgoing
from operators.engine.lanes import keyed_port, lane_stage, port, rekeyed_port


@dataclass(frozen=True)
class ConversationStreams:
    """Output streams of conversations."""

    customers: KeyedStream[list[Fact] | Tick]
    queues: KeyedStream[list[Fact] | Tick]
    examples: KeyedStream[list[Example]]
    published: Stream[list[Outgoing]]
    measured: Stream[list[Measurement]]


@operator
def conversations(
    step_id: str,
    up: KeyedStream[list[Turn] | Tick],
    build: Callable[[], Conversations],
    lanes: Lanes,
    clock: Callable[[], float],
    take_snapshots: bool,
    process: str,
) -> ConversationStreams:
    """Turns events into facts about waits, moods and outcomes, and into published scores.

    In: lists of (time, name, event, reading), and ticks, keyed by conversation lane. Out: facts keyed by customer lane
    and by queue lane, with ticks in line; examples keyed by model; published events; measurements. State: a record per
    conversation and the vectors and scores of its last turns, dropped after days of silence, bounded per lane. On
    resume: continues exactly; an open wait that passed its limit meanwhile is missed with the first tick after it.
    """
    out = lane_stage("lane", up, build, clock, take_snapshots)
    return ConversationStreams(
        rekeyed_port("customers", out, "customers", lanes.names, lanes.count, process),
        rekeyed_port("queues", out, "queues", queue_lanes(lanes).names, lanes.count, process),
        keyed_port("examples", out, "examples"),
        port("published", out, "published"),
        port("measured", out, "measured"),
    )
