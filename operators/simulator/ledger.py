"""Where the notes of delivered events are filed, to be added up into the books."""

from collections import Counter, defaultdict

from operators.domain.stage.promise import Promises

from .books import Books, Judged, Note, Rated, Step
from .course import Course, Tally


class Ledger:
    """Files notes as events are delivered. Grows with them: a live run that never ends keeps none."""

    def __init__(self, promises: Promises) -> None:
        self._promises = promises
        self._clock = 0.0
        self._events: Counter[str] = Counter()
        self._dead_letters: Counter[str] = Counter()
        self._duplicates = 0
        self._steps: dict[str, list[tuple[float, Step]]] = defaultdict(list)
        self._ratings: Counter[Rated] = Counter()
        self._judged: dict[str, bool] = {}
        self._leaving: list[tuple[float, bool]] = []

    def delivered(self, kind: str, time: float, note: Note) -> None:
        """File a true event of type `kind` with its event time."""
        self._events[kind] += 1
        self._clock = max(self._clock, time)
        if isinstance(note, Step):
            self._steps[note.conversation_id].append((time, note))
        elif isinstance(note, Rated):
            self._ratings[note] += 1
        elif isinstance(note, Judged):
            self._judged[note.customer_id] = note.churned
            self._leaving.append((note.probability, note.churned))

    def repeated(self) -> None:
        """File that an event came once more."""
        self._duplicates += 1

    def refused(self, reason: str) -> None:
        """File something that must become a dead letter."""
        self._dead_letters[reason] += 1

    def read(self) -> Books:
        """Add everything up; takes time in proportion to what was filed."""
        tally = Tally()
        for steps in self._steps.values():
            Course(tally, self._promises).replay(sorted(steps), self._clock)
        return Books(
            clock=self._clock,
            events=dict(self._events),
            dead_letters=dict(self._dead_letters),
            duplicates=self._duplicates,
            messages=dict(tally.messages),
            reply_seconds=tally.replies,
            first_response_seconds=tally.first_responses,
            resolution_seconds=tally.resolutions,
            rounds=sorted((*labels, count) for labels, count in tally.rounds.items()),
            conversations=sorted((*labels, count) for labels, count in tally.outcomes.items()),
            feedback=sorted((*rated, count) for rated, count in self._ratings.items()),
            open_waits=dict(tally.open_waits),
            conversations_open=dict(tally.open),
            orders=self._events["csq.behavior.order_completed"],
            complaints_opened=self._events["csq.complaint.opened"],
            complaints_closed=self._events["csq.complaint.closed"],
            true_moods=tally.moods,
            churned=[customer for customer, churned in self._judged.items() if churned],
            kept=[customer for customer, churned in self._judged.items() if not churned],
            leaving=list(self._leaving),
        )
