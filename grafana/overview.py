"""Overview: the service now, and the objectives of the month."""

from grafana_foundation_sdk.models import dashboard as model

from grafana import goals
from grafana.customers import MOOD_STEPS, good_ratings, polarity, satisfaction
from grafana.frame import JOB, Band, Section, frame
from grafana.panels import (
    COUNT,
    SECONDS,
    SHARE,
    Column,
    Field,
    Key,
    Lines,
    Link,
    Panel,
    PanelText,
    Query,
    falling,
    lines,
    number,
    rising,
    rows,
    to_dashboard,
)

RARE = "5m"
"""Least step where replies and endings are counted."""
ALERTS = 'ALERTS{alertname=~"Csq.*", alertstate="firing", severity!="none"}'
"""Firing alerts of csq, but for the watchdog that always fires."""
LOW_BUDGET = 0.25
"""Share of the budget from which a month is in danger."""


def dashboard() -> model.Dashboard:
    """The dashboard `csq-overview`."""
    sections = [
        Section(
            "Now",
            [
                Band(
                    4,
                    [
                        (4, _in_time_now()),
                        (4, _waiting()),
                        (4, _longest()),
                        (4, _mood()),
                        (4, _content()),
                        (4, _risk()),
                    ],
                )
            ],
        ),
        Section(
            "Promises of the month",
            [Band(11, [(15, _objectives()), (9, _alerts())]), Band(8, [(12, _budgets()), (12, _burns())])],
        ),
        Section(
            "By queue",
            [
                Band(8, [(8, _in_time()), (8, _mood_by_queue()), (8, _content_by_queue())]),
                Band(8, [(6, _ratings()), (6, _abandoned()), (6, _solved()), (6, _age())]),
            ],
        ),
    ]
    question = "Are customers served well now, and will the promises of the month be kept?"
    return frame(goals.uid("overview"), "csq / Overview", question, ("job",), sections)


def _queue() -> Link:
    return to_dashboard("This queue", goals.uid("queues"), "queue=${__field.labels.queue}")


def _queues() -> Link:
    return to_dashboard("Queues", goals.uid("queues"))


def _customers() -> Link:
    return to_dashboard("Customers and models", goals.uid("customers"))


def _share_in_time(window: str, by: str = "") -> str:
    met = f'sum{by} (increase(csq_reply_rounds_total{{{JOB}, responder="human", outcome="met"}}[{window}]))'
    return f'{met} / sum{by} (increase(csq_reply_rounds_total{{{JOB}, responder="human"}}[{window}]))'


def _ended(window: str, outcome: str, of: str) -> str:
    def count(outcomes: str) -> str:
        return f'sum by (queue) (increase(csq_conversations_total{{{JOB}, outcome=~"{outcomes}"}}[{window}]))'

    return f"{count(outcome)} / {count(of)}"


def _burn(window: str) -> str:
    """Worst burn rate of each objective: share of bad events over what may be bad."""
    budget = "(1 - slo:csq_objective:ratio)"
    burn = f"slo:csq_errors:ratio_rate{window}{{{JOB}}} / on (slo, class) group_left () {budget}"
    return f"max by (slo, class) ({burn})"


def _in_time_now() -> Panel:
    words = PanelText(
        "Share of rounds answered within their limit, of those answered or missed, over the time range shown.",
        "Green: above the objective of the strictest queue class; amber: above that of the least strict.",
        "Find the queue below, then look at its agents and arrivals.",
    )
    query = Query(_share_in_time("$__range"), instant=True)
    field = Field(SHARE, goals.promised("reply"), 1, links=[_queues()], empty="no rounds")
    return number("Replies in time", words, query, field)


def _waiting() -> Panel:
    words = PanelText(
        "Customers who wait for a reply now.",
        "As many as usual at this hour.",
        "Growing: open the queues; one of them receives more than it answers.",
    )
    query = Query(f"sum(csq_open_waits{{{JOB}}})")
    return number("Waiting now", words, query, Field(COUNT, decimals=0, links=[_queues()]))


def _longest() -> Panel:
    words = PanelText(
        "Age of the oldest open wait, in queues that are open.",
        "Below the limits of the queue classes, at which an alert fires.",
        "The queues dashboard shows whether it is one customer or a whole queue.",
    )
    closed = f"min by (job, queue) (csq_queue_open{{{JOB}}}) == 0"
    query = Query(f"max(csq_oldest_open_wait_seconds{{{JOB}}} unless on (job, queue) ({closed}))")
    field = Field(SECONDS, goals.oldest_wait(), links=[_queues()], empty="closed")
    return number("Longest wait", words, query, field)


def _mood() -> Panel:
    words = PanelText(
        "Share of positive minus share of negative customer messages over the time range shown: -1 to 1.",
        "Above 0. What matters is the change: compare it with yesterday.",
        "See mood by queue below; read negative conversations of the queue that fell.",
    )
    query = Query(polarity(JOB, "$__range"), instant=True)
    return number("Mood", words, query, Field("none", MOOD_STEPS, 2, links=[_customers()], empty="no messages"))


def _content() -> Panel:
    words = PanelText(
        "Mean satisfaction S of the conversations that ended in the time range shown, 0 to 5.",
        "Above 3.5.",
        "Look at replies in time first, because waits weigh most; then at mood and resolution.",
    )
    query = Query(satisfaction(JOB, "$__range"), instant=True)
    field = Field("none", rising(3.5, 2.5), 2, links=[_customers()], empty="no conversation ended")
    return number("Satisfaction", words, query, field)


def _risk() -> Panel:
    words = PanelText(
        f"Customers whose churn probability is {goals.at_risk_from():g} or more, now.",
        "As last week.",
        "The customers dashboard shows the segment; csq.churn.scored lists the customers with reasons.",
    )
    query = Query(f"sum(csq_customers_at_risk{{{JOB}}})")
    return number("Customers at risk", words, query, Field(COUNT, decimals=0, links=[_customers()]))


def _objectives() -> Panel:
    names = {name: slo.title for name, slo in goals.declared().slos.items()}
    one_hour = f"max by (slo, class) (slo:csq_errors:ratio_rate1h{{{JOB}}})"
    columns = [
        Column("Promised", "max by (slo, class) (slo:csq_objective:ratio)", SHARE, decimals=0),
        Column("Last hour", f"1 - {one_hour}", SHARE, decimals=1),
        Column(
            "Budget left",
            f"min by (slo, class) (slo:csq_budget:remaining_ratio30d{{{JOB}}})",
            SHARE,
            rising(LOW_BUDGET, 0.0),
            0,
        ),
        Column("Burn, 1 h", _burn("1h"), "none", goals.burn_rate(), 1),
        Column("Burn, 6 h", _burn("6h"), "none", goals.burn_rate(), 1),
        Column("Events, 1 h", f"sum by (slo, class) (slo:csq_events:increase1h{{{JOB}}})", COUNT, decimals=0),
    ]
    words = PanelText(
        "Each objective of config/slo.yaml, its worst queue or model: what is promised, what was kept in the last "
        "hour, the budget left of 30 days, how fast it burns (1: just used up in 30 days), and of how many events.",
        "Budget above a quarter, burn below 1.",
        "Burn above 1: an incident is in progress. Low budget and small burn: it has ended; record its cause.",
    )
    keys = {"slo": Key("Objective", names), "class": Key("Queue class")}
    return rows("Objectives", words, keys, columns, worst="Burn, 1 h")


def _alerts() -> Panel:
    words = PanelText(
        "Firing alerts of csq, pages first.",
        "Empty.",
        "Open the alert in Alertmanager or Grafana: it links to its runbook and to the dashboard at its time.",
    )
    keys = {"alertname": Key("Alert"), "severity": Key("Severity"), "queue": Key("Queue"), "team": Key("Team")}
    columns = [Column("Firing", f"count by (alertname, severity, queue, team) ({ALERTS})", COUNT, decimals=0)]
    return rows("Alerts firing", words, keys, columns, empty="no alert fires")


def _budgets() -> Panel:
    words = PanelText(
        "Share of the error budget of 30 days that is left, by objective and queue class, worst queue.",
        "It reaches zero after 30 days at the earliest; 1 is unused.",
        "A steep fall is an incident. A steady slope is a lack of capacity, which more agents correct.",
    )
    query = Query(f"min by (slo, class) (slo:csq_budget:remaining_ratio30d{{{JOB}}})", "{{slo}} {{class}}")
    return lines("Error budget left", words, [query], Field(SHARE, rising(LOW_BUDGET, 0.0), high=1), Lines(limit=True))


def _burns() -> Panel:
    words = PanelText(
        "Share of bad events in the last hour divided by the error budget. At 1 the budget lasts exactly 30 days.",
        "Below 1 (dashed). At the upper dashed line a page fires.",
        "See the objective's alert and runbook; replies and first responses lead to the queues.",
    )
    query = Query(_burn("1h"), "{{slo}} {{class}}")
    return lines("Burn rate, 1 h", words, [query], Field("none", goals.burn_rate(), 1, low=0), Lines(limit=True))


def _in_time() -> Panel:
    words = PanelText(
        "Share of rounds answered within their limit, of those answered or missed, by queue.",
        "Above the dashed lines, the objectives of the queue classes.",
        "Click on the queue that fell to see its waits, agents and forecast.",
    )
    query = Query(_share_in_time("$__rate_interval", " by (queue)"), "{{queue}}")
    field = Field(SHARE, goals.promised("reply"), high=1, links=[_queue()], every=RARE)
    return lines("Replies in time by queue", words, [query], field, Lines(limit=True))


def _mood_by_queue() -> Panel:
    words = PanelText(
        "Mood of customer messages by queue, -1 to 1.",
        "Above 0, all queues alike.",
        "One queue falls: look at its replies and waits. All fall: the cause is in the shop.",
    )
    query = Query(polarity(JOB, "$__rate_interval", " by (queue)"), "{{queue}}")
    return lines("Mood by queue", words, [query], Field("none", MOOD_STEPS, 2, links=[_queue()], every=RARE))


def _content_by_queue() -> Panel:
    words = PanelText(
        "Mean satisfaction S of the conversations that ended, by queue, 0 to 5.",
        "Above the upper dashed line.",
        "It falls before ratings do. Compare with replies in time: waits weigh most.",
    )
    query = Query(satisfaction(JOB, "$__rate_interval", " by (queue)"), "{{queue}}")
    field = Field("none", rising(3.5, 2.5), 2, 0, 5, links=[_queue()], every=RARE)
    return lines("Satisfaction by queue", words, [query], field, Lines(limit=True))


def _ratings() -> Panel:
    words = PanelText(
        "Share of CSAT answers of 4 or 5, by queue.",
        "Above the dashed line, the objective.",
        "Ratings follow waits by hours: look at the queue at that time.",
    )
    query = Query(good_ratings(JOB, "$__rate_interval", " by (queue)"), "{{queue}}")
    field = Field(SHARE, goals.promised("csat"), low=0, high=1, links=[_queue()], every="30m", empty="no ratings")
    return lines("Good ratings", words, [query], field, Lines(limit=True))


def _abandoned() -> Panel:
    words = PanelText(
        "Share of ended conversations that a waiting customer abandoned, by queue.",
        "Below the dashed line, the error budget of the objective.",
        "It follows waits immediately: shorten them, or show customers the expected wait.",
    )
    query = Query(_ended("$__rate_interval", "abandoned", "solved|partial|unsolved|abandoned"), "{{queue}}")
    field = Field(SHARE, goals.bad_share("abandonment"), low=0, links=[_queue()], every=RARE)
    return lines("Abandoned", words, [query], field, Lines(limit=True))


def _solved() -> Panel:
    words = PanelText(
        "Share of conversations ended by agents that were solved or partly solved, by queue.",
        "Above the dashed line, the objective.",
        "A fall in one queue: agents cannot answer a new question. Read its unsolved conversations.",
    )
    query = Query(_ended("$__rate_interval", "solved|partial", "solved|partial|unsolved"), "{{queue}}")
    field = Field(SHARE, goals.promised("resolution"), low=0, high=1, links=[_queue()], every=RARE)
    return lines("Ended solved", words, [query], field, Lines(limit=True))


def _age() -> Panel:
    limit = goals.within_seconds("freshness")
    words = PanelText(
        "99th percentile of the time from an event to its being counted. All figures on this page are that old.",
        f"Below {limit:g} s.",
        "Open the pipeline dashboard first: the figures on this page are late.",
    )
    buckets = f"sum by (le) (rate(csq_event_age_seconds_bucket{{{JOB}}}[$__rate_interval]))"
    link = to_dashboard("Pipeline", goals.uid("pipeline"))
    field = Field(SECONDS, falling(limit), low=0, links=[link])
    return lines(
        "Event age", words, [Query(f"histogram_quantile(0.99, {buckets})", "p99")], field, Lines(limit=True, log=True)
    )
