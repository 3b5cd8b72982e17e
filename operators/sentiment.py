"""Sentiment: what customers feel, scored from the tables this process holds."""

from typing import Any

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream

from operators.domain.reading import Reading, Turn
from operators.domain.sentiment import MODELS, score_many
from operators.domain.vectors import Vector, Vectors
from operators.domain.watermark import Tick
from operators.models import Models


@operator
def sentiment(step_id: str, up: KeyedStream[Any], models: Models) -> KeyedStream[list[Turn] | Tick]:
    """Score a whole batch at once, one numpy call per language.

    In: events with a vector beside each, and ticks, keyed by lane. Out: lists of (time, name, event, reading), and
    ticks, keyed by lane; a customer's reading has probabilities, an agent's only a tone. A pure step: no state.
    """

    def score(lanes: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        vectors = [
            vector
            for _, turns in lanes
            if type(turns) is not Tick
            for (_, _, event), vector in zip(*turns, strict=True)
            if vector is not None and event.data.author.role == "customer"
        ]
        scored = iter(_score_many(vectors, models))
        return [(lane, turns if type(turns) is Tick else _turns(turns[0], turns[1], scored)) for lane, turns in lanes]

    return op.flat_map_batch("score", up, score)


def _turns(events: list[Any], vectors: list[Vector | None], scored: Any) -> list[Turn]:
    turns: list[Turn] = []
    for (time, name, event), vector in zip(events, vectors, strict=True):
        reading = None
        if vector is not None:
            if event.data.author.role == "customer":
                reading = next(scored)
            else:
                reading = Reading(vector.language, b"", vector.tone, vector.is_question)
        turns.append((time, name, event, reading))
    return turns


def _score_many(vectors: list[Vector], models: Models) -> list[Reading]:
    """Readings in the order of the vectors."""
    if not vectors:
        return []
    tables = {language: models[name] for language, name in MODELS.items()}
    rows = score_many(tables, Vectors.of(vectors)).tolist()
    return [
        Reading(language, features, tone, question, MODELS[language], tuple(row))
        for (language, features, tone, question), row in zip(vectors, rows, strict=True)
    ]
