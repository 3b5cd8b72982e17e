"""Metrics: the catalogue of all metrics that csq exports, each declared once.

`observe.py` creates the series and is their only writer; ``docs/metrics.md`` is generated from it::

    python -m operators.metrics.catalogue --write docs/metrics.md

Names have the prefix ``csq_`` and the base unit. Label values are closed sets (fixed here, or from the settings), so
that no event can create a series: any other value is counted as ``other``. A classic histogram is exact only at its
bounds, so reply times have a bound at every promised limit as well.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from operators.domain.models.satisfaction import PARTS
from operators.domain.models.updates import REFUSAL_REASONS
from operators.domain.stage.feedback import SCALES
from operators.domain.stage.labels import OTHER
from operators.domain.wire import decode, events

DURATIONS = (10, 30, 60, 120, 180, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 259_200, 604_800)
"""Seconds: 10 s to 7 days; the usual limits of chats and e-mails are among them."""
AGES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0)
"""Seconds from an event's own time to its being counted: 10 ms to an hour's backlog."""
SNAPSHOTS = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
"""Seconds to take one snapshot."""
SATISFACTION = tuple(half / 2 for half in range(11))
"""0 to 5 by 0.5."""
SATISFACTION_PARTS = (1.0, 2.0, 3.0, 4.0)
"""0 to 5 by 1: there are five parts, so five times as many series."""
PROBABILITIES = tuple(part / 20 for part in range(1, 20))
"""0.05 to 0.95 by 0.05."""


@dataclass(frozen=True, slots=True)
class ClosedSets:
    """The label values of one installation: a field per label, named after it; `other` is always understood.

    >>> ClosedSets(queue=("orders",), channel=("chat",)).language
    ('en', 'zh')
    """

    queue: tuple[str, ...] = ()
    channel: tuple[str, ...] = ()
    language: tuple[str, ...] = ("en", "zh")
    segment: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    stage: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    reason: tuple[str, ...] = decode.REASONS
    type: tuple[str, ...] = events.TYPES
    growing: frozenset[str] = frozenset()
    """Labels whose set is not complete: further values are admitted while csq runs."""
    limits: tuple[float, ...] = ()
    """Promised limits (seconds), which become bounds of the histograms in `PROMISED`."""


class Label(NamedTuple):
    """A label and its values: fixed `values`, those of the settings (``None``), or any up to a bound (``()``)."""

    name: str
    values: tuple[str, ...] | None = None

    def known(self, sets: ClosedSets) -> tuple[str, ...]:
        """All values that are declared; empty for an open label."""
        if self.values is not None:
            return self.values
        values: tuple[str, ...] = getattr(sets, self.name)
        return values


class Metric(NamedTuple):
    """One metric: what it is called, what it means, and which series it has."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    summed: bool = False
    """A gauge whose parts (lanes, mostly) report apart: a measurement's value is (part, number), the sum is shown."""
    from_start: bool = True
    """Whether the series exist at 0 before anything is measured: not where 0 would be a claim, as for an accuracy."""

    def bounds(self, sets: ClosedSets) -> tuple[float, ...]:
        """The upper bounds of a histogram in one installation.

        >>> CATALOGUE["csq_reply_seconds"].bounds(ClosedSets(limits=(45.0,)))[:4]
        (10, 30, 45.0, 60)
        """
        if self.name not in PROMISED or set(sets.limits) <= set(self.buckets):
            return self.buckets
        return tuple(sorted({*self.buckets, *sets.limits}))

    def known(self, sets: ClosedSets) -> Iterator[tuple[str, ...]]:
        """The label values of the series that exist from the start.

        >>> list(CATALOGUE["csq_orders_total"].known(ClosedSets()))
        [('completed',), ('cancelled',), ('refunded',)]
        >>> list(CATALOGUE["csq_model_accuracy"].known(ClosedSets(model=("churn",))))
        []
        """
        if self.from_start:
            for values in product(*(label.known(sets) for label in self.labels)):
                if self.name != "csq_feedback_total" or _on_scale(*values):
                    yield values


def _on_scale(kind: str, _queue: str, score: str) -> bool:
    low, high = SCALES[kind]
    return low <= int(score) <= high


def _counter(name: str, unit: str, meaning: str, *labels: Label) -> Metric:
    return Metric(name, "counter", unit, meaning, labels)


def _gauge(name: str, unit: str, meaning: str, *labels: Label) -> Metric:
    """A gauge that is 0 before its first measurement."""
    return Metric(name, "gauge", unit, meaning, labels)


def _sum(name: str, unit: str, meaning: str, *labels: Label) -> Metric:
    """A gauge that adds up what each part last reported."""
    return Metric(name, "gauge", unit, meaning, labels, summed=True)


def _measure(name: str, unit: str, meaning: str, *labels: Label) -> Metric:
    """A gauge that does not exist before the first measurement, where 0 would be a claim."""
    return Metric(name, "gauge", unit, meaning, labels, from_start=False)


def _histogram(name: str, unit: str, meaning: str, buckets: tuple[float, ...], *labels: Label) -> Metric:
    return Metric(name, "histogram", unit, meaning, labels, buckets)


def _elapsed(name: str, *labels: Label) -> Metric:
    """A duration by the wall, beside the one of this name in opening hours."""
    return Metric(
        name.replace("_seconds", "_elapsed_seconds"),
        "histogram",
        "seconds",
        f"As `{name}`, by the wall; only of queues with a calendar.",
        labels,
        DURATIONS,
        from_start=False,
    )


QUEUE, CHANNEL, LANGUAGE, SEGMENT = (Label("queue"), Label("channel"), Label("language"), Label("segment"))
MODEL, STAGE, SOURCE = Label("model"), Label("stage"), Label("source")
RESPONDER = Label("responder", ("human", "bot"))
RESOLVER = Label("resolver", ("human", "bot", "nobody"))
OPEN: tuple[str, ...] = ()
"""Of a label: any value, as long as the metric has few series (`observe.OPEN_LIMIT`)."""

SECTIONS: dict[str, tuple[Metric, ...]] = {
    "Input": (
        _counter("csq_events_total", "events", "Events accepted, by type.", Label("type")),
        _counter(
            "csq_duplicates_total",
            "events",
            "Events dropped because an event with the same source and id was accepted before.",
        ),
        _counter(
            "csq_forgotten_events_total",
            "events",
            "Events dropped because their customer was forgotten at a later time.",
        ),
        _counter(
            "csq_late_events_total", "events", "Accepted events that were older than the watermark when they arrived."
        ),
        _counter("csq_dead_letters_total", "events", "Records sent to the dead letters, by reason.", Label("reason")),
        _histogram(
            "csq_event_age_seconds", "seconds", "Time from the timestamp of an event to its being counted.", AGES
        ),
        _measure("csq_newest_event_timestamp_seconds", "seconds", "Unix timestamp of the newest event counted."),
        _measure(
            "csq_source_lag_messages",
            "messages",
            "Messages of a partition that have not been read.",
            SOURCE,
            Label("partition", OPEN),
        ),
        _measure(
            "csq_source_connected", "0 or 1", "Whether the brokers answer (1) or not (0). A loss shows within 10 s."
        ),
        _gauge(
            "csq_peers_silent",
            "processes",
            "Other processes of the cluster that have given no sign of life for five seconds.",
        ),
        _measure(
            "csq_simulated",
            "0 or 1",
            "Whether the customers are invented: without brokers in the settings csq serves a simulated shop.",
        ),
        _measure(
            "csq_source_partitions_unread",
            "partitions",
            "Partitions added to a topic after the start; the next start reads them from their beginning.",
            SOURCE,
        ),
        _measure(
            "csq_source_partitions_gone",
            "partitions",
            "Partitions with a stored position that are not read: they do not exist, or their topic is not in "
            "`kafka.topics`. The position is kept.",
        ),
        _gauge(
            "csq_time_held_seconds",
            "seconds",
            "For how long records are there that cannot be read yet: those of an open transaction, or of a partition "
            "that was added. Event time waits for them up to `kafka.hold_seconds`.",
            Label("reason", ("open_transaction", "unread_partition")),
        ),
        _counter(
            "csq_clock_jumps_total",
            "steps",
            "Steps of the wall clock by more than half a second against the monotonic clock.",
            Label("direction", ("forward", "backward")),
        ),
    ),
    "Replies and resolutions": (
        _histogram(
            "csq_first_response_seconds",
            "seconds",
            "Time to the first public reply, from the latest of the first message, hand-off and reopening.",
            DURATIONS,
            QUEUE,
            CHANNEL,
            RESPONDER,
        ),
        _histogram(
            "csq_reply_seconds",
            "seconds",
            "Time from the first unanswered customer message of a round to the reply.",
            DURATIONS,
            QUEUE,
            CHANNEL,
            RESPONDER,
        ),
        _histogram(
            "csq_resolution_seconds",
            "seconds",
            "Time from the opening of a conversation to its first resolution, by who had replied until then.",
            DURATIONS,
            QUEUE,
            CHANNEL,
            RESOLVER,
        ),
        _histogram(
            "csq_last_resolution_seconds",
            "seconds",
            "Time from the opening of a conversation to its last resolution; observed when it is forgotten.",
            DURATIONS,
            QUEUE,
            CHANNEL,
        ),
        _histogram(
            "csq_handle_seconds",
            "seconds",
            "Time from the assignment of a conversation, or the first message of an agent, to its end.",
            DURATIONS,
            QUEUE,
            CHANNEL,
        ),
        _elapsed("csq_first_response_seconds", QUEUE, CHANNEL, RESPONDER),
        _elapsed("csq_reply_seconds", QUEUE, CHANNEL, RESPONDER),
        _elapsed("csq_resolution_seconds", QUEUE, CHANNEL, RESOLVER),
        _elapsed("csq_last_resolution_seconds", QUEUE, CHANNEL),
        _elapsed("csq_handle_seconds", QUEUE, CHANNEL),
        _counter(
            "csq_clock_disorder_total",
            "durations",
            "Durations that were measured as 0 because their end is older than their begin: a slow clock, or disorder.",
            Label("kind", ("reply", "first_response", "resolution", "last_resolution", "handle")),
        ),
        _counter(
            "csq_reply_rounds_total",
            "rounds",
            "Rounds with a human reply within the limit (met), and rounds whose limit passed without one (missed); of "
            "`bot`, rounds that ended with a reply of a bot because the customer was content with it or silent.",
            QUEUE,
            CHANNEL,
            Label("outcome", ("met", "missed")),
            RESPONDER,
        ),
        _gauge("csq_open_waits", "rounds", "Rounds in which a customer waits for a reply.", QUEUE),
        _gauge("csq_oldest_open_wait_seconds", "seconds", "Age of the oldest open wait; 0 without open waits.", QUEUE),
        _gauge(
            "csq_waits_after_close",
            "rounds",
            "Those of the open waits that are in conversations which had ended.",
            QUEUE,
        ),
        _counter(
            "csq_closing_messages_total",
            "messages",
            "Messages of customers that only thank, say goodbye or agree; they open no wait.",
            QUEUE,
            CHANNEL,
        ),
        _counter(
            "csq_message_changes_total",
            "messages",
            "Messages whose id had come before: with the same text (repeated), with another one (edited).",
            Label("change", ("repeated", "edited")),
        ),
        _counter(
            "csq_feedback_corrections_total",
            "ratings",
            "Ratings that were replaced or withdrawn before they counted, and corrections of ratings that had counted "
            "(late), which change nothing.",
            Label("change", ("replaced", "withdrawn", "late")),
        ),
        _counter(
            "csq_conversations_total",
            "conversations",
            "Conversations closed, by outcome (abandoned: left while waiting; merged into another one; silent or "
            "forgotten: ended by csq, without or with a customer who waits), and conversations reopened.",
            QUEUE,
            CHANNEL,
            Label("outcome", (*get_args(events.Outcome), "abandoned", "reopened", "merged", "silent", "forgotten")),
        ),
        _gauge("csq_conversations_open", "conversations", "Open conversations.", QUEUE),
        _gauge("csq_conversations_unassigned", "conversations", "Open conversations without an agent.", QUEUE),
        _counter(
            "csq_first_contact_resolutions_total",
            "conversations",
            "Resolutions without (resolved) and with (repeated) another contact of the customer in the window.",
            QUEUE,
            Label("outcome", ("resolved", "repeated")),
        ),
        _counter(
            "csq_resolutions_total",
            "conversations",
            "Conversations that ended solved, by who had replied; not verified (no) if the customer came back in the "
            "window. Counted when the customer comes back or the window ends.",
            QUEUE,
            RESOLVER,
            Label("verified", ("yes", "no")),
        ),
    ),
    "Queues and agents": (
        _measure(
            "csq_queue_open", "0 or 1", "Whether the calendar of a queue is open (1) or not (0); 1 without one.", QUEUE
        ),
        _counter(
            "csq_closed_replies_total",
            "replies",
            "Human replies to a wait in hours that the calendar calls closed.",
            QUEUE,
        ),
        _counter(
            "csq_closed_waits_total", "rounds", "Rounds that began in hours that the calendar calls closed.", QUEUE
        ),
        _measure(
            "csq_calendar_last_holiday_timestamp_seconds",
            "seconds",
            "Unix timestamp of the end of the last holiday that a calendar knows, up to the year after next.",
            Label("calendar", OPEN),
        ),
        _measure(
            "csq_reply_smoothed_seconds",
            "seconds",
            "Exponentially smoothed time of human replies.",
            QUEUE,
            CHANNEL,
        ),
        _measure(
            "csq_reply_forecast_seconds",
            "seconds",
            "Forecast of the reply time at a horizon (seconds ahead), with the bounds of its interval.",
            QUEUE,
            Label("horizon", ("300", "900", "3600")),
            Label("bound", ("lower", "median", "upper")),
        ),
        _measure(
            "csq_arrivals_per_hour",
            "1/hour",
            "Conversations opened, reopened or moved to the queue in the window, per hour.",
            QUEUE,
        ),
        _measure(
            "csq_service_level_ratio",
            "0..1",
            "Human replies within the limit ÷ (human replies + abandonments after the grace time).",
            QUEUE,
        ),
        _gauge("csq_agents", "agents", "Agents by state.", QUEUE, Label("state", get_args(events.AgentState))),
        _measure(
            "csq_agent_load_ratio",
            "ratio",
            "Chats ÷ chat places of agents on shift; without reports of both, open conversations per agent.",
            QUEUE,
        ),
        _measure(
            "csq_staffing_scheduled_agents",
            "agents",
            "Agents scheduled for the current interval, after shrinkage.",
            QUEUE,
        ),
    ),
    "Customers": (
        _counter(
            "csq_turns_total",
            "messages",
            "Customer messages, by predicted sentiment.",
            QUEUE,
            CHANNEL,
            LANGUAGE,
            Label("sentiment", get_args(events.Sentiment)),
        ),
        _counter(
            "csq_feedback_total",
            "answers",
            "Survey answers, by score on the scale of their kind.",
            Label("kind", get_args(events.FeedbackKind)),
            QUEUE,
            Label("score", tuple(str(score) for score in range(11))),
        ),
        _histogram(
            "csq_satisfaction_score",
            "0..5",
            "Satisfaction S of a conversation; observed when it ends, and when it is rated before its end.",
            SATISFACTION,
            QUEUE,
            CHANNEL,
        ),
        _histogram(
            "csq_satisfaction_part",
            "0..5",
            "Known parts of a satisfaction score, before they are weighted.",
            SATISFACTION_PARTS,
            QUEUE,
            Label("part", PARTS),
        ),
        _histogram(
            "csq_churn_probability", "0..1", "Churn probability of each published score.", PROBABILITIES, SEGMENT
        ),
        _sum(
            "csq_customers_at_risk",
            "customers",
            "Customers whose churn probability is at or above `churn.at_risk_from`.",
            SEGMENT,
        ),
        _counter(
            "csq_complaints_total",
            "complaints",
            "Complaints opened, by severity.",
            Label("severity", tuple(str(level) for level in range(1, 6))),
        ),
        _counter(
            "csq_orders_total",
            "orders",
            "Orders, by outcome.",
            Label("outcome", ("completed", "cancelled", "refunded")),
        ),
        _counter(
            "csq_attributes_ignored_total",
            "attributes",
            "Attributes of customers without effect: `churn.attributes` does not declare them, or as another kind.",
        ),
    ),
    "Models": (
        _counter("csq_model_examples_total", "examples", "Examples learned, weak ones included.", MODEL),
        _measure(
            "csq_model_loss",
            "nats or points",
            "Prequential loss, fading: log loss in nats; of satisfaction, the absolute error in points (0..5).",
            MODEL,
        ),
        _measure(
            "csq_model_accuracy",
            "0..1",
            "Share of labels that the published score predicted, fading; of satisfaction, the share within one point.",
            MODEL,
        ),
        _measure("csq_model_auc", "0..1", "Area under the ROC curve over the last 1000 labels; of churn only.", MODEL),
        _measure(
            "csq_model_calibration_error",
            "0..1",
            "Expected calibration error of the predicted class over the last 1000 labels; not of satisfaction.",
            MODEL,
        ),
        _counter(
            "csq_model_rollbacks_total",
            "rollbacks",
            "Examples undone because they led to weights that were not finite.",
            MODEL,
        ),
        _measure(
            "csq_model_label_delay_seconds",
            "seconds",
            "Mean time from a score to its label, fading.",
            MODEL,
        ),
        _counter(
            "csq_labels_unmatched_total",
            "labels",
            "Labels dropped because no score matched them: of churn, and of sentiment (model `other`).",
            MODEL,
        ),
        _counter(
            "csq_refused_features_total",
            "examples",
            "Examples refused because a number was not finite or the inputs did not fit the model.",
            MODEL,
        ),
        _measure(
            "csq_model_version",
            "examples",
            "Number of examples that the weights in this process have learned from.",
            MODEL,
        ),
        _counter(
            "csq_model_updates_refused_total",
            "records",
            "Records of the models topic that are not of the process that trains the model, or cannot be used.",
            Label("reason", REFUSAL_REASONS),
        ),
        _measure(
            "csq_model_updated_timestamp_seconds",
            "seconds",
            "Unix timestamp of the last change of the weights that this process scores with.",
            MODEL,
        ),
    ),
    "Process": (
        _sum("csq_state_entries", "records", "Records that a stage holds, and facts that it holds back.", STAGE),
        _sum("csq_state_entries_limit", "records", "Maximum number of records of a stage.", STAGE),
        _sum("csq_state_bytes", "bytes", "Size of the last snapshot of a stage.", STAGE),
        _counter("csq_state_evicted_total", "records", "Records dropped because a lane had reached its limit.", STAGE),
        _histogram(
            "csq_snapshot_duration_seconds",
            "seconds",
            "Time to take the snapshot of one lane or model.",
            SNAPSHOTS,
            STAGE,
        ),
        _sum(
            "csq_held_facts",
            "facts",
            "Facts held back until event time has passed them; grows while a partition stands still.",
            STAGE,
        ),
        _counter(
            "csq_early_facts_total",
            "facts",
            "Facts settled before event time had passed them, because a lane held more than 20,000; order is lost.",
            STAGE,
        ),
        _counter(
            "csq_stage_failures_total",
            "failures",
            "Failures of a stage on an item, which becomes a dead letter, or on a record's timer or score.",
            STAGE,
        ),
        _counter(
            "csq_refused_measurements_total",
            "measurements",
            "Measurements that do not fit the catalogue, a defect of csq; the log names the first of each.",
            Label("reason", ("unknown_metric", "wrong_labels", "wrong_value")),
        ),
        _measure(
            "csq_build_info",
            "1",
            "Constant 1, labelled with the running versions.",
            Label("version", OPEN),
            Label("python", OPEN),
            Label("bytewax", OPEN),
            Label("river", OPEN),
        ),
    ),
}

PROMISED = frozenset({"csq_first_response_seconds", "csq_reply_seconds"})
"""Histograms of what is promised: each limit of the settings is one of their bounds."""

CATALOGUE: dict[str, Metric] = {metric.name: metric for section in SECTIONS.values() for metric in section}
"""Every metric by name, in the order in which it is exported."""

_INTRODUCTION = f"""# Metrics

Generated by `python -m operators.metrics.catalogue --write docs/metrics.md`; do not edit.

Labels without values in this table are closed sets from the settings; a value outside a set is counted as
`{OTHER}`, so no event can make a new series. Counters, histograms, and the gauges for which zero is true from the
start exist at 0; a gauge such as an accuracy does not exist before its first measurement. Histograms have `_bucket`,
`_sum` and `_count`; they are exact at the bounds of their buckets, which are listed at the end. Each limit under
`promises` in the settings is a bound of {" and ".join(f"`{name}`" for name in sorted(PROMISED))} as well.
"""

_BUCKETS = {
    DURATIONS: "durations",
    AGES: "ages",
    SNAPSHOTS: "snapshots",
    SATISFACTION: "satisfaction",
    SATISFACTION_PARTS: "satisfaction parts",
    PROBABILITIES: "probabilities",
}


def _label_text(label: Label) -> str:
    return f"{label.name} ({', '.join(label.values)})" if label.values else label.name


def _row(metric: Metric) -> str:
    labels = "; ".join(map(_label_text, metric.labels))
    kind = f"{metric.kind} ({_BUCKETS[metric.buckets]})" if metric.buckets else metric.kind
    return f"| `{metric.name}` | {kind} | {metric.unit} | {labels} | {metric.help} |"


def document() -> str:
    """Render ``docs/metrics.md``."""
    parts = [_INTRODUCTION]
    for title, metrics in SECTIONS.items():
        rows = "\n".join(map(_row, metrics))
        parts.append(
            f"## {title}\n\n| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n{rows}\n"
        )
    parts.append("## Buckets of the histograms\n\n| buckets | upper bounds |\n| --- | --- |")
    parts.extend(f"| {name} | {', '.join(f'{bound:,g}' for bound in bounds)} |" for bounds, name in _BUCKETS.items())
    return "\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Write the document, or check that the written one is up to date."""
    parser = argparse.ArgumentParser(
        prog="python -m operators.metrics.catalogue", description="The table of all metrics."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, metavar="FILE", help="write the tables to FILE")
    what.add_argument("--check", type=Path, metavar="FILE", help="fail if FILE is stale")
    options = parser.parse_args(arguments)
    if options.write:
        options.write.write_text(document(), encoding="utf-8")
    elif not options.check.exists() or options.check.read_text(encoding="utf-8") != document():
        message = (
            f"{options.check} is not up to date: run `python -m operators.metrics.catalogue --write {options.check}`"
        )
        raise SystemExit(message)


if __name__ == "__main__":
    main()
