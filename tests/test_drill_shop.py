"""The shop of the drills is healthy before the cause: no queue misses an objective, whatever the seed."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

import msgspec
import pytest

from flows.commands.rules.declaration import Slo
from flows.commands.rules.load import load
from flows.commands.rules.selection import Selection
from operators.metrics.catalogue import CATALOGUE
from operators.metrics.observe import Values
from operators.simulator import NAMES, Simulator
from tests.drills.cases import DRILLS
from tests.streams import ROOT, SETTINGS, raws, run

HOURS = 3
DECLARATION = load(ROOT / "config" / "slo.yaml", SETTINGS)
CLASS_OF = {queue: name for name, each in DECLARATION.classes.items() for queue in each.queues}
BY_QUEUE = {name: slo for name, slo in DECLARATION.slos.items() if slo.each == ("queue",)}
PARAMS = next(drill.shop_params for drill in DRILLS if drill.name == "broken producer")


def counted(selections: Sequence[Selection], values: Values, queue: str) -> float:
    """How many events of a queue were counted."""
    return sum(
        count
        for selection in selections
        for labels, count in values.get(selection.name, {}).items()
        if is_meant(selection, labels, queue)
    )


def is_meant(selection: Selection, labels: tuple[str, ...], queue: str) -> bool:
    """Whether a selection, limited to a queue, includes the series with these label values."""
    names = [label.name for label in CATALOGUE[selection.metric].labels]
    where: dict[str, tuple[str, ...]] = {**selection.where, "queue": (queue,)}
    if selection.within_seconds is not None:
        names.append("le")
        where["le"] = (str(float(selection.within_seconds)),)
    by_name = dict(zip(names, labels, strict=True))
    return all(by_name[name] in among for name, among in where.items())


def burnt(slo: Slo, values: Values) -> Iterator[tuple[str, float]]:
    """Queues and how much of their error budget they burn: 1 is all of it, at the rate that lasts for the window."""
    for queue in NAMES.queues:
        total = counted(slo.total, values, queue)
        bad = counted(slo.bad, values, queue) if slo.bad else total - counted(slo.good, values, queue)
        assert total >= slo.minimum_events, "fewer events than any alert asks for"
        budget = 1 - slo.promised[None if slo.objective is not None else CLASS_OF[queue]]
        yield queue, bad / total / budget


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_queue_burns_more_than_the_budget_of_any_objective(seed):
    params = msgspec.structs.replace(PARAMS, seed=seed)
    end = params.start + HOURS * 3_600
    delivered = takewhile(lambda each: each.time < end, Simulator(params, keep_books=False))
    values = run({"shop": raws(delivered)}).values

    rates = {(name, queue): rate for name, slo in BY_QUEUE.items() for queue, rate in burnt(slo, values)}

    assert {which: rate for which, rate in rates.items() if rate > 1.0} == {}
