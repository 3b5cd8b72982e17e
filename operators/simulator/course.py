"""Replays one conversation by the definitions of the quantities, for the books; shares no code with csq's stages."""

import math
from collections import Counter

from operators.domain.stage.promise import Promises

from .books import Step

_CONFIRM_SECONDS = 600.0
"""Default of `conversations.bots_confirm_seconds`."""


class Tally:
    """What the replayed conversations add to."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        self.replies: list[tuple[str, str, str, float]] = []
        self.first_responses: list[tuple[str, str, str, float]] = []
        self.resolutions: list[tuple[str, str, str, float]] = []
        self.rounds: Counter[tuple[str, str, str, str]] = Counter()
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        self.open_waits: Counter[str] = Counter()
        self.open: Counter[str] = Counter()
        self.moods: dict[str, str] = {}


class Course:
    """One conversation, replayed step by step."""

    def __init__(self, tally: Tally, promises: Promises) -> None:
        self._tally = tally
        self._promises = promises
        self._labels = ("", "")
        self._is_open = True
        self._opened_at = 0.0
        self._was_resolved = False
        self._unanswered_since: float | None = None
        self._bot_awaited_since: float | None = None
        self._bot_answered: float | None = None
        """When a bot answered the open wait; it is not known whether the answer holds."""
        self._was_missed = False
        self._we_asked = False
        self._wants_human = False
        # Of the episode, that is since opening or reopening:
        self._first_customer: float | None = None
        self._handed_off: float | None = None
        self._reopened_at: float | None = None
        self._human_came = False
        self._bot_came = False
        self._replied = "nobody"

    def replay(self, steps: list[tuple[float, Step]], clock: float) -> None:  # noqa: C901  a branch per kind of step
        """Take all steps, sorted by time, and say what is still open at `clock`; all in POSIX seconds."""
        self._opened_at = steps[0][0]
        for time, step in steps:
            self._labels = (step.queue, step.channel)
            self._holds(time)
            match step.what:
                case "customer":
                    self._tally.moods[step.message_id] = step.mood
                    if step.closing == "thanks" or (step.closing and self._we_asked):
                        self._holds(math.inf)
                    else:
                        self._asks(time)
                case "agent":
                    self._human_replies(time)
                case "bot":
                    self._bot_replies(time)
                case "handoff":
                    self._hands_off(time)
                case "resolved":
                    self._resolves(time, step.outcome)
                case "abandoned":
                    self._closes(
                        time,
                        "unsolved" if self._unanswered_since is None else "abandoned",
                    )
                case "reopened" if not self._is_open:
                    self._reopens(time)
            if step.what in {"agent", "bot"}:
                self._we_asked = step.asks
            if step.message_id:
                self._tally.messages["agent" if step.what == "note" else step.what] += 1
        self._ends(clock)

    def _holds(self, time: float) -> None:
        """End the wait that a bot has answered, if the customer was silent for long enough before `time`."""
        if self._bot_answered is None or not self._bot_answered + _CONFIRM_SECONDS < time:
            return
        if not self._was_missed:
            self._counts_round("met", "bot")
        self._bot_answered = self._unanswered_since = None

    def _is_late(self, time: float) -> None:
        """Note that a wait has passed its limit without an answer."""
        since = self._unanswered_since
        if self._bot_answered is None and since is not None and time > since + self._limit() and not self._was_missed:
            self._was_missed = True
            self._counts_round("missed", "human")

    def _hands_off(self, time: float) -> None:
        if not self._human_came:
            self._handed_off = time
        self._bot_answered = None
        self._is_late(time)
        if self._unanswered_since is None and self._wants_human:
            self._unanswered_since, self._was_missed = time, False

    def _asks(self, time: float) -> None:
        self._bot_answered = None
        self._is_late(time)
        self._wants_human = True
        if self._unanswered_since is None:
            self._unanswered_since, self._was_missed = time, False
        if self._bot_awaited_since is None:
            self._bot_awaited_since = time
        if self._first_customer is None:
            self._first_customer = time

    def _human_replies(self, time: float) -> None:
        self._replied, self._wants_human, self._bot_answered = "human", False, None
        self._is_late(time)
        if self._unanswered_since is not None:
            self._tally.replies.append((*self._labels, "human", time - self._unanswered_since))
            if not self._was_missed:
                self._counts_round("met", "human")
            self._unanswered_since = None
        self._bot_awaited_since = None
        asked = self._first_customer is not None or self._reopened_at is not None
        if asked and not self._human_came:
            starts = (self._first_customer, self._handed_off, self._reopened_at)
            start = max(start for start in starts if start is not None)
            self._tally.first_responses.append((*self._labels, "human", time - start))
            self._human_came = True

    def _bot_replies(self, time: float) -> None:
        self._is_late(time)
        if self._replied == "nobody":
            self._replied = "bot"
        if self._unanswered_since is not None and self._bot_answered is None:
            self._bot_answered = time
        if self._bot_awaited_since is None:
            return
        waited = time - self._bot_awaited_since
        self._tally.replies.append((*self._labels, "bot", waited))
        self._bot_awaited_since = None
        if not (self._bot_came or self._human_came or self._reopened_at is not None):
            self._tally.first_responses.append((*self._labels, "bot", waited))
            self._bot_came = True

    def _resolves(self, time: float, outcome: str) -> None:
        if not self._was_resolved:
            self._tally.resolutions.append((*self._labels, self._replied, time - self._opened_at))
            self._was_resolved = True
        if outcome != "unsolved":
            self._holds(math.inf)
        self._closes(time, outcome)

    def _closes(self, time: float, outcome: str) -> None:
        if self._is_open:
            self._tally.outcomes[(*self._labels, outcome)] += 1
        self._is_open = self._wants_human = False
        self._bot_answered = None
        self._is_late(time)
        self._unanswered_since = None
        self._bot_awaited_since = None

    def _reopens(self, time: float) -> None:
        self._tally.outcomes[(*self._labels, "reopened")] += 1
        self._is_open = True
        self._reopened_at = time
        self._first_customer = None
        self._handed_off = None
        self._human_came = False
        self._replied = "nobody"

    def _ends(self, clock: float) -> None:
        queue = self._labels[0]
        self._holds(clock)
        if self._unanswered_since is not None and self._bot_answered is None:
            self._tally.open_waits[queue] += 1
            self._is_late(clock)
        if self._is_open:
            self._tally.open[queue] += 1

    def _limit(self) -> float:
        return self._promises.of(*self._labels).limit_seconds

    def _counts_round(self, outcome: str, responder: str) -> None:
        self._tally.rounds[(*self._labels, outcome, responder)] += 1
