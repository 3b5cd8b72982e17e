"""Table: the records of a lane by key; in use as objects, otherwise as the bytes that are stored.

Of a million customers a few thousand are active at any time. The records of the others are smaller as bytes, a snapshot
copies them instead of encoding them again, and a restart decodes none of them before it is needed.
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from msgspec import Raw, msgpack

T = TypeVar("T")
P = TypeVar("P")

COLD_SECONDS = 60.0
"""A record without events for so long is frozen. Freezing and thawing it costs as much as three snapshots of it, which
is less for all records but those of slow conversations; and the flow is stopped while records that are not frozen are
encoded."""

_encode = msgpack.Encoder().encode
_decode_all = msgpack.Decoder(dict[str, Raw]).decode


class Table(Generic[T]):
    """Records of one type by key.

    `hot` is public for callers that look up every event: always the same dict. A key that is not in it may be cold;
    `thaw` looks there.

    Args:
        kind: type of the records, as msgspec decodes it.
        last_at: event time (POSIX seconds) of the last event of a record.
        pack: makes a record smaller before it is frozen; what it returns must be decoded as an equal record.

    >>> table = Table(dict[str, float], lambda record: record["at"])
    >>> table.hot["u1"] = {"at": 1.0}
    >>> table.snapshot(1.0 + COLD_SECONDS), list(table.snapshot(2.0 + COLD_SECONDS)), len(table.hot)
    ({'u1': {'at': 1.0}}, ['u1'], 0)
    >>> table.thaw("u1"), table.thaw("u2")
    ({'at': 1.0}, None)
    """

    def __init__(
        self, kind: Any, last_at: Callable[[T], float], pack: Callable[[T], T] = lambda record: record
    ) -> None:
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
        """Make a cold record hot and return it; `None` if there is none."""
        frozen = self._cold.pop(key, None)
        if frozen is None:
            return None
        record = self.hot[key] = self._decode(frozen)
        return record

    def get(self, key: str) -> T | None:
        """Return a record, made hot; `None` if there is none."""
        record = self.hot.get(key)
        return self.thaw(key) if record is None else record

    def __getitem__(self, key: str) -> T:
        record = self.get(key)
        if record is None:
            raise KeyError(key)
        return record

    def forget(self, key: str) -> None:
        """Drop a record, if there is one."""
        if self.hot.pop(key, None) is None:
            self._cold.pop(key, None)

    def each(self, part: type[P]) -> Iterator[tuple[str, T | P]]:
        """Iterate over all keys and records without making any hot; cold ones are decoded as `part`.

        `part` is a struct of the first few fields of a record.
        """
        yield from self.hot.items()
        decode = msgpack.Decoder(part).decode
        for key, frozen in self._cold.items():
            yield key, decode(frozen)

    def snapshot(self, now: float) -> dict[str, T | Raw]:
        """Return all records, to be encoded at once; those that are cold at `now` (event time) are frozen first."""
        hot, last_at, until = self.hot, self._last_at, now - COLD_SECONDS
        for key in [key for key, record in hot.items() if last_at(record) < until]:
            self._freeze(key, hot.pop(key))
        return self._cold | hot

    def _freeze(self, key: str, record: T) -> None:
        self._cold[key] = Raw(_encode(self._pack(record)))

    def restore(self, stored: Raw) -> None:
        """Continue from the encoded result of `snapshot`; all records are cold."""
        self.hot.clear()
        # Copies: otherwise the whole snapshot stays in memory until the last of its records has been thawed.
        self._cold = {key: frozen.copy() for key, frozen in _decode_all(stored).items()}

    def update_cold(self, update: Callable[[str, T], None]) -> None:
        """Decode every cold record, let `update` change it, and freeze it again."""
        for key, frozen in list(self._cold.items()):
            record = self._decode(frozen)
            update(key, record)
            self._freeze(key, record)
