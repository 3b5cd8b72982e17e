"""Service alerts: long waits, queues without agents, more customers at risk."""

from collections.abc import Iterator

from flows.commands.rules.declaration import Declaration
from flows.commands.rules.level_records import ON_SHIFT
from flows.commands.rules.rule import AlertRule, RuleGroup, words
from flows.commands.rules.selection import selector

SECONDS = 15


def groups(declaration: Declaration) -> list[RuleGroup]:
    """One group."""
    return [
        RuleGroup("csq-service-alerts", SECONDS, [*_waits(declaration), *_agents(declaration), _at_risk(declaration)])
    ]


def _waits(declaration: Declaration) -> Iterator[AlertRule]:
    for name, queue_class in declaration.classes.items():
        limit, queues = queue_class.oldest_wait_seconds, selector({"queue": declaration.queues_of(name)})
        yield AlertRule(
            name="CsqOldestOpenWait",
            expr=f"queue:csq_oldest_open_wait_seconds:max{queues} > {limit:g}",
            for_seconds=60,
            severity=queue_class.severity,
            team="service",
            summary="A customer in queue {{ $labels.queue }} has waited too long",
            description=(
                "Queue {{ $labels.queue }}: the oldest open wait is {{ $value | humanizeDuration }}; the limit of "
                f"class {name} is {words(limit)}."
            ),
            board="queues",
            hours=6,
            by_queue=True,
            labels={"class": name},
        )


def _agents(declaration: Declaration) -> Iterator[AlertRule]:
    limits = declaration.thresholds
    # On the raw series: recorded ones are up to half a minute old, and this alert must notify within a minute.
    yield AlertRule(
        name="CsqNobodyThere",
        expr=(
            f"sum by (job) (csq_open_waits) > 0\nand\nsum by (job) ({ON_SHIFT}) == 0\n"
            f"and\nsum by (job) (max_over_time(queue:csq_agents_on_shift:sum[1h])) >= {limits.nobody_agents}"
        ),
        for_seconds=limits.nobody_seconds,
        severity="page",
        team="service",
        summary="Customers wait and no agent of any queue is on shift",
        description=(
            f"{{{{ $value }}}} customers wait. No agent of any queue is available or busy; within the last hour "
            f"there were {limits.nobody_agents} or more. The alerts on waits and single queues are inhibited until "
            "this one resolves."
        ),
        board="queues",
        hours=3,
    )
    seconds = limits.without_agents_seconds
    yield AlertRule(
        name="CsqQueueWithoutAgents",
        expr=(
            "queue:csq_open_waits:sum > 0\nand\nqueue:csq_agents_on_shift:sum == 0\n"
            "and\nmax_over_time(queue:csq_agents_on_shift:sum[7d]) > 0"
        ),
        for_seconds=seconds,
        severity="page",
        team="service",
        summary="Customers wait in queue {{ $labels.queue }} and no agent is on shift",
        description=(
            "Queue {{ $labels.queue }}: {{ $value }} customers have waited, and for "
            f"{words(seconds)} no agent has been available or busy. In the week before there were some."
        ),
        board="queues",
        hours=6,
        by_queue=True,
    )


def _at_risk(declaration: Declaration) -> AlertRule:
    limits = declaration.thresholds
    at_risk = "segment:csq_customers_at_risk:sum"
    return AlertRule(
        name="CsqCustomersAtRisk",
        expr=(
            f"{at_risk} / avg_over_time({at_risk}[7d] offset 1d) > {limits.at_risk_factor:g}\n"
            f"and\n{at_risk} >= {limits.at_risk_customers}"
        ),
        for_seconds=3600,
        severity="ticket",
        team="service",
        summary="More customers than usual are at risk of leaving, segment {{ $labels.segment }}",
        description=(
            "Segment {{ $labels.segment }}: {{ $value | humanize }} times as many customers are at risk as on average "
            f"in the week before, and at least {limits.at_risk_customers}."
        ),
        board="customers",
        hours=48,
    )
