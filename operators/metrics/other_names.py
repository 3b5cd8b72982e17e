"""Other names: texts about the queues, channels and segments that are measured as `other`."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from operators.domain.stage.labels import OTHER, LabelValues

MOST = 5
"""Names in one line."""
PLURAL = {"queue": "queues", "channel": "channels", "segment": "segments"}

Replies = Mapping[tuple[str, ...], float]
"""(queue, channel, ...) -> replies."""


def shares(replies: Replies) -> dict[str, tuple[int, int]]:
    """Return for queues and channels how many replies are in `other`, and how many there are.

    >>> shares({("other", "chat", "human"): 3.0, ("orders", "chat", "human"): 1.0})
    {'queue': (3, 4), 'channel': (0, 4)}
    """
    whole = int(sum(replies.values()))
    return {
        label: (int(sum(count for labels, count in replies.items() if labels[place] == OTHER)), whole)
        for place, label in enumerate(("queue", "channel"))
    }


def lines(seen: Mapping[str, Mapping[str, int]], parts: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """Return a line for each label with names in `other`; none where no reply is counted there.

    Args:
        seen: label -> name -> events with it.
        parts: label -> replies in `other`, all replies.

    >>> list(lines({"queue": {"Returns EU": 9, "VIP": 12}, "channel": {}}, {"queue": (267, 267)}))
    ['queue `other`: 267 of 267 replies; seen: VIP, Returns EU; name them in labels.queues']
    """
    for label, names in seen.items():
        if not names or parts.get(label, (1, 1))[0] == 0:
            continue
        often = sorted(names, key=lambda name: (-names[name], name))
        shown = ", ".join(often[:MOST]) + (f" and {len(often) - MOST} more" if len(often) > MOST else "")
        counted = f"{parts[label][0]:,} of {parts[label][1]:,} replies; " if label in parts else ""
        yield f"{label} `{OTHER}`: {counted}seen: {shown}; name them in labels.{PLURAL[label]}"


def near_misses(values: LabelValues, met: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Return each name of the settings that no event had, with a similar name of the events.

    >>> list(near_misses(LabelValues(("Billing", "orders")), {"billing": 4, "VIP": 2}))
    [('Billing', 'billing')]
    """
    folded = {name.casefold().strip(): name for name in met}
    for name in values.fixed:
        for near in get_close_matches(name.casefold().strip(), folded, n=1, cutoff=0.8):
            yield name, folded[near]
