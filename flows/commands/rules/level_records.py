"""Level records: sums and percentiles over channels, partitions and processes that alerts and dashboards share."""

from collections.abc import Iterator

from flows.commands.rules.burns import span
from flows.commands.rules.declaration import Declaration
from flows.commands.rules.rule import QUEUE_OPEN, RecordingRule, RuleGroup

SECONDS = 30
DAY = 86_400
RECEIVED = ("csq_events_total", "csq_duplicates_total", "csq_dead_letters_total")
"""Every record is counted in exactly one of them."""
ON_SHIFT = 'csq_agents{state=~"available|busy"}'
HUMAN = '{responder="human"}'
LAG_WINDOW = "30m"


def groups(declaration: Declaration) -> list[RuleGroup]:
    """One group per part of the product."""
    return [
        RuleGroup("csq-queues", SECONDS, list(_queues())),
        RuleGroup("csq-pipeline", SECONDS, list(_pipeline(declaration))),
        RuleGroup("csq-models", SECONDS, list(_models())),
    ]


def received(form: str) -> str:
    """Records received, per job: `form` wraps each series, as `rate({}[5m])`."""
    return "\n+\n".join(f"sum by (job) ({form.format(name)})" for name in RECEIVED)


def _percentiles(level: str, metric: str, matchers: str, *percents: int) -> Iterator[RecordingRule]:
    by = "job, queue, le" if level == "queue" else "job, le"
    for percent in percents:
        expr = f"histogram_quantile({percent / 100:g}, sum by ({by}) (rate({metric}_bucket{matchers}[5m])))"
        yield RecordingRule(f"{level}:{metric}:p{percent}_rate5m", expr)


def _queues() -> Iterator[RecordingRule]:
    yield from _percentiles("queue", "csq_reply_seconds", HUMAN, 50, 90, 99)
    yield from _percentiles("queue", "csq_first_response_seconds", HUMAN, 50, 90)
    yield RecordingRule("queue:csq_open_waits:sum", "sum by (job, queue) (csq_open_waits)")
    yield RecordingRule("queue:csq_oldest_open_wait_seconds:max", "max by (job, queue) (csq_oldest_open_wait_seconds)")
    yield RecordingRule(QUEUE_OPEN, "min by (job, queue) (csq_queue_open)")
    yield RecordingRule("queue:csq_conversations_open:sum", "sum by (job, queue) (csq_conversations_open)")
    yield RecordingRule("queue:csq_agents_on_shift:sum", f"sum by (job, queue) ({ON_SHIFT})")
    yield RecordingRule("segment:csq_customers_at_risk:sum", "sum by (job, segment) (csq_customers_at_risk)")


def _pipeline(declaration: Declaration) -> Iterator[RecordingRule]:
    lag, growth = "job:csq_source_lag_messages:sum", f"job:csq_source_lag_messages:deriv{LAG_WINDOW}"
    restarts = span(declaration.thresholds.restart_window_seconds)
    yield RecordingRule("job:csq_events:rate5m", "sum by (job) (rate(csq_events_total[5m]))")
    yield RecordingRule("job:csq_received:rate5m", received("rate({}[5m])"))
    yield RecordingRule("reason:csq_dead_letters:rate5m", "sum by (job, reason) (rate(csq_dead_letters_total[5m]))")
    yield from _percentiles("job", "csq_event_age_seconds", "", 50, 99)
    yield RecordingRule(lag, "sum by (job) (csq_source_lag_messages)")
    yield RecordingRule(growth, f"sum by (job) (deriv(csq_source_lag_messages[{LAG_WINDOW}]))")
    # What arrives is what is worked off and what the lag grows by; a day's lag is what arrives in a day.
    yield RecordingRule(
        f"job:csq_arrivals:rate{LAG_WINDOW}", f"{received(f'rate({{}}[{LAG_WINDOW}])')}\n+\n({growth} > 0)"
    )
    day = f"clamp_min({DAY} * job:csq_arrivals:rate{LAG_WINDOW} - {lag}, 0)\n/\n({growth} > 0)"
    yield RecordingRule("job:csq_source_lag_day:seconds", day)
    starts = f'process_start_time_seconds{{job="{declaration.job}"}}'
    yield RecordingRule(f"job:csq_restarts:changes{restarts}", f"max by (job) (changes({starts}[{restarts}]))")
    # A stage without a bound: it holds one record per model.
    each_stage, bounded = "sum by (job, instance, stage)", '{stage!="learn"}'
    yield RecordingRule(
        "instance:csq_snapshot_time:ratio_rate15m",
        "sum by (job, instance) (rate(csq_snapshot_duration_seconds_sum[15m]))",
    )
    yield RecordingRule(
        "stage:csq_state_filled:ratio",
        f"{each_stage} (csq_state_entries{bounded})\n/\n{each_stage} (csq_state_entries_limit{bounded} > 0)",
    )


def _models() -> Iterator[RecordingRule]:
    yield RecordingRule("model:csq_model_loss:max", "max by (job, model) (csq_model_loss)")
    yield RecordingRule("model:csq_model_accuracy:max", "max by (job, model) (csq_model_accuracy)")
