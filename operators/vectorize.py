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

Vectored = tuple[list[Arrived], list[Vector | None]]
"""Events, and beside each what was read in it: public messages of customers and agents have a vector."""


@operator
def vectorize(step_id: str, up: KeyedStream[list[Arrived] | Tick], params: Params) -> KeyedStream[Vectored | Tick]:
    """Read the texts of a whole batch at once.

    In: lists of (time, name, event), and ticks, keyed by lane. Out: the same with a vector beside each event. A pure step: no
    key is looked at, no state is kept but a memo of words, on which no result depends.
    """
    vectorizer = Vectorizer(params)

    def read(lanes: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        out: list[tuple[str, Any]] = []
        texts: list[str] = []
        languages: list[str | None] = []
        places: list[tuple[list[Vector | None], int]] = []
        for lane, events in lanes:
            if type(events) is Tick:
                out.append((lane, events))
                continue
            vectors: list[Vector | None] = [None] * len(events)
            out.append((lane, (events, vectors)))
            for place, (_, _, event) in enumerate(events):
                if type(event) is MessageCreated and is_read(event):
                    texts.append(clean(event.data.text))
                    languages.append(event.data.language)
                    places.append((vectors, place))
        if texts:
            for (vectors, place), vector in zip(places, vectorizer.vectorize_many(texts, languages), strict=True):
                vectors[place] = vector
        return out

    return op.flat_map_batch("read", up, read)


def is_read(event: MessageCreated) -> bool:
    """Whether it is a public message with a text, by a customer or an agent."""
    data = event.data
    role = data.author.role
    return data.is_public and (role == "customer" or role == "agent") and bool(data.text)  # noqa: PLR1714  hot
