"""Pipeline: whether csq keeps up with its events, and whether its figures are complete."""

from grafana_foundation_sdk.models import dashboard as model

from grafana import goals
from grafana.frame import PROCESS, Band, Section, frame
from grafana.panels import (
    COUNT,
    RATE,
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

RECEIVED = ("csq_events_total", "csq_duplicates_total", "csq_dead_letters_total")
"""Records received: accepted, duplicates, refused."""
BOUNDED = f'{PROCESS}, stage!="learn"'
"""Stages with a bound; learn holds a fixed number of models."""


def dashboard() -> model.Dashboard:
    """The dashboard `csq-pipeline`."""
    sections = [
        Section(
            "Now",
            [
                Band(
                    4,
                    [(4, _connected()), (4, _fresh()), (4, _lag_now()), (4, _refused()), (4, _filled()), (4, _idle())],
                )
            ],
        ),
        Section("Flow", [Band(8, [(8, _rate()), (8, _age()), (8, _lag())])]),
        Section("Refused and dropped", [Band(8, [(8, _dead()), (8, _repeats()), (8, _defects())])]),
        Section("State", [Band(8, [(8, _state()), (8, _bytes()), (8, _snapshots())])]),
        Section("Each process", [Band(8, [(6, _processor()), (6, _memory()), (12, _processes())])]),
    ]
    question = "Does csq keep up with its events, and is what it says complete?"
    return frame(goals.uid("pipeline"), "csq / Pipeline", question, ("job", "instance"), sections)


def _alone() -> Link:
    return to_dashboard("Show this process alone", goals.uid("pipeline"), "instance=${__field.labels.instance}")


def _received(window: str) -> str:
    return " + ".join(f"sum(increase({name}{{{PROCESS}}}[{window}]))" for name in RECEIVED)


def _quantile(share: float, metric: str, by: str = "le") -> str:
    return f"histogram_quantile({share}, sum by ({by}) (rate({metric}_bucket{{{PROCESS}}}[$__rate_interval])))"


def _connected() -> Panel:
    words = PanelText(
        "Share of the scraped processes that are connected to the brokers.",
        "100 %.",
        "Below: /readyz of the process gives the reason. Check the brokers, then credentials and certificates.",
    )
    query = Query(f"avg(csq_source_connected{{{PROCESS}}})")
    return number("Processes connected", words, query, Field(SHARE, rising(1), 0, empty="no process was scraped"))


def _fresh() -> Panel:
    limit = goals.within_seconds("freshness")
    words = PanelText(
        "99th percentile of the time from an event to its being counted. Every other figure is that old.",
        f"Below {limit:g} s, the bound of the objective.",
        "With lag: csq does not keep up, see Flow. Without lag: events arrive late from the producer.",
    )
    return number(
        "Event age p99", words, Query(_quantile(0.99, "csq_event_age_seconds")), Field(SECONDS, falling(limit))
    )


def _lag_now() -> Panel:
    words = PanelText(
        "Messages in the topics that have not been read.",
        "Near zero; after a restart it falls.",
        "Growing: find what slows the processes down, or add some. Constant and large: one partition is stuck.",
    )
    query = Query(f"sum(max by (job, source, partition) (csq_source_lag_messages{{{PROCESS}}}))")
    return number("Lag", words, query, Field(COUNT, decimals=0))


def _refused() -> Panel:
    words = PanelText(
        "Share of records that were refused, over the time range shown.",
        "Near zero, below the budget of the objective.",
        "Each reason below has a runbook. Correct the producer, then run `csq deadletters redrive`.",
    )
    query = Query(
        f"sum(increase(csq_dead_letters_total{{{PROCESS}}}[$__range])) / ({_received('$__range')})", instant=True
    )
    return number("Dead letters", words, query, Field(SHARE, goals.bad_share("dead-letters"), 2))


def _filled() -> Panel:
    share = goals.declared().thresholds.state_filled_share
    words = PanelText(
        "Records of the fullest stage, as a share of its limit.",
        f"Below {share:.0%}, at which an alert fires.",
        "Raise the limit of that stage and add memory, or shorten its retention.",
    )
    query = Query(f"max(csq_state_entries{{{BOUNDED}}} / csq_state_entries_limit{{{BOUNDED}}})")
    return number("Fullest stage", words, query, Field(SHARE, falling(share), 1))


def _idle() -> Panel:
    stalled = goals.declared().thresholds.stalled_seconds
    words = PanelText(
        "Age of the newest counted event. Below zero: the clock of a producer is ahead.",
        "Some seconds, while the shop is open.",
        "Growing: no events arrive, or none are counted. Without lag the producer sends nothing.",
    )
    query = Query(f"time() - max(csq_newest_event_timestamp_seconds{{{PROCESS}}})")
    ahead = -goals.declared().thresholds.clock_ahead_seconds
    steps = ((None, "red"), (ahead, "green"), (stalled, "red"))
    return number("Newest event", words, query, Field(SECONDS, steps, 0))


def _rate() -> Panel:
    words = PanelText(
        "Accepted events per second, by type.",
        "As usual at this hour, with all types.",
        "One type is missing: its producer. All fall, lag grows: csq is too slow. All fall, no lag: the producers.",
    )
    accepted = f"sum by (type) (rate(csq_events_total{{{PROCESS}}}[$__rate_interval]))"
    style = Lines(stacked=True)
    return lines("Events by type", words, [Query(f"{accepted} > 0", "{{type}}")], Field(RATE, low=0), style)


def _age() -> Panel:
    words = PanelText(
        "Time from an event to its being counted: median and 99th percentile, on a logarithmic axis.",
        "p99 below the dashed limit of the objective; well below a second if producers send at once.",
        "A jump at a restart is the backlog. p99 alone rises: one partition or one producer is late.",
    )
    queries = [Query(_quantile(share, "csq_event_age_seconds"), f"p{share * 100:g}") for share in (0.5, 0.99)]
    field = Field(SECONDS, falling(goals.within_seconds("freshness")))
    return lines("Event age", words, queries, field, Lines(limit=True, log=True))


def _lag() -> Panel:
    words = PanelText(
        "Unread messages by topic, partitions that no process reads, seconds by which event time waits for either.",
        "Near zero, with peaks that fall again; no partition unread, time held for seconds at most.",
        "Unread partitions were added after the start: restart csq. Lag grows: see CPU by process below. Time held: a "
        "producer leaves a transaction open.",
    )
    lag = f"sum by (source) (max by (job, source, partition) (csq_source_lag_messages{{{PROCESS}}}))"
    unread = f"max by (source) (csq_source_partitions_unread{{{PROCESS}}})"
    held = f"max by (reason) (csq_time_held_seconds{{{PROCESS}}}) > 0"
    queries = [
        Query(lag, "{{source}}"),
        Query(unread, "{{source}}: partitions unread"),
        Query(held, "seconds held: {{reason}}"),
    ]
    return lines("Lag by topic", words, queries, Field(COUNT, low=0))


def _dead() -> Panel:
    words = PanelText(
        "Refused records per second, by reason.",
        "None, or a small constant rate from a known producer.",
        "Each reason has a runbook. Each dead letter has topic, partition, offset and field.",
    )
    refused = f"sum by (reason) (rate(csq_dead_letters_total{{{PROCESS}}}[$__rate_interval]))"
    field = Field(RATE, low=0, empty="nothing was refused")
    return lines("Dead letters by reason", words, [Query(f"{refused} > 0", "{{reason}}")], field, Lines(stacked=True))


def _repeats() -> Panel:
    words = PanelText(
        "Share of events that were dropped as duplicates, and share that arrived too late to be sorted.",
        f"Duplicates near 1 %, below {goals.declared().thresholds.duplicate_share:.0%}; late near 0.",
        "Duplicates: a producer retries without end. Late: raise order.out_of_order_seconds.",
    )

    def share(name: str) -> str:
        return f"sum(increase({name}{{{PROCESS}}}[$__rate_interval])) / ({_received('$__rate_interval')})"

    queries = [
        Query(share("csq_duplicates_total"), "duplicates"),
        Query(share("csq_late_events_total"), "late"),
    ]
    field = Field(SHARE, falling(goals.declared().thresholds.duplicate_share), low=0)
    return lines("Duplicates and late events", words, queries, field, Lines(limit=True))


def _defects() -> Panel:
    words = PanelText(
        "Defects and losses per second: a stage that failed on an event, records evicted from a full "
        "lane, refused examples and measurements.",
        "All zero.",
        "Failures and refusals are defects of csq; the log has the first of each. Evicted records: raise the limits.",
    )
    names = {
        "failures of stages": "csq_stage_failures_total",
        "dropped records": "csq_state_evicted_total",
        "refused features": "csq_refused_features_total",
        "refused measurements": "csq_refused_measurements_total",
    }
    queries = [Query(f"sum(rate({name}{{{PROCESS}}}[$__rate_interval]))", says) for says, name in names.items()]
    return lines("Defects", words, queries, Field(RATE, low=0))


def _state() -> Panel:
    words = PanelText(
        "Records of each stage, as a share of its limit.",
        "Constant, below the dashed limit. Conversations and customers grow until as many expire as begin.",
        "Near 1 the oldest are evicted: raise the limit of the stage, or shorten its retention.",
    )
    entries, most = (
        f"sum by (stage) ({name}{{{BOUNDED}}})" for name in ("csq_state_entries", "csq_state_entries_limit")
    )
    field = Field(SHARE, falling(goals.declared().thresholds.state_filled_share), low=0)
    return lines("State by stage", words, [Query(f"{entries} / {most}", "{{stage}}")], field, Lines(limit=True))


def _bytes() -> Panel:
    words = PanelText(
        "Size of the last snapshots of each stage.",
        "Constant once as many records expire as begin.",
        "It grows without end: look at the records of that stage. Larger snapshots and restarts take longer.",
    )
    query = Query(f"sum by (stage) (csq_state_bytes{{{PROCESS}}})", "{{stage}}")
    field = Field("bytes", low=0, empty="no snapshot yet; none is taken without state.directory")
    return lines("Snapshot size by stage", words, [query], field, Lines(stacked=True))


def _snapshots() -> Panel:
    words = PanelText(
        "Share of the time spent on snapshots, by stage. Events wait meanwhile.",
        f"Below {goals.declared().thresholds.snapshot_time_share:.0%} in total.",
        "Raise state.snapshot_seconds (a restart then repeats more events), or limit the slowest stage.",
    )
    spent = f"sum by (stage) (rate(csq_snapshot_duration_seconds_sum{{{PROCESS}}}[$__rate_interval]))"
    query = Query(f"{spent} / scalar(count(csq_build_info{{{PROCESS}}}))", "{{stage}}")
    field = Field(SHARE, falling(goals.declared().thresholds.snapshot_time_share), low=0)
    return lines("Time in snapshots", words, [query], field, Lines(stacked=True, limit=True))


def _processor() -> Panel:
    words = PanelText(
        "CPU by process, in cores. A process has one worker, so it uses one core at most.",
        "Below 0.8 at the busiest hour.",
        "At 1 with growing lag: add processes. At 1 with falling lag: csq processes a backlog.",
    )
    query = Query(f"rate(process_cpu_seconds_total{{{PROCESS}}}[$__rate_interval])", "{{instance}}")
    return lines("CPU by process", words, [query], Field("none", falling(1.0, 0.8), 2, low=0, links=[_alone()]))


def _memory() -> Panel:
    words = PanelText(
        "Resident memory of each process.",
        "Constant after the first day, except at deployments.",
        "It grows with the state: limit the state. It grows alone: a leak, report it.",
    )
    query = Query(f"process_resident_memory_bytes{{{PROCESS}}}", "{{instance}}")
    return lines("Memory by process", words, [query], Field("bytes", low=0, links=[_alone()]))


def _processes() -> Panel:
    started = f"process_start_time_seconds{{{PROCESS}}}"
    columns = [
        Column("Up for", f"time() - max by (instance) ({started})", SECONDS),
        Column("Restarts", f"sum by (instance) (changes({started}[$__range]))", COUNT),
        Column("Connected", f"max by (instance) (csq_source_connected{{{PROCESS}}})", COUNT, rising(1)),
        Column("Silent peers", f"max by (instance) (csq_peers_silent{{{PROCESS}}})", COUNT, falling(1)),
        Column("Lag", f"sum by (instance) (csq_source_lag_messages{{{PROCESS}}})", COUNT),
        Column("", f"max by (instance, version) (csq_build_info{{{PROCESS}}})", COUNT),
    ]
    words = PanelText(
        "Each process: start, restarts in the time range shown, connection, other processes that are silent, lag of "
        "its partitions, version.",
        "One version, nobody silent, and no restarts except deployments.",
        "Restarts in a loop: read the log before each. Silent peers: restart the process that hangs. Two versions for "
        "long: a deployment is incomplete.",
    )
    keys = {"instance": Key("Process"), "version": Key("csq")}
    alone = to_dashboard("Show this process alone", goals.uid("pipeline"), "instance=${__value.text}")
    return rows("Processes", words, keys, columns, links=[alone])
