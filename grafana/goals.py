"""Goals: the thresholds of the panels, from the declared objectives and the settings; none is typed here."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from flows.commands.rules.burns import factor_of
from flows.commands.rules.declaration import Declaration
from flows.commands.rules.load import load
from flows.settings.model import Settings
from grafana.panels import Steps, falling, rising
from operators.domain.stage.promise import Promises

FILE = Path(__file__).parents[1] / "config" / "slo.yaml"


@cache
def _built_in() -> tuple[Declaration, Settings]:
    return load(FILE, Settings()), Settings()


_source: Callable[[], tuple[Declaration, Settings]] = _built_in


@contextmanager
def taken_from(declaration: Declaration, settings: Settings) -> Iterator[None]:
    """Take thresholds from these, instead of `config/slo.yaml` and the built-in settings."""
    global _source  # noqa: PLW0603 - panels are plain functions; one build reads one declaration
    _source = lambda: (declaration, settings)  # noqa: E731 - a constant
    try:
        yield
    finally:
        _source = _built_in


def declared() -> Declaration:
    """The declared objectives."""
    return _source()[0]


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
    """The limit of an objective that has one for all queues."""
    [limit] = {part.within_seconds for part in declared().slos[slo].good if isinstance(part.within_seconds, float)}
    return limit


def oldest_wait() -> Steps:
    """Colours of the longest wait: amber from the limit of the strictest queue class, red from that of the mildest."""
    bounds = [each.oldest_wait_seconds for each in declared().classes.values()]
    return _falling(bounds)


def burn_rate() -> Steps:
    """Colours of a burn rate: amber from 1 (the budget will not last its window), red from the mildest page."""
    found = declared()
    days = max(slo.window_days for slo in found.slos.values())
    pages = [factor_of(burn.budget_share, burn.hours, days) for burn in found.burns if burn.severity == "page"]
    return falling(min(pages), 1.0)


def reply_limit() -> Steps:
    """Colours of a reply time: red from the promised limit, amber from the shortest where there are several."""
    return _falling(Promises(_source()[1].promises).limits())


def at_risk_from() -> float:
    """Churn probability from which a customer counts as at risk."""
    return _source()[1].churn.at_risk_from


def _falling(bounds: Collection[float]) -> Steps:
    return falling(max(bounds), min(bounds)) if len(set(bounds)) > 1 else falling(max(bounds))
