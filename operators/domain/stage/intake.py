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
from operators.domain.time.route import COPY
from operators.domain.wire import decode, dedupe
from operators.domain.wire.events import (
    OF_CONVERSATIONS,
    TYPE_OF,
    AnyEvent,
    ConversationMerged,
    CustomerForgotten,
    CustomerUpdated,
    MergeReceived,
)
from operators.domain.wire.forgotten import ForgottenIds, StoredForgotten
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
    forgotten_days: Annotated[
        float,
        Meta(
            gt=0,
            description="Days that a keyed digest of a forgotten customer is kept, so that no replay or redrive brings "
            "the customer back. Longer than any topic, file or dead letter is kept.",
        ),
    ] = 730.0


class StoredIntake(Struct):
    """A snapshot as it is decoded."""

    seen: dict[str, Any]
    now: float
    forgotten: StoredForgotten | None = None


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
        self._forgotten = ForgottenIds()
        self._forgotten_seconds = params.forgotten_days * 86_400.0
        self._copies: list[Arrived] = []
        """Events that another lane counts."""

    def arrive(self, items: Iterable[tuple[bytes, str, int]], now: float, held: list[Fact]) -> None:  # noqa: C901  no call per event
        """Decode raw records (value, origin, position); nothing here depends on the order of time."""
        queues, channels, segments = (values.since for values in self._labels.of.values())
        forgotten, is_any_forgotten = self._forgotten, bool(self._forgotten)  # asked once, not for each event
        decode_one, is_new, counted = self._door.decode_one, self._seen.add, self._out.counted
        arrived, of_conversations = self._events, self._of_conversations
        for raw, origin, position in items:
            decoded = decode_one(raw, now)
            if isinstance(decoded, decode.Refusal):
                self._refuse(raw, decoded, origin, position, now)
                continue
            time, event = decoded
            if is_any_forgotten and self._is_forgotten(time, event):
                counted["csq_forgotten_events_total", ()] += 1
                continue
            source = event.source
            name = f"{source.replace(' ', '%20') if ' ' in source else source} {event.id}"
            if not is_new(name, time):
                counted["csq_duplicates_total", ()] += position != COPY
                continue
            if position == COPY:
                is_any_forgotten |= self._take_copy(time, name, event)
                continue
            arrival = (time, name, event)
            arrived.append(arrival)
            if time < self._now:
                counted["csq_late_events_total", ()] += 1
            kind = type(event)
            data: Any = event.data
            if kind in OF_CONVERSATIONS:
                if data.queue not in queues or data.channel not in channels:
                    of_conversations.append(arrival)
            elif kind is CustomerUpdated and data.segment is not None and data.segment not in segments:
                self._of_customers.append(arrival)
            elif kind is CustomerForgotten:
                forgotten.add(data.customer_id, time)
                is_any_forgotten = True

    def _take_copy(self, time: float, name: str, event: AnyEvent) -> bool:
        """Take an event that another lane counts; return whether it forgets a customer."""
        if isinstance(event, CustomerForgotten):
            self._forgotten.add(event.data.customer_id, time)
        arrival: Any = (time, name, MergeReceived(event) if isinstance(event, ConversationMerged) else event)
        self._events.append(arrival)
        self._copies.append(arrival)
        return isinstance(event, CustomerForgotten)

    def _refuse(self, raw: bytes, refusal: decode.Refusal, origin: str, position: int, now: float) -> None:
        """Make a dead letter of a record that is no event; one that another lane has is refused there."""
        if position != COPY:
            if type(raw) is decode.UnreadRecord:
                raw, refusal = b"", decode.Refusal("unreadable", raw.decode())
            self._out.counted["csq_dead_letters_total", (refusal.reason,)] += 1
            self._out.published.append(dead_letter(raw, refusal.reason, refusal.detail, origin, position, now=now))

    def _is_forgotten(self, time: float, event: AnyEvent) -> bool:
        """Whether an event is of a time up to which its customer, or a conversation of the customer, was forgotten."""
        customer_id = getattr(event.data, "customer_id", None)
        conversation_id = getattr(event.data, "conversation_id", None)
        if type(event) is CustomerForgotten:
            return False
        if customer_id is None:
            return conversation_id is not None and self._forgotten.covers(conversation_id, time)
        if not self._forgotten.covers(customer_id, time):
            return False
        if conversation_id is not None:  # its labels name no customer; they come to the same lane
            self._forgotten.add(conversation_id, self._forgotten.until(customer_id))
        return True

    def advance(self, now: float) -> None:
        """Set event time to `now`; ids older than the window are forgotten."""
        self._now = now
        self._seen.advance(now)
        self._forgotten.expire_before(now - self._forgotten_seconds)

    def drain(self) -> list[Port]:
        """Return ports ``events`` (a list), ``labels`` (key -> facts), ``measured``, ``published`` (dead letters)."""
        arrived = self._events
        if arrived:
            counted = self._out.counted
            own = self._without_copies(arrived) if self._copies else arrived
            for kind, count in Counter(map(type, map(_EVENT, own))).items():
                counted[_COUNTER_OF[kind]] += count
            self._out.measured.append(("csq_event_age_seconds", (), list(map(_TIME, own))))
            self._events = []
            self._report_names()
            return [("events", arrived), *self._out.drain()]
        return self._out.drain()

    def _without_copies(self, arrived: list[Arrived]) -> list[Arrived]:
        copies, self._copies = set(map(id, self._copies)), []
        return [each for each in arrived if id(each) not in copies]

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
        state = {"v": self.version, "seen": self._seen.state(), "now": self._now}
        return state | {"forgotten": self._forgotten.snapshot()} if self._forgotten else state

    def restore(self, stored: Raw) -> None:
        """Continue from a snapshot."""
        check_version(self.name, stored, self.version)
        state = msgpack.decode(stored, type=StoredIntake)
        self._seen.restore(state.seen)
        self._now = state.now
        self._forgotten.restore(state.forgotten)
