"""Vectorize: clean the text of messages and hash it; from here on there is no text."""

from typing import Any

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream

from operators.domain.events import MessageCreated
from operators.domain.intake import Arrived
from operators.domain.text import clean
from operators.domain.vectorize import Params, Vectorizer
from operators.domain.vectors import Vector
from operators.domain.watermark import Tick

Vectored = tuple[float, str, Any, Vector | None]
"""Event time, name, event, and for a public message of customer or agent what was read in it."""

_READ = frozenset({"customer", "agent"})


@operator
def vectorize(
    step_id: str, up: KeyedStream[list[Arrived] | Tick], params: Params
) -> KeyedStream[list[Vectored] | Tick]:
    """Read the texts of a whole batch at once.

    In: lists of (time, name, event), and ticks, keyed by lane. Out: the same with a vector each. A pure step: no key is looked
    at, no state is kept but a memo of words, on which no result depends.
    """
    vectorizer = Vectorizer(params)

    def read(lanes: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        texts: list[str] = []
        languages: list[str | None] = []
        for _, events in lanes:
            if type(events) is not Tick:
                for _, _, event in events:
                    if is_read(event):
                        texts.append(clean(event.data.text))
                        languages.append(event.data.language)
        vectors = iter(vectorizer.vectorize_many(texts, languages) if texts else ())
        return [
            (lane, events)
            if type(events) is Tick
            else (lane, [(*event, next(vectors) if is_read(event[2]) else None) for event in events])
            for lane, events in lanes
        ]

    return op.flat_map_batch("read", up, read)


def is_read(event: Any) -> bool:
    """Whether it is a public message with a text, by a customer or an agent."""
    if type(event) is not MessageCreated:
        return False
    data = event.data
    return data.is_public and data.author.role in _READ and bool(data.text)
