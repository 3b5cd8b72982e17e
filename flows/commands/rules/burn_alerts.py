"""Burn alerts: a page and a ticket for every objective, from the records of `slo_records`."""

from flows.commands.rules.burns import Derived
from flows.commands.rules.declaration import Declaration, Slo
from flows.commands.rules.rule import AlertRule, RuleGroup, percent, words
from flows.commands.rules.selection import LabelMatch, selector
from flows.commands.rules.slo_records import ERRORS, EVENTS, derived, identity

SECONDS = 30
FOR_PART = 5
"""`for` of an alert as a part of its shortest window, so that one bad evaluation does not fire it."""


def name_of(slo: str) -> str:
    """The name of the alerts of an objective.

    >>> name_of("first-response")
    'CsqFirstResponseBurn'
    """
    return f"Csq{''.join(part.capitalize() for part in slo.split('-'))}Burn"


def groups(declaration: Declaration) -> list[RuleGroup]:
    """One group: burn alerts read records and cost nothing."""
    alerts = [
        _alert(name, slo, queue_class, objective, [burn for burn in burns if burn.severity == severity])
        for name, slo in declaration.slos.items()
        for queue_class, objective in slo.promised.items()
        for burns in [derived(declaration, slo, objective)]
        for severity in ("page", "ticket")
        if any(burn.severity == severity for burn in burns)
    ]
    return [RuleGroup("csq-slo-alerts", SECONDS, alerts)]


def _alert(name: str, slo: Slo, queue_class: str | None, objective: float, burns: list[Derived]) -> AlertRule:
    labels = identity(name, queue_class)
    chosen = selector({label: LabelMatch((value,)) for label, value in labels.items()})
    who = "".join(f", {label} {{{{ $labels.{label} }}}}" for label in slo.each)
    severity = burns[0].severity
    return AlertRule(
        name=name_of(name),
        expr="\nor\n".join(_condition(burn, chosen) for burn in burns),
        severity=severity,
        team=slo.owner,
        summary=f"{slo.title}: the error budget burns too fast{who}",
        description=_description(slo, objective, burns),
        board=slo.dashboard,
        hours=max(3, burns[0].long_seconds // 1200),  # three times the window that fires first
        for_seconds=burns[0].short_seconds / FOR_PART,
        by_queue="queue" in slo.each,
        of_closed="queue" not in slo.each,
        labels={**labels, **slo.labels},
    )


def _condition(burn: Derived, chosen: str) -> str:
    return (
        f"(\n{ERRORS}{burn.long}{chosen} > {burn.threshold:g}\nand\n{ERRORS}{burn.short}{chosen} > {burn.threshold:g}\n"
        f"and\n{EVENTS}{burn.long}{chosen} >= {burn.minimum}\n)"
    )


def _description(slo: Slo, objective: float, burns: list[Derived]) -> str:
    where = " ".join(f"{label} {{{{ $labels.{label} }}}}" for label in slo.each)
    where = f"{where[:1].upper()}{where[1:]}: " if where else ""
    shorts = " or ".join(burn.short for burn in burns)
    limits = " or ".join(
        f"above {percent(burn.threshold)} in {burn.long} (burn rate {burn.factor:g})" for burn in burns
    )
    return (
        f"{where}{{{{ $value | humanizePercentage }}}} {slo.says} in the last "
        f"{' or '.join(words(burn.long_seconds) for burn in burns)}. "
        f"The objective is {percent(objective)} good over {slo.window}, so the error budget is "
        f"{percent(1 - objective)}. A {burns[0].severity} fires {limits}, if the last {shorts} are above it too."
    )
