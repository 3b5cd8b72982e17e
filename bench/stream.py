"""The stream that the benchmark measures: a big shop's events in wire format, always the same for the same texts.

55 % are messages of customers; the rest are agents' and bots' messages, steps of conversations, ratings, labels, and
what customers do in the shop, so that every stage has its share of work. 2,000 conversations are open at any time.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from math import sin
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from bench.texts import Texts

START = 4_000_000_000.0
"""POSIX seconds of the first event. It is ahead of the wall clock: records are fed to the embedded broker while they
are read, and the time of a partition that was read to its end, the wall clock, must not be after that of later
records."""
OPEN_CONVERSATIONS = 2_000
CUSTOMERS_PER_OPEN = 3
QUEUES = ("orders", "returns", "billing", "technical")
CHANNELS = ("chat", "chat", "chat", "email", "social")
SHARES = {
    "customer": 55.0,
    "agent": 28.0,
    "bot": 1.0,
    "closed": 3.7,  # and as many openings
    "assigned": 0.7,
    "rated": 3.0,
    "labelled": 1.0,
    "browsed": 1.5,
    "searched": 0.4,
    "ordered": 0.8,
    "complained": 0.2,
    "updated": 0.2,
    "churned": 0.2,
    "staffed": 0.3,
    "repeat": 0.2,
    "broken": 0.1,
}
"""Kind of event to its share in percent, about."""

Data = dict[str, Any]


class Raw(NamedTuple):
    """One event: Kafka key and raw bytes."""

    key: bytes
    value: bytes


class OpenTalk:
    """An open conversation."""

    __slots__ = ("ids", "last_label", "last_message", "opened")

    def __init__(self, number: int, customer: str, rng: Random) -> None:
        self.ids: Data = {
            "conversation_id": f"conversation-{number}",
            "customer_id": customer,
            "channel": rng.choice(CHANNELS),
            "queue": rng.choice(QUEUES),
        }
        self.opened = False
        self.last_message: str | None = None
        self.last_label = "neutral"


class EventMaker:
    """Makes the events, one after the other."""

    def __init__(self, texts: Texts, seed: int = 1) -> None:
        self._texts = texts
        self._rng = Random(seed)  # noqa: S311  chance, not a secret
        self._made = 0
        self._talks_made = 0
        self._messages = 0
        self._time = START
        self._customers = [f"customer-{n}" for n in range(OPEN_CONVERSATIONS * CUSTOMERS_PER_OPEN)]
        self._talks = [self._new_talk() for _ in range(OPEN_CONVERSATIONS)]
        for talk in self._talks:
            talk.opened = True  # before the stream began
        self._last = Raw(b"", b"{}")
        self._make: dict[str, Callable[[OpenTalk], tuple[str, Data]]] = {
            name: getattr(self, f"_{name}") for name in SHARES if name not in {"repeat", "broken"}
        }

    @property
    def time(self) -> float:
        """Event time of the newest event, POSIX seconds."""
        return self._time

    def events(self, count: int) -> Iterator[Raw]:
        """The next `count` events; 20 to 200 per second of event time."""
        rng = self._rng
        kinds = rng.choices(list(SHARES), list(SHARES.values()), k=count)
        for kind in kinds:
            self._time += rng.expovariate(110 + 90 * sin(self._time / 300))
            yield self._one(kind)

    def _one(self, kind: str) -> Raw:
        if kind == "repeat":
            return self._last
        if kind == "broken":
            return Raw(self._last.key, self._last.value[: len(self._last.value) // 2])
        place = self._rng.randrange(OPEN_CONVERSATIONS)
        talk = self._talks[place]
        if not talk.opened:
            talk.opened = True
            name, data = "csq.conversation.opened", talk.ids
        else:
            name, data = self._make[kind](talk)
            if kind == "closed":
                self._talks[place] = self._new_talk()
        self._made += 1
        event = {
            "specversion": "1.0",
            "id": f"event-{self._made}",
            "source": "shop/1",
            "type": name,
            "time": datetime.fromtimestamp(self._time, UTC).isoformat(timespec="milliseconds"),
            "data": data,
        }
        key = data.get("conversation_id") or data.get("customer_id") or data["queue"]
        self._last = Raw(key.encode(), msgspec.json.encode(event))
        return self._last

    def _new_talk(self) -> OpenTalk:
        self._talks_made += 1
        return OpenTalk(self._talks_made, self._rng.choice(self._customers), self._rng)

    def _message(self, talk: OpenTalk, role: str, author: str, text: str) -> tuple[str, Data]:
        self._messages += 1
        name = f"message-{self._messages}"
        return "csq.message.created", {
            "message_id": name,
            **talk.ids,
            "author": {"role": role, "id": author},
            "text": text,
        }

    def _customer(self, talk: OpenTalk) -> tuple[str, Data]:
        text, talk.last_label = self._rng.choice(self._texts.customers)
        made = self._message(talk, "customer", talk.ids["customer_id"], text)
        talk.last_message = made[1]["message_id"]
        return made

    def _agent(self, talk: OpenTalk) -> tuple[str, Data]:
        return self._message(talk, "agent", self._agent_id(), self._rng.choice(self._texts.agents))

    def _bot(self, talk: OpenTalk) -> tuple[str, Data]:
        return self._message(talk, "bot", "bot-1", "Welcome! A colleague will be with you shortly.")

    def _agent_id(self) -> str:
        return f"agent-{self._rng.randrange(150)}"

    def _closed(self, talk: OpenTalk) -> tuple[str, Data]:
        if self._rng.random() < 0.1:  # noqa: PLR2004  one in ten gives up
            return "csq.conversation.abandoned", talk.ids
        outcome = self._rng.choice(("solved", "solved", "solved", "partial", "unsolved"))
        return "csq.conversation.resolved", {**talk.ids, "outcome": outcome, "agent_id": self._agent_id()}

    def _assigned(self, talk: OpenTalk) -> tuple[str, Data]:
        return "csq.conversation.assigned", {**talk.ids, "agent_id": self._agent_id()}

    def _rated(self, talk: OpenTalk) -> tuple[str, Data]:
        return "csq.feedback.submitted", {
            "feedback_id": f"feedback-{self._made}",
            "kind": self._rng.choice(("csat", "csat", "csat", "nps", "ces")),
            "score": self._rng.randint(1, 5),
            "scale_min": 1,
            "scale_max": 5,
            "conversation_id": talk.ids["conversation_id"],
            "customer_id": talk.ids["customer_id"],
        }

    def _labelled(self, talk: OpenTalk) -> tuple[str, Data]:
        if talk.last_message is None:
            return self._customer(talk)
        return "csq.label.sentiment", {
            "message_id": talk.last_message,
            "conversation_id": talk.ids["conversation_id"],
            "label": talk.last_label,
            "labeller": "desk",
        }

    def _browsed(self, talk: OpenTalk) -> tuple[str, Data]:
        return "csq.behavior.page_viewed", {
            "customer_id": talk.ids["customer_id"],
            "session_id": f"session-{self._made // 50}",
            "dwell_seconds": round(self._rng.expovariate(1 / 40), 1),
        }

    def _searched(self, talk: OpenTalk) -> tuple[str, Data]:
        return "csq.behavior.products_searched", {
            "customer_id": talk.ids["customer_id"],
            "query": "winter boots",
            "result_count": self._rng.randrange(4),
        }

    def _ordered(self, talk: OpenTalk) -> tuple[str, Data]:
        kind = self._rng.choice(("order_completed", "order_completed", "order_cancelled", "order_refunded"))
        return f"csq.behavior.{kind}", {
            "customer_id": talk.ids["customer_id"],
            "order_id": f"order-{self._made}",
            "total_minor": self._rng.randint(500, 30_000),
            "currency": "EUR",
        }

    def _complained(self, talk: OpenTalk) -> tuple[str, Data]:
        return "csq.complaint.opened", {
            "complaint_id": f"complaint-{self._made}",
            "customer_id": talk.ids["customer_id"],
            "complaint_type": "delivery",
            "severity": self._rng.randint(1, 5),
        }

    def _updated(self, talk: OpenTalk) -> tuple[str, Data]:
        segment = self._rng.choice(("new", "regular", "vip"))
        return "csq.customer.updated", {
            "customer_id": talk.ids["customer_id"],
            "attributes": {"newsletter": True},
            "segment": segment,
        }

    def _churned(self, talk: OpenTalk) -> tuple[str, Data]:
        until = datetime.fromtimestamp(self._time, UTC).isoformat(timespec="milliseconds")
        return "csq.churn.labelled", {
            "customer_id": talk.ids["customer_id"],
            "churned": self._rng.random() < 0.3,  # noqa: PLR2004  a third leaves
            "observed_until": until,
            "label_source": "crm",
        }

    def _staffed(self, talk: OpenTalk) -> tuple[str, Data]:
        before, after = self._rng.sample(("available", "busy", "away", "offline"), 2)
        return "csq.agent.state_changed", {
            "agent_id": self._agent_id(),
            "queue": talk.ids["queue"],
            "from": before,
            "to": after,
            "concurrency_used": self._rng.randrange(4),
            "concurrency_max": 4,
        }


def write(path: Path, texts: Texts, count: int) -> float:
    """Write `count` events into a file, key and value a line; gives the event time of the last one."""
    shop = EventMaker(texts)
    with path.open("wb") as file:
        for raw in shop.events(count):
            file.write(raw.key + b"\t" + raw.value + b"\n")
    return shop.time


def read(path: Path) -> list[Raw]:
    """The events of such a file."""
    with path.open("rb") as file:
        return [Raw(*line.rstrip(b"\n").split(b"\t", 1)) for line in file]
