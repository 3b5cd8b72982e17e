"""Snapshots: what one part of a stage (a lane, a model) stores, and what storing it costs."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from operators.domain.stage.seal import seal
from operators.domain.stage.stage import Measurement


class Snapshots:
    """Takes the snapshots of one part; `cost` returns what the last one took, once.

    >>> snapshots = Snapshots("queues", "7", keep=True)
    >>> snapshots.take(lambda: {"v": 1}) == seal({"v": 1})
    True
    >>> [(name, labels) for name, labels, _ in snapshots.cost()], snapshots.cost()
    ([('csq_snapshot_duration_seconds', ('queues',)), ('csq_state_bytes', ('queues',))], [])
    """

    def __init__(self, stage: str, part: str, *, keep: bool) -> None:
        self._stage = (stage,)
        self._part = part
        self._keep = keep
        self._cost: list[Measurement] = []

    def take(self, state: Callable[[], Any]) -> bytes:
        """Sealed plain data; nothing where no recovery store asks for it."""
        if not self._keep:
            return b""
        began = perf_counter()
        sealed = seal(state())
        self._cost = [
            ("csq_snapshot_duration_seconds", self._stage, perf_counter() - began),
            ("csq_state_bytes", self._stage, (self._part, len(sealed))),
        ]
        return sealed

    def cost(self) -> list[Measurement]:
        """Seconds and bytes of the last snapshot; empty when they were returned before."""
        cost, self._cost = self._cost, []
        return cost
