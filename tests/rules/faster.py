"""The rules with shorter windows, for drills: what takes hours happens in minutes, at the same rates and thresholds.

    for name, text in faster_rules(declaration, 60).items(): (folder / name).write_text(text)

makes an hour a minute: every window, offset, wait and interval is a 60th, and so is what is compared with seconds (the
oldest wait, an age) or with a number of events in a window. Shares, burn rates and labels stay.
Where what happens comes faster too, `busier` says so: at 60 times the usual rate a window of a 60th holds as many events.
"""

import re
from collections.abc import Sequence

import msgspec

from flows.commands.rules.build import rule_groups
from flows.commands.rules.burns import span
from flows.commands.rules.declaration import Declaration, Slo, Thresholds
from flows.commands.rules.rule import AlertRule, RecordingRule, RuleGroup
from flows.commands.rules.rule_files import rule_file

SHORTEST = 3
"""Seconds of a window: a rate needs two scrapes."""
SCRAPES_MISSED = 4
"""Of one second, before csq counts as down: as many as with the committed wait and interval."""
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
WINDOW = re.compile(r"(?P<open>\[|:|offset )(?P<number>\d+)(?P<unit>[smhd])(?=[]:\s)]|$)")
PER_WINDOW = ("dead_letters", "duplicates", "loss_examples", "at_risk_customers", "closed_replies", "closed_waits")
"""Thresholds that count what lies in a window."""


def faster_rules(declaration: Declaration, by: float, *, busier: float = 1) -> dict[str, str]:
    """File name to content, as in config/prometheus."""
    sooner = hastened(declaration, by, busier=busier)
    return {
        f"{name}.rules.yaml": rule_file([_group(group, by, sooner) for group in groups], sooner)
        for name, groups in rule_groups(sooner).items()
    }


def hastened(declaration: Declaration, by: float, *, busier: float = 1) -> Declaration:
    """The declaration with thresholds of time and of number divided; its objectives and burn rates are the same."""
    fewer = by / busier
    return msgspec.structs.replace(
        declaration,
        thresholds=_thresholds(declaration.thresholds, by, fewer),
        classes={
            name: msgspec.structs.replace(each, oldest_wait_seconds=each.oldest_wait_seconds / by)
            for name, each in declaration.classes.items()
        },
        slos={name: _slo(slo, fewer) for name, slo in declaration.slos.items()},
    )


def _slo(slo: Slo, fewer: float) -> Slo:
    return msgspec.structs.replace(slo, minimum_events=max(1, round(slo.minimum_events / fewer)))


def _thresholds(thresholds: Thresholds, by: float, fewer: float) -> Thresholds:
    values = msgspec.structs.asdict(thresholds)
    # Windows that name a record keep their name, and are shortened with the rules that are made of them.
    seconds = {name: value / by for name, value in values.items() if name.endswith("_seconds") and "window" not in name}
    numbers = {name: max(1, round(values[name] / fewer)) for name in PER_WINDOW}
    usual = values["usual_events_per_minute"] / fewer
    return msgspec.structs.replace(thresholds, **seconds, **numbers, usual_events_per_minute=usual)


def _group(group: RuleGroup, by: float, sooner: Declaration) -> RuleGroup:
    rules: Sequence[RecordingRule | AlertRule] = [_rule(rule, by, sooner) for rule in group.rules]
    return RuleGroup(group.name, max(1, round(group.seconds / by)), rules)


def _rule(rule: RecordingRule | AlertRule, by: float, sooner: Declaration) -> RecordingRule | AlertRule:
    """Shorter windows; a wait or a window that is a threshold of the declaration is short already."""
    short = span(sooner.thresholds.stalled_seconds)

    def shortened(found: "re.Match[str]") -> str:
        written = found["number"] + found["unit"]
        return found["open"] + (written if written == short else span(_window(found, by)))

    expr = WINDOW.sub(shortened, rule.expr)
    if isinstance(rule, RecordingRule):
        return msgspec.structs.replace(rule, expr=expr)
    own = {"CsqPipelineDown", "CsqBrokersLost", "CsqNobodyThere", "CsqQueueWithoutAgents", "CsqCalendarWrong"}
    wait = rule.for_seconds if rule.name in own else rule.for_seconds / by
    fewest = SCRAPES_MISSED if rule.name == "CsqPipelineDown" else 0  # one scrape more or less is chance
    return msgspec.structs.replace(rule, expr=expr, for_seconds=max(fewest, round(wait)))


def _window(found: "re.Match[str]", by: float) -> int:
    return max(SHORTEST, round(int(found["number"]) * UNITS[found["unit"]] / by))
