"""Checks that metrics, labels, buckets and queues of the objectives exist in csq."""

from collections.abc import Iterable, Iterator

from flows.commands.rules.burns import burns_of, unreachable
from flows.commands.rules.declaration import Declaration, Slo
from flows.commands.rules.selection import PROMISE, Gauge, Selection
from flows.settings.closed_sets import closed_sets
from flows.settings.model import Settings
from operators.documents.yaml import Place
from operators.domain.stage.labels import OTHER
from operators.domain.stage.promise import Promises, PromisesParams
from operators.metrics.catalogue import CATALOGUE, OPEN, PROMISED, ClosedSets

Misfit = tuple[Place, str]
"""The place in the file, and what is wrong there."""


def misfits(declaration: Declaration, settings: Settings) -> Iterator[Misfit]:
    """Every place where the declaration does not fit the catalogue, the settings or itself."""
    sets = closed_sets(settings)
    yield from _classes(declaration, sets)
    for name, slo in declaration.slos.items():
        place = ("slos", name)
        for role in ("good", "bad", "total"):
            for position, selection in enumerate(getattr(slo, role)):
                yield from _selection(selection, sets, (*place, role, position))
        if slo.gauge is not None:
            yield from _gauge(slo.gauge, sets, (*place, "gauge"))
        yield from _each(slo, place)
        for queue_class in slo.objectives:
            if queue_class not in declaration.classes:
                known = ", ".join(declaration.classes)
                yield (*place, "objectives", queue_class), f"no such queue class; declared are {known}"
        yield from _burns(declaration, slo, place)


def disagreements(declaration: Declaration, settings: Settings) -> Iterator[str]:
    """Yield where objectives and the promises of the settings differ, which may be intended or a mistake.

    Args:
        declaration: objectives as `load` returns them, so that `within_seconds: promise` agrees already.
        settings: those with promises of their own; the defaults fit the objectives that csq contains.
    """
    promises = settings.promises
    if promises == PromisesParams():
        return
    limits = Promises(promises).limits()
    for name, slo in declaration.slos.items():
        for selection in (*slo.good, *slo.bad, *slo.total):
            within = selection.within_seconds
            if type(selection) is Selection and selection.metric in PROMISED and within and within not in limits:
                promised = ", ".join(f"{limit:g}" for limit in limits)
                yield f"slos.{name}: within_seconds is {within:g}, promised are {promised}; `{PROMISE}` follows them"
    folded = {queue.casefold(): queue for each in declaration.classes.values() for queue in each.queues}
    for queue in promises.queues:
        twin = folded.get(queue.casefold(), queue)
        if twin != queue:
            yield f"classes: a class names {twin!r}, the settings promise for {queue!r}; events have one of them"


def _classes(declaration: Declaration, sets: ClosedSets) -> Iterator[Misfit]:
    known = (*sets.queue, OTHER)
    owners: dict[str, str] = {}
    for name, queue_class in declaration.classes.items():
        for position, queue in enumerate(queue_class.queues):
            place = ("classes", name, "queues", position)
            if queue not in known and "queue" not in sets.growing:
                yield place, f"got {queue!r}, expected one of labels.queues of the settings: {', '.join(known)}"
            elif owners.setdefault(queue, name) != name:
                yield place, f"{queue} is in class {owners[queue]} already"
    if OTHER not in owners:
        yield ("classes",), f"no class names `{OTHER}`; add it to the class of the queues that no class names"


def _selection(selection: Selection, sets: ClosedSets, place: Place) -> Iterator[Misfit]:
    metric = CATALOGUE.get(selection.metric)
    if metric is None:
        yield (*place, "metric"), f"got {selection.metric!r}, expected a metric of docs/metrics.md"
        return
    if metric.kind == "gauge":
        yield (*place, "metric"), f"{metric.name} is a gauge, expected a counter or a histogram; use `gauge:`"
    if selection.within_seconds is not None:
        if metric.kind != "histogram":
            yield (*place, "within_seconds"), f"{metric.name} is no histogram: it has no bounds"
        elif selection.within_seconds == PROMISE:
            if metric.name not in PROMISED:
                text = f"`{PROMISE}` is a limit of {' and '.join(sorted(PROMISED))} only, expected seconds"
                yield (*place, "within_seconds"), text
        elif selection.within_seconds not in (buckets := metric.bounds(sets)):
            bounds = ", ".join(f"{bound:g}" for bound in buckets)
            text = f"got {selection.within_seconds:g}, expected a bound of the buckets of {metric.name}: {bounds}"
            yield (*place, "within_seconds"), text
    yield from _where(selection.metric, selection.where, sets, (*place, "where"))


def _gauge(gauge: Gauge, sets: ClosedSets, place: Place) -> Iterator[Misfit]:
    for key, kind in (("metric", "gauge"), ("volume", "counter")):
        name = getattr(gauge, key)
        metric = CATALOGUE.get(name)
        if metric is None or metric.kind != kind:
            yield (*place, key), f"got {name!r}, expected a {kind} of docs/metrics.md"
        else:
            yield from _where(name, gauge.where, sets, (*place, "where"))


def _where(name: str, where: dict[str, tuple[str, ...]], sets: ClosedSets, place: Place) -> Iterator[Misfit]:
    labels = {label.name: label for label in CATALOGUE[name].labels}
    for key, values in where.items():
        label = labels.get(key)
        if label is None:
            yield (*place, key), f"{name} has no such label; it has {', '.join(labels) or 'none'}"
        elif label.values != OPEN and key not in sets.growing:
            known = (*label.known(sets), OTHER)
            for value in values:
                if value not in known:
                    yield (*place, key), f"{name} never says {value!r}, expected one of {', '.join(known)}"


def _each(slo: Slo, place: Place) -> Iterator[Misfit]:
    metrics: Iterable[str] = [selection.metric for selection in (*slo.good, *slo.bad, *slo.total)]
    if slo.gauge is not None:
        metrics = [slo.gauge.metric, slo.gauge.volume]
    for metric in metrics:
        labels = {label.name for label in CATALOGUE[metric].labels} if metric in CATALOGUE else set(slo.each)
        for label in slo.each:
            if label not in labels:
                yield (*place, "each"), f"{metric} has no label {label!r}"


def _burns(declaration: Declaration, slo: Slo, place: Place) -> Iterator[Misfit]:
    for queue_class, objective in slo.promised.items():
        key = (*place, "objective") if queue_class is None else (*place, "objectives", queue_class)
        kept = burns_of(declaration.burns, slo.window_days, objective, slo.minimum_events, slo.worst)
        for severity in {"page": ("page", "ticket"), "ticket": ("ticket",)}[slo.worst]:
            if not any(burn.severity == severity for burn in kept):
                why = unreachable(declaration.burns, slo.window_days, objective)
                yield key, f"no {severity} can ever come of {objective:g}: {why}; promise more, or widen `burns`"
