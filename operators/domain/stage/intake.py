"""Intake: decode raw bytes into events, each once; what is refused becomes a dead letter.

The state of a lane is the ids of the last hour.
"""

import math
from collections import Counter
from collections.abc import Iterable
from operator import itemgetter
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct, msgpack

from operators.domain.stage.admission import KEY
from operators.domain.stage.facts import Fact
from operators.domain.stage.labels import Labels
from operators.domain.stage.sightings import LabelSightings
from operators.domain.stage.stage import Outbox, Port, Stage, check_version
from operators.domain.wire import decode, dedupe
from operators.domain.wire.events import OF_CONVERSATIONS, TYPE_OF, AnyEvent, CustomerUpdated
from operators.domain.wire.outgoing import dead_letter

Arrived = tuple[float, str, AnyEvent]
"""Event time (POSIX seconds), ``"source id"``, event."""
_TIME, _EVENT = itemgetter(0), itemgetter(2)
_COUNTER_OF = {kind: ("csq_events_total", (name,)) for kind, name in TYPE_OF.items()}


class IntakeParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events are accepted."""

    max_bytes: Annotated[
        int,
        Meta(ge=256, description="Bytes of one event; larger ones are refused. The wire format allows 64 KiB."),
    ] = 65_536
    ahead_seconds: Annotated[
        float, Meta(ge=0, description="Seconds an event may be ahead of the clock, for producers whose clock is off.")
    ] = 300.0
    max_age_seconds: Annotated[
        float,
        Meta(
            gt=0, description="Seconds; older events are refused: their clock was wrong. 30 years accepts any history."
        ),
    ] = 946_080_000.0


class StoredIntake(Struct):
    """A snapshot as it is decoded."""

    seen: dict[str, Any]
    now: float


class Intake(Stage):
    """The intake of one lane."""

    name = "intake"
    version = 1

    def __init__(self, params: IntakeParams, window: dedupe.DedupeParams, labels: Labels) -> None:
        self._door = decode.Door(params.max_bytes, params.ahead_seconds, params.max_age_seconds)
        self._seen = dedupe.Seen(window)
        self._now = -math.inf
        self._events: list[Arrived] = []
        self._of_conversations: list[Arrived] = []
        self._of_customers: list[Arrived] = []
        """Events of customers whose segment has no series; above, of conversations with such a queue or channel."""
        self._out = Outbox()
        self._labels = labels
        self._queues = LabelSightings("queue", labels.queues, "conversation_id")
        self._channels = LabelSightings("channel", labels.channels, "conversation_id")
        self._segments = LabelSightings("segment", labels.segments, "customer_id")

    def arrive(self, items: Iterable[tuple[bytes, str, int]], now: float, held: list[Fact]) -> None:
        """Decode raw records (value, origin, position); nothing here depends on the order of time."""
        queues, channels, segments = (values.since for values in self._labels.of.values())
        decode_one, is_new, counted = self._door.decode_one, self._seen.add, self._out.counted
        arrived, of_conversations = self._events, self._of_conversations
        for raw, origin, position in items:
            decoded = decode_one(raw, now)
            if isinstance(decoded, decode.Refusal):
                self._refuse(decoded, raw, origin, position, now)
                continue
            time, event = decoded
            source = event.source
            name = f"{source.replace(' ', '%20') if ' ' in source else source} {event.id}"
            if not is_new(name, time):
                counted["csq_duplicates_total", ()] += 1
                continue
            if time < self._now:
                counted["csq_late_events_total", ()] += 1
            arrival = (time, name, event)
            arrived.append(arrival)
            kind = type(event)
            data: Any = event.data
            if kind in OF_CONVERSATIONS:
                if data.queue not in queues or data.channel not in channels:
                    of_conversations.append(arrival)
            elif kind is CustomerUpdated and data.segment is not None and data.segment not in segments:
                self._of_customers.append(arrival)

    def _refuse(self, refusal: decode.Refusal, raw: bytes, origin: str, position: int, now: float) -> None:
        self._out.counted["csq_dead_letters_total", (refusal.reason,)] += 1
        letter = dead_letter(raw, refusal.reason, refusal.detail, origin, position, now=now)
        self._out.published.append(letter)

    def advance(self, now: float) -> None:
        """Set event time to `now`; ids older than the window are forgotten."""
        self._now = now
        self._seen.advance(now)

    def drain(self) -> list[Port]:
        """Return ports ``events`` (a list), ``labels`` (key -> facts), ``measured``, ``published`` (dead letters)."""
        arrived = self._events
        if arrived:
            counted = self._out.counted
            for kind, count in Counter(map(type, map(_EVENT, arrived))).items():
                counted[_COUNTER_OF[kind]] += count
            self._out.measured.append(("csq_event_age_seconds", (), list(map(_TIME, arrived))))
            self._events = []
            self._report_names()
            return [("events", arrived), *self._out.drain()]
        return self._out.drain()

    def _report_names(self) -> None:
        """Report names without series of their own."""
        talks, customers = self._of_conversations, self._of_customers
        for sightings, arrived in ((self._queues, talks), (self._channels, talks), (self._segments, customers)):
            if arrived:
                self._out.to["labels"][KEY] += sightings.of(arrived)
        talks.clear()
        customers.clear()

    def entries(self) -> int:
        """Return how many ids are kept."""
        return len(self._seen)

    def limit(self) -> int:
        """Return how many ids may be kept."""
        return self._seen.limit

    def snapshot(self) -> dict[str, Any]:
        """Return the state as versioned plain data."""
        return {"v": self.version, "seen": self._seen.state(), "now": self._now}

    def restore(self, stored: Raw) -> None:
        """Continue from a snapshot."""
        check_version(self.name, stored, self.version)
        state = msgpack.decode(stored, type=StoredIntake)
        self._seen.restore(state.seen)
        self._now = state.now
