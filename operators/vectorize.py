"""Vectorize: clean the text of messages and hash it; from here on there is no text."""

from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream

from operators.domain.events import Message, MessageCreated
from operators.domain.intake import Arrived
from operators.domain.text import clean
from operators.domain.vectorize import Params, Vectorizer
from operators.domain.vectors import Vector
from operators.domain.watermark import Tick

Vectored = tuple[list[Arrived], list[Vector | None]]
"""Events, and beside each what was read in it: a vector for a public message of the customer, a tone for an agent's."""


@operator
def vectorize(step_id: str, up: KeyedStream[list[Arrived] | Tick], params: Params) -> KeyedStream[Vectored | Tick]:
    """Read the texts of a whole batch at once.

    In: lists of (time, name, event), and ticks, keyed by lane. Out: the same with a vector beside each event. A pure
    step: no key is looked at, no state is kept but a memo of words, on which no result depends.
    """
    vectorizer = Vectorizer(params)

    def read(lanes: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        out: list[tuple[str, Any]] = []
        said, replied = _Texts(), _Texts()
        for lane, events in lanes:
            if type(events) is Tick:
                out.append((lane, events))
                continue
            vectors: list[Vector | None] = [None] * len(events)
            out.append((lane, (events, vectors)))
            for place, (_, _, event) in enumerate(events):
                if type(event) is MessageCreated and event.data.is_public and event.data.text:
                    role = event.data.author.role
                    if role == "customer":
                        said.add(event.data, vectors, place)
                    elif role == "agent":
                        replied.add(event.data, vectors, place)
        if said.texts:
            said.put(vectorizer.vectorize_many(said.texts, said.languages))
        if replied.texts:
            tones = vectorizer.tones_many(replied.texts, replied.languages)
            replied.put(Vector("", b"", tone, is_question=False) for tone in tones)
        return out

    return op.flat_map_batch("read", up, read)


class _Texts:
    """Cleaned texts of a batch, and where what is read in each belongs."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.languages: list[str | None] = []
        self._places: list[tuple[list[Vector | None], int]] = []

    def add(self, data: Message, vectors: list[Vector | None], place: int) -> None:
        """From here on there is no text but the cleaned one."""
        self.texts.append(clean(data.text))
        self.languages.append(data.language)
        self._places.append((vectors, place))

    def put(self, read: Iterable[Vector]) -> None:
        """Put each vector beside its event."""
        for (vectors, place), vector in zip(self._places, read, strict=True):
            vectors[place] = vector
