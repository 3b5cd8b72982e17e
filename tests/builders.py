"""What tests build again and again: events as bytes, conversations step by step, and a view of what a stage handed out."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from operators.domain.conversations.ratings import FeedbackParams
from operators.domain.conversations.reading import Reading
from operators.domain.stage.facts import Fact
from operators.domain.stage.labels import Labels, LabelsParams
from operators.domain.stage.stage import Port, Stage, take_due
from operators.domain.wire import events
from operators.domain.wire.events import TYPE_OF
from operators.domain.wire.outgoing import DEADLETTERS

StageT = TypeVar("StageT", bound=Stage)

AT_ONCE = FeedbackParams(settle_seconds=0.0)
"""Ratings count when they come."""
NAMES = Labels(LabelsParams(queues=("orders", "billing"), channels=("chat", "email"), segments=("regular", "vip")))
"""The closed sets of these tests, independent of the defaults."""
START = 1_767_600_000.0
"""2026-01-05T08:00:00Z, a Monday morning."""

_TALK = {"conversation_id": "c1", "customer_id": "k1", "channel": "chat", "queue": "orders"}
_ACTION = {
    "action_id": "x1", "kind": "staffing", "target": "orders", "parameters": {"agents": 2}, "hypothesis_metric": "csq_reply_seconds",
    "expected_delta": -30.0, "actor": "lead",
}  # fmt: skip
_DATA: dict[str, dict[str, Any]] = {
    "csq.message.created": {**_TALK, "message_id": "m1", "author": {"role": "customer", "id": "k1"}, "text": "Where is it?"},
    "csq.message.edited": {**_TALK, "message_id": "m1", "author": {"role": "customer", "id": "k1"}, "text": "Where is it now?"},
    "csq.message.deleted": {**_TALK, "message_id": "m1"},
    "csq.feedback.withdrawn": {"feedback_id": "f1", "conversation_id": "c1", "customer_id": "k1"},
    "csq.feedback.submitted": {
        "feedback_id": "f1", "kind": "csat", "score": 4, "scale_min": 1, "scale_max": 5, "conversation_id": "c1", "customer_id": "k1",
    },
    "csq.complaint.opened": {"complaint_id": "p1", "customer_id": "k1", "complaint_type": "damage", "severity": 3},
    "csq.complaint.closed": {"complaint_id": "p1", "customer_id": "k1", "complaint_type": "damage", "severity": 3},
    "csq.customer.updated": {"customer_id": "k1", "attributes": {"plan": "gold", "age": 41, "b2b": True}, "segment": "vip"},
    "csq.customer.forgotten": {"customer_id": "k1"},
    "csq.churn.labelled": {"customer_id": "k1", "churned": True, "observed_until": "2026-01-05T08:00:00Z", "label_source": "crm"},
    "csq.label.sentiment": {"message_id": "m1", "conversation_id": "c1", "label": "negative", "labeller": "ann"},
    "csq.agent.state_changed": {"agent_id": "a1", "queue": "orders", "from": "offline", "to": "available"},
    "csq.staffing.planned": {
        "queue": "orders", "interval_start": "2026-01-05T08:00:00Z", "interval_seconds": 900, "agents_scheduled": 4, "shrinkage": 0.3,
    },
    "csq.action.applied": _ACTION,
    "csq.action.rolled_back": _ACTION,
}  # fmt: skip


def data_of(kind: str) -> dict[str, Any]:
    """Valid data of an event of this type."""
    if kind.startswith("csq.conversation."):
        return _TALK | {"into": "c2"} if kind.endswith("merged") else dict(_TALK)
    if kind.startswith("csq.behavior."):
        return {"customer_id": "k1", "order_id": "o1", "total_minor": 1_999, "currency": "EUR"}
    return dict(_DATA[kind])


def iso(time: float) -> str:
    """RFC 3339, to the microsecond."""
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")


def envelope(
    kind: str, /, time: float = START, name: str = "e1", source: str = "shop/1", **data: Any
) -> dict[str, Any]:
    """A valid event as JSON has it; `data` replaces fields of its data."""
    head = {"specversion": "1.0", "id": name, "source": source, "type": kind, "time": iso(time)}
    return {**head, "data": {**data_of(kind), **data}}


def raw(kind: str, /, time: float = START, name: str = "e1", source: str = "shop/1", **data: Any) -> bytes:
    """A valid event as bytes."""
    return json.dumps(envelope(kind, time, name, source, **data)).encode()


EVENT_OF = {kind: event for event, kind in TYPE_OF.items()}
_WHEN = datetime.fromtimestamp(START, UTC)


def arrived(
    kind: str, time: float, name: str, data: Any, reading: Reading | None = None, sequence: int | str | None = None
) -> tuple[Any, ...]:
    """What the conversations take: time, name, event, reading. The envelope's own time is not looked at any more."""
    event = EVENT_OF[kind](specversion="1.0", id=name, source="s", time=_WHEN, data=data, sequence=sequence)
    return time, f"s {name}", event, reading


def reads(negative: float = 0.2, neutral: float = 0.3, positive: float = 0.5, *, question: bool = False) -> Reading:
    """A customer's message as it was scored."""
    return Reading("en", b"\x07\x00\x00\x00", 0.0, question, "sentiment/en", (negative, neutral, positive))


def say(
    role: str,
    time: float,
    talk: str = "c1",
    *,
    who: str = "k1",
    queue: str = "orders",
    channel: str = "chat",
    public: bool = True,
    message: str | None = None,
    reading: Reading | None = None,
    text: str | None = "...",
    kind: str = "csq.message.created",
    content: Any = "text",
    sequence: int | str | None = None,
) -> tuple[Any, ...]:
    """A message in conversation `talk`."""
    message = message or f"{role}{time}{talk}"
    author = events.Author(role, role)  # type: ignore[arg-type]  # tests may name roles as they like
    data = events.Message(message, talk, who, author, channel, queue, text, is_public=public, content_type=content)
    return arrived(
        kind, time, message if kind == "csq.message.created" else f"{kind}{message}{time}", data, reading, sequence
    )


def step(
    what: str,
    time: float,
    talk: str = "c1",
    *,
    who: str = "k1",
    queue: str = "orders",
    channel: str = "chat",
    outcome: Any = None,
    sequence: int | str | None = None,
) -> tuple[Any, ...]:
    """A step in the life of conversation `talk`."""
    data = events.Conversation(talk, who, channel, queue, outcome=outcome)
    return arrived(f"csq.conversation.{what}", time, f"{what}{time}{talk}", data, sequence=sequence)


def rate(
    score: float,
    time: float,
    talk: str | None = "c1",
    *,
    kind: Any = "csat",
    scale: tuple[float, float] = (1.0, 5.0),
    who: str | None = None,
    attitude: int | None = None,
    feedback: str | None = None,
) -> tuple[Any, ...]:
    """A rating."""
    data = events.Feedback(
        feedback or f"f{time}{talk}", kind, score, *scale, conversation_id=talk, customer_id=who, attitude=attitude
    )
    return arrived("csq.feedback.submitted", time, f"rate{time}{talk}", data)


def label(what: Any, message: str, time: float, talk: str = "c1") -> tuple[Any, ...]:
    """What a person read in a message."""
    data = events.SentimentLabel(message, talk, what, "ann")
    return arrived("csq.label.sentiment", time, f"label{time}{message}", data)


class Seen:
    """All that a stage has handed out so far, by what it is."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        """(counter, label values) -> sum."""
        self.samples: defaultdict[tuple[str, ...], list[Any]] = defaultdict(list)
        """(histogram or gauge, label values) -> values in their order."""
        self.published: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        """Stream -> events."""
        self.customers: list[Any] = []
        self.queues: list[Any] = []
        """Facts for the lanes of customers and of queues."""
        self.examples: defaultdict[str, list[Any]] = defaultdict(list)
        self.dead: list[Any] = []
        self.events: list[Any] = []

    def take(self, ports: Iterable[Port]) -> "Seen":
        """Add the output of `drain`, or of the adapter."""
        for port, value in ports:
            if port == "measured":
                self._measure(value)
            elif port == "published":
                for record in value:
                    if record.stream == DEADLETTERS:
                        self.dead.append(record)
                    else:
                        self.published[record.stream].append(json.loads(record.value))
            elif port == "examples":
                for model, examples in value.items():
                    self.examples[model] += examples
            elif port in {"customers", "queues"}:
                getattr(self, port).extend(chain.from_iterable(value.values()))
            elif port == "events":
                self.events += value
        return self

    def _measure(self, measured: Iterable[Any]) -> None:
        for name, labels, value in measured:
            if name.endswith("_total"):
                self.counts[name, *labels] += value
            else:
                self.samples[name, *labels].append(value)

    def count(self, name: str) -> dict[tuple[str, ...], int]:
        """Label values -> sum of one counter."""
        return {labels: n for (metric, *rest), n in self.counts.items() if metric == name for labels in [tuple(rest)]}

    def sampled(self, name: str) -> dict[tuple[str, ...], list[Any]]:
        """Label values -> values of one histogram or gauge."""
        return {tuple(labels): values for (metric, *labels), values in self.samples.items() if metric == name}

    def sent(self, *kinds: type[Fact]) -> list[Any]:
        """Facts of some classes, those for customers first."""
        return [fact for fact in [*self.customers, *self.queues] if type(fact) in kinds]


def state_of(stage: Stage) -> dict[str, Any]:
    """What a stage would store, decoded as plain data."""
    state: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(stage.snapshot()))
    return state


def restored(fresh: StageT, stage: Stage) -> StageT:
    """A fresh stage with the stored state of another one."""
    fresh.restore(Raw(msgspec.msgpack.encode(stage.snapshot())))
    return fresh


def play(stage: Stage, steps: Sequence[Any], until: float | None = None) -> Seen:
    """Let all steps arrive in the order given, settle them in the order of time, and advance time to `until`."""
    held: list[Fact] = []
    stage.arrive(steps, until or 0.0, held)
    stage.settle(take_due(held, math.inf))
    if until is not None:
        stage.advance(until)
    return Seen().take(stage.drain())
