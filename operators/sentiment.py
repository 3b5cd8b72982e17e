"""Sentiment: what customers feel, scored from the tables this process holds."""

from itertools import repeat
from operator import add
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream

from operators.domain.conversations.reading import Reading, Turn, Vectored
from operators.domain.models.holder import Models
from operators.domain.models.sentiment import MODELS, score_many
from operators.domain.models.vectors import Vectors
from operators.domain.time.watermark import Tick


@operator
def sentiment(step_id: str, up: KeyedStream[Any], models: Models) -> KeyedStream[list[Turn] | Tick]:
    """Score a whole batch at once, one numpy call per language.

    In: events with vectors and tones beside them, and ticks, keyed by lane. Out: lists of (time, name, event, reading),
    and ticks, keyed by lane; a customer's reading has probabilities, an agent's only a tone. A pure step: no state.
    """

    def score(lanes: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        batch, readings = None, []
        out: list[tuple[str, Any]] = []
        for lane, item in lanes:
            if type(item) is Tick:
                out.append((lane, item))
                continue
            if item.vectors is not batch:  # lanes that were read at once are scored at once
                batch, readings = item.vectors, _score_many(item.vectors, models)
            out.append((lane, _turns(item, readings)))
        return out

    return op.flat_map_batch("score", up, score)


def _turns(vectored: Vectored, readings: list[Reading]) -> list[Turn]:
    """The turns of a lane, which takes its share of `readings`."""
    events, said, _, first, replied, tones = vectored
    beside: list[Reading | None] = [None] * len(events)
    for place, reading in zip(said, readings[first : first + len(said)], strict=True):
        beside[place] = reading
    for place, reading in zip(replied, map(Reading, repeat(""), repeat(b""), tones, repeat(False)), strict=True):  # noqa: FBT003  `map` takes no keywords
        beside[place] = reading
    return list(map(add, events, zip(beside, strict=True)))  # (time, name, event) + (reading,)


def _score_many(vectors: Vectors, models: Models) -> list[Reading]:
    """Readings in the order of the vectors."""
    tables = {language: models[name] for language, name in MODELS.items()}
    spoken, rows = vectors.languages, score_many(tables, vectors).tolist()
    names = map(MODELS.__getitem__, spoken)
    versions = {language: table.version for language, table in tables.items()}
    told = map(versions.__getitem__, spoken)
    return list(map(Reading, spoken, vectors.cut(), vectors.tones, vectors.questions, names, map(tuple, rows), told))
