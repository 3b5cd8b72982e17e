"""An example: a score that was published, and the label that came for it."""

from typing import Any, NamedTuple


class Example(NamedTuple):
    """What a learner takes. It is flat and plain, for it is pickled on its way to another process.

    `x` is what the score was made from, `published` the score itself. With `weight` below 1 the label is weak (a rating
    stands for the mood of a message): it is learned from, and not judged.
    """

    x: Any
    published: Any
    label: Any
    weight: float
    delay_seconds: float
