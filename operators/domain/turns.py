"""Turns: what is done with a customer's message as soon as it comes, in any order.

It is counted, published, and remembered with its vector and score in the ledger, where its label finds it.
"""

from typing import Any

from operators.domain import events
from operators.domain.closed import Closed
from operators.domain.ledger import Ledger, Scored, Stored
from operators.domain.outbox import Outbox
from operators.domain.published import Probabilities, TurnScored, publish
from operators.domain.reading import Reading


class Turns:
    """The turns of one lane; what it has to say goes to `out`."""

    def __init__(self, ledger: Ledger, queues: Closed, channels: Closed, out: Outbox) -> None:
        self.ledger = ledger
        self._queues = queues
        self._channels = channels
        self._out = out

    def take_one(self, time: float, name: str, data: events.Message, reading: Reading) -> float | None:
        """A scored message; its polarity, -1..1."""
        probabilities = reading.probabilities
        if probabilities is None or reading.model is None:
            return None
        negative, neutral, positive = probabilities
        sentiment = "neutral" if neutral >= positive else "positive"
        if negative >= neutral and negative >= positive:
            sentiment = "negative"
        labels = (self._queues[data.queue], self._channels[data.channel], reading.language, sentiment)
        self._out.counted["csq_turns_total", labels] += 1
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
        entry = Scored(data.message_id, time, reading.model, reading.features, probabilities)
        for model, example in self.ledger.note_one(data.conversation_id, entry):
            self._out.to["examples"][model].append(example)
        return polarity

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

    def restore(self, stored: Stored) -> None:
        """Go on from what `view` gave."""
        self.ledger.restore(stored)
