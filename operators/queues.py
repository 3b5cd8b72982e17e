"""Queues: one record per queue, from the facts of all lanes."""

from collections.abc import Callable
from dataclasses import dataclass

from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from operators.domain.queues.stage import Queues
from operators.domain.stage.facts import Fact
from operators.domain.stage.stage import Measurement
from operators.domain.time.watermark import Tick
from operators.domain.wire.outgoing import Outgoing
from operators.engine.lanes import lane_stage, port


@dataclass(frozen=True)
class QueueStreams:
    """Output streams of queues."""

    dead: Stream[list[Outgoing]]
    measured: Stream[list[Measurement]]


@operator
def queues(
    step_id: str,
    up: KeyedStream[list[Fact] | Tick],
    build: Callable[[], Queues],
    clock: Callable[[], float],
    take_snapshots: bool,
) -> QueueStreams:
    """Facts about conversations, agents and plans to the gauges of each queue.

    In: lists of facts, and ticks, keyed by queue lane. Out: measurements (smoothed and forecast reply time, open waits,
    agents, service level). State: a record per queue: open conversations and waits, agents, plans, the forecast's
    models; a closed set, bounded. On resume: continues exactly.
    """
    out = lane_stage("lane", up, build, clock, take_snapshots)
    return QueueStreams(port("dead", out, "published"), port("measured", out, "measured"))
