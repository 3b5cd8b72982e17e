"""The interface of an online model. A new model is one module that implements it and one line in ``registry.py``.

A model has two halves. `ModelWeights` exist in every process and score. A `ModelLearner` exists in one process: it is
the only writer of its weights, and describes its changes so that the other processes can apply them.

The learn stage (``training.py``) does the rest for every model: it judges published scores, checks and counts examples,
takes snapshots and announces changes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from operators.domain.models.tasks import Task

PART_FEATURES = 4096
"""Features in one part of `ModelLearner.changes`: 16 bytes each, so at most 64 KiB; brokers accept 1 MiB."""

MOST_NUMBER = 1e15
"""Largest number of a model that another process trains: products of two, and their sums, are finite."""
MOST_WEIGHT = 1e6
"""Largest weight of a feature that another process has learned; AdaGrad comes there after 10^11 examples."""


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


class RefusedExampleError(ValueError):
    """The example does not fit the model. Nothing was learned."""


class WeightsNotFiniteError(ArithmeticError):
    """The step led to weights that are not finite. The model keeps the weights from before it."""


class ModelWeights(ABC):
    """The half of a model that scores."""

    version: int = 0
    """Number of examples that these weights have learned from."""

    @abstractmethod
    def score_one(self, x: Any) -> Any:
        """Return the score of the inputs `x` of an example, in the form in which it is published."""

    @abstractmethod
    def apply(self, change: Mapping[str, Any]) -> None:
        """Write one part of what `ModelLearner.changes` gave in another process.

        Raises:
            KeyError, TypeError, ValueError: the part does not belong to this model. Nothing was written.
        """


class ModelLearner(ABC):
    """The half of a model that learns."""

    state_version: ClassVar[int]
    """Version of what `state` returns. Raise it when the meaning or the layout changes."""
    weights: ModelWeights

    @abstractmethod
    def learn_one(self, example: Example) -> None:
        """Learn from an example with finite numbers and a weight above 0 and up to 1, and update the weights.

        Raises:
            RefusedExampleError: the example does not fit the model.
            WeightsNotFiniteError: the step led to weights that are not finite; it was undone.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return everything that was learned as plain data. Later learning does not change it."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""

    @abstractmethod
    def changes(self, *, whole: bool) -> Iterator[dict[str, Any]]:
        """Return all weights, or those that changed since the last call, in parts of at most `PART_FEATURES` features.

        Each part is plain data with absolute weights, so applying a part twice does no harm.
        """


@dataclass(frozen=True)
class ModelKind:
    """One entry of the registry: how a model is built from its settings, and how it is judged."""

    name: str
    """Value of the label `model`, and key of the model in snapshots and in the models topic."""
    section: str
    """Section of the settings with the model's parameters."""
    task: Task
    weights: Callable[[Any], ModelWeights]
    """Takes the parameters; returns the weights of a model that has learned nothing."""
    learner: Callable[[Any], ModelLearner]
    """Takes the parameters; returns a learner that has learned nothing."""

    def params(self, settings: Any) -> Any:
        """Return the model's section of `settings`."""
        return getattr(settings, self.section)


def finite_numbers(name: str, numbers: Any, count: int) -> list[float]:
    """Return `numbers` as a list of `count` floats, none larger than `MOST_NUMBER`.

    >>> finite_numbers("base", [2], 1)
    [2.0]

    Raises:
        ValueError: there are more or fewer numbers, or one is not finite or too large.
    """
    array = np.array(numbers, np.float64)
    if array.shape != (count,) or not (np.abs(array) <= MOST_NUMBER).all():
        raise ValueError(f"{name}: {count} finite numbers expected, up to {MOST_NUMBER:g}")
    listed: list[float] = array.tolist()
    return listed


class Models(dict[str, Any]):
    """Weights by model name. The flow reads its first event once `complete` is true.

    >>> models = Models(("churn",))
    >>> models.complete()
    False
    >>> models["churn"] = "weights"
    >>> models.complete()
    True
    """

    def __init__(self, expected: Iterable[str]) -> None:
        super().__init__()
        self.expected = tuple(expected)
        self.hosted: set[str] = set()
        """Models whose learner runs in this process; only that learner writes their weights."""
        self.waits_for: tuple[str, ...] = ()
        """Other processes that do not have all models yet and cannot score the events sent to them."""

    def missing(self) -> list[str]:
        """Expected models that have not been loaded."""
        return [name for name in self.expected if name not in self]

    def complete(self) -> bool:
        """Whether this process and all other processes have every expected model."""
        return not self.waits_for and all(name in self for name in self.expected)
