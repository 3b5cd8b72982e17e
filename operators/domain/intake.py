"""Intake: the door of the product. Raw bytes become events, each once; what is refused becomes a dead letter.

It holds one lane's ids of the last hour and nothing else.
"""

from collections import Counter
from typing import Annotated, Any

from msgspec import Meta, Struct

from operators.domain import decode, dedupe
from operators.domain.events import AnyEvent
from operators.domain.outgoing import Outgoing, dead_letter
from operators.domain.stage import Measurement, Port, check_version

Arrived = tuple[float, str, AnyEvent]
"""Event time (POSIX seconds), ``"source id"``, event."""


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """What is let in."""

    max_bytes: Annotated[
        int,
        Meta(
            ge=256,
            description="Bytes of one event; larger ones are not parsed. The wire format promises 64 KiB.",
        ),
    ] = 65_536
    ahead_seconds: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds an event may be ahead of the clock, for producers whose clock is off.",
        ),
    ] = 300.0
    max_age_seconds: Annotated[
        float,
        Meta(
            gt=0,
            description="Seconds; older events come from a broken clock. 30 years lets all history in.",
        ),
    ] = 946_080_000.0


class Intake:
    """One lane's door."""

    version = 1

    def __init__(self, params: Params, window: dedupe.Params) -> None:
        self._params = params
        self._seen = dedupe.Seen(window)
        self._now = float("-inf")
        self._out: list[Port] = []

    def arrive(self, records: list[tuple[bytes, str, int]], now: float) -> list[Any]:
        """Decode a batch; `now` is the wall clock (POSIX seconds). Nothing here needs the order of time."""
        params, seen = self._params, self._seen
        events: list[Arrived] = []
        types: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        repeats = late = 0
        for raw, origin, position in records:
            decoded = decode.decode_one(
                raw,
                now,
                max_bytes=params.max_bytes,
                ahead_seconds=params.ahead_seconds,
                max_age_seconds=params.max_age_seconds,
            )
            if type(decoded) is decode.Refusal:
                reasons[decoded.reason] += 1
                self._out.append(
                    (
                        "dead",
                        dead_letter(
                            raw, decoded.reason, decoded.detail, origin, position, now
                        ),
                    )
                )
                continue
            time, event = decoded
            name = f"{event.source} {event.id}"
            if not seen.add(name, time):
                repeats += 1
                continue
            late += time < self._now
            types[event.__struct_config__.tag] += 1
            events.append((time, name, event))
        if events:
            self._out.append(("events", events))
        self._measure(types, reasons, repeats, late, [time for time, _, _ in events])
        return []

    def _measure(
        self,
        types: Counter[str],
        reasons: Counter[str],
        repeats: int,
        late: int,
        times: list[float],
    ) -> None:
        measured: list[Measurement] = [
            ("csq_events_total", (name,), count) for name, count in types.items()
        ]
        measured += [
            ("csq_dead_letters_total", (name,), count)
            for name, count in reasons.items()
        ]
        if times:
            measured.append(("csq_event_age_seconds", (), times))
        if repeats:
            measured.append(("csq_duplicates_total", (), repeats))
        if late:
            measured.append(("csq_late_events_total", (), late))
        if measured:
            self._out.append(("measured", measured))

    def settle(self, facts: list[Any]) -> None:
        """Nothing waits here."""

    def advance(self, now: float) -> None:
        """Event time has come to `now`."""
        self._now = now
        self._seen.advance(now)

    def drain(self) -> list[Port]:
        """What came out since last asked: ports ``events``, ``dead``, ``measured``."""
        out, self._out = self._out, []
        return out

    def entries(self) -> int:
        """Ids remembered."""
        return len(self._seen)

    def state(self) -> dict[str, Any]:
        """Versioned plain data."""
        return {"v": self.version, "seen": self._seen.state(), "now": self._now}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        check_version("intake", state, self.version)
        self._seen.restore(state["seen"])
        self._now = state["now"]
