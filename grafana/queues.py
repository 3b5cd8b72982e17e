"""Queues: where customers wait, why, and the forecast."""

from grafana_foundation_sdk.models import dashboard as model

from grafana import goals
from grafana.frame import CHANNEL, QUEUE, Band, Section, frame
from grafana.panels import (
    AMBER,
    BLUE,
    COUNT,
    GREEN,
    GREY,
    RED,
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
    heat_map,
    lines,
    rising,
    rows,
    to_dashboard,
)

HUMAN = f'{CHANNEL}, responder="human"'
AHEAD = 900
"""Seconds: the horizon that the forecast is held against, far enough to call agents in."""
FULL = 0.85
"""Load from which waits grow fast (Erlang C); the occupancy that service centres plan for."""
RARE = "5m"
"""Least step where replies and endings are counted: a quiet queue has a few in that time."""


def dashboard() -> model.Dashboard:
    """The dashboard `csq-queues`."""
    sections = [
        Section("Now", [Band(7, [(24, _now())])]),
        Section("Waiting customers", [Band(8, [(8, _waiting()), (8, _longest()), (8, _backlog())])]),
        Section(
            "Replies",
            [
                Band(8, [(8, _reply()), (8, _in_time()), (8, _first_response())]),
                Band(8, [(12, _forecast()), (12, _spread())]),
            ],
        ),
        Section(
            "Work and agents",
            [
                Band(8, [(8, _agents()), (8, _load()), (8, _arrivals())]),
                Band(8, [(8, _ends()), (8, _first_contact()), (8, _handling())]),
            ],
        ),
    ]
    question = "Which queue lets customers wait, why, and will it get better?"
    return frame(goals.uid("queues"), "csq / Queues", question, ("job", "queue", "channel"), sections)


def _alone() -> Link:
    return to_dashboard("Show this queue alone", goals.uid("queues"), "queue=${__field.labels.queue}")


def _in_time_of(window: str) -> str:
    met = f'sum by (queue) (increase(csq_reply_rounds_total{{{CHANNEL}, responder="human", outcome="met"}}[{window}]))'
    return f'{met} / sum by (queue) (increase(csq_reply_rounds_total{{{CHANNEL}, responder="human"}}[{window}]))'


def _quantiles(metric: str, selector: str, *shares: float) -> list[Query]:
    buckets = f"sum by (le) (rate({metric}_bucket{{{selector}}}[$__rate_interval]))"
    return [Query(f"histogram_quantile({share}, {buckets})", f"p{share * 100:g}") for share in shares]


def _while_open(by_queue: str) -> str:
    """What is judged by its colour, without closed queues."""
    return f"{by_queue} unless on (queue) (min by (queue) (csq_queue_open{{{QUEUE}}}) == 0)"


def _now() -> Panel:
    forecast = f'csq_reply_forecast_seconds{{{QUEUE}, horizon="{AHEAD}", bound="median"}}'
    available = f'sum by (queue) (csq_agents{{{QUEUE}, state="available"}})'
    columns = [
        Column("Hours", f"min by (queue) (csq_queue_open{{{QUEUE}}})", COUNT, words={"0": "closed", "1": "open"}),
        Column("Waiting", f"sum by (queue) (csq_open_waits{{{QUEUE}}})", COUNT),
        Column(
            "Longest wait",
            _while_open(f"max by (queue) (csq_oldest_open_wait_seconds{{{QUEUE}}})"),
            SECONDS,
            goals.oldest_wait(),
        ),
        Column("In time", _while_open(_in_time_of("$__range")), SHARE, goals.promised("reply"), 1),
        Column(
            "Reply, smoothed",
            _while_open(f"max by (queue) (csq_reply_smoothed_seconds{{{CHANNEL}}})"),
            SECONDS,
            goals.reply_limit(),
        ),
        Column("Reply in 15 min", _while_open(f"max by (queue) ({forecast})"), SECONDS, goals.reply_limit()),
        Column("Unassigned", f"sum by (queue) (csq_conversations_unassigned{{{QUEUE}}})", COUNT),
        Column("Open", f"sum by (queue) (csq_conversations_open{{{QUEUE}}})", COUNT),
        Column("Agents free", _while_open(available), COUNT, rising(1)),
        Column("Load", _while_open(f"max by (queue) (csq_agent_load_ratio{{{QUEUE}}})"), SHARE, falling(1.0, FULL), 0),
        Column("Arrivals / h", f"sum by (queue) (csq_arrivals_per_hour{{{QUEUE}}})", COUNT, decimals=0),
    ]
    words = PanelText(
        "Each queue now; In time covers the time range shown. A queue that its calendar calls closed has no figures in "
        "colour. Click on a queue to show it alone.",
        "No red figure, and an available agent in each queue with waiting customers.",
        "Begin with the queue whose longest wait is red: look at agents on shift and unassigned conversations.",
    )
    links = [to_dashboard("Show this queue alone", goals.uid("queues"), "queue=${__value.text}")]
    return rows("Queues now", words, {"queue": Key("Queue")}, columns, links=links, worst="Longest wait")


def _waiting() -> Panel:
    words = PanelText(
        "Customers who wait for a reply, by queue.",
        "As many as usual at this hour; the number follows arrivals.",
        "A steady rise: compare arrivals and agents below, and move agents from a queue with few waits.",
    )
    query = Query(f"sum by (queue) (csq_open_waits{{{QUEUE}}})", "{{queue}}")
    return lines("Waiting by queue", words, [query], Field(COUNT, low=0, links=[_alone()]))


def _longest() -> Panel:
    words = PanelText(
        "Age of the oldest open wait by queue, over all channels. E-mails wait longer than chats.",
        "Below the dashed limits, at which an alert fires.",
        "A steady rise of one line is one customer without a reply: find the oldest unassigned conversation.",
    )
    query = Query(f"max by (queue) (csq_oldest_open_wait_seconds{{{QUEUE}}})", "{{queue}}")
    field = Field(SECONDS, goals.oldest_wait(), low=0, links=[_alone()])
    return lines("Longest wait by queue", words, [query], field, Lines(limit=True))


def _backlog() -> Panel:
    words = PanelText(
        "Open conversations, those without an agent, and customers who wait for a reply.",
        "Unassigned near zero, and open constant over days.",
        "Unassigned grows: assignment fails, or no agent is on shift. Open grows: conversations are not closed.",
    )
    queries = [
        Query(f"sum(csq_conversations_open{{{QUEUE}}})", "open"),
        Query(f"sum(csq_conversations_unassigned{{{QUEUE}}})", "unassigned"),
        Query(f"sum(csq_open_waits{{{QUEUE}}})", "waiting for us"),
    ]
    return lines("Backlog", words, queries, Field(COUNT, low=0))


def _reply() -> Panel:
    words = PanelText(
        "Time from the first unanswered message of a round to the reply of an agent: median, 90th and 99th "
        "percentile. Only given replies count.",
        "p90 below the dashed limit of a round.",
        "p99 alone rises: a few conversations without replies. All rise: too few agents; look at load and arrivals.",
    )
    queries = _quantiles("csq_reply_seconds", HUMAN, 0.5, 0.9, 0.99)
    field = Field(SECONDS, goals.reply_limit(), low=0, every=RARE)
    return lines("Reply time", words, queries, field, Lines(limit=True))


def _in_time() -> Panel:
    words = PanelText(
        "Share of rounds answered within their limit. A round is missed at the moment its limit passes.",
        "Above the dashed lines: the objectives of the queue classes.",
        "A fall in one queue: its agents. In all queues at once: the chat tool, or csq does not receive the replies.",
    )
    field = Field(SHARE, goals.promised("reply"), high=1, links=[_alone()], every=RARE)
    query = Query(_in_time_of("$__rate_interval"), "{{queue}}")
    return lines("Replies in time by queue", words, [query], field, Lines(limit=True))


def _first_response() -> Panel:
    words = PanelText(
        "Time to the first reply of a person in a conversation, since the first message, the hand-off by the bot or "
        "the reopening.",
        "p90 below the dashed limit of the objective.",
        "Slower than replies: conversations wait for assignment. As slow as replies: too few agents.",
    )
    field = Field(SECONDS, goals.reply_limit(), low=0, every=RARE)
    queries = _quantiles("csq_first_response_seconds", HUMAN, 0.5, 0.9)
    return lines("First response", words, queries, field, Lines(limit=True))


def _forecast() -> Panel:
    def said(bound: str) -> str:
        series = f'csq_reply_forecast_seconds{{{QUEUE}, horizon="{AHEAD}", bound="{bound}"}}'
        return f"avg(max by (queue) ({series} offset {AHEAD // 60}m))"

    def mean(part: str) -> str:
        return f'sum by (queue) (rate(csq_reply_seconds_{part}{{{QUEUE}, responder="human"}}[$__rate_interval]))'

    words = PanelText(
        "What was forecast 15 minutes earlier, with its interval, against the reply time that came (a mean). "
        "Choose one queue: with several the mean over the queues is shown.",
        "Four of five observed values lie in the band.",
        "Often above the band: something new slows replies down; do not plan by the forecast now.",
    )
    queries = [
        Query(said("lower"), "lower"),
        Query(said("upper"), "upper"),
        Query(said("median"), "forecast"),
        Query(f"avg({mean('sum')} / {mean('count')})", "came"),
    ]
    colors = {"lower": BLUE, "upper": BLUE, "forecast": BLUE, "came": AMBER}
    style = Lines(band=("lower", "upper"), dashed=["forecast"], colors=colors)
    field = Field(SECONDS, goals.reply_limit(), low=0, every=RARE, empty="the first forecast is not 15 minutes old")
    return lines("Forecast and reply time", words, queries, field, style)


def _spread() -> Panel:
    words = PanelText(
        "Number of replies by time (columns) and reply time (rows); darker is more.",
        "One dark band below the limit.",
        "A second band above it is a group of conversations with slower replies: find its channel or queue.",
    )
    expr = f"sum by (le) (increase(csq_reply_seconds_bucket{{{HUMAN}}}[$__rate_interval]))"
    return heat_map("Spread of reply times", words, expr, Field(SECONDS, every=RARE))


def _agents() -> Panel:
    words = PanelText(
        "Agents by state, and the number scheduled after shrinkage (dashed; if plans are sent).",
        "Available and busy together near the scheduled number.",
        "Away or offline at a busy hour: ask the shift lead. No data: csq.agent.state_changed is not sent.",
    )
    queries = [
        Query(f"sum by (state) (csq_agents{{{QUEUE}}})", "{{state}}"),
        Query(f"sum(csq_staffing_scheduled_agents{{{QUEUE}}})", "planned"),
    ]
    colors = {"available": GREEN, "busy": AMBER, "away": BLUE, "offline": GREY, "planned": RED}
    return lines("Agents", words, queries, Field(COUNT, low=0), Lines(dashed=["planned"], colors=colors))


def _load() -> Panel:
    words = PanelText(
        "Chats of the agents on shift, as a share of their chat places, by queue.",
        f"Below {FULL:.0%}; near 100 % each further chat waits.",
        "Near 100 % for long: waits grow. Add agents, or accept fewer chats at a time.",
    )
    query = Query(f"max by (queue) (csq_agent_load_ratio{{{QUEUE}}})", "{{queue}}")
    field = Field(SHARE, falling(1.0, FULL), low=0, links=[_alone()])
    return lines("Load of agents by queue", words, [query], field, Lines(limit=True))


def _arrivals() -> Panel:
    words = PanelText(
        "Conversations that arrive per hour, by queue.",
        "As usual at this hour.",
        "A sudden step has an external cause: a campaign, a failed delivery, an outage of the shop. Find it first.",
    )
    query = Query(f"sum by (queue) (csq_arrivals_per_hour{{{QUEUE}}})", "{{queue}}")
    return lines("Arrivals per hour", words, [query], Field(COUNT, low=0, links=[_alone()]))


def _ends() -> Panel:
    words = PanelText(
        "Conversations ended per hour by outcome, and conversations reopened.",
        "Mostly solved. Abandoned: the customer left while waiting.",
        "More abandoned: shorten the waits. More reopened: conversations are closed before they are solved.",
    )
    ended = f"sum by (outcome) (rate(csq_conversations_total{{{CHANNEL}}}[$__rate_interval]))"
    colors = {"solved": GREEN, "partial": BLUE, "unsolved": AMBER, "abandoned": RED, "reopened": GREY}
    query = Query(f"{ended} * 3600", "{{outcome}}")
    return lines(
        "Conversations ended per hour",
        words,
        [query],
        Field(COUNT, low=0, every=RARE),
        Lines(stacked=True, colors=colors),
    )


def _first_contact() -> Panel:
    def of(window: str, more: str = "") -> str:
        return f"sum by (queue) (increase(csq_first_contact_resolutions_total{{{QUEUE}{more}}}[{window}]))"

    words = PanelText(
        "Conversations solved for good at first contact, of all whose window (7 days) is over: not reopened, and no "
        "other conversation of the customer. So this looks back by the window.",
        "Stable or rising; 70 to 75 % is usual in shops.",
        "A fall in one queue: read what customers ask again, and correct that answer or process.",
    )
    solved = of("$__rate_interval", ', outcome="resolved"')
    field = Field(SHARE, low=0, high=1, links=[_alone()], every=RARE, empty="no window is over yet")
    query = Query(f"{solved} / {of('$__rate_interval')}", "{{queue}}")
    return lines("First-contact resolution", words, [query], field)


def _handling() -> Panel:
    words = PanelText(
        "Handle time of agents, and time from opening to resolution.",
        "Handle time constant; resolution time not much longer.",
        "Handle time grows: harder questions or slower tools. Resolution alone grows: waits between shifts.",
    )

    def median(metric: str) -> str:
        return f"histogram_quantile(0.5, sum by (le) (rate({metric}_bucket{{{CHANNEL}}}[$__rate_interval])))"

    queries = [
        Query(median("csq_handle_seconds"), "handling, median"),
        Query(median("csq_resolution_seconds"), "first resolution, median"),
        Query(median("csq_last_resolution_seconds"), "last resolution, median"),
    ]
    return lines("Handling and resolution", words, queries, Field(SECONDS, low=0, every=RARE))
