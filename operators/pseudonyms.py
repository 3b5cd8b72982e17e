"""Pseudonyms: ids of published records are replaced on their way out."""

import bytewax.operators as op
from bytewax.dataflow import Stream, operator

from operators.domain.wire.outgoing import Outgoing
from operators.domain.wire.pseudonyms import Pseudonyms


@operator
def pseudonyms(step_id: str, up: Stream[list[Outgoing]], of: Pseudonyms) -> Stream[list[Outgoing]]:
    """Replace ids.

    In: lists of records. Out: the same lists, with pseudonyms for ids. A pure step: no key is looked at, no state is
    kept.
    """
    return op.map("leave", up, lambda records: [of.leave(record) for record in records])
