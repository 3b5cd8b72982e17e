"""Snapshots of one part of a stage (a lane, a model), and their cost."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from operators.domain.stage.seal import seal
from operators.domain.stage.stage import Measurement


class Snapshots:
    """Takes the snapshots of one part; `cost` returns what the last one took, once.

    >>> snapshots = Snapshots("queues", "7", take_snapshots=True)
    >>> snapshots.take(lambda: {"v": 1}) == seal({"v": 1})
    True
    >>> [(name, labels) for name, labels, _ in snapshots.cost()], snapshots.cost()
    ([('csq_snapshot_duration_seconds', ('queues',)), ('csq_state_bytes', ('queues',))], [])
    """

    def __init__(self, stage: str, part: str, *, take_snapshots: bool) -> None:
        self._stage = (stage,)
        self._part = part
        self._take_snapshots = take_snapshots
        self._cost: list[Measurement] = []

    def take(self, state: Callable[[], Any]) -> bytes:
        """Return the sealed state; nothing without a recovery store."""
        if not self._take_snapshots:
            return b""
        began = perf_counter()
        sealed = seal(state())
        self._cost = [
            ("csq_snapshot_duration_seconds", self._stage, perf_counter() - began),
            ("csq_state_bytes", self._stage, (self._part, len(sealed))),
        ]
        return sealed

    def cost(self) -> list[Measurement]:
        """Return seconds and bytes of the last snapshot, once."""
        cost, self._cost = self._cost, []
        return cost
