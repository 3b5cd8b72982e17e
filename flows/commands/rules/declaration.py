"""Declared: `config/slo.yaml` as structs, strict. It is read by ``load.py``."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from flows.commands.rules.selection import Gauge, LabelMatch, Selection
from operators.domain.mistakes import Mistake, MistakesError
from operators.domain.stage.labels import OTHER

Share = Annotated[float, Meta(gt=0, lt=1)]
Seconds = Annotated[float, Meta(gt=0)]
Text = Annotated[str, Meta(min_length=1)]
Severity = Literal["page", "ticket"]
Board = Literal["overview", "queues", "customers", "pipeline"]


class Links(Struct, frozen=True, forbid_unknown_fields=True):
    """Where alerts lead to."""

    runbooks: Annotated[str, Meta(min_length=1, description="URL of the folder with the runbooks, without a slash.")]
    grafana: Annotated[str, Meta(min_length=1, description="URL of Grafana, without a slash at the end.")]
    datasource: Annotated[str, Meta(min_length=1, description="uid of Grafana's Prometheus data source.")]
    dashboards: Annotated[dict[Board, Text], Meta(description="uid of each dashboard.")]

    def __post_init__(self) -> None:
        """Both URLs are joined with a slash."""
        for name in ("runbooks", "grafana"):
            url = getattr(self, name)
            if not url.startswith(("http://", "https://")) or url.endswith("/"):
                text = f"{name}: got {url!r}, expected http:// or https:// and no slash at the end"
                raise MistakesError(Mistake((name,), text))


class QueueClass(Struct, frozen=True, forbid_unknown_fields=True):
    """Queues that share an objective."""

    queues: Annotated[
        tuple[Text, ...],
        Meta(
            min_length=1, description="Queues by their names in the events; `other` stands for all that no class names."
        ),
    ]
    why: Text
    oldest_wait_seconds: Annotated[
        float, Meta(gt=0, description="Seconds that a customer may wait before an alert fires.")
    ]
    severity: Annotated[Severity, Meta(description="What an older wait is.")]


class Burn(Struct, frozen=True, forbid_unknown_fields=True):
    """The share of the budget whose use within a window fires an alert."""

    budget_share: Share
    hours: Annotated[float, Meta(gt=0)]
    severity: Severity


class Slo(Struct, frozen=True, forbid_unknown_fields=True):
    """One service-level objective: the share of good events that is promised over a window."""

    title: Text
    says: Annotated[str, Meta(min_length=1, description="What a bad event is, after a percentage: `of the ...`.")]
    why: Text
    owner: Annotated[str, Meta(min_length=1, description="The team that its alerts go to.")]
    window_days: Annotated[int, Meta(ge=1, le=90)]
    minimum_events: Annotated[int, Meta(ge=1, description="Events in the shortest window below which no alert fires.")]
    worst: Annotated[Severity, Meta(description="The highest severity of its alerts.")]
    dashboard: Board
    good: tuple[Selection, ...] = ()
    bad: tuple[Selection, ...] = ()
    total: tuple[Selection, ...] = ()
    gauge: Gauge | None = None
    each: Annotated[tuple[Text, ...], Meta(description="Labels that have a budget of their own per value.")] = ()
    objective: Share | None = None
    objectives: Annotated[dict[str, Share], Meta(description="Queue class to objective.")] = {}
    labels: Annotated[dict[str, str], Meta(description="Further labels of its alerts.")] = {}

    def __post_init__(self) -> None:
        """Exactly one way to count good events, and exactly one way to set the objective."""
        if (self.objective is None) != bool(self.objectives):
            raise ValueError("give either `objective`, or `objectives` per queue class")
        if self.gauge is not None:
            if self.good or self.bad or self.total:
                raise MistakesError(Mistake(("gauge",), "`gauge` excludes good, bad and total"))
        elif not self.total or bool(self.good) == bool(self.bad):
            raise ValueError("give `total` and either `good` or `bad` (lists of selections), or `gauge`")
        if self.objectives and "queue" not in self.each:
            raise MistakesError(Mistake(("objectives",), "`objectives` per queue class need `each: [queue]`"))

    @property
    def promised(self) -> dict[str | None, float]:
        """Objective by queue class; the key is `None` where there are no classes."""
        if self.objective is not None:
            return {None: self.objective}
        return {name: objective for name, objective in self.objectives.items()}  # noqa: C416 - a dict of other keys

    @property
    def window(self) -> str:
        """The window as Prometheus writes it."""
        return f"{self.window_days}d"


class Thresholds(Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds of the alerts other than those on burn rates."""

    down_for_seconds: Seconds
    broker_lost_for_seconds: Seconds
    stalled_seconds: Seconds
    usual_events_per_minute: Annotated[float, Meta(gt=0)]
    restarts: Annotated[int, Meta(ge=2)]
    restart_window_seconds: Seconds
    lag_day_within_seconds: Seconds
    lag_worth_seconds: Seconds
    surge_factor: Annotated[float, Meta(gt=1)]
    dead_letters: Annotated[int, Meta(ge=1)]
    duplicate_share: Share
    duplicates: Annotated[int, Meta(ge=1)]
    snapshot_time_share: Share
    state_filled_share: Share
    clock_ahead_seconds: Seconds
    loss_factor: Annotated[float, Meta(gt=1)]
    loss_examples: Annotated[int, Meta(ge=1)]
    labels_left_share: Share
    labels_per_day: Annotated[int, Meta(ge=1)]
    model_behind_seconds: Seconds
    without_agents_seconds: Seconds
    nobody_seconds: Seconds
    nobody_agents: Annotated[int, Meta(ge=1)]
    closed_replies: Annotated[int, Meta(ge=1)]
    closed_waits: Annotated[int, Meta(ge=1)]
    closed_waits_share: Share
    closed_for_seconds: Seconds
    holidays_ahead_seconds: Seconds
    at_risk_factor: Annotated[float, Meta(gt=1)]
    at_risk_customers: Annotated[int, Meta(ge=1)]


class Declaration(Struct, frozen=True, forbid_unknown_fields=True):
    """All of `config/slo.yaml`."""

    job: Annotated[str, Meta(min_length=1, description="The label `job` under which Prometheus scrapes csq.")]
    links: Links
    burns: Annotated[tuple[Burn, ...], Meta(min_length=1)]
    classes: dict[str, QueueClass]
    slos: dict[str, Slo]
    thresholds: Thresholds

    def queues_of(self, queue_class: str) -> LabelMatch:
        """The queues of a class; the class that names `other` also has every queue that no class names."""
        own = self.classes[queue_class].queues
        if OTHER not in own:
            return LabelMatch(own)
        named = (queue for name, each in self.classes.items() if name != queue_class for queue in each.queues)
        return LabelMatch(tuple(named), others=True)
