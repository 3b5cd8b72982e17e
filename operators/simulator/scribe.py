"""The scribe, who turns steps and messages of conversations into events, each at a millisecond of its own."""

from operators.domain.conversations.closings import closing_of, only_asks

from .books import Step, What
from .talk import SimulatedAgent, Talk
from .words import Words
from .world import Data, World

_LANGUAGE_TOLD_SHARE = 0.6
_VOICE_SHARE = 0.01
_IMAGE_SHARE = 0.01


class Scribe:
    """Writes down what happens in conversations."""

    def __init__(self, world: World, words: Words) -> None:
        self._world = world
        self._words = words

    def moment(self, talk: Talk) -> int:
        """Give the time of the talk's next event: now, or a millisecond after its newest."""
        talk.last_ms = max(self._world.now, talk.last_ms + 1)
        return talk.last_ms

    def step(self, talk: Talk, what: What, reason: str | None = None) -> None:
        """Write a step in the life of a conversation; its outcome too, when it is resolved."""
        data: Data = {
            "conversation_id": talk.id,
            "customer_id": talk.customer.id,
            "channel": talk.channel,
            "queue": talk.queue,
        }
        if talk.agent is not None:
            data["agent_id"] = talk.agent.id
        if talk.order_id is not None:
            data["order_id"] = talk.order_id
        if reason is not None:
            data["reason"] = reason
        if what == "resolved":
            data["outcome"] = talk.outcome
        note = Step(talk.id, talk.queue, talk.channel, what, talk.outcome)
        self._world.emit("csq.conversation." + what, talk.id, data, note, self.moment(talk))

    def customer(self, talk: Talk, moment: str) -> tuple[str, str]:
        """Write a customer's message; give its id and true mood."""
        mood = talk.shown_mood()
        text = self._words.customer(talk.customer.language, moment, mood, talk.queue)
        return self._say(talk, "customer", talk.customer.id, text, mood), mood

    def agent(self, talk: Talk, agent: SimulatedAgent, moment: str) -> None:
        """Write an agent's message, polite or curt as they are."""
        tone = "polite" if self._world.chance(agent.politeness) else "curt"
        self._say(
            talk,
            "agent",
            agent.id,
            self._words.agent(talk.customer.language, moment, tone),
        )

    def bot(self, talk: Talk, moment: str) -> None:
        """Write a bot's message."""
        self._say(talk, "bot", "bot-1", self._words.bot(talk.customer.language, moment))

    def system(self, talk: Talk) -> None:
        """Write a message of the chat system."""
        self._say(talk, "system", "system", self._words.system())

    def note(self, talk: Talk, agent: SimulatedAgent) -> None:
        """Write a private note."""
        self._say(talk, "note", agent.id, self._words.note())

    def _say(self, talk: Talk, what: What, author: str, text: str, mood: str = "") -> str:
        world = self._world
        message_id = world.new_id("m")
        data: Data = {
            "message_id": message_id,
            "conversation_id": talk.id,
            "customer_id": talk.customer.id,
            "author": {"role": "agent" if what == "note" else what, "id": author},
            "channel": talk.channel,
            "queue": talk.queue,
            "text": text,
        }
        if world.chance(_LANGUAGE_TOLD_SHARE):
            data["language"] = talk.customer.language
        if what == "note":
            data["is_public"] = False
        if what == "customer":
            self._medium(data)
        closing = closing_of(text) if what == "customer" and data.get("content_type", "text") == "text" else ""
        asks = what in {"agent", "bot"} and only_asks(text)
        note = Step(
            talk.id, talk.queue, talk.channel, what, message_id=message_id, mood=mood, closing=closing, asks=asks
        )
        world.emit("csq.message.created", talk.id, data, note, self.moment(talk))
        return message_id

    def _medium(self, data: Data) -> None:
        if self._world.chance(_VOICE_SHARE):
            data["content_type"] = "voice"
            data["transcript_confidence"] = round(self._world.between(0.6, 0.99), 2)
        elif self._world.chance(_IMAGE_SHARE):
            data["content_type"] = "image"
