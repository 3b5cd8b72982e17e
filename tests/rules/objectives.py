"""What counts as good and bad of each objective, as series; and the cases of its burn-rate alerts."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from flows.commands.rules.burn_alerts import FOR_PART
from flows.commands.rules.burns import Derived
from flows.commands.rules.declaration import Slo
from flows.commands.rules.load import load
from flows.commands.rules.slo_records import derived
from flows.settings.model import Settings
from tests.rules.promtool import Case, Firing, beginning_counts

DECLARATION = load(Path(__file__).parents[2] / "config/slo.yaml", Settings())
QUEUES = {"urgent": "billing", "standard": "orders", None: "returns"}
"""A queue of each class."""
GAUGE_GOOD, GAUGE_BAD = 0.8, 0.5
MARGIN = 3
"""Steps before and after the moment at which an alert begins; the windows end on whole steps."""

ROUNDS = 'csq_reply_rounds_total{{job="csq",instance="a:1",queue="{queue}",channel="chat",outcome="{outcome}",responder="human"}}'
SECONDS = 'csq_{metric}_seconds_{part}{{job="csq",instance="a:1",queue="{queue}",channel="chat",responder="{by}"{le}}}'
CLOSED = 'csq_conversations_total{{job="csq",instance="a:1",queue="{queue}",channel="chat",outcome="{outcome}",responder="human"}}'
RATED = 'csq_feedback_total{{job="csq",instance="a:1",queue="{queue}",kind="{kind}",score="{score}"}}'
TURNS = 'csq_turns_total{{job="csq",instance="a:1",queue="orders",channel="chat",language="{language}",sentiment="neutral"}}'


def weights(slo: str, queue: str) -> dict[str, tuple[float, float]]:
    """Series to how much a good and a bad event add to it; series that must not count are among them."""

    def histogram(metric: str, le: str) -> dict[str, tuple[float, float]]:
        bucket, count = {"part": "bucket", "le": f',le="{le}"'}, {"part": "count", "le": ""}
        return {
            SECONDS.format(metric=metric, queue=queue, by="human", **bucket): (1, 0),
            SECONDS.format(metric=metric, queue=queue, by="human", **count): (1, 1),
            SECONDS.format(metric=metric, queue=queue, by="bot", **bucket): (9, 9),
            SECONDS.format(metric=metric, queue=queue, by="bot", **count): (9, 9),
        }

    rounds = {
        ROUNDS.format(queue=queue, outcome="met"): (1.0, 0.0),
        ROUNDS.format(queue=queue, outcome="missed"): (0.0, 1.0),
    }
    if slo == "first-response":
        return histogram("first_response", "180.0")
    if slo == "reply":
        return rounds
    if slo == "reply-5m":
        return rounds | histogram("reply", "300.0")
    if slo in {"abandonment", "resolution"}:
        bad = {"abandonment": "abandoned", "resolution": "unsolved"}[slo]
        return {
            CLOSED.format(queue=queue, outcome="solved"): (0.75, 0),
            CLOSED.format(queue=queue, outcome="partial"): (0.25, 0),
            CLOSED.format(queue=queue, outcome=bad): (0, 1),
            CLOSED.format(queue=queue, outcome="reopened"): (0.1, 0.1),
        }
    return {
        "csat": {
            RATED.format(queue=queue, kind="csat", score="5"): (0.5, 0),
            RATED.format(queue=queue, kind="csat", score="4"): (0.5, 0),
            RATED.format(queue=queue, kind="csat", score="1"): (0, 1),
            RATED.format(queue=queue, kind="nps", score="5"): (1, 1),
        },
        "freshness": {
            'csq_event_age_seconds_bucket{job="csq",instance="a:1",le="10.0"}': (1, 0),
            'csq_event_age_seconds_bucket{job="csq",instance="a:1",le="30.0"}': (1, 1),
            'csq_event_age_seconds_count{job="csq",instance="a:1"}': (1, 1),
        },
        "dead-letters": {
            'csq_events_total{job="csq",instance="a:1",type="csq.message.created"}': (0.9, 0),
            'csq_duplicates_total{job="csq",instance="a:1"}': (0.1, 0),
            'csq_dead_letters_total{job="csq",instance="a:1",reason="not_json"}': (0, 1),
        },
        "scoring": {TURNS.format(language="en"): (1, 0), TURNS.format(language="other"): (0, 1)},
    }[slo]


@dataclass(frozen=True)
class Flow:
    """Events of an objective, step by step: how many, and which share is bad."""

    slo: str
    queue: str
    per_step: float
    shares: tuple[float, ...]

    def series(self) -> dict[str, str]:
        """For promtool; a counter begins at 0, a gauge is bad for a share of the steps."""
        if self.slo == "accuracy":
            return self._gauge()
        found = {}
        for name, (good, bad) in weights(self.slo, self.queue).items():
            total, values = 0.0, ["0"]
            for share in self.shares:
                total += self.per_step * (good * (1 - share) + bad * share)
                values.append(f"{total:.9g}")
            found[name] = " ".join(values)
        return found

    def _gauge(self) -> dict[str, str]:
        values = [f"{GAUGE_BAD if bad else GAUGE_GOOD}" for bad in marks(self.shares)]
        examples = " ".join(f"{number * self.per_step:.9g}" for number in range(len(self.shares) + 1))
        model = '{job="csq",instance="a:1",model="churn"}'
        return {f"csq_model_accuracy{model}": " ".join(values), f"csq_model_examples_total{model}": examples}


def marks(shares: Iterable[float]) -> list[bool]:
    """Whether a gauge is bad, before and after each step: as often as the shares say."""
    owed, found = 0.0, [False]
    for share in shares:
        owed += share
        found.append(owed >= 1 - 1e-9)
        owed -= found[-1]
    return found


def labels_of(slo: Slo, queue_class: str | None) -> dict[str, str]:
    """What the alert is about, beside the labels of its rule."""
    values = {"queue": QUEUES[queue_class], "model": "churn"}
    return {"job": "csq", **{label: values[label] for label in slo.each}}


def cases(name: str, queue_class: str | None, severity: str) -> Iterator[Case]:
    """Two cases per pair of windows: enough events, and too few."""
    slo = DECLARATION.slos[name]
    own = [burn for burn in derived(DECLARATION, slo, slo.promised[queue_class]) if burn.severity == severity]
    for burn in own:
        faster = min((other.threshold for other in own if other.long_seconds < burn.long_seconds), default=1.0)
        share = 1.0 if faster == 1 else round(math.sqrt(burn.threshold * faster), 2)
        yield Course(name, queue_class, own, burn, share, 4 * burn.minimum).case()
        few = 0.9 * min(other.minimum / other.long_seconds for other in own) * burn.long_seconds
        yield Course(name, queue_class, own, burn, share, few).case()


@dataclass(frozen=True)
class Course:
    """All good for as long as any window looks back, then a bad share for one long window, then good again.

    The share lies between the threshold of the pair of windows and that of the faster one. The time at which the alert
    must fire is computed here from the shares alone.
    """

    slo: str
    queue_class: str | None
    own: Sequence[Derived]
    burn: Derived
    share: float
    events: float
    """In the long window."""

    @property
    def step(self) -> int:
        """Seconds from value to value."""
        return max(60, self.burn.long_seconds // 120)

    def shares(self) -> tuple[float, ...]:
        """The bad share of each step."""
        past = max(burn.long_seconds for burn in self.own) // self.step
        after = max(burn.short_seconds for burn in self.own) // self.step + 2 * MARGIN
        return (0.0,) * past + (self.share,) * (self.burn.long_seconds // self.step) + (0.0,) * after

    def per_step(self) -> float:
        """Events of a step."""
        return self.events * self.step / self.burn.long_seconds

    @cached_property
    def sums(self) -> list[float]:
        """What was bad before each step: increments of counters, samples of a gauge."""
        return list(accumulate(map(float, marks(self.shares())) if self.is_gauge else self.shares(), initial=0.0))

    @property
    def is_gauge(self) -> bool:
        """Whether what counts are samples, of which a window may hold one more than it has steps."""
        return DECLARATION.slos[self.slo].gauge is not None

    def ratio(self, at: int, seconds: int) -> float:
        """The bad share of a window after so many steps."""
        if self.is_gauge:
            first = max(0, at - seconds // self.step + (not beginning_counts()))
            return (self.sums[at + 1] - self.sums[first]) / (at + 1 - first)
        width = min(at, seconds // self.step)
        return (self.sums[at] - self.sums[at - width]) / max(1, width)

    def burning(self) -> list[bool]:
        """Whether the condition holds after each step."""
        return [any(self.holds(burn, at) for burn in self.own) for at in range(len(self.shares()) + 1)]

    def holds(self, burn: Derived, at: int) -> bool:
        """Whether both windows of a pair are bad, and the long one full enough, after so many steps."""
        volume = self.per_step() * min(at, burn.long_seconds // self.step)
        worst = min(self.ratio(at, burn.long_seconds), self.ratio(at, burn.short_seconds))
        return worst > burn.threshold and volume >= burn.minimum

    def shown(self, at: int) -> float:
        """The value of the alert: that of the first pair of windows that burns."""
        return next(self.ratio(at, burn.long_seconds) for burn in self.own if self.holds(burn, at))

    def case(self) -> Case:
        """What promtool is to see."""
        slo = DECLARATION.slos[self.slo]
        burning = self.burning()
        flow = Flow(self.slo, QUEUES[self.queue_class], self.per_step(), self.shares())
        length = self.burn.long_seconds // self.step
        full = len(burning) - 1 - 2 * MARGIN - max(burn.short_seconds for burn in self.own) // self.step
        silent = [full - length // 2, full, len(burning) - 1]
        firing: dict[float, list[Firing]] = {}
        since: dict[float, list[Mapping[str, str]]] = {}
        assert any(burning) == (self.events > self.burn.minimum), "too few events shall be silent, enough not"
        if any(burning):
            first, last = burning.index(True), len(burning) - 1 - burning[::-1].index(True)
            begins = first + math.ceil(self.own[0].short_seconds / FOR_PART / self.step)
            assert full - length < first < begins + MARGIN < full < last, "the course shows too little"
            silent = [first - MARGIN, last + MARGIN]
            shown = Firing(labels_of(slo, self.queue_class), percentage(self.shown(full)))
            firing = {full * self.step: [shown]}
            since = {(begins + MARGIN) * self.step: [shown.labels]}
        return Case(
            f"{self.burn.long} {'enough' if firing else 'too few'}",
            self.step,
            flow.series(),
            silent=[moment * self.step for moment in silent],
            firing=firing,
            since=since,
        )


def percentage(share: float) -> str:
    """As humanizePercentage of Prometheus writes it."""
    return f"{share * 100:.4g}%"


def all_burn_alerts() -> Mapping[tuple[str, str | None, str], Slo]:
    """Objective, class and severity of every burn-rate alert that is declared."""
    return {
        (name, queue_class, severity): slo
        for name, slo in DECLARATION.slos.items()
        for queue_class, objective in slo.promised.items()
        for severity in dict.fromkeys(burn.severity for burn in derived(DECLARATION, slo, objective))
    }
