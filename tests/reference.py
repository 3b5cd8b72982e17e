"""One conversation reckoned by the definitions, sentence by sentence, with no thought for speed: what the stages must equal.

It shares no code with the stages, and keeps no state: every quantity is read off the whole list of what happened.
"""

from collections import Counter
from typing import NamedTuple

Step = tuple[float, str, str | None]
"""Time, what happened (customer, agent, bot, or the last word of a conversation's event), outcome."""
ENDS = ("resolved", "abandoned")


class Reckoned(NamedTuple):
    """What was counted and measured, seconds in the order of events."""

    replies: list[float]
    firsts: list[float]
    bot_replies: list[float]
    bot_firsts: list[float]
    resolutions: list[float]
    rounds: Counter[str]
    outcomes: Counter[str]
    is_open: bool
    waiting_since: float | None


def reckon(steps: list[Step], limit: float, clock: float) -> Reckoned:  # noqa: C901, PLR0912  a branch per sentence
    """Reckon a conversation whose `steps` are in order, as of `clock`."""
    out = Reckoned([], [], [], [], [], Counter(), Counter(), is_open_after(steps), waiting_since(steps))
    episode_start, answered = 0, False
    for i, (time, what, outcome) in enumerate(steps):
        before = steps[:i]
        since = waiting_since(before)
        was_open = is_open_after(before)
        if what == "agent":
            if since is not None:
                out.replies.append(time - since)
                out.rounds["met" if time - since <= limit else "missed"] += 1
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
            if since is not None and time > since + limit:
                out.rounds["missed"] += 1
            if what == "resolved" and not any(past[1] == "resolved" for past in before):
                begin = opened_at(steps)
                if begin != time or any(past[1] == "opened" for past in before):  # else only the end is known
                    out.resolutions.append(time - begin)
            if was_open and what == "resolved":
                out.outcomes[outcome or "solved"] += 1
            elif was_open:
                out.outcomes["unsolved" if since is None else "abandoned"] += 1
        elif what == "reopened" and not was_open:
            out.outcomes["reopened"] += 1
            episode_start, answered = i, False
    if out.waiting_since is not None and clock > out.waiting_since + limit:
        out.rounds["missed"] += 1
    return out


def is_open_after(steps: list[Step]) -> bool:
    """A conversation is open until it is resolved or abandoned, and again when it is reopened."""
    last = [what for _, what, _ in steps if what in (*ENDS, "reopened")]
    return not last or last[-1] == "reopened"


def waiting_since(steps: list[Step]) -> float | None:
    """The first customer message after the last human reply, or after the last end."""
    ends = [i for i, (_, what, _) in enumerate(steps) if what in ("agent", *ENDS)]
    later = steps[ends[-1] + 1 :] if ends else steps
    return next((time for time, what, _ in later if what == "customer"), None)


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
