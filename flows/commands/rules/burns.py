"""Burns: factors, windows, thresholds and guards, all derived from objective, window and share of the budget.

The method is that of the SRE workbook, "Alerting on SLOs": an alert fires if a given share of the error budget was used
within a long window, and the burn rate in a short window is as high.
"""

import math
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from flows.commands.rules.declaration import Burn

SHORT_PART = 12
"""The short window is this part of the long one, as in the workbook: it ends an alert soon after the fault."""
HOUR = 3600
UNITS = ((86_400, "d"), (HOUR, "h"), (60, "m"), (1, "s"))


class Derived(Struct, frozen=True):
    """One pair of windows of one objective."""

    severity: Literal["page", "ticket"]
    budget_share: float
    factor: float
    """Burn rate at which `budget_share` of the budget is used within the long window."""
    long_seconds: int
    short_seconds: int
    threshold: float
    """Share of bad events at that burn rate."""
    minimum: int
    """Events in the long window below which no alert fires."""

    @property
    def long(self) -> str:
        """The long window as Prometheus writes it."""
        return span(self.long_seconds)

    @property
    def short(self) -> str:
        """The short window as Prometheus writes it."""
        return span(self.short_seconds)


def span(seconds: float) -> str:
    """Seconds as a duration of Prometheus.

    >>> span(300), span(7200), span(259200), span(5400)
    ('5m', '2h', '3d', '90m')
    """
    whole = round(seconds)
    unit, letter = next((unit, letter) for unit, letter in UNITS if whole % unit == 0)
    return f"{whole // unit}{letter}"


def tidy(number: float) -> float:
    """`number` without the dust of binary arithmetic.

    >>> tidy(14.4 * (1 - 0.999))
    0.0144
    """
    return float(f"{number:.9g}")


def factor_of(budget_share: float, hours: float, window_days: int) -> float:
    """Burn rate that uses up a share of the budget of `window_days` within `hours`.

    >>> [factor_of(*burn, 30) for burn in ((0.02, 1), (0.05, 6), (0.1, 24), (0.1, 72))]
    [14.4, 6.0, 3.0, 1.0]
    """
    return tidy(budget_share * window_days * 24 / hours)


def burns_of(
    burns: Iterable[Burn],
    window_days: int,
    objective: float,
    minimum_events: int,
    worst: Literal["page", "ticket"],
) -> list[Derived]:
    """The burns of this objective, shortest window first.

    Burn rates that can never be reached (an objective of 0.9 burns at most at 10), and those slower than the budget
    itself, are left out. `minimum_events` applies to the shortest window; longer ones have lower thresholds and require
    more events, so that the number of bad events at the threshold is the same.

    >>> from flows.commands.rules.declaration import Burn
    >>> [page, ticket] = burns_of([Burn(0.02, 1, "page"), Burn(0.1, 24, "ticket")], 30, 0.95, 20, "page")
    >>> page.long, page.short, page.factor, page.threshold, page.minimum
    ('1h', '5m', 14.4, 0.72, 20)
    >>> ticket.threshold, ticket.minimum
    (0.15, 96)
    """
    budget = 1 - objective
    found: list[Derived] = []
    for burn in sorted(burns, key=lambda burn: burn.hours):
        factor = factor_of(burn.budget_share, burn.hours, window_days)
        threshold = tidy(factor * budget)
        if factor < 1 or threshold >= 1 or (worst == "ticket" and burn.severity == "page"):
            continue
        long = round(burn.hours * HOUR)
        first = found[0].threshold if found else threshold
        minimum = math.ceil(tidy(minimum_events * first / threshold))
        found.append(
            Derived(burn.severity, burn.budget_share, factor, long, round(long / SHORT_PART), threshold, minimum)
        )
    return found


def unreachable(burns: Iterable[Burn], window_days: int, objective: float) -> str:
    """Why burns fall away, in words."""
    factors = ", ".join(f"{factor_of(burn.budget_share, burn.hours, window_days):g}" for burn in burns)
    return f"it burns at most at {tidy(1 / (1 - objective)):.3g}, `burns` ask for {factors} (and at least 1)"
