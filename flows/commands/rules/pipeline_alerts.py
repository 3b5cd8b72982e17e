"""Pipeline alerts: csq is down, behind, refuses input, or is nearly full."""

from collections.abc import Iterator
from functools import partial

from flows.commands.rules.burns import span
from flows.commands.rules.declaration import Declaration, Thresholds
from flows.commands.rules.level_records import LAG_WINDOW, received
from flows.commands.rules.rule import WATCHED, AlertRule, RuleGroup, percent, words
from operators.connectors.kafka.params import KafkaParams

SECONDS = 15
SURGE = "10m"

_alert = partial(AlertRule, team="platform", board="pipeline")
_ticket = partial(_alert, severity="ticket")


def groups(declaration: Declaration) -> list[RuleGroup]:
    """Pipeline alerts; every 15 seconds, because some of them page."""
    limits = declaration.thresholds
    alerts = [
        *_life(declaration, limits),
        *_reading(limits),
        *_input(declaration, limits),
        *_state(limits),
    ]
    return [RuleGroup("csq-pipeline-alerts", SECONDS, alerts)]


def _life(declaration: Declaration, limits: Thresholds) -> Iterator[AlertRule]:
    job = f'{{job="{declaration.job}"}}'
    yield _alert(
        name="CsqWatchdog",
        expr=f'label_replace(vector(1), "job", "{declaration.job}", "", "")',
        severity=WATCHED,
        summary="Always fires: Prometheus and Alertmanager reach their receivers",
        description="Shows that notifications arrive. Route it to a service that notifies when it stops arriving.",
        hours=1,
        of_simulated=True,
    )
    yield _ticket(
        name="CsqSimulated",
        expr="sum by (job) (csq_simulated) > 0",
        for_seconds=900,
        summary="csq serves invented customers: its settings name no brokers",
        description=(
            "{{ $value }} processes of {{ $labels.job }} have served a simulated shop for 15 minutes. Their figures "
            "are not about real customers. If all processes do so, no other alert fires."
        ),
        hours=1,
        of_simulated=True,
    )
    yield _alert(
        name="CsqPipelineDown",
        expr=f"count by (job) (up{job} == 0)\nor\nabsent(up{job})",
        for_seconds=limits.down_for_seconds,
        severity="page",
        summary="csq is down: customer service is not measured",
        description=(
            f"Job {{{{ $labels.job }}}}: {{{{ $value }}}} of its processes have not answered a scrape for "
            f"{words(limits.down_for_seconds)}, or Prometheus has no target. The figures of csq are stale or absent; "
            "its other alerts are inhibited until this one resolves."
        ),
        hours=1,
    )
    window = span(limits.restart_window_seconds)
    yield _alert(
        name="CsqRestarting",
        expr=f"job:csq_restarts:changes{window}{job} >= {limits.restarts}",
        for_seconds=60,
        severity="page",
        summary="csq restarts in a loop",
        description=(
            f"{{{{ $value }}}} restarts in {words(limits.restart_window_seconds)}. Each one resumes from the last "
            "snapshot, so figures lag, and the same input may cause each crash."
        ),
        hours=3,
    )


def _reading(limits: Thresholds) -> Iterator[AlertRule]:
    yield _alert(
        name="CsqProcessHangs",
        expr="max by (job) (csq_peers_silent) > 0",
        for_seconds=60,
        severity="page",
        summary="A process of csq hangs, and all others wait for it",
        description=(
            "{{ $value }} processes of {{ $labels.job }} have given no sign of life for more than a minute, and "
            "nothing has restarted them. No process counts events until they are restarted; no event is lost."
        ),
        hours=1,
    )
    stalled = span(limits.stalled_seconds)
    newest = "csq_newest_event_timestamp_seconds"
    yield _alert(
        name="CsqBrokersLost",
        expr="min by (job) (csq_source_connected) == 0",
        for_seconds=limits.broker_lost_for_seconds,
        severity="page",
        summary="csq has lost its Kafka brokers",
        description=(
            f"A process of {{{{ $labels.job }}}} has had no broker for {words(limits.broker_lost_for_seconds)}. "
            "No event is lost: it continues at its offsets when they answer. Until then no figure changes."
        ),
        hours=1,
    )
    yield _alert(
        name="CsqStalled",
        expr=(
            f"(time() - max by (job) ({newest}) > {limits.stalled_seconds:g})\n"
            f"and on (job)\n(max by (job) (delta({newest}[{stalled}])) < {limits.stalled_seconds:g})\n"
            "and on (job)\n(\nsum by (job) (csq_source_lag_messages) > 0\nor\n"
            f"sum by (job) (increase(csq_events_total[1h])) >= {limits.usual_events_per_minute * 60:g}\n)"
        ),
        for_seconds=60,
        severity="page",
        summary="csq counts no new events",
        description=(
            "The newest counted event is {{ $value | humanizeDuration }} old and its age grows, although messages wait "
            "or the hour before was busy. Producers send nothing, or csq is stuck."
        ),
        hours=1,
    )
    day = "job:csq_source_lag_day:seconds"
    yield _ticket(
        name="CsqLagGrowing",
        expr=(
            f"{day} < {limits.lag_day_within_seconds:g}\nand on (job)\n"
            f"job:csq_source_lag_messages:sum > {limits.lag_worth_seconds:g} * job:csq_arrivals:rate{LAG_WINDOW}"
        ),
        for_seconds=900,
        summary="csq processes fewer events than arrive",
        description=(
            "At this rate csq is a day behind in {{ $value | humanizeDuration }}; it is more than "
            f"{words(limits.lag_worth_seconds)} behind now. Figures are late, and Kafka deletes events at the end of "
            "their retention."
        ),
        hours=12,
    )
    yield _ticket(
        name="CsqPartitionsUnread",
        expr="max by (job, source) (csq_source_partitions_unread) > 0",
        for_seconds=600,
        summary="Topic {{ $labels.source }} has partitions that are not read",
        description=(
            "{{ $value }} partitions of {{ $labels.source }} were added since csq started. Their events are "
            "not counted. The next start reads them from their beginning."
        ),
        hours=3,
    )
    hold = KafkaParams().hold_seconds
    yield _ticket(
        name="CsqTimeHeld",
        expr=f"max by (job, reason) (csq_time_held_seconds) > {hold:g}",
        for_seconds=60,
        summary="Records are there that cannot be read yet: {{ $labels.reason }}",
        description=(
            "csq has not been able to read some records for {{ $value | humanizeDuration }}. Event time waited for "
            f"them for {words(hold)} (kafka.hold_seconds) and goes on now. Replies among them may count as missed."
        ),
        hours=1,
    )


def _input(declaration: Declaration, limits: Thresholds) -> Iterator[AlertRule]:
    recent = f"sum by (job, reason) (increase(csq_dead_letters_total[{SURGE}]))"
    ours = f'sum by (job, reason) (increase(csq_dead_letters_total{{reason="stage_failed"}}[{SURGE}])) > 0'
    rate = f"sum by (job, reason) (rate(csq_dead_letters_total[{SURGE}]))"
    usual = f"sum by (job, reason) (rate(csq_dead_letters_total[1d] offset {SURGE}))"
    yield _ticket(
        name="CsqDeadLetterSurge",
        expr=(
            f"(\n{recent} >= {limits.dead_letters}\nunless\n{rate} <= {limits.surge_factor:g} * {usual}\n)\nor\n{ours}"
        ),
        summary="Many events are refused: {{ $labels.reason }}",
        description=(
            '{{ $value | printf "%.0f" }} records became dead letters in 10 minutes with reason {{ $labels.reason }}, '
            f"more than {limits.surge_factor:g} times as many as in the day before (of stage_failed, a defect of csq, "
            f"one is too many). What to do: {declaration.links.runbooks}/dead-letter-{{{{ $labels.reason }}}}.md"
        ),
        hours=3,
    )
    repeats = f"sum by (job) (increase(csq_duplicates_total[{SURGE}]))"
    yield _ticket(
        name="CsqDuplicateSurge",
        expr=(
            f"(\n{repeats}\n/\n(\n{received(f'increase({{}}[{SURGE}])')}\n)\n> {limits.duplicate_share:g}\n)\n"
            f"and\n{repeats} >= {limits.duplicates}"
        ),
        for_seconds=300,
        summary="A producer sends the same events again",
        description=(
            "{{ $value | humanizePercentage }} of the records of 10 minutes were duplicates. csq drops them, so "
            "figures are correct; but a producer retries too much, or sends a day again."
        ),
        hours=6,
    )
    yield _ticket(
        name="CsqClockSkew",
        expr=f"max by (job) (csq_newest_event_timestamp_seconds) - time() > {limits.clock_ahead_seconds:g}",
        for_seconds=300,
        summary="Events have times in the future",
        description=(
            "The newest event is {{ $value | humanizeDuration }} ahead of the clock of Prometheus. The clock of a "
            "producer or of this machine is wrong. Waits are measured from these times. Events that are further ahead "
            "are refused as time_in_future."
        ),
        hours=3,
    )


def _state(limits: Thresholds) -> Iterator[AlertRule]:
    yield _ticket(
        name="CsqSnapshotsSlow",
        expr=f"instance:csq_snapshot_time:ratio_rate15m > {limits.snapshot_time_share:g}",
        for_seconds=900,
        summary="csq spends too much of its time on snapshots",
        description=(
            "{{ $labels.instance }} spends {{ $value | humanizePercentage }} of its time on snapshots; the limit is "
            f"{percent(limits.snapshot_time_share)}. csq does not read meanwhile, so events are counted later."
        ),
        hours=12,
    )
    yield _ticket(
        name="CsqStateNearLimit",
        expr=f"stage:csq_state_filled:ratio > {limits.state_filled_share:g}",
        for_seconds=900,
        summary="Stage {{ $labels.stage }} is nearly full",
        description=(
            "Stage {{ $labels.stage }} of {{ $labels.instance }} holds {{ $value | humanizePercentage }} of its "
            "maximum number of records. A full lane evicts the oldest."
        ),
        hours=24,
    )
    yield _ticket(
        name="CsqStateEvicted",
        expr="sum by (job, stage) (increase(csq_state_evicted_total[15m])) > 0",
        summary="Stage {{ $labels.stage }} evicts records: a lane is full",
        description=(
            'Stage {{ $labels.stage }} evicted {{ $value | printf "%.0f" }} records in 15 minutes because a lane was '
            "full. Later replies, ratings and labels do not find them."
        ),
        hours=24,
    )
