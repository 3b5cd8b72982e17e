"""What a stage has to say, gathered until the adapter asks: ports with lists, so that few and large things flow."""

from collections import defaultdict
from typing import Any

from operators.domain.outgoing import Outgoing
from operators.domain.stage import Measurement, Port


class Outbox:
    """Counted and measured things, published records (dead letters too), and lists for other keys (lanes, models).

    >>> out = Outbox()
    >>> out.counted["csq_duplicates_total", ()] += 2
    >>> out.to["customers"]["07"].append((0.0, "e1", "u1", "missed", None, None))
    >>> out.drain()[0]
    ('customers', {'07': [(0.0, 'e1', 'u1', 'missed', None, None)]})
    >>> out.drain()
    []
    """

    def __init__(self) -> None:
        self.counted: defaultdict[tuple[str, tuple[str, ...]], int] = defaultdict(int)
        """Counter and its label values -> how many."""
        self.measured: list[Measurement] = []
        self.published: list[Outgoing] = []
        self.to: defaultdict[str, defaultdict[str, list[Any]]] = defaultdict(_lists)
        """Port -> key -> what is for it; a port's dict stays the same, for whoever has much to say there."""

    def drain(self) -> list[Port]:
        """Everything since last asked: keyed ports first, so that their order is that of the events."""
        out: list[Port] = []
        for port, keyed in self.to.items():
            if keyed:
                out.append((port, dict(keyed)))
                keyed.clear()
        if self.counted:
            self.measured += [(name, labels, count) for (name, labels), count in self.counted.items()]
            self.counted.clear()
        if self.measured:
            out.append(("measured", self.measured))
            self.measured = []
        if self.published:
            out.append(("published", self.published))
            self.published = []
        return out


def _lists() -> defaultdict[str, list[Any]]:
    return defaultdict(list)
