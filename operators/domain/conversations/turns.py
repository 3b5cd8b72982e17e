"""Ledger: the published scores of the turns of a lane, until their labels come, in whatever order.

A label judges the score that was published and trains on the vector it was made from. A label that is sooner than its
message waits for it; what waits too long goes, and is counted.
"""

from typing import Any, Literal

from msgspec import Raw, Struct

from operators.domain.conversations.reading import Reading
from operators.domain.models.example import Example
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
    labelled: float | bool = False
    """When somebody said what it was (POSIX seconds); false: nobody did; true: a store without the time says so."""


class WaitingLabel(Struct, array_like=True, gc=False):
    """A label whose turn is not known yet."""

    conversation_id: str
    message_id: str
    time: float
    label: Literal["negative", "neutral", "positive"]


class StoredLedger(Struct):
    """What `view` gave, as it is read."""

    scored: Raw
    waiting: list[WaitingLabel]


class Ledger:
    """Scored turns by conversation, the last `turns` of each; at most `labels` labels wait.

    >>> ledger = Ledger(turns=2, labels=10)
    >>> ledger.label_one("c1", "m1", 5.0, "negative")
    >>> [model for model, _ in ledger.note_one("c1", ScoredTurn("m1", 4.0, "sentiment/en", b"", (0.8, 0.1, 0.1)))]
    ['sentiment/en']
    """

    def __init__(self, turns: int, labels: int) -> None:
        self._turns = turns
        self._labels = labels
        self._scored = Table[list[ScoredTurn]](list[ScoredTurn], lambda turns: turns[-1].time)
        self._waiting: dict[tuple[str, str], WaitingLabel] = {}
        self.unmatched = 0
        """Labels that were given up."""

    def note_one(self, conversation_id: str, scored: ScoredTurn) -> list[tuple[str, Example]]:
        """Remember a published score; the examples of labels that waited for it."""
        turns = self._scored.hot.get(conversation_id) or self._scored.thaw(conversation_id)
        if turns is None:
            turns = self._scored.hot[conversation_id] = []
        turns.append(scored)
        if len(turns) > self._turns:
            del turns[0]
        waited = self._waiting.pop((conversation_id, scored.message_id), None) if self._waiting else None
        return [_example(scored, waited.label, waited.time)] if waited else []

    def label_one(self, conversation_id: str, message_id: str, time: float, label: Any) -> tuple[str, Example] | None:
        """The example that a label makes, or `None` if its turn is not known: then the label waits."""
        for scored in self._scored.get(conversation_id) or ():
            if scored.message_id == message_id:
                return _example(scored, label, time)
        self._waiting[conversation_id, message_id] = WaitingLabel(conversation_id, message_id, time, label)
        if len(self._waiting) > self._labels:
            by_age = sorted(self._waiting, key=lambda key: self._waiting[key].time)
            self._give_up(by_age[: len(by_age) // 4 + 1])
        return None

    def weak_examples(self, conversation_id: str, until: float, label: str, weight: float, most: int) -> list[Any]:
        """Weak examples from a rating: the last turns said before it that nobody had labelled until then.

        A label of later does not count, here already or not: else it would depend on how records came in batches.
        """
        turns = self._scored.get(conversation_id) or ()
        said = [s for s in turns if s.time <= until and (s.labelled is False or s.labelled > until)]
        said.sort(key=lambda scored: scored.time)
        return [
            (scored.model, Example(scored.features, scored.probabilities, label, weight, until - scored.time))
            for scored in said[max(len(said) - most, 0) :]
        ]

    def forget(self, conversation_id: str) -> None:
        """The conversation is over and done with."""
        self._scored.forget(conversation_id)

    def expire_before(self, time: float) -> None:
        """Give up labels that have waited since before `time`."""
        self._give_up([key for key, waiting in self._waiting.items() if waiting.time < time])

    def _give_up(self, keys: list[tuple[str, str]]) -> None:
        for key in keys:
            del self._waiting[key]
        self.unmatched += len(keys)

    def view(self, now: float) -> dict[str, Any]:
        """Plain data once it is encoded, at once; event time has come to `now`."""
        return {"scored": self._scored.view(now), "waiting": list(self._waiting.values())}

    def restore(self, stored: StoredLedger) -> None:
        """Go on from what `view` gave."""
        self._scored.restore(stored.scored)
        self._waiting = {(label.conversation_id, label.message_id): label for label in stored.waiting}


def _example(scored: ScoredTurn, label: str, time: float) -> tuple[str, Example]:
    scored.labelled = time if scored.labelled is False else min(scored.labelled, time)
    return scored.model, Example(scored.features, scored.probabilities, label, 1.0, max(time - scored.time, 0.0))


class Turns:
    """The turns of one lane; what it has to say goes to `out`."""

    def __init__(self, ledger: Ledger, out: Outbox) -> None:
        self.ledger = ledger
        self._out = out

    def take_one(
        self, time: float, name: str, data: events.Message, reading: Reading
    ) -> tuple[float, events.Sentiment] | tuple[None, None]:
        """Publish and remember a scored message; return its polarity (-1..1) and sentiment, `None` without a score."""
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
        self._out.published.append(publish(scored, name, time, data.conversation_id))
        entry = ScoredTurn(data.message_id, time, reading.model, reading.features, probabilities)
        for model, example in self.ledger.note_one(data.conversation_id, entry):
            self._out.to["examples"][model].append(example)
        return polarity, sentiment

    def label_one(self, time: float, data: events.SentimentLabel) -> None:
        """A person says what the message was: that judges the published score."""
        matched = self.ledger.label_one(data.conversation_id, data.message_id, time, data.label)
        if matched is not None:
            model, example = matched
            self._out.to["examples"][model].append(example)

    def rate(self, conversation_id: str, time: float, mood: str, weight: float, most: int) -> None:
        """A rating stands, weakly, for the mood of what was said last."""
        for model, example in self.ledger.weak_examples(conversation_id, time, mood, weight, most):
            self._out.to["examples"][model].append(example)

    def advance(self, until: float) -> None:
        """Give up labels that have waited since before `until`."""
        self.ledger.expire_before(until)
        if self.ledger.unmatched:
            self._out.counted["csq_labels_unmatched_total", ("other",)] += self.ledger.unmatched
            self.ledger.unmatched = 0

    def view(self, now: float) -> dict[str, Any]:
        """What is remembered, for whoever encodes it at once; event time has come to `now`."""
        return self.ledger.view(now)

    def restore(self, stored: StoredLedger) -> None:
        """Go on from what `view` gave."""
        self.ledger.restore(stored)
