"""Label values: the closed sets of an installation, for the series, the rules and the dashboards."""

from flows.settings.model import Settings
from operators.domain.models.registry import MODELS
from operators.domain.stage.labels import Labels
from operators.domain.stage.promise import Promises
from operators.metrics.catalogue import ClosedSets

STAGES = ("intake", "labels", "conversations", "queues", "customers", "learn")
"""Stages that hold state."""


def labels_of(settings: Settings) -> Labels:
    """Return the names that have series of their own from the start: those in `labels` and in `promises`."""
    return Labels(settings.labels, settings.promises.queues, settings.promises.named_channels)


def closed_sets(settings: Settings, origins: tuple[str, ...] = ()) -> ClosedSets:
    """Return the label values of an installation; `origins` are the topics that are read."""
    labels = labels_of(settings)
    return ClosedSets(
        queue=labels.queues.fixed,
        channel=labels.channels.fixed,
        segment=labels.segments.fixed,
        growing=frozenset(label for label, values in labels.of.items() if values.is_open),
        model=tuple(MODELS),
        stage=STAGES,
        source=origins,
        limits=Promises(settings.promises).limits(),
    )
