"""The committed dashboards for tests: their panels, and every query with its place."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "grafana" / "dashboards"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
LABEL_VALUES = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")


class Asked(NamedTuple):
    """One query: the dashboard, the title of the panel (or name of the annotation), the letter, and the expression."""

    board: str
    title: str
    letter: str
    expr: str
    instant: bool

    @property
    def name(self) -> str:
        return f"{self.board} / {self.title} / {self.letter}"


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """All but the headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def variables(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that Prometheus fills."""
    return [variable for variable in board["templating"]["list"] if variable["type"] == "query"]


def panel_queries() -> Iterator[Asked]:
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield Asked(name, panel["title"], target["refId"], target["expr"], target["instant"])


def annotation_queries() -> Iterator[Asked]:
    for name, board in BOARDS.items():
        for mark in board["annotations"]["list"]:
            yield Asked(name, mark["name"], "annotation", mark["expr"], instant=False)


def variable_queries() -> Iterator[Asked]:
    """Of a variable: the series whose label it lists; the letter is that label."""
    for name, board in BOARDS.items():
        for variable in variables(board):
            found = LABEL_VALUES.fullmatch(variable["query"])
            assert found is not None, variable["query"]
            yield Asked(name, f"${variable['name']}", found["label"], found["series"], instant=True)


def filled(expr: str, *, rate_interval: str, time_range: str) -> str:
    """A query as Grafana sends it with All chosen everywhere; what is not known stays and fails later."""
    known = {"$__rate_interval": rate_interval, "$__range": time_range}
    known |= {f"${name}": ".+" for name in ("job", "instance", "queue", "channel", "model")}
    return re.sub(r"\$\w+", lambda found: known.get(found[0], found[0]), expr)
