"""The registry of models: every model of csq is one entry."""

from collections.abc import Callable
from typing import Any

from operators.domain.models import churn, satisfaction, sentiment
from operators.domain.models.model import ModelKind, ModelWeights
from operators.domain.models.training import ModelTraining

MODELS: dict[str, ModelKind] = {
    kind.name: kind
    for kind in (
        *sentiment.KINDS,
        satisfaction.KIND,
        churn.KIND,
    )
}
"""Models by name."""


def training_of(name: str, settings: Any, clock: Callable[[], float] | None = None) -> ModelTraining:
    """Return the model `name` as it is before its first example, ready to learn.

    `settings` has a section of parameters for each model. `clock` gives POSIX seconds, see `ModelTraining`.

    Raises:
        KeyError: no model has this name.
    """
    kind = MODELS[name]
    return ModelTraining(kind, kind.params(settings), clock)


def weights_of(name: str, settings: Any) -> ModelWeights:
    """Return the weights of the model `name` before its first example.

    Raises:
        KeyError: no model has this name.
    """
    kind = MODELS[name]
    return kind.weights(kind.params(settings))
