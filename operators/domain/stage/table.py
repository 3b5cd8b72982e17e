"""Table: the records of a lane by key, as they are while things happen to them, else as the bytes that are stored.

Of a million customers a few thousand are there at any time. The records of the others are smaller as bytes, a snapshot
copies them instead of encoding them again, and a restart decodes none of them before something happens to it.
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from msgspec import Raw, msgpack

from operators.domain.stage.named import read_named

T = TypeVar("T")
P = TypeVar("P")

COLD_SECONDS = 60.0
"""A record that nothing happened to for so long is frozen. That, and to thaw it, costs as much as three snapshots, so
it pays for all but those of slow talks; and what is not frozen is what the flow stands still for."""

_encode = msgpack.Encoder().encode
_decode_all = msgpack.Decoder(dict[str, Raw]).decode


class Table(Generic[T]):
    """Records of the type `kind`; `last_at` tells when something happened to one last, in event time.

    `pack` may make one smaller that is about to be frozen, if it is read again as it was.
    `hot` is for whoever asks often: always the same dict. What is not in it may be cold: `thaw` tells.

    >>> table = Table(dict[str, float], lambda record: record["at"])
    >>> table.hot["u1"] = {"at": 1.0}
    >>> table.view(1.0 + COLD_SECONDS), list(table.view(2.0 + COLD_SECONDS)), len(table.hot)
    ({'u1': {'at': 1.0}}, ['u1'], 0)
    >>> table.thaw("u1"), table.thaw("u2")
    ({'at': 1.0}, None)
    """

    def __init__(
        self, kind: Any, last_at: Callable[[T], float], pack: Callable[[T], T] = lambda record: record
    ) -> None:
        self._kind = kind
        self._pack = pack
        self.hot: dict[str, T] = {}
        self._cold: dict[str, Raw] = {}
        self._last_at = last_at
        self._decode: Callable[[Raw], T] = msgpack.Decoder(kind).decode

    def __len__(self) -> int:
        return len(self.hot) + len(self._cold)

    def __contains__(self, key: object) -> bool:
        return key in self.hot or key in self._cold

    def thaw(self, key: str) -> T | None:
        """A record that is not hot, made hot; `None` if there is none."""
        frozen = self._cold.pop(key, None)
        if frozen is None:
            return None
        record = self.hot[key] = self._decode(frozen)
        return record

    def get(self, key: str) -> T | None:
        """A record, made hot; `None` if there is none."""
        record = self.hot.get(key)
        return self.thaw(key) if record is None else record

    def __getitem__(self, key: str) -> T:
        record = self.get(key)
        if record is None:
            raise KeyError(key)
        return record

    def forget(self, key: str) -> None:
        """Drop a record, if it is there."""
        if self.hot.pop(key, None) is None:
            self._cold.pop(key, None)

    def each(self, part: type[P]) -> Iterator[tuple[str, T | P]]:
        """All keys and records, none made hot: of the cold ones what `part`, a struct of a few of their fields, has."""
        yield from self.hot.items()
        decode = msgpack.Decoder(part).decode
        for key, frozen in self._cold.items():
            yield key, decode(frozen)

    def view(self, now: float) -> dict[str, T | Raw]:
        """All of them, for whoever encodes them at once; what is cold by `now`, in event time, is frozen first."""
        hot, last_at, until = self.hot, self._last_at, now - COLD_SECONDS
        for key in [key for key, record in hot.items() if last_at(record) < until]:
            self._cold[key] = Raw(_encode(self._pack(hot.pop(key))))
        return self._cold | hot

    def restore(self, stored: Raw, *, was_named: bool = False) -> None:
        """Go on from the bytes of what `view` gave: all are cold; `was_named`: maps of names, not arrays."""
        self.hot.clear()
        if was_named:
            stored = Raw(_encode(read_named(stored, self._kind)))
        # Copies: else the whole snapshot would stay in memory until the last of its records has been thawed.
        self._cold = {key: frozen.copy() for key, frozen in _decode_all(stored).items()}
