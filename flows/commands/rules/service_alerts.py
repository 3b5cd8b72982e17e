"""Service alerts: long waits, queues without agents, calendars, forgotten conversations, more customers at risk."""

from collections.abc import Iterator

from flows.commands.rules.declaration import Declaration
from flows.commands.rules.level_records import ON_SHIFT
from flows.commands.rules.rule import QUEUE_OPEN, AlertRule, RuleGroup, percent, words
from flows.commands.rules.selection import selector

SECONDS = 15
CALENDAR_SECONDS = 300
"""How often calendars are looked at: their alerts hold for an hour and look back a week."""
PRESENT_SECONDS = 172_800
"""Older events are a history that is being read."""
CLOSED_MARGIN = 1.1
"""How many times as many rounds must begin in closed hours as if customers wrote at any hour alike."""
CLOSED = "unless on (job, queue)\n(min by (job, queue) (csq_queue_open) == 0)"
"""On the raw series: recorded ones are up to half a minute old."""


def groups(declaration: Declaration) -> list[RuleGroup]:
    """Alerts on waiting customers, which are evaluated often, and those on calendars and forgotten conversations."""
    return [
        RuleGroup("csq-service-alerts", SECONDS, [*_waits(declaration), *_agents(declaration), _at_risk(declaration)]),
        RuleGroup("csq-calendar-alerts", CALENDAR_SECONDS, [*_calendars(declaration), _forgotten()]),
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
            of_closed=False,
            labels={"class": name},
        )


def _agents(declaration: Declaration) -> Iterator[AlertRule]:
    limits = declaration.thresholds
    # On the raw series: recorded ones are up to half a minute old, and this alert must notify within a minute.
    # Agents of queues that have closed since do not count: they went home.
    usual = f"max_over_time(queue:csq_agents_on_shift:sum[1h])\n{CLOSED}"
    yield AlertRule(
        name="CsqNobodyThere",
        expr=(
            f"sum by (job) (\ncsq_open_waits\n{CLOSED}\n) > 0\nand\nsum by (job) (\n{ON_SHIFT}\n{CLOSED}\n) == 0\n"
            f"and\nsum by (job) (\n{usual}\n) >= {limits.nobody_agents}"
        ),
        for_seconds=limits.nobody_seconds,
        severity="page",
        team="service",
        summary="Customers wait and no agent of any queue is on shift",
        description=(
            f"{{{{ $value }}}} customers wait in queues that are open. No agent of these queues is available or busy; "
            f"within the last hour there were {limits.nobody_agents} or more. The alerts on waits and single queues "
            "are inhibited until this one resolves."
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
        of_closed=False,
    )


def _calendars(declaration: Declaration) -> Iterator[AlertRule]:
    limits = declaration.thresholds
    began, replies = "csq_closed_waits_total", "csq_closed_replies_total"
    # If customers write at any hour alike, or in a week of holidays, a right calendar has many rounds in closed hours.
    chance = f"{CLOSED_MARGIN:g} * (1 - avg_over_time({QUEUE_OPEN}[7d]))"
    yield AlertRule(
        name="CsqCalendarWrong",
        expr=(
            f"sum by (job, queue) (increase({replies}[30m])) >= {limits.closed_replies}\nor\n(\n"
            f"sum by (job, queue) (increase({began}[1d])) >= {limits.closed_waits}\n"
            f"and\n{_closed_share()} > clamp_min({chance}, {limits.closed_waits_share:g})\n)"
        ),
        for_seconds=limits.closed_for_seconds,
        severity="ticket",
        team="service",
        summary="The calendar of queue {{ $labels.queue }} calls it closed in hours in which it works",
        description=(
            'Queue {{ $labels.queue }}: {{ $value | printf "%.0f" }} replies of agents in 30 minutes, or rounds that '
            "customers began in a day, in hours that the calendar calls closed. The alert fires after "
            f"{words(limits.closed_for_seconds)} from {limits.closed_replies} replies, and from {limits.closed_waits} "
            f"rounds if more than {percent(limits.closed_waits_share)} of a week's rounds begin in closed hours, and "
            "more than if customers wrote at any hour alike. No alert about waiting customers fires in these hours."
        ),
        board="queues",
        hours=48,
        by_queue=True,
    )
    ahead = limits.holidays_ahead_seconds
    yield AlertRule(
        name="CsqCalendarRunsOut",
        expr=f"min by (job, calendar) (csq_calendar_last_holiday_timestamp_seconds) - time() < {ahead:.0f}",
        for_seconds=3600,
        severity="ticket",
        team="service",
        summary="Calendar {{ $labels.calendar }} soon knows no more holidays",
        description=(
            "The last holiday of calendar {{ $labels.calendar }} is over in {{ $value | humanizeDuration }} (the alert "
            f"fires below {words(ahead)}). On holidays that it does not know its queues count as open."
        ),
        board="queues",
        hours=48,
    )


def _forgotten() -> AlertRule:
    # Of the present: while csq reads a history, conversations of long ago end one after the other.
    newest = "max by (job) (csq_newest_event_timestamp_seconds)"
    present = f"max_over_time((time() - {newest})[1d:5m]) < {PRESENT_SECONDS}"
    return AlertRule(
        name="CsqConversationsForgotten",
        expr=(
            'sum by (job, queue) (increase(csq_conversations_total{outcome="forgotten"}[1d])) > 0\n'
            f"and on (job)\n{present}"
        ),
        for_seconds=0,
        severity="ticket",
        team="service",
        summary="Customers of queue {{ $labels.queue }} wait in conversations that were forgotten",
        description=(
            'Queue {{ $labels.queue }}: {{ $value | printf "%.0f" }} conversations ended as forgotten within a day. '
            "Their customers wait, and for days nothing has happened. csq does not count them as open any more."
        ),
        board="queues",
        hours=48,
        by_queue=True,
    )


def _closed_share() -> str:
    """The share of a week's rounds that began in closed hours.

    No series counts all rounds at their begin. So these are the rounds that were answered or missed, that ended because
    the customer left, and that are open. A round that was missed before counts twice, which lowers the share.
    """
    left = 'csq_conversations_total{outcome="abandoned"}'
    parts = ("increase(csq_reply_rounds_total[7d])", f"increase({left}[7d])", "csq_open_waits")
    every = "\n+\n".join(f"sum by (job, queue) ({part})" for part in parts)
    return f"(\nsum by (job, queue) (increase(csq_closed_waits_total[7d]))\n/\n(\n{every}\n)\n)"


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
