"""Bytes that must be refused, each made of a true event that was delivered whole too, with the reason it deserves."""

from random import Random
from typing import TypeVar

import msgspec

from .world import Data

T = TypeVar("T")

_TOO_LONG = 66_000
_AHEAD_YEARS = 10


class Breaker:
    """Breaks events in one of several ways, by chance."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._encode = msgspec.json.Encoder().encode
        self._ways = (
            ("not_json", self._cut),
            ("not_an_event", self._spoil_envelope),
            ("unknown_type", self._rename),
            ("invalid_field", self._spoil_data),
            ("too_large", self._swell),
            ("time_in_future", self._hurry),
        )

    def break_one(self, envelope: Data, new_id: str) -> tuple[str, bytes]:
        """Give the reason and the bytes of a broken copy of an event; the copy has an id of its own."""
        reason, way = self._draw(self._ways)
        return reason, way(envelope | {"id": new_id})

    def spoil_one(self, envelope: Data, new_id: str) -> tuple[str, bytes]:
        """As `break_one`, but always in one way, as a producer with a mistake in its program does."""
        data = envelope["data"]
        assert isinstance(data, dict)  # noqa: S101 - as in _spoil_data
        _, *kept = data.items()  # the first field of every type is required
        return "invalid_field", self._encode(envelope | {"id": new_id, "data": dict(kept)})

    def _draw(self, choices: tuple[T, ...]) -> T:
        return choices[int(self._rng.random() * len(choices))]

    def _cut(self, envelope: Data) -> bytes:
        raw = self._encode(envelope)
        return raw[: 1 + int(self._rng.random() * (len(raw) - 1))]

    def _spoil_envelope(self, envelope: Data) -> bytes:
        spoilt = self._draw(("array", "missing", "specversion"))
        if spoilt == "array":
            return self._encode([envelope])
        if spoilt == "missing":
            missing = self._draw(("id", "source", "time", "type", "data", "specversion"))
            return self._encode({name: value for name, value in envelope.items() if name != missing})
        return self._encode(envelope | {"specversion": "0.3"})

    def _rename(self, envelope: Data) -> bytes:
        kind = self._draw(("csq.message.reacted", "csq.parcel.lost", "message", "csq.agent.hired"))
        return self._encode(envelope | {"type": kind})

    def _spoil_data(self, envelope: Data) -> bytes:
        data = envelope["data"]
        assert isinstance(data, dict)  # noqa: S101 - tells the type checker what every event is made of
        # The first field of every type is required, and text.
        first = next(iter(data))
        if self._rng.random() < 0.5:  # noqa: PLR2004 - one of two ways
            spoilt = {name: value for name, value in data.items() if name != first}
        else:
            spoilt = data | {first: self._draw((17, None, ["x"], ""))}
        return self._encode(envelope | {"data": spoilt})

    def _swell(self, envelope: Data) -> bytes:
        return self._encode(envelope | {"padding": "x" * (_TOO_LONG + int(self._rng.random() * 4_000))})

    def _hurry(self, envelope: Data) -> bytes:
        time = str(envelope["time"])
        # The first of the month is in every year; the 29th of February is not.
        return self._encode(envelope | {"time": f"{int(time[:4]) + _AHEAD_YEARS}{time[4:8]}01{time[10:]}"})
