"""Goals: the thresholds of the panels, from `config/slo.yaml` and the default settings; none is typed here."""

from functools import cache
from pathlib import Path

from flows.commands.rules.burns import factor_of
from flows.commands.rules.declaration import Declaration
from flows.commands.rules.load import load
from flows.settings.model import Settings
from grafana.panels import Steps, falling, rising

FILE = Path(__file__).parents[1] / "config" / "slo.yaml"


@cache
def declared() -> Declaration:
    """All of `config/slo.yaml`."""
    return load(FILE, Settings())


def uid(board: str) -> str:
    """The uid by which alerts and links find a dashboard."""
    return {str(name): found for name, found in declared().links.dashboards.items()}[board]


def promised(slo: str) -> Steps:
    """Colours of a promised share: green as the strictest class wants it, red below the mildest."""
    objectives = declared().slos[slo].promised.values()
    return rising(max(objectives), min(objectives)) if len(set(objectives)) > 1 else rising(max(objectives))


def bad_share(slo: str) -> Steps:
    """Colours of the share of bad events: red from the budget of the mildest class."""
    budgets = [round(1 - objective, 9) for objective in declared().slos[slo].promised.values()]
    return falling(max(budgets), min(budgets)) if len(set(budgets)) > 1 else falling(max(budgets))


def within_seconds(slo: str) -> float:
    """The limit of an objective that is about a time."""
    [limit] = {part.within_seconds for part in declared().slos[slo].good if part.within_seconds is not None}
    return limit


def oldest_wait() -> Steps:
    """Colours of the longest wait: amber where the strictest class tells somebody, red where the mildest chat does."""
    bounds = sorted(each.oldest_wait_seconds for each in declared().classes.values())
    return falling(bounds[1], bounds[0])


def burn_rate() -> Steps:
    """Colours of a burn rate: amber from 1 (the budget will not last its window), red from the mildest page."""
    found = declared()
    days = max(slo.window_days for slo in found.slos.values())
    pages = [factor_of(burn.budget_share, burn.hours, days) for burn in found.burns if burn.severity == "page"]
    return falling(min(pages), 1.0)


def reply_limit() -> Steps:
    """Colours of a reply time: red from the limit of a round."""
    return falling(Settings().conversations.reply_limit_seconds)


def at_risk_from() -> float:
    """Churn probability from which a customer counts as at risk."""
    return Settings().churn.at_risk_from
