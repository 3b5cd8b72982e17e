"""The monitoring of a drill: Prometheus and Alertmanager with the committed rules and routes, on a shorter scale.

Shortened by the same factor are the windows, waits and intervals of the rules and the intervals of Alertmanager.
Objectives, burn rates, labels, the tree of routes and what inhibits what are as committed. csq is scraped, and rules are
looked at, more often by the same factor, at most every second.
"""

import copy
import re
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import yaml

from flows.commands.rules.declaration import Declaration
from flows.commands.rules.load import load
from flows.commands.rules.selection import Selection
from flows.settings.model import Settings
from operators.metrics.catalogue import CATALOGUE
from tests.drills.pager import Pager
from tests.rules.faster import faster_rules
from tests.servers.prometheus import Alertmanager, Prometheus
from tests.streams import ROOT

LONG = "model-alerts.rules.yaml"
"""Its windows are hours and days where those of the others are minutes and hours: they get a factor of their own."""
INTERVALS = ("group_wait", "group_interval", "repeat_interval")
DURATION = re.compile(r"(\d+)([smhd])")
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@cache
def _declaration() -> Declaration:
    return load(ROOT / "config" / "slo.yaml", Settings())


def _drilled(by: float) -> Declaration:
    """Limits of waiting shorter as well: the next bound of the buckets, which do not change."""
    declaration = _declaration()
    slos = {
        name: msgspec.structs.replace(slo, good=tuple(_sooner(selection, by) for selection in slo.good))
        for name, slo in declaration.slos.items()
    }
    return msgspec.structs.replace(declaration, slos=slos)


def _sooner(selection: Selection, by: float) -> Selection:
    metric = CATALOGUE[selection.metric]
    if selection.within_seconds is None or metric.name == "csq_event_age_seconds":  # csq itself becomes no faster
        return selection
    bound = min(bound for bound in metric.buckets if bound >= selection.within_seconds / by)
    return msgspec.structs.replace(selection, within_seconds=bound)


def intervals(by: float) -> dict[str, Any]:
    """How often is scraped and looked at, as committed, `by` times as often; a second is the least."""
    committed = yaml.safe_load((ROOT / "config" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    usual = {name: _seconds(committed["global"][name]) for name in ("scrape_interval", "evaluation_interval")}
    sooner = {name: f"{max(1, round(seconds / by))}s" for name, seconds in usual.items()}
    return {**sooner, "scrape_timeout": sooner["scrape_interval"]}


def rule_files(folder: Path, by: float, long_by: float) -> list[Path]:
    """The committed rules, `by` times faster; those of models `long_by` times."""
    declaration = _drilled(by)
    texts = faster_rules(declaration, by, busier=by)
    texts[LONG] = faster_rules(declaration, long_by, busier=by)[LONG]
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def routes_to(pager: str, by: float) -> dict[str, Any]:
    """The committed alertmanager.yml with every receiver replaced by a path of the pager, and `by` times faster."""
    committed = yaml.safe_load((ROOT / "config" / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    config = copy.deepcopy(committed)
    config["global"] = {"resolve_timeout": committed["global"]["resolve_timeout"]}
    config["templates"] = []
    config["receivers"] = [
        {
            "name": receiver["name"],
            "webhook_configs": [
                {"url": f"{pager}/{receiver['name']}", "send_resolved": receiver["name"] != "watchdog"}
            ],
        }
        for receiver in committed["receivers"]
    ]
    _hasten(config["route"], by)
    return config


def _hasten(route: dict[str, Any], by: float) -> None:
    for key in INTERVALS:
        if key in route:
            route[key] = f"{round(_seconds(route[key]) / by * 1000)}ms"
    for child in route.get("routes", ()):
        _hasten(child, by)


def _seconds(duration: str) -> int:
    return sum(int(number) * UNITS[unit] for number, unit in DURATION.findall(duration))


Labels = Mapping[str, str]


class Held(NamedTuple):
    """A time, by `time.monotonic`, at all looks in which an alert was kept back."""

    since: float
    until: float


class Watch:
    """Prometheus over one csq, Alertmanager behind it, and the pager; without any past."""

    def __init__(self, target: str, folder: Path, by: float, long_by: float) -> None:
        """Watch over csq at `target` (host:port)."""
        self.pager = Pager()
        self.alertmanager = Alertmanager(routes_to(self.pager.url, by), folder=folder / "alertmanager")
        config = {
            "global": intervals(by),
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self.alertmanager.address]}]}]},
            "scrape_configs": [{"job_name": "csq", "static_configs": [{"targets": [target]}]}],
        }
        rules = rule_files(folder / "rules", by, long_by)
        self.prometheus = Prometheus(config, rules, folder=folder / "prometheus")
        self.held: dict[tuple[tuple[str, str], ...], list[Held]] = {}
        """Alerts that Alertmanager kept back because of another, and when."""
        self._looked = 0.0

    def __enter__(self) -> Self:
        self.pager.__enter__()
        try:
            self.alertmanager.__enter__()
            self.prometheus.__enter__()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.prometheus.stop()
        self.alertmanager.stop()
        self.pager.__exit__()

    def firing(self) -> list[Labels]:
        """Labels of all alerts that fire, but the one that always does."""
        firing = [alert["labels"] for alert in self.prometheus.alerts() if alert["state"] == "firing"]
        return [labels for labels in firing if labels["alertname"] != "CsqWatchdog"]

    def look(self) -> None:
        """See what Alertmanager keeps back just now."""
        now = time.monotonic()
        for alert in self.alertmanager.alerts():
            if alert["status"]["inhibitedBy"]:
                times = self.held.setdefault(tuple(sorted(alert["labels"].items())), [])
                if times and times[-1].until == self._looked:
                    times[-1] = times[-1]._replace(until=now)
                else:
                    times.append(Held(now, now))
        self._looked = now

    def missed_scrapes(self, seconds: float) -> int:
        """Scrapes of the last so many seconds that csq did not answer in time."""
        window = f"{max(1, round(seconds))}s"
        found = self.prometheus.query(
            f'count_over_time(up{{job="csq"}}[{window}]) - sum_over_time(up{{job="csq"}}[{window}])'
        )
        return round(found[0].value) if found else 0

    def age_p99(self, seconds: float) -> float:
        """Event to metric over the last so many seconds, the 99th percentile in seconds."""
        buckets = f"sum by (le) (rate(csq_event_age_seconds_bucket[{seconds:.0f}s]))"
        found = self.prometheus.query(f"histogram_quantile(0.99, {buckets})")
        return found[0].value if found else float("nan")
