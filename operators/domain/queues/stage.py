"""Queues: one record per queue, from the facts of all conversations, agents and plans.

What comes out are gauges, as measurements. No fact drives a count below zero: a conversation that enters twice, an
answer without a wait, a duration out of range leave the other counts as they are.

What grows, and when it is dropped: open conversations and waits when they end (at most `max_open`), agents after
`agent_seconds` of silence (at most `max_agents`), plans when their interval is over (at most `max_plans`), counts per
bin after `window_seconds`, forecasts when their bin has come.
"""

import math
from collections.abc import Iterable
from typing import Any

from msgspec import Raw, Struct, msgpack

from operators.domain.queues.record import HANDLERS, Queue, QueuesParams, StoredQueue
from operators.domain.stage.facts import Fact, QueueFact
from operators.domain.stage.labels import Labels
from operators.domain.stage.promise import Promises
from operators.domain.stage.stage import Measurement, Port, Stage, check_version


class StoredQueues(Struct):
    """A snapshot as it is decoded."""

    now: float
    queues: dict[str, StoredQueue]


class Queues(Stage):
    """The queues of one lane.

    >>> from operators.domain.stage.facts import WaitBegan
    >>> from operators.domain.stage.labels import LabelsParams
    >>> from operators.domain.stage.promise import PromisesParams
    >>> queues = Queues(QueuesParams(), Promises(PromisesParams()), Labels(LabelsParams()))
    >>> queues.settle([WaitBegan(0.0, "e1", "orders", "c1", 0.0)])
    >>> queues.advance(30.0)
    >>> [(port, values)] = queues.drain()
    >>> port, values[1]
    ('measured', ('csq_oldest_open_wait_seconds', ('orders',), 30.0))
    """

    name = "queues"
    version = 3

    def __init__(self, params: QueuesParams, promises: Promises, labels: Labels) -> None:
        self._params, self._promises = params, promises
        self._labels = labels
        self._queues: dict[str, Queue] = {}
        self._now = -math.inf
        self._next = -math.inf
        self._measured: list[Measurement] = []

    def settle(self, facts: Iterable[QueueFact]) -> None:
        """Apply facts in the order of event time."""
        queues, handlers = self._queues, HANDLERS
        for fact in facts:
            handle = handlers.get(type(fact)) or handlers[type(fact)]  # the latter only to raise
            queue = queues.get(fact.queue)
            if queue is None:
                queue = queues[fact.queue] = Queue(fact.queue, self._params, self._promises)
            handle(queue, fact)

    def advance(self, now: float) -> None:
        """Set event time to `now`; gauges that changed are measured, at most once a second."""
        self._now = max(self._now, now)
        if self._now >= self._next:
            self._measure()

    def finish(self) -> None:
        """Measure what the limit of once a second held back."""
        if self._now > -math.inf:
            self._measure()

    def _measure(self) -> None:
        self._next = self._now + 1.0
        self.attempt_each(self._measure_one, ((queue,) for queue in self._queues.values()))

    def _measure_one(self, queue: Queue) -> None:
        queue.advance(self._now)
        self._measured.extend(queue.changed(self._now))

    def drain(self) -> list[Port]:
        """Return port ``measured``."""
        if not self._measured:
            return []
        measured, self._measured = self._measured, []
        return [("measured", measured)]

    def entries(self) -> int:
        """Return how many records are held, over all queues."""
        return len(self._queues) + sum(queue.entries() for queue in self._queues.values())

    def limit(self) -> int:
        """Return how many records the queues of this lane may hold: conversations, waits, agents and plans."""
        params = self._params
        return len(self._queues) * (1 + 2 * params.max_open + params.max_agents + params.max_plans)

    def fact_types(self) -> tuple[type[Fact], ...]:
        """Return the classes of facts that `settle` takes."""
        return tuple(HANDLERS)

    def is_valid(self, fact: Fact) -> bool:
        """Return whether a fact of a snapshot is about a queue that is still known."""
        return not isinstance(fact, QueueFact) or self._labels.queues.stored(fact.queue) == fact.queue

    def snapshot(self) -> dict[str, Any]:
        """Return the state as versioned plain data, to be encoded at once.

        What was measured and not drained is no part of it: all gauges are measured again after a restart.
        """
        queues = {name: queue.snapshot() for name, queue in self._queues.items()}
        return {"v": self.version, "now": self._now, "queues": queues}

    def restore(self, stored: Raw) -> None:
        """Continue from a snapshot; all gauges are measured at the next `advance`.

        Queues that the settings do not name any more are dropped: their open conversations are reported to `other` by
        the lanes of conversations.
        """
        check_version(self.name, stored, self.version)
        state = msgpack.decode(stored, type=StoredQueues)
        self._now, self._next = state.now, -math.inf
        self._queues = {}
        for name, held in state.queues.items():
            if self._labels.queues.stored(name) == name:
                self._queues[name] = queue = Queue(name, self._params, self._promises)
                queue.restore(held, self._labels.channels)
