"""Model alerts: rising loss, missing labels, a rollback, or versions that differ between processes."""

from collections.abc import Iterator
from functools import partial

from flows.commands.rules.declaration import Declaration
from flows.commands.rules.rule import AlertRule, RuleGroup, percent, words

SECONDS = 60
RECENT_DAYS, USUAL_DAYS = 3, 7
"""Labels of so many days against the usual number of a day: longer than a weekend."""

_ticket = partial(AlertRule, severity="ticket", team="data", board="customers")


def groups(declaration: Declaration) -> list[RuleGroup]:
    """One group."""
    return [RuleGroup("csq-model-alerts", SECONDS, list(_alerts(declaration)))]


def _alerts(declaration: Declaration) -> Iterator[AlertRule]:
    limits = declaration.thresholds
    loss = "model:csq_model_loss:max"
    yield _ticket(
        name="CsqModelLossRising",
        expr=(
            f"avg_over_time({loss}[6h]) / avg_over_time({loss}[7d] offset 6h) > {limits.loss_factor:g}\n"
            f"and\nsum by (job, model) (increase(csq_model_examples_total[6h])) >= {limits.loss_examples}"
        ),
        for_seconds=1800,
        summary="The loss of model {{ $labels.model }} is rising",
        description=(
            "The loss of {{ $labels.model }} over 6 hours is {{ $value | humanize }} times that of the week before "
            f"(the alert fires from {limits.loss_factor:g} times, and {limits.loss_examples} labels). The language of "
            "customers has changed, or the labels are wrong."
        ),
        hours=48,
    )
    examples = "csq_model_examples_total"
    yield _ticket(
        name="CsqLabelsMissing",
        expr=(
            f"(\nsum by (job, model) (increase({examples}[{RECENT_DAYS}d])) / {RECENT_DAYS}\n/\n"
            f"(sum by (job, model) (increase({examples}[{USUAL_DAYS}d] offset {RECENT_DAYS}d)) / {USUAL_DAYS}"
            f" >= {limits.labels_per_day})\n< {limits.labels_left_share:g}\n)\n"
            f"and on (job)\nsum by (job) (increase(csq_turns_total[{RECENT_DAYS}d])) > 0"
        ),
        for_seconds=3600,
        summary="Model {{ $labels.model }} receives few labels",
        description=(
            f"In {RECENT_DAYS} days {{{{ $labels.model }}}} had {{{{ $value | humanizePercentage }}}} of its usual "
            f"labels (the alert fires below {percent(limits.labels_left_share)}), while messages arrived as usual. It "
            "no longer learns, and its accuracy is that of older scores."
        ),
        hours=240,
    )
    yield _ticket(
        name="CsqModelRolledBack",
        expr="sum by (job, model) (increase(csq_model_rollbacks_total[1h])) > 0",
        summary="Model {{ $labels.model }} was rolled back",
        description=(
            'In the last hour {{ $labels.model }} was rolled back {{ $value | printf "%.0f" }} times, because examples '
            "had led to weights that were not finite. What it learned from them is lost."
        ),
        hours=6,
    )
    updated = "csq_model_updated_timestamp_seconds"
    yield _ticket(
        name="CsqModelBehind",
        expr=(f"max by (job, model) ({updated}) - min by (job, model) ({updated}) > {limits.model_behind_seconds:g}"),
        for_seconds=300,
        summary="A process scores with an old version of model {{ $labels.model }}",
        description=(
            "One process has a version of {{ $labels.model }} that is {{ $value | humanizeDuration }} older than that "
            f"of another (the alert fires from {words(limits.model_behind_seconds)}). The score of a message depends "
            "on the process that receives it."
        ),
        hours=6,
    )
