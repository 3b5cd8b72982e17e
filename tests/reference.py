"""One conversation reckoned by the definitions, sentence by sentence, with no thought for speed: what the stages must equal.

It shares no code with the stages, and keeps no state: every quantity is read off the whole list of what happened.
"""

from collections import Counter
from typing import NamedTuple

Step = tuple[float, str, str | None]
"""Time, what happened (customer, thanks, agent, bot, or the last word of a conversation's event), outcome."""
ENDS = ("resolved", "abandoned")


CONFIRM = 600.0
"""Seconds of silence after which a bot's answer holds."""


class Reckoned(NamedTuple):
    """What was counted and measured, seconds in the order of events."""

    replies: list[float]
    firsts: list[float]
    bot_replies: list[float]
    bot_firsts: list[float]
    resolutions: list[tuple[str, float]]
    """Who had replied, and the time."""
    rounds: Counter[str]
    """`met`, `missed`; `held` for those that a bot's answer has ended."""
    outcomes: Counter[str]
    is_open: bool
    waits: bool


class Round(NamedTuple):
    """A wait of the customer."""

    since: float
    end: str
    """`human`, `bot`, `left` (the conversation ended), `open`, `suspended`."""
    seconds: float
    missed: bool
    after: int
    """The step that ended it, or after which it was over."""


def reckon(steps: list[Step], limit: float, clock: float, *, bots_answer: bool = True) -> Reckoned:  # noqa: C901  a branch per sentence
    """Reckon a conversation whose `steps` are in order, as of `clock`."""
    rounds = rounds_of(steps if bots_answer else [step for step in steps if step[1] != "bot"], limit, clock)
    out = Reckoned(
        [], [], [], [], [], Counter(), Counter(), is_open_after(steps), rounds[-1:] != [] and rounds[-1].end == "open"
    )
    out.replies.extend(each.seconds for each in rounds if each.end == "human")
    out.rounds.update("missed" if each.missed else {"human": "met", "bot": "held"}.get(each.end, "") for each in rounds)
    out.rounds.pop("", None)
    episode_start, answered = 0, False
    for i, (time, what, outcome) in enumerate(steps):
        before = steps[:i]
        was_open = is_open_after(before)
        if what == "agent":
            start = first_response_start(before, episode_start)
            if start is not None and not answered:
                out.firsts.append(time - start)
                answered = True
        elif what == "bot":
            asked = bot_waiting_since(before)
            if asked is not None:
                out.bot_replies.append(time - asked)
                if not out.bot_firsts and episode_start == 0 and not human_replied(before):
                    out.bot_firsts.append(time - asked)
        elif what in ENDS:
            if what == "resolved" and not any(past[1] == "resolved" for past in before):
                begin = opened_at(steps)
                if begin != time or any(past[1] == "opened" for past in before):  # else only the end is known
                    said = {past[1] for past in steps[episode_start:i]}
                    out.resolutions.append(
                        ("human" if "agent" in said else "bot" if "bot" in said else "nobody", time - begin)
                    )
            if was_open and what == "resolved":
                out.outcomes[outcome or "solved"] += 1
            elif was_open:
                left = any(each.after == i and each.end == "left" for each in rounds)
                out.outcomes["abandoned" if left else "unsolved"] += 1
        elif what == "reopened" and not was_open:
            out.outcomes["reopened"] += 1
            episode_start, answered = i, False
    return out


def rounds_of(steps: list[Step], limit: float, clock: float) -> list[Round]:
    """All rounds: from the first unanswered customer message to what ends it.

    A hand-off begins one if the customer has written since the last word of a human, or the last end.
    """
    rounds: list[Round] = []
    i = 0
    while i < len(steps):
        what = steps[i][1]
        last = [k for k in range(i) if steps[k][1] in ("agent", *ENDS)]
        asked = any(step[1] == "customer" for step in steps[last[-1] + 1 if last else 0 : i])
        if what == "customer" or (what == "handoff" and asked):
            rounds.append(round_from(steps, i, limit, clock))
            i = rounds[-1].after
            if rounds[-1].end in ("human", "left"):
                i += 1
        else:
            i += 1
    return rounds


def round_from(steps: list[Step], begin: int, limit: float, clock: float) -> Round:  # noqa: C901, PLR0911  as above
    """The round that begins with a step."""
    since, due = steps[begin][0], steps[begin][0] + limit
    by_bot: float | None = None
    missed = False
    for i, (time, what, outcome) in enumerate(steps[begin + 1 :], begin + 1):
        if by_bot is not None and by_bot + CONFIRM < time:
            return Round(since, "bot", by_bot - since, missed, i)
        missed = missed or (by_bot is None and time > due)
        if what in ("resolved", "abandoned"):
            if by_bot is not None and what == "resolved" and outcome != "unsolved":
                return Round(since, "bot", by_bot - since, missed, i)
            return Round(since, "left", time - since, missed or time > due, i)
        if what == "thanks" and by_bot is not None:
            return Round(since, "bot", by_bot - since, missed, i)
        if what == "agent":
            return Round(since, "human", time - since, missed or time > due, i)
        if what in ("customer", "handoff"):
            by_bot = None
            missed = missed or time > due
        elif what == "bot" and by_bot is None:
            by_bot = time
    if by_bot is None:
        return Round(since, "open", clock - since, missed or clock > due, len(steps))
    if by_bot + CONFIRM < clock:
        return Round(since, "bot", by_bot - since, missed, len(steps))
    return Round(since, "suspended", by_bot - since, missed, len(steps))


def is_open_after(steps: list[Step]) -> bool:
    """A conversation is open until it is resolved or abandoned, and again when it is reopened."""
    last = [what for _, what, _ in steps if what in (*ENDS, "reopened")]
    return not last or last[-1] == "reopened"


def bot_waiting_since(steps: list[Step]) -> float | None:
    """The first customer message that neither bot nor human has answered."""
    replies = [i for i, (_, what, _) in enumerate(steps) if what in ("agent", "bot")]
    later = steps[replies[-1] + 1 :] if replies else steps
    return next((time for time, what, _ in later if what == "customer"), None)


def human_replied(steps: list[Step]) -> bool:
    """Whether a human has answered anything: a word before the customer's first is no reply."""
    asked = next((i for i, (_, what, _) in enumerate(steps) if what == "customer"), len(steps))
    return any(what == "agent" for _, what, _ in steps[asked:])


def first_response_start(steps: list[Step], episode_start: int) -> float | None:
    """The latest of first customer message of the episode, hand-off, reopening; nothing before the customer or a reopening."""
    episode = steps[episode_start:]
    asked = [time for time, what, _ in episode if what == "customer"][:1]
    reopened = [steps[episode_start][0]] if episode_start else []
    handed = [time for time, what, _ in episode if what == "handoff"]
    return max(asked + reopened + handed) if asked or reopened else None


def opened_at(steps: list[Step]) -> float:
    """The time of the opened event, else of the first event seen."""
    return next((time for time, what, _ in steps if what == "opened"), steps[0][0])
