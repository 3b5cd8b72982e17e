"""SLO records: bad share and volume of every objective over all windows that its alerts and the budget need."""

from collections.abc import Iterator

from flows.commands.rules.burns import HOUR, SHORT_PART, Derived, burns_of, span
from flows.commands.rules.declaration import Declaration, Slo
from flows.commands.rules.rule import RecordingRule, RuleGroup
from flows.commands.rules.selection import Gauge, LabelMatch, Selection, selector

SHORT_SECONDS, LONG_SECONDS = 30, 120
"""How often they are evaluated: those up to LONG_FROM, and those beyond, which move slowly and cost more."""
LONG_FROM = 21_600
ERRORS, EVENTS = "slo:csq_errors:ratio_rate", "slo:csq_events:increase"
OBJECTIVE = "slo:csq_objective:ratio"
SUM = "\n+\n"


def remaining(slo: Slo) -> str:
    """The name of the record of what is left of a budget."""
    return f"slo:csq_budget:remaining_ratio{slo.window}"


def below(gauge: Gauge) -> str:
    """The name of the record that is 1 while a gauge is below its bound."""
    return f"slo:{gauge.metric}:below_bool"


def derived(declaration: Declaration, slo: Slo, objective: float) -> list[Derived]:
    """The burns of one objective."""
    return burns_of(declaration.burns, slo.window_days, objective, slo.minimum_events, slo.worst)


def identity(name: str, queue_class: str | None) -> dict[str, str]:
    """The labels that name an objective."""
    return {"slo": name} if queue_class is None else {"slo": name, "class": queue_class}


def groups(declaration: Declaration) -> list[RuleGroup]:
    """A group of short and one of long windows per objective: groups are evaluated side by side."""
    found = []
    for name, slo in declaration.slos.items():
        short: list[RecordingRule] = []
        long: list[RecordingRule] = []
        for queue_class, objective in slo.promised.items():
            for seconds, record in _records(declaration, name, slo, queue_class, objective):
                (short if seconds <= LONG_FROM else long).append(record)
        found += [
            RuleGroup(f"csq-slo-{name}", SHORT_SECONDS, short),
            RuleGroup(f"csq-slo-{name}-long", LONG_SECONDS, long),
        ]
    return found


def _records(
    declaration: Declaration, name: str, slo: Slo, queue_class: str | None, objective: float
) -> Iterator[tuple[float, RecordingRule]]:
    """Window in seconds, and the record."""
    labels = identity(name, queue_class)
    chosen = {} if queue_class is None else {"queue": declaration.queues_of(queue_class)}
    # Every objective has every window, also those too slow for an alert of it: dashboards compare them.
    longs = {round(burn.hours * HOUR) for burn in declaration.burns} | {HOUR}  # the budget is made of hours
    spans = longs | {round(seconds / SHORT_PART) for seconds in longs}
    by = f"sum by ({', '.join(('job', *slo.each))})"

    yield 0, RecordingRule(OBJECTIVE, f"vector({objective:g})", labels)
    if slo.gauge is not None:
        gauge = slo.gauge
        series = gauge.metric + selector(_among(gauge.where))
        level = f"max by ({', '.join(('job', *slo.each))})"
        yield 0, RecordingRule(below(gauge), f"{level} ({series}) < bool {gauge.at_least:g}", labels)
    for seconds in sorted(longs):
        yield seconds, RecordingRule(f"{EVENTS}{span(seconds)}", _volume(slo, chosen, by, span(seconds)), labels)
    for seconds in sorted(spans):
        yield (
            seconds,
            RecordingRule(f"{ERRORS}{span(seconds)}", _errors(slo, chosen, by, span(seconds), labels), labels),
        )
    yield from _budget(slo, labels, objective)


def _rates(selections: tuple[Selection, ...], chosen: dict[str, LabelMatch], by: str, form: str) -> str:
    """The sum of several counters per second; each is there from the start, so none is missing from the sum."""
    series = (selection.series(chosen) for selection in selections)
    return SUM.join(f"{by} ({form.format(each)})" for each in series if each is not None)


def _volume(slo: Slo, chosen: dict[str, LabelMatch], by: str, window: str) -> str:
    if slo.gauge is not None:
        return f"{by} (increase({slo.gauge.volume}{selector(_among(slo.gauge.where))}[{window}]))"
    return _rates(slo.total, chosen, by, f"increase({{}}[{window}])")


def _errors(slo: Slo, chosen: dict[str, LabelMatch], by: str, window: str, labels: dict[str, str]) -> str:
    """A ratio of sums; absent where nothing happened."""
    if slo.gauge is not None:
        return f"avg_over_time({below(slo.gauge)}{selector(_ones(labels))}[{window}])"
    form = f"rate({{}}[{window}])"
    total = _rates(slo.total, chosen, by, form)
    some = f"(\n(\n{total}\n) > 0\n)" if SUM in total else f"(\n{total} > 0\n)"
    part = _rates(slo.bad or slo.good, chosen, by, form)
    part = f"({part})" if SUM in part else part
    return f"{part}\n/\n{some}" if slo.bad else f"clamp_min(\n1 -\n{part}\n/\n{some}\n, 0)"


def _budget(slo: Slo, labels: dict[str, str], objective: float) -> Iterator[tuple[float, RecordingRule]]:
    """The window is summed from its hours: exact, with a thousandth of the work of the raw series."""
    seconds, chosen = slo.window_days * 86_400, selector(_ones(labels))
    hours = f"[{slo.window}:1h]"
    events = f"sum_over_time({EVENTS}1h{chosen}{hours})"
    errors = f"sum_over_time(({ERRORS}1h{chosen} * {EVENTS}1h{chosen}){hours})\n/\n({events} > 0)"
    if slo.gauge is not None:
        errors = f"avg_over_time({below(slo.gauge)}{chosen}[{slo.window}])"
    yield seconds, RecordingRule(f"{EVENTS}{slo.window}", events, labels)
    yield seconds, RecordingRule(f"{ERRORS}{slo.window}", errors, labels)
    budget = f"{1 - objective:.9g}"
    yield seconds, RecordingRule(remaining(slo), f"1 - {ERRORS}{slo.window}{chosen} / {budget}", labels)


def _ones(labels: dict[str, str]) -> dict[str, LabelMatch]:
    return {label: LabelMatch((value,)) for label, value in labels.items()}


def _among(where: dict[str, tuple[str, ...]]) -> dict[str, LabelMatch]:
    return {label: LabelMatch(values) for label, values in where.items()}
