"""Names that are not in the settings: admission depends on event time alone; other names are reported."""

import msgspec
import pytest

from flows.settings.load import load
from operators.domain.stage.promise import PromisesParams, QueuePromise
from operators.metrics.observe import Values
from operators.simulator import SimulatorParams, simulate
from tests.streams import AT_ONCE, ORIGIN, SERVICE, SETTINGS, Result, deal, differences, raws, run

AUTO = load(None, AT_ONCE)
SHOP = SimulatorParams(events_per_second=4.0, late_share=0.0)
DELIVERIES, _ = simulate(SHOP, 3_200)
NAMES = (*SERVICE, "csq_agents")  # churn is not among them: its model learns labels between batches


def rounds(values: Values) -> dict[str, float]:
    """Reply rounds by queue."""
    found: dict[str, float] = {}
    for (queue, *_), count in values["csq_reply_rounds_total"].items():
        found[queue] = found.get(queue, 0.0) + count
    return {queue: count for queue, count in found.items() if count}


@pytest.fixture(scope="module")
def auto() -> Result:
    return run({ORIGIN: raws(DELIVERIES)}, settings=AUTO, batch_size=1_000)


@pytest.fixture(scope="module")
def whole(auto: Result) -> Values:
    return auto.values


@pytest.fixture(scope="module")
def closed() -> Result:
    return run({ORIGIN: raws(DELIVERIES)}, settings=SETTINGS, batch_size=1_000)


def test_queues_of_any_name_get_series_of_their_own(whole: Values, closed: Result) -> None:
    listed, admitted = rounds(closed.values), rounds(whole)
    assert admitted.keys() == {*listed, "other"}
    assert sum(admitted.values()) == sum(listed.values())
    assert all(admitted[queue] <= listed[queue] for queue in listed)


@pytest.mark.parametrize("stream", ["csq.turn.scored", "csq.reply.measured", "csq.satisfaction.scored"])
def test_published_events_have_the_names_of_queue_and_channel_before_they_are_admitted(
    stream: str, auto: Result, closed: Result
) -> None:
    assert auto.published[stream] == closed.published[stream]


@pytest.mark.parametrize("batch_size", [300, 17])
def test_when_a_name_is_admitted_does_not_depend_on_batches(whole: Values, batch_size: int) -> None:
    other = run({ORIGIN: raws(DELIVERIES)}, settings=AUTO, batch_size=batch_size).values
    assert differences(whole, other, NAMES) == []


def test_nor_on_how_events_are_dealt_to_partitions(whole: Values) -> None:
    assert differences(whole, run(deal(DELIVERIES, 3), settings=AUTO).values, NAMES) == []


def test_a_queue_with_a_promise_is_in_from_the_first_event() -> None:
    promises = PromisesParams(queues={"billing": QueuePromise(limit_seconds=60.0)})
    values = run({ORIGIN: raws(DELIVERIES)}, settings=msgspec.structs.replace(AUTO, promises=promises)).values
    listed = msgspec.structs.replace(SETTINGS, promises=promises)
    assert rounds(values)["billing"] == rounds(run({ORIGIN: raws(DELIVERIES)}, settings=listed).values)["billing"]
