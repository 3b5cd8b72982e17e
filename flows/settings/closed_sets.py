"""Label values: the closed sets of an installation, for the series, the rules and the dashboards."""

from flows.settings.model import Settings
from operators.domain.models.registry import MODELS
from operators.domain.stage.promise import Promises
from operators.metrics.catalogue import ClosedSets

STAGES = ("intake", "conversations", "queues", "customers", "learn")
"""Stages that hold state."""


def closed_sets(settings: Settings, origins: tuple[str, ...] = ()) -> ClosedSets:
    """Return the label values of an installation; `origins` are the topics that are read."""
    labels = settings.labels
    return ClosedSets(
        queue=labels.queues,
        channel=labels.channels,
        segment=labels.segments,
        model=tuple(MODELS),
        stage=STAGES,
        source=origins,
        limits=Promises(settings.promises).limits(),
    )
