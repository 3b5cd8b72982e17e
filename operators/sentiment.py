"""Sentiment: probabilities for customer messages, from the models of this process."""

from itertools import repeat
from operator import add
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream

from operators.domain.conversations.reading import Reading, Turn, Vectored
from operators.domain.models.model import Models
from operators.domain.models.sentiment import MODEL_NAMES, score_many
from operators.domain.models.vectors import Vectors
from operators.domain.time.watermark import Tick


@operator
def sentiment(step_id: str, up: KeyedStream[Any], models: Models) -> KeyedStream[list[Turn] | Tick]:
    """Score a whole batch with one numpy call per language.

    In: events with their vectors and tones, and ticks, keyed by lane. Out: lists of (time, name, event, reading), and
    ticks, keyed by lane; the reading of a customer message has probabilities, that of an agent's only a tone. No state.
    """

    def score(lanes: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        batch, readings = None, []
        out: list[tuple[str, Any]] = []
        for lane, item in lanes:
            if type(item) is Tick:
                out.append((lane, item))
                continue
            if item.vectors is not batch:  # lanes of one batch share their vectors
                batch, readings = item.vectors, _score_many(item.vectors, models)
            out.append((lane, _turns(item, readings)))
        return out

    return op.flat_map_batch("score", up, score)


def _turns(vectored: Vectored, readings: list[Reading]) -> list[Turn]:
    """Return the turns of a lane, which owns a range of `readings`."""
    events, customers, _, first, agents, tones = vectored
    beside: list[Reading | None] = [None] * len(events)
    for place, reading in zip(customers, readings[first : first + len(customers)], strict=True):
        beside[place] = reading
    for place, reading in zip(agents, map(Reading, repeat(""), repeat(b""), tones, repeat(False)), strict=True):  # noqa: FBT003  `map` takes no keywords
        beside[place] = reading
    return list(map(add, events, zip(beside, strict=True)))  # (time, name, event) + (reading,)


def _score_many(vectors: Vectors, models: Models) -> list[Reading]:
    """Return readings in the order of the vectors."""
    weights = {language: models[name] for language, name in MODEL_NAMES.items()}
    languages, rows = vectors.languages, score_many(weights, vectors).tolist()
    names = map(MODEL_NAMES.__getitem__, languages)
    by_language = {language: each.version for language, each in weights.items()}
    versions = map(by_language.__getitem__, languages)
    return list(
        map(Reading, languages, vectors.cut(), vectors.tones, vectors.questions, names, map(tuple, rows), versions)
    )
