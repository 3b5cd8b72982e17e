"""One promise, end to end: missed rounds, service level, buckets and books say the same for queues of every limit."""

from collections.abc import Iterator

import msgspec

from operators.domain.stage.promise import ChannelPromise, PromisesParams, QueuePromise
from operators.metrics.observe import Values
from operators.simulator import SimulatorParams, simulate
from tests.builders import START, raw
from tests.streams import ORIGIN, SETTINGS, raws, run, with_settings

REPLIES = {
    "billing": (20.0, 44.999, 45.0, 45.001, 100.0, 180.0),
    "orders": (20.0, 45.001, 179.0, 180.0, 180.001, 400.0),
}
LIMITS = {"billing": 45.0, "orders": 180.0}
OWN = PromisesParams(queues={"billing": QueuePromise(limit_seconds=45.0)})


def talk(queue: str, number: int, wait: float) -> Iterator[bytes]:
    """A question and its answer, after so many seconds."""
    for role, after in (("customer", 0.0), ("agent", wait)):
        name = f"{queue}-{number}-{role}"
        yield raw(
            "csq.message.created",
            START + after,
            name,
            message_id=name,
            conversation_id=f"{queue}-{number}",
            queue=queue,
            author={"role": role, "id": role},
        )


def seen(values: Values, name: str, queue: str, at: int = 2) -> dict[str, float]:
    """The chat series of a queue by one of their labels."""
    return {labels[at]: value for labels, value in values[name].items() if labels[:2] == (queue, "chat") and value}


def test_service_level_equals_missed_rounds_for_a_queue_with_its_own_limit() -> None:
    settings = msgspec.structs.replace(with_settings(queues={"window_seconds": 86_400.0}), promises=OWN)
    events = [raw for queue, waits in REPLIES.items() for n, wait in enumerate(waits) for raw in talk(queue, n, wait)]
    values = run({ORIGIN: events}, settings=settings).values

    for queue, waits in REPLIES.items():
        met = sum(wait <= LIMITS[queue] for wait in waits)
        assert seen(values, "csq_reply_rounds_total", queue) == {"met": met, "missed": len(waits) - met}
        assert values["csq_service_level_ratio"][queue,] == met / len(waits)
        # A histogram is exact at its bounds only: the limit of each queue is one of them.
        assert seen(values, "csq_reply_seconds_bucket", queue, -1)[str(LIMITS[queue])] == met


def test_the_books_of_the_simulator_count_by_the_same_promise() -> None:
    promises = PromisesParams(
        queues={"billing": QueuePromise(limit_seconds=60.0)}, channels={"email": ChannelPromise(limit_seconds=400.0)}
    )
    shop = SimulatorParams(events_per_second=4.0, late_share=0.0)
    deliveries, books = simulate(shop, 3_000, promises)
    values = run({ORIGIN: raws(deliveries)}, settings=msgspec.structs.replace(SETTINGS, promises=promises)).values

    shown = {labels: count for labels, count in values["csq_reply_rounds_total"].items() if count}
    assert shown == {tuple(labels): count for *labels, count in books.rounds}
    assert books.rounds != simulate(shop, 3_000)[1].rounds
