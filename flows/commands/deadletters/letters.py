"""Selecting dead letters, counting and showing them; without commands and brokers."""

import heapq
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from operators.connectors.files.letters import Identity, Letter, Receipt

UNKNOWN = "-"
"""Source or hour of a letter that has none."""
SOURCES = 1_000
"""Sources counted one by one; further ones are counted under `OTHERS`."""
OTHERS = "(others)"
SHOWN_LETTERS = 120
"""Characters of a source or an id that are shown."""

MEANING: dict[str, tuple[str, str]] = {
    "too_large": (
        "more bytes than `intake.max_bytes`; it was not parsed",
        "send less (no attachments in `text`), or raise the setting and Kafka's own limits",
    ),
    "not_json": (
        "not one JSON object in UTF-8: truncated, another encoding, two objects in one record",
        "check the producer's serializer; in a file, the ends of lines",
    ),
    "too_deep": (
        "JSON nested several hundred levels deep",
        "send flat data; it is a defect of the producer, or an attack",
    ),
    "not_an_event": (
        "JSON, but not the envelope of *Rules*: a field of it is missing, or its version is not `1.0`",
        "wrap the data in the envelope; check that the topic has no other content",
    ),
    "unknown_type": (
        "`type` is not one of the 30",
        "a typing error, or a type of a later release; if csq does not need it, do not send it to this topic",
    ),
    "invalid_field": (
        "a field is missing or out of its range; `detail` names it",
        "correct the producer; `csq schema` prints the JSON Schema",
    ),
    "time_in_future": (
        "`time` is further ahead of the clock than `intake.ahead_seconds`",
        "check the clocks of the producer and of this machine, and the offset of the time zone",
    ),
    "too_old": (
        "`time` is longer ago than `intake.max_age_seconds`",
        "often 1970: a producer that sends 0, or seconds for milliseconds",
    ),
    "unreadable": (
        "the broker has it, and it could not be unpacked; it was skipped with `csq state skip`. Its bytes are missing",
        "find its producer by the topic, partition and offset; a record of that size is a defect, or an attack",
    ),
    "unknown_conversation": (
        "a conversation was merged into one that csq does not know",
        "compare `into` with the ids of other events; see its [runbook](runbooks/dead-letter-unknown_conversation.md)",
    ),
    "stage_failed": (
        (
            "a stage of csq raised an error on it: a defect of csq. `detail` names the stage, the log has the "
            "traceback, `csq_stage_failures_total` counts"
        ),
        (
            "report it with the log. `intake` keeps the raw event. In later stages `origin` is the stage, "
            "`position` the event (`source`, a space, `id`), and the value the input of the stage"
        ),
    ),
}
"""What each reason means and what to do, in the words of docs/events.md."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


class LetterFilter(NamedTuple):
    """Which letters; without any bound all.

    >>> letter = Letter("t:0:1", {"reason": "not_json"}, b"{", 60.0)
    >>> [LetterFilter(frozenset(reasons)).takes(letter) for reasons in ((), ("not_json",), ("too_old",))]
    [True, True, False]
    """

    reasons: frozenset[str] = frozenset()
    since: float | None = None
    """POSIX seconds; letters without a time are then not wanted."""
    source: str | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether this one is wanted."""
        if self.reasons and letter.reason not in self.reasons:
            return False
        if self.since is not None:
            time = letter.time()
            if time is None or time < self.since:
                return False
        return self.source is None or self.source == letter.envelope().source


def parse_since(text: str, now: float) -> float:
    """POSIX seconds of a span before `now`, or of an ISO time with zone.

    >>> parse_since("90m", 10_000.0), parse_since("1970-01-02T00:00:00Z", 0.0)
    (4600.0, 86400.0)
    >>> parse_since("yesterday", 0.0)
    Traceback (most recent call last):
    ValueError: got 'yesterday', expected a duration (90m, 2h, 7d) or an ISO time with zone (2025-01-31T08:00:00Z)
    """
    span = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if span:
        return now - float(span[1]) * _UNITS[span[2]]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(
            f"got {text!r}, expected a duration (90m, 2h, 7d) or an ISO time with zone (2025-01-31T08:00:00Z)"
        )
    return time.timestamp()


class LetterLine(NamedTuple):
    """A letter in a list: the newest are kept, and no raw bytes with them."""

    time: float | None
    """POSIX seconds; `None` without a time."""
    place: str
    id: str
    reason: str
    detail: str
    source: str
    identity: Identity


class Census:
    """Letters counted by reason, source and hour, the newest `limit` of them, and how many were sent again."""

    def __init__(self, wanted: LetterFilter, limit: int) -> None:
        self.total = self.taken = 0
        self.reasons: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.hours: Counter[str] = Counter()
        self.receipts: dict[Identity, Receipt] = {}
        self._wanted = wanted
        self._limit = limit
        self._newest: list[tuple[float, int, LetterLine]] = []

    def take(self, found: Iterable[Letter | Receipt]) -> "Census":
        """Count all that was found."""
        for one in found:
            if isinstance(one, Receipt):
                self.receipts[one.identity] = one
                continue
            self.total += 1
            if self._wanted.takes(one):
                self._count(one)
        return self

    def _count(self, letter: Letter) -> None:
        self.taken += 1
        time, source = letter.time(), source_of(letter)
        self.reasons[printable(letter.reason) or UNKNOWN] += 1
        self.sources[source if source in self.sources or len(self.sources) < SOURCES else OTHERS] += 1
        self.hours[hour_of(time)] += 1
        if self._limit:
            at = float("-inf") if time is None else time
            line = LetterLine(
                time,
                letter.place,
                printable(letter.id),
                printable(letter.reason),
                printable(letter.headers.get("detail", "")),
                source,
                letter.identity,
            )
            entry = (at, self.taken, line)
            if len(self._newest) < self._limit:
                heapq.heappush(self._newest, entry)
            else:
                heapq.heappushpop(self._newest, entry)

    def newest(self) -> list[LetterLine]:
        """The newest letters, newest first."""
        return [line for _, _, line in sorted(self._newest, reverse=True)]

    def times_sent(self, identity: Identity) -> int:
        """How often a letter was sent again."""
        receipt = self.receipts.get(identity)
        return receipt.times if receipt else 0

    def as_dict(self, where: str) -> dict[str, Any]:
        """For programs."""
        return {
            "where": where,
            "letters": self.total,
            "wanted": self.taken,
            "sent_again": len(self.receipts),
            "reasons": dict(self.reasons.most_common()),
            "sources": dict(self.sources.most_common()),
            "hours": dict(sorted(self.hours.items())),
            "newest": [
                {
                    "place": line.place,
                    "id": line.id,
                    "time": None if line.time is None else iso(line.time),
                    "reason": line.reason,
                    "detail": line.detail,
                    "source": line.source,
                    "sent_again": self.times_sent(line.identity),
                }
                for line in self.newest()
            ],
        }


def source_of(letter: Letter) -> str:
    """The `source` that the event names, safe to show."""
    source = letter.envelope().source
    return printable(source)[:SHOWN_LETTERS] if isinstance(source, str) and source else UNKNOWN


def hour_of(time: float | None) -> str:
    """The hour in UTC.

    >>> hour_of(7_260.0), hour_of(None)
    ('1970-01-01 02:00', '-')
    """
    try:
        return UNKNOWN if time is None else datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:00")
    except (OverflowError, ValueError, OSError):  # years before 1 or after 9999, once in UTC
        return UNKNOWN


def iso(time: float) -> str:
    """RFC 3339 in UTC, to the millisecond.

    >>> iso(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def printable(text: str) -> str:
    r"""Text that is safe on a terminal: control characters and direction marks are escaped.

    >>> printable("plain \x1b[31m \u202e end")
    'plain \\x1b[31m \\u202e end'
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def shown(raw: bytes) -> str:
    r"""Bytes as text that may be shown: what is no UTF-8 as escapes too.

    >>> shown(b'{"a": "\xff\x00\xc3\xa9"}')
    '{"a": "\\xff\\x00é"}'
    """
    return printable(raw.decode("utf-8", "backslashreplace"))
