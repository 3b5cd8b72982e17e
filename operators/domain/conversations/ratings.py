"""Ratings that have not settled: a rating counts once it has not been corrected for a while.

Surveys send each click: a customer who slips from two stars to five has given one rating, of five. A rating with the
same id replaces the one before, one that is withdrawn is dropped. A correction of a rating that has counted is counted
apart: what models have learned is not learned again.
"""

from collections.abc import Callable, Collection
from typing import Annotated

from msgspec import Meta, Struct

from operators.domain.conversations.facts import RatingGiven, RatingWithdrawn
from operators.domain.stage.stage import Outbox
from operators.domain.wire.forgotten import trace

MOST = 50_000
"""Ratings per lane that wait, and that are known as counted. Beyond it the first counts at once, or is forgotten."""


class FeedbackParams(Struct, frozen=True, forbid_unknown_fields=True):
    """When a rating counts."""

    settle_seconds: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds without a correction after which a rating counts and teaches. 0: at once. A later "
            "correction is counted apart.",
        ),
    ] = 600.0


class StoredRatings(Struct):
    """A snapshot as it is decoded."""

    waiting: list[tuple[float, RatingGiven]]
    settled: dict[str, float]


class Ratings:
    """The ratings of one lane.

    Args:
        settle_seconds: how long a rating waits for corrections.
        known_seconds: how long a rating that has counted is known.
        count: takes a rating that has settled.
        out: corrections are counted here.
    """

    def __init__(
        self, settle_seconds: float, known_seconds: float, count: Callable[[RatingGiven], None], out: Outbox
    ) -> None:
        self._settle_seconds = settle_seconds
        self._known_seconds = known_seconds
        self._count = count
        self._out = out
        self._waiting: dict[str, tuple[float, RatingGiven]] = {}
        """Rating -> when it settles (POSIX seconds) and the newest of its facts; in the order of the former."""
        self._settled: dict[str, float] = {}
        """Trace of a rating -> when it has counted."""

    def give(self, fact: RatingGiven) -> float | None:
        """Take a rating; return when it will settle (POSIX seconds), `None` if it does not wait."""
        if trace(fact.feedback_id) in self._settled:
            self._note("late")
            return None
        known = self._waiting.get(fact.feedback_id)
        if known is not None:
            self._note("replaced")
            if known[1].time > fact.time:  # the newer one came first
                return None
        if not self._settle_seconds:
            self.settle(fact, fact.time)
            return None
        due = fact.time + self._settle_seconds
        self._waiting.pop(fact.feedback_id, None)
        is_late = bool(self._waiting) and due < next(reversed(self._waiting.values()))[0]
        self._waiting[fact.feedback_id] = (due, fact)
        if is_late:
            self._waiting = dict(sorted(self._waiting.items(), key=lambda item: item[1][0]))
        if len(self._waiting) > MOST:
            self.settle(self._waiting.pop(next(iter(self._waiting)))[1], fact.time)
        return due

    def withdraw(self, fact: RatingWithdrawn) -> None:
        """Drop a rating that has not counted yet."""
        if self._waiting.pop(fact.feedback_id, None) is not None:
            self._note("withdrawn")
        elif trace(fact.feedback_id) in self._settled:
            self._note("late")

    def due(self, until: float) -> list[tuple[RatingGiven, float]]:
        """Remove and return the ratings that settle up to `until` (POSIX seconds), and when each does."""
        due: list[tuple[RatingGiven, float]] = []
        for at, fact in self._waiting.values():
            if at > until:
                break
            due.append((fact, at))
        for fact, _ in due:
            del self._waiting[fact.feedback_id]
        return due

    def settle(self, fact: RatingGiven, time: float) -> None:
        """Count a rating, which settles at `time` (POSIX seconds)."""
        self._settled[trace(fact.feedback_id)] = time
        self._count(fact)

    def _note(self, change: str) -> None:
        self._out.counted["csq_feedback_corrections_total", (change,)] += 1

    def forget(self, customer_id: str, conversation_ids: Collection[str]) -> None:
        """Drop the ratings of a customer, and of these conversations."""
        self._waiting = {
            key: (due, fact)
            for key, (due, fact) in self._waiting.items()
            if fact.customer_id != customer_id and fact.conversation_id not in conversation_ids
        }

    def times(self) -> list[float]:
        """Return when ratings settle (POSIX seconds)."""
        return [due for due, _ in self._waiting.values()]

    def advance(self, now: float) -> None:
        """Forget ratings that have counted long ago."""
        before = now - self._known_seconds
        settled = self._settled
        while settled and (settled[key := next(iter(settled))] < before or len(settled) > MOST):
            del settled[key]

    def __len__(self) -> int:
        return len(self._waiting)

    def snapshot(self) -> StoredRatings:
        """Return the state, to be encoded at once."""
        return StoredRatings(list(self._waiting.values()), self._settled)

    def restore(self, stored: StoredRatings) -> None:
        """Continue from a snapshot."""
        self._waiting = {fact.feedback_id: (due, fact) for due, fact in stored.waiting}
        self._settled = stored.settled
