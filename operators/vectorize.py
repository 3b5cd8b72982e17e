"""Vectorize: clean the text of messages and hash it; from here on there is no text."""

from typing import Any

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream

from operators.domain.conversations.reading import Vectored
from operators.domain.stage.intake import Arrived
from operators.domain.text.clean import clean_many
from operators.domain.text.vectorize import VectorizeParams, Vectorizer
from operators.domain.time.watermark import Tick
from operators.domain.wire.events import Message, MessageCreated


@operator
def vectorize(
    step_id: str, up: KeyedStream[list[Arrived] | Tick], params: VectorizeParams
) -> KeyedStream[Vectored | Tick]:
    """Vectorize the texts of a whole batch at once.

    In: lists of (time, name, event), and ticks, keyed by lane. Out: the events with what was read in them, and ticks,
    keyed by lane. A pure step: no key is looked at, no state is kept but a memo of words, on which no result depends.
    """
    vectorizer = Vectorizer(params)

    def read(lanes: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        from_customers: list[Message] = []
        from_agents: list[Message] = []
        found = [
            (
                lane,
                events,
                len(from_customers),
                len(from_agents),
                ([], []) if type(events) is Tick else _find(events, from_customers, from_agents),
            )
            for lane, events in lanes
        ]
        messages = from_customers + from_agents
        vectors, tones = vectorizer.read_many(
            clean_many([message.text or "" for message in messages]),
            [message.language for message in messages],
            len(from_customers),
        )
        return [
            (lane, events)
            if type(events) is Tick
            else (lane, Vectored(events, places, vectors, first, others, tones[begin : begin + len(others)]))
            for lane, events, first, begin, (places, others) in found
        ]

    return op.flat_map_batch("read", up, read)


def _find(
    events: list[Arrived], from_customers: list[Message], from_agents: list[Message]
) -> tuple[list[int], list[int]]:
    """Add the public messages of customers to `from_customers`, those of agents to `from_agents`."""
    customers: list[int] = []
    agents: list[int] = []
    for place, (_, _, event) in enumerate(events):
        if type(event) is MessageCreated:
            message = event.data
            if message.is_public and message.text:
                role = message.author.role
                if role == "customer":
                    from_customers.append(message)
                    customers.append(place)
                elif role == "agent":
                    from_agents.append(message)
                    agents.append(place)
    return customers, agents
