"""An example: a published score and the label that arrived for it."""

from typing import Any, NamedTuple


class Example(NamedTuple):
    """What a model learns from. It is flat and plain, because it is pickled on its way to another process.

    `x` holds the inputs of the score and `published` the score itself. A `weight` below 1 marks a weak label (a rating
    that stands for the sentiment of a message): the model learns from it, and is not judged by it.
    """

    x: Any
    published: Any
    label: Any
    weight: float
    delay_seconds: float
