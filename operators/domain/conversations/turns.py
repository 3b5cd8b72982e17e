"""Turns: the published sentiment scores of a lane, kept until their labels come.

A label judges the score that was published and trains on the vector it was made from. A label that arrives before its
message waits for it; one that waits too long is dropped and counted.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Raw, Struct

from operators.domain.conversations.reading import Reading
from operators.domain.models.model import Example
from operators.domain.stage.stage import Outbox
from operators.domain.stage.table import Table
from operators.domain.wire import events
from operators.domain.wire.outgoing import Probabilities, TurnScored, publish


class ScoredTurn(Struct, array_like=True, gc=False):
    """A turn whose sentiment was published."""

    message_id: str
    time: float
    model: str
    features: bytes
    probabilities: tuple[float, float, float]
    labelled_at: float | None = None
    """Event time (POSIX seconds) of the first label; `None` without one."""


class WaitingLabel(Struct, array_like=True, gc=False):
    """A label whose turn has not been scored yet."""

    conversation_id: str
    message_id: str
    time: float
    label: Literal["negative", "neutral", "positive"]


class StoredTurns(Struct):
    """The snapshot of a `TurnLedger` as it is decoded."""

    scored: Raw
    waiting: list[WaitingLabel]


class TurnLedger:
    """The last `turns` scored turns of each conversation, and at most `labels` waiting labels.

    >>> ledger = TurnLedger(turns=2, labels=10)
    >>> ledger.label_one("c1", "m1", 5.0, "negative")
    >>> [model for model, _ in ledger.note_one("c1", ScoredTurn("m1", 4.0, "sentiment/en", b"", (0.8, 0.1, 0.1)))]
    ['sentiment/en']
    """

    def __init__(self, turns: int, labels: int) -> None:
        self._turns = turns
        self._labels = labels
        self._scored = Table[dict[str, ScoredTurn]](
            dict[str, ScoredTurn], lambda turns: next(reversed(turns.values())).time
        )
        """Conversation -> message -> its turn."""
        self.hot = self._scored.hot
        """Those in use: always the same dict."""
        self._waiting: dict[tuple[str, str], WaitingLabel] = {}
        self.unmatched = 0
        """Labels that were dropped because their turn did not come."""

    def note_one(
        self, conversation_id: str, scored: ScoredTurn, turns: dict[str, ScoredTurn] | None = None
    ) -> Sequence[tuple[str, Example]]:
        """Remember a published score; return the examples (model, example) of labels that waited for it.

        `turns` are those of `turns_of`, if it was asked before.
        """
        turns = turns or self.turns_of(conversation_id)
        if turns is None:
            turns = self._scored.hot[conversation_id] = {}
        turns[scored.message_id] = scored
        while len(turns) > self._turns:
            del turns[next(iter(turns))]
        waited = self._waiting.pop((conversation_id, scored.message_id), None) if self._waiting else None
        return [_example(scored, waited.label, waited.time)] if waited else ()

    def turns_of(self, conversation_id: str) -> dict[str, ScoredTurn] | None:
        """Return the last scored turns of a conversation, by message; `None` without one."""
        return self._scored.hot.get(conversation_id) or self._scored.thaw(conversation_id)

    def label_one(self, conversation_id: str, message_id: str, time: float, label: Any) -> tuple[str, Example] | None:
        """Return the example (model, example) of a label; `None` if its turn is not known: then the label waits."""
        scored = (self._scored.get(conversation_id) or {}).get(message_id)
        if scored is not None:
            return _example(scored, label, time)
        self._waiting[conversation_id, message_id] = WaitingLabel(conversation_id, message_id, time, label)
        if len(self._waiting) > self._labels:
            by_age = sorted(self._waiting, key=lambda key: self._waiting[key].time)
            self._give_up(by_age[: len(by_age) // 4 + 1])
        return None

    def weak_examples(self, conversation_id: str, until: float, label: str, weight: float, most: int) -> list[Any]:
        """Return examples (model, example) from a rating at `until`: the last turns before it without a label.

        A label with a later time does not count, whether it has arrived or not: the result must not depend on how
        events were batched.
        """
        turns = self._scored.get(conversation_id) or {}
        said = [s for s in turns.values() if s.time <= until and (s.labelled_at is None or s.labelled_at > until)]
        said.sort(key=lambda scored: scored.time)
        return [
            (scored.model, Example(scored.features, scored.probabilities, label, weight, until - scored.time))
            for scored in said[max(len(said) - most, 0) :]
        ]

    def forget(self, conversation_id: str) -> None:
        """Drop the turns of a conversation."""
        self._scored.forget(conversation_id)

    def forget_labels(self, conversation_ids: Collection[str]) -> None:
        """Drop labels that wait for messages of these conversations."""
        self._waiting = {key: label for key, label in self._waiting.items() if key[0] not in conversation_ids}

    def expire_before(self, time: float) -> None:
        """Drop labels that have waited since before `time` (POSIX seconds)."""
        self._give_up([key for key, waiting in self._waiting.items() if waiting.time < time])

    def _give_up(self, keys: list[tuple[str, str]]) -> None:
        for key in keys:
            del self._waiting[key]
        self.unmatched += len(keys)

    def snapshot(self, now: float) -> dict[str, Any]:
        """Return the state at event time `now`, to be encoded at once."""
        return {"scored": self._scored.snapshot(now), "waiting": list(self._waiting.values())}

    def restore(self, stored: StoredTurns) -> None:
        """Continue from a snapshot."""
        self._scored.restore(stored.scored)
        self._waiting = {(label.conversation_id, label.message_id): label for label in stored.waiting}


def _example(scored: ScoredTurn, label: str, time: float) -> tuple[str, Example]:
    scored.labelled_at = time if scored.labelled_at is None else min(scored.labelled_at, time)
    return scored.model, Example(scored.features, scored.probabilities, label, 1.0, max(time - scored.time, 0.0))


class Turns:
    """The turns of one lane; counts, scores and examples go to `out`."""

    def __init__(self, ledger: TurnLedger, out: Outbox) -> None:
        self.ledger = ledger
        self._out = out

    def take_one(
        self,
        time: float,
        name: str,
        data: events.Message,
        reading: Reading,
        known: dict[str, ScoredTurn] | None,
        when: float | datetime,
    ) -> tuple[float, events.Sentiment] | tuple[None, None]:
        """Publish and remember a scored message; return its polarity (-1..1) and sentiment, `None` without a score.

        `known` are the turns of its conversation (`TurnLedger.turns_of`), `when` is `time` or the same in UTC.
        """
        probabilities = reading.probabilities
        if probabilities is None or reading.model is None:
            return None, None
        negative, neutral, positive = probabilities
        sentiment: events.Sentiment = "neutral" if neutral >= positive else "positive"
        if negative >= neutral and negative >= positive:
            sentiment = "negative"
        polarity = positive - negative
        scored = TurnScored(
            data.message_id,
            data.conversation_id,
            data.customer_id,
            data.queue,
            data.channel,
            reading.language,
            sentiment,
            Probabilities(negative, neutral, positive),
            polarity,
            reading.model,
            reading.version,
        )
        self._out.published.append(publish(scored, name, when, data.conversation_id))
        entry = ScoredTurn(data.message_id, time, reading.model, reading.features, probabilities)
        for model, example in self.ledger.note_one(data.conversation_id, entry, known):
            self._out.to["examples"][model].append(example)
        return polarity, sentiment

    def label_one(self, time: float, data: events.SentimentLabel) -> None:
        """Judge a published score by the label that a person gave its message."""
        matched = self.ledger.label_one(data.conversation_id, data.message_id, time, data.label)
        if matched is not None:
            model, example = matched
            self._out.to["examples"][model].append(example)

    def rate(self, conversation_id: str, time: float, mood: str, weight: float, most: int) -> None:
        """Label the last `most` turns before a rating with the mood it stands for, with a small `weight`."""
        for model, example in self.ledger.weak_examples(conversation_id, time, mood, weight, most):
            self._out.to["examples"][model].append(example)

    def advance(self, until: float) -> None:
        """Drop labels that have waited since before `until` (POSIX seconds), and count them."""
        self.ledger.expire_before(until)
        if self.ledger.unmatched:
            self._out.counted["csq_labels_unmatched_total", ("other",)] += self.ledger.unmatched
            self.ledger.unmatched = 0

    def snapshot(self, now: float) -> dict[str, Any]:
        """Return the state at event time `now`, to be encoded at once."""
        return self.ledger.snapshot(now)

    def restore(self, stored: StoredTurns) -> None:
        """Continue from a snapshot."""
        self.ledger.restore(stored)
