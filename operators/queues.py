"""Queues: where small facts of all lanes meet, one record per queue."""

from collections.abc import Callable
from dataclasses import dataclass

from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from operators.domain.outgoing import Outgoing
from operators.domain.queues import Params, Queues
from operators.domain.stage import Fact, Measurement
from operators.domain.watermark import Tick
from operators.lanes import lane_stage, port


@dataclass(frozen=True)
class Loads:
    """What is known of the queues."""

    dead: Stream[list[Outgoing]]
    measured: Stream[list[Measurement]]


@operator
def queues(
    step_id: str, up: KeyedStream[list[Fact] | Tick], params: Params, clock: Callable[[], float], keep: bool
) -> Loads:
    """Facts of conversations, agents and plans to the state of each queue.

    In: lists of facts, and ticks, keyed by queue lane. Out: measurements (smoothed and forecast reply time, open waits,
    agents, service level). State: a record per queue: what is open, who is on shift, the forecast's models; a closed
    set, bounded. On resume: goes on exactly.
    """
    out = lane_stage("lane", up, "queues", lambda: Queues(params), clock, keep)
    return Loads(port("dead", out, "published"), port("measured", out, "measured"))
