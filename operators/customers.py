"""Customers: their moods, waits and orders, and the probability that they leave."""

from collections.abc import Callable
from dataclasses import dataclass

from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from operators.domain.customers.stage import Customers
from operators.domain.models.model import Example
from operators.domain.stage.facts import Fact
from operators.domain.stage.stage import Measurement
from operators.domain.time.watermark import Tick
from operators.domain.wire.outgoing import Outgoing
from operators.engine.lanes import keyed_port, lane_stage, port


@dataclass(frozen=True)
class CustomerStreams:
    """Output streams of customers."""

    examples: KeyedStream[list[Example]]
    published: Stream[list[Outgoing]]
    measured: Stream[list[Measurement]]


@operator
def customers(
    step_id: str,
    up: KeyedStream[list[Fact] | Tick],
    build: Callable[[], Customers],
    clock: Callable[[], float],
    take_snapshots: bool,
) -> CustomerStreams:
    """Facts about customers to churn scores.

    In: lists of facts, and ticks, keyed by customer lane. Out: examples keyed by model, published scores with reasons,
    measurements. State: a record per customer, dropped after `customers.silence_days`, bounded per lane; scores that
    wait for their label are kept with their inputs. On resume: continues exactly.
    """
    out = lane_stage("lane", up, build, clock, take_snapshots)
    return CustomerStreams(
        keyed_port("examples", out, "examples"),
        port("published", out, "published"),
        port("measured", out, "measured"),
    )
