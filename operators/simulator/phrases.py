"""The shape of a language's phrases. All phrases are our own writing; slots are filled by ``words.py``."""

from typing import NamedTuple

QUEUES = ("orders", "returns", "billing", "technical")
CHANNELS = ("chat", "email", "social")

Lines = tuple[str, ...]


class Phrases(NamedTuple):
    """One language; what stands in braces, such as a problem (`{issue}`) or a product (`{thing}`), is filled in."""

    things: Lines
    gadgets: Lines
    """Things that are switched on."""
    days: Lines
    issues: dict[str, Lines]
    """Queue -> problems, without a mood of their own."""
    firsts: dict[str, Lines]
    """Mood -> how a conversation is begun, around an `{issue}`."""
    answers: dict[str, Lines]
    """Mood -> what is said in the middle."""
    nudges: dict[str, Lines]
    """Mood -> messages of a customer who gets no answer."""
    ends: dict[str, Lines]
    """Mood -> last words."""
    agent: dict[str, dict[str, Lines]]
    """Tone (polite, curt) -> moment (greet, answer, close) -> lines."""
    bot: dict[str, Lines]
    """Moment (greet, answer, handoff, close) -> lines."""


def lines(text: str) -> Lines:
    r"""Give the lines of a text, without empty ones.

    >>> lines("one\n  two\n")
    ('one', 'two')
    """
    return tuple(line.strip() for line in text.splitlines() if line.strip())
