"""What a stage has to say, gathered until the adapter asks: ports with lists, so that few and large things flow."""

from collections import Counter, defaultdict
from typing import Any

from operators.domain.outgoing import Outgoing
from operators.domain.stage import Measurement, Port


class Outbox:
    """Counted and measured things, published records, dead letters, and lists for other keys (lanes, models).

    >>> out = Outbox()
    >>> out.counted["csq_duplicates_total", ()] += 2
    >>> out.to["customers"]["07"].append((0.0, "e1", "u1", "missed", None, None))
    >>> out.drain()[0]
    ('customers', ('07', [(0.0, 'e1', 'u1', 'missed', None, None)]))
    >>> out.drain()
    []
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.counted: Counter[tuple[str, tuple[str, ...]]] = Counter()
        """Counter and its label values -> how many."""
        self.measured: list[Measurement] = []
        self.published: list[Outgoing] = []
        self.dead: list[Outgoing] = []
        self.to: defaultdict[str, defaultdict[str, list[Any]]] = defaultdict(_lists)
        """Port -> key -> what is for it."""

    def drain(self) -> list[Port]:
        """Everything since last asked: keyed ports first, so that their order is that of the events."""
        out: list[Port] = [(port, item) for port, keyed in self.to.items() for item in keyed.items()]
        measured = self.measured
        measured += [(name, labels, count) for (name, labels), count in self.counted.items()]
        if measured:
            out.append(("measured", measured))
        if self.published:
            out.append(("published", self.published))
        out += [("dead", record) for record in self.dead]
        if out:
            self._clear()
        return out


def _lists() -> defaultdict[str, list[Any]]:
    return defaultdict(list)
