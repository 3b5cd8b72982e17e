"""Route: raw bytes to their lanes."""

import bytewax.operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from operators.domain.time.route import Chunk, RawRecord, Router
from operators.domain.time.watermark import Tick


@operator
def route(step_id: str, up: Stream[Chunk], router: Router) -> KeyedStream[list[RawRecord] | Tick]:
    """Group raw records by lane, and send every lane the event time in ticks.

    In: chunks of raw bytes, as sources read them. Out: lists of (raw, origin, position), and ticks, keyed by lane. No
    key, no stored state: the time of each origin follows from its first records after a resume.
    """
    return op.flat_map_batch("group", up, router.route_many)
