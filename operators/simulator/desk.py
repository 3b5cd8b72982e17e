"""The service desk: a conversation from the first word through bots, waiting and rounds of replies to its end."""

from collections import deque
from collections.abc import Callable
from math import log1p

from .phrases import QUEUES
from .scribe import Scribe
from .staff import Staff
from .talk import SimulatedAgent, Talk
from .world import World

_MINUTE = 60.0
_PACE = {"chat": 1.0, "email": 2.5, "social": 1.4}
"""Times the usual times to answer, of both sides."""
_PATIENCE_SECONDS = {"chat": 600.0, "email": 7200.0, "social": 1500.0}
_BOT_SOLVES_SHARE = 0.2
_NUDGE_SHARE = 0.45
_SILENT_SHARE = 0.03
_NOTE_SHARE = 0.06
_SYSTEM_SHARE = 0.03
_ADDED_SHARE = 0.1
_LAST_WORD_SHARE = 0.65
_GOODBYE_SHARE = 0.6
_AFTERWORD_SHARE = 0.03
_LAST_WORDS_WHEN_LEAVING = 0.3
_REOPEN_SHARE = {"solved": 0.02, "partial": 0.15, "unsolved": 0.22}
_MOOD_SHIFT = {"solved": 0.45, "partial": -0.05, "unsolved": -0.5}
_MOST_EPISODES = 3


class Desk:
    """Runs all conversations; tells `on_closed` of each final end and `on_said` of each customer message."""

    def __init__(
        self,
        world: World,
        scribe: Scribe,
        talks_per_second: float,
        on_said: Callable[[Talk, str, str], None],
        on_closed: Callable[[Talk], None],
    ) -> None:
        self._world = world
        self._scribe = scribe
        self._on_said = on_said
        self._on_closed = on_closed
        self._waiting: dict[str, deque[Talk]] = {queue: deque() for queue in QUEUES}
        self._staff = Staff(world, talks_per_second, self._serve, self._take_back)

    def begin(self) -> None:
        """Open the shop."""
        self._staff.begin()

    # The first words, perhaps with a bot.

    def welcome(self, talk: Talk) -> None:
        """Take a new conversation."""
        talk.customer.talking = True
        self._scribe.step(talk, "opened")
        self._ask(talk, "first")
        if talk.bot_rounds > 0:
            self._world.after(self._world.between(0.8, 4), self._bot_turn, talk)
        else:
            self._queue_up(talk)

    def _ask(self, talk: Talk, moment: str) -> None:
        message_id, mood = self._scribe.customer(talk, moment)
        if talk.since is None:
            talk.since = talk.last_ms
        self._on_said(talk, message_id, mood)

    def _bot_turn(self, talk: Talk) -> None:
        world = self._world
        if talk.bot_rounds > 0:
            talk.bot_rounds -= 1
            self._scribe.bot(talk, "greet" if world.chance(0.5) else "answer")
            world.after(world.around(14), self._answer_bot, talk)
        elif world.chance(_BOT_SOLVES_SHARE):
            self._scribe.bot(talk, "close")
            talk.outcome = "solved" if world.chance(0.75) else "unsolved"
            world.after(world.between(2, 15), self._close, talk, "resolved")
        else:
            self._scribe.bot(talk, "handoff")
            self._scribe.step(talk, "handoff", "bot")
            self._queue_up(talk)

    def _answer_bot(self, talk: Talk) -> None:
        talk.feel(-0.06)
        self._ask(talk, "answer")
        self._world.after(self._world.between(0.8, 4), self._bot_turn, talk)

    # Waiting for a human.

    def _queue_up(self, talk: Talk) -> None:
        self._waiting[talk.queue].append(talk)
        self._wait(talk)
        self._serve(talk.queue)

    def _take_back(self, talk: Talk) -> None:
        talk.turn += 1
        self._waiting[talk.queue].appendleft(talk)
        if talk.since is None:
            self._world.after(self._world.around(45), self._ask_again, talk, talk.turn)

    def _ask_again(self, talk: Talk, turn: int) -> None:
        if talk.open and talk.turn == turn:
            self._ask(talk, "answer")
            self._wait(talk)

    def _serve(self, queue: str) -> None:
        waiting = self._waiting[queue]
        while waiting:
            agent = self._staff.choose_free(queue)
            if agent is None:
                return
            talk = waiting.popleft()
            if talk.open:
                self._assign(talk, agent)

    def _assign(self, talk: Talk, agent: SimulatedAgent) -> None:
        talk.turn += 1
        self._staff.take(agent, talk)
        self._scribe.step(talk, "assigned")
        if self._world.chance(_SYSTEM_SHARE):
            self._scribe.system(talk)
        self._plan_reply(talk, agent)

    def _plan_reply(self, talk: Talk, agent: SimulatedAgent) -> None:
        usual = 21.0 * _PACE[talk.channel] * agent.pace * (0.7 + 0.3 * len(agent.talks))
        self._world.after(self._world.around(usual, 0.5), self._reply, talk, talk.turn)

    def _wait(self, talk: Talk) -> None:
        world = self._world
        pace = _PACE[talk.channel]
        if world.chance(_NUDGE_SHARE):
            world.after(world.around(100 * pace, 0.4), self._nudge, talk, talk.since)
        patience = 45.0 + world.rng.expovariate(1.0 / _PATIENCE_SECONDS[talk.channel])
        world.after(patience, self._give_up, talk, talk.since)

    def _nudge(self, talk: Talk, since: int) -> None:
        if talk.open and talk.since == since:
            talk.feel(-0.15)
            self._ask(talk, "nudge")
            if self._world.chance(_NUDGE_SHARE):
                self._world.after(
                    self._world.around(130 * _PACE[talk.channel], 0.4),
                    self._nudge,
                    talk,
                    since,
                )

    def _give_up(self, talk: Talk, since: int) -> None:
        if talk.open and talk.since == since:
            talk.feel(-0.4)
            if self._world.chance(_LAST_WORDS_WHEN_LEAVING):
                self._ask(talk, "end")
            self._close(talk, "abandoned")

    # Rounds.

    def _reply(self, talk: Talk, turn: int) -> None:
        agent = talk.agent
        if agent is None or not talk.open or talk.turn != turn:
            return
        world = self._world
        if world.chance(_NOTE_SHARE):
            self._scribe.note(talk, agent)
        self._scribe.agent(talk, agent, "answer" if talk.longest_wait else "greet")
        self._hear(talk, agent)
        if world.chance(_ADDED_SHARE):
            self._scribe.agent(talk, agent, "answer")
        pace = _PACE[talk.channel]
        talk.rounds_left -= 1
        if talk.rounds_left <= 0:
            world.after(world.around(20), self._finish, talk, turn)
        elif world.chance(_SILENT_SHARE):
            world.after(world.around(240 * pace, 0.2), self._fall_silent, talk, turn)
        else:
            world.after(world.around(24 * pace), self._answer, talk, turn)

    def _hear(self, talk: Talk, agent: SimulatedAgent) -> None:
        self._end_wait(talk)
        tone = 0.24 * (agent.politeness - 0.6)
        talk.feel(tone)

    def _end_wait(self, talk: Talk) -> None:
        """Let a wait that just ended tell on the mood."""
        if talk.since is None:
            return
        waited = (self._world.now - talk.since) / 1000
        talk.longest_wait = max(talk.longest_wait, waited)
        talk.feel(0.12 - 0.26 * log1p(waited / _MINUTE / _PACE[talk.channel]))
        talk.since = None

    def _answer(self, talk: Talk, turn: int) -> None:
        if talk.open and talk.turn == turn and talk.agent is not None:
            self._ask(talk, "answer")
            self._wait(talk)
            self._plan_reply(talk, talk.agent)

    def _fall_silent(self, talk: Talk, turn: int) -> None:
        if talk.open and talk.turn == turn:
            self._close(talk, "abandoned", "silent")

    # The end.

    def _finish(self, talk: Talk, turn: int) -> None:
        agent = talk.agent
        if agent is None or not talk.open or talk.turn != turn:
            return
        world = self._world
        draw = world.rng.random() - agent.skill - 0.08 * talk.mood
        talk.outcome = "solved" if draw < 0.76 else "partial" if draw < 0.88 else "unsolved"  # noqa: PLR2004 - shares
        talk.feel(_MOOD_SHIFT[talk.outcome])
        if world.chance(_LAST_WORD_SHARE):
            self._ask(talk, "end")
            if world.chance(_GOODBYE_SHARE):
                world.after(world.around(14), self._say_goodbye, talk, turn)
                return
        world.after(world.between(2, 20), self._end, talk, turn)

    def _say_goodbye(self, talk: Talk, turn: int) -> None:
        if talk.open and talk.turn == turn and talk.agent is not None:
            self._scribe.agent(talk, talk.agent, "close")
            talk.since = None
            self._world.after(self._world.between(1, 10), self._end, talk, turn)

    def _end(self, talk: Talk, turn: int) -> None:
        if talk.open and talk.turn == turn:
            self._close(talk, "resolved")

    def _close(self, talk: Talk, what: str, reason: str | None = None) -> None:
        world = self._world
        if what == "resolved":
            self._scribe.step(talk, "resolved")
        else:
            talk.outcome = "unsolved"
            talk.longest_wait = max(
                talk.longest_wait,
                (world.now - talk.since) / 1000 if talk.since else 0.0,
            )
            self._scribe.step(talk, "abandoned", reason or "patience")
        talk.open, talk.since = False, None
        customer = talk.customer
        customer.talking = False
        customer.remember(talk.longest_wait, talk.mood, unsolved=talk.outcome == "unsolved")
        self._staff.release(talk)
        if what == "resolved" and talk.episodes < _MOST_EPISODES and world.chance(_REOPEN_SHARE[talk.outcome]):
            world.after(world.between(60, 400), self._reopen, talk)
            return
        self._on_closed(talk)
        if what == "resolved" and talk.last_agent is not None and world.chance(_AFTERWORD_SHARE):
            world.after(world.between(20, 120), self._say_afterword, talk)

    def _reopen(self, talk: Talk) -> None:
        if talk.customer.talking or talk.customer.gone:
            self._on_closed(talk)
            return
        talk.open = talk.customer.talking = True
        talk.episodes += 1
        talk.turn += 1
        talk.rounds_left = self._world.pick((1, 2))
        talk.feel(-0.3)
        self._scribe.step(talk, "reopened")
        self._ask(talk, "first")
        self._queue_up(talk)

    def _say_afterword(self, talk: Talk) -> None:
        self._ask(talk, "end")
        self._world.after(self._world.around(30), self._answer_afterword, talk)

    def _answer_afterword(self, talk: Talk) -> None:
        if talk.last_agent is not None:
            self._scribe.agent(talk, talk.last_agent, "close")
            talk.since = None
