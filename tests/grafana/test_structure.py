"""Rules for every dashboard: layout, explanations, links, colours."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from flows.commands.rules.load import load
from flows.settings.model import Settings
from grafana.build import in_sight
from tests.grafana.boards import BOARDS, ROOT, panels, variables

DECLARED = load(ROOT / "config" / "slo.yaml", Settings())
UNITS = {value for name, value in vars(units).items() if not name.startswith("_") and isinstance(value, str)}
MOST_PANELS = 20
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
every_panel = pytest.mark.parametrize(
    "panel",
    [pytest.param(panel, id=f"{name} / {panel['title']}") for name, board in BOARDS.items() for panel in panels(board)],
)


def test_there_are_the_four_dashboards_that_alerts_and_links_name():
    assert sorted(board["uid"] for board in BOARDS.values()) == sorted(DECLARED.links.dashboards.values())


def test_uids_and_titles_are_unique():
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)


@every_board
def test_it_is_a_version_1_dashboard_that_says_what_it_answers(board):
    assert board["schemaVersion"] >= 36  # Grafana 10 and later migrate from there
    assert "elements" not in board  # that would be version 2
    assert board["description"].endswith("?")
    assert board["tags"] == ["csq"]
    assert board["editable"] is False  # changes belong into the declaration
    assert board["refresh"]
    assert board["time"]["to"] == "now"


@every_board
def test_ids_and_titles_of_panels_are_unique_and_there_are_not_too_many(board):
    ids = [panel["id"] for panel in board["panels"]]
    titles = [panel["title"] for panel in board["panels"]]

    assert len(set(ids)) == len(ids)
    assert len(set(titles)) == len(titles)
    assert 1 < len(panels(board)) <= MOST_PANELS


@every_board
def test_panels_lie_on_the_grid_and_do_not_overlap(board):
    areas = {panel["title"]: panel["gridPos"] for panel in board["panels"]}

    for area in areas.values():
        assert 0 <= area["x"] < area["x"] + area["w"] <= 24
        assert area["h"] >= 1
    for (one, a), (other, b) in combinations(areas.items(), 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, f"{one} overlaps {other}"


@every_board
def test_the_grid_has_no_holes(board):
    cells = sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in board["panels"])
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])

    assert cells == 24 * height


@every_board
def test_it_begins_with_what_is_now_in_sight_without_scrolling(board):
    first = board["panels"][0]

    assert (first["type"], first["title"], first["gridPos"]["y"]) == ("row", "Now", 0)
    assert not first["collapsed"]


@every_panel
def test_a_panel_says_what_it_shows_what_is_good_and_what_to_do(panel):
    says, good, act = panel["description"].split("\n\n")

    assert len(says) > 20
    assert good.startswith("**Good:** ")
    assert act.startswith("**If not:** ")
    for part in (says, good, act):
        assert part.endswith((".", ")")), part


@every_panel
def test_a_panel_has_a_unit_that_grafana_knows_and_a_word_for_nothing(panel):
    defaults = panel["fieldConfig"]["defaults"]
    shown = [defaults["unit"]] + [
        each["value"]
        for override in panel["fieldConfig"]["overrides"]
        for each in override["properties"]
        if each["id"] == "unit"
    ]

    assert set(shown) <= UNITS
    assert defaults["noValue"]


@every_panel
def test_a_panel_asks_the_data_source_of_the_variable(panel):
    assert panel["datasource"] == DATASOURCE
    assert [target["datasource"] for target in panel["targets"]] == [DATASOURCE] * len(panel["targets"])


@every_panel
def test_queries_of_a_panel_have_letters_of_their_own(panel):
    letters = [target["refId"] for target in panel["targets"]]

    assert letters
    assert len(set(letters)) == len(letters)


@every_panel
def test_tables_and_figures_of_the_whole_range_ask_for_now_and_lines_for_the_course(panel):
    form = {"table": "table", "heatmap": "heatmap"}.get(panel["type"], "time_series")

    for target in panel["targets"]:
        now = panel["type"] == "table" or (panel["type"] == "stat" and "$__range]" in target["expr"])
        assert (target["format"], target["instant"], target["range"]) == (form, now, not now)


@every_panel
def test_steps_of_colours_begin_below_everything_and_rise(panel):
    found = [panel["fieldConfig"]["defaults"]["thresholds"]["steps"]] + [
        each["value"]["steps"]
        for override in panel["fieldConfig"]["overrides"]
        for each in override["properties"]
        if each["id"] == "thresholds"
    ]

    for steps in found:
        assert steps[0]["value"] is None
        values = [step["value"] for step in steps[1:]]
        assert values == sorted(set(values))


@every_panel
def test_what_is_set_apart_by_name_is_the_legend_or_heading_of_something(panel):
    names = {target["legendFormat"] for target in panel["targets"]}
    for step in panel.get("transformations", []):
        names |= set(step["options"].get("renameByName", {}).values())
    values = {"negative", "neutral", "positive", "available", "busy", "away", "offline"}
    values |= {"solved", "partial", "unsolved", "abandoned", "reopened"}  # of labels that name the line

    for override in panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["id"] == "byName"
        assert override["matcher"]["options"] in names | values


# ---- variables, marks, links


@every_board
def test_variables_come_from_prometheus_and_begin_with_all(board):
    source, *others = board["templating"]["list"]

    assert (source["type"], source["name"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert others == variables(board)
    for variable in others:
        assert variable["datasource"] == DATASOURCE
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")
        assert variable["current"]["value"] == ["$__all"]
        assert variable["refresh"] == 2  # with the time range: a queue that is new is there
        assert variable["description"]


@every_board
def test_every_variable_is_used_and_every_one_used_is_there(board):
    text = str(board["panels"])
    names = {variable["name"] for variable in variables(board)}

    assert {name for name in ("job", "instance", "queue", "channel", "model") if f'~"${name}"' in text} == names


@every_board
def test_restarts_and_deployments_are_marked_at_the_time_that_the_process_exports(board):
    marks = {mark["name"]: mark for mark in board["annotations"]["list"]}

    assert list(marks) == ["Restarts", "Deployments"]
    for mark in marks.values():
        assert mark["datasource"] == DATASOURCE
        assert mark["enable"]
        assert mark["useValueForTime"]
        assert mark["expr"].endswith("* 1000")  # Grafana uses milliseconds
    assert "csq_build_info" in marks["Deployments"]["expr"]


@every_board
def test_the_dashboards_link_to_one_another_in_sight(board):
    [link] = board["links"]

    assert (link["type"], link["tags"], link["asDropdown"]) == ("dashboards", ["csq"], False)
    assert link["keepTime"]
    assert link["includeVars"]
    assert "placement" not in str(board)  # would hide links and marks in the controls menu


def links() -> list[tuple[str, str, dict[str, Any]]]:
    found = []
    for name, board in BOARDS.items():
        for panel in panels(board):
            shown = panel["fieldConfig"]["defaults"].get("links", [])
            for override in panel["fieldConfig"]["overrides"]:
                shown += [link for each in override["properties"] if each["id"] == "links" for link in each["value"]]
            found += [(name, link["url"], panel) for link in shown]
    return found


def test_links_of_values_lead_to_dashboards_that_are_there_with_variables_that_they_have():
    boards = {board["uid"]: {variable["name"] for variable in variables(board)} for board in BOARDS.values()}

    assert len(links()) > 20
    for _, url, _ in links():
        path, _, query = url.partition("?")
        uid = path.removeprefix("/d/")
        assert uid in boards
        for part in query.split("&"):
            if part.startswith("var-"):
                assert part.removeprefix("var-").partition("=")[0] in boards[uid]
        assert "${__url_time_range}" in url
        assert "${datasource:queryparam}" in url


def test_a_link_that_carries_a_label_hangs_on_series_that_have_it():
    for name, url, panel in links():
        if "${__field.labels." in url:
            label = url.partition("${__field.labels.")[2].partition("}")[0]
            legends = [target["legendFormat"] for target in panel["targets"]]
            assert all(f"{{{{{label}}}}}" in legend for legend in legends), f"{name} / {panel['title']}"


# ---- thresholds


def steps_of(board: str, title: str) -> list[float | None]:
    [panel] = [panel for panel in panels(BOARDS[board]) if panel["title"] == title]
    return [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]


def test_thresholds_are_those_of_the_declared_objectives():
    reply = DECLARED.slos["reply"].promised.values()
    [age] = {part.within_seconds for part in DECLARED.slos["freshness"].good}

    assert steps_of("overview", "Replies in time") == [None, *sorted(set(reply))]
    assert steps_of("queues", "Replies in time by queue") == [None, *sorted(set(reply))]
    assert steps_of("queues", "First response") == [None, Settings().promises.limit_seconds]
    assert steps_of("pipeline", "Event age p99") == [None, age]
    assert steps_of("overview", "Event age") == [None, age]
    assert steps_of("customers-and-models", "Good ratings") == [None, *DECLARED.slos["csat"].promised.values()]
    assert steps_of("pipeline", "Fullest stage") == [None, DECLARED.thresholds.state_filled_share]


def test_the_burn_rate_is_red_from_the_threshold_of_a_page():
    pages = [burn for burn in DECLARED.burns if burn.severity == "page"]
    factors = [burn.budget_share * 30 * 24 / burn.hours for burn in pages]

    assert steps_of("overview", "Burn rate, 1 h") == [None, 1.0, min(factors)]


def looks(board: str, title: str) -> dict[str, dict[str, object]]:
    """How the columns of a table are shown, by heading and property."""
    [table] = [panel for panel in panels(BOARDS[board]) if panel["title"] == title]
    return {
        override["matcher"]["options"]: {each["id"]: each["value"] for each in override["properties"]}
        for override in table["fieldConfig"]["overrides"]
    }


def test_the_table_of_objectives_names_all_that_are_declared():
    [mapping] = looks("overview", "Objectives")["Objective"]["mappings"]

    assert {name: text["text"] for name, text in mapping["options"].items()} == {
        name: slo.title for name, slo in DECLARED.slos.items()
    }


def test_a_closed_queue_has_no_figure_in_colour():
    columns = looks("queues", "Queues now")
    [table] = [panel for panel in panels(BOARDS["queues"]) if panel["title"] == "Queues now"]
    renamed = table["transformations"][-1]["options"]["renameByName"]
    asked = {renamed.get(f"Value #{target['refId']}"): target["expr"] for target in table["targets"]}
    coloured = {heading for heading, shown in columns.items() if "thresholds" in shown}

    assert columns["Hours"]["mappings"][0]["options"] == {"0": {"text": "closed"}, "1": {"text": "open"}}
    assert len(coloured) >= 5
    for heading in coloured:
        assert re.search(r" unless on \(queue\) \(min by \(queue\) \(csq_queue_open\{.*\}\) == 0\)$", asked[heading])
        assert columns[heading]["mappings"][0]["options"] == {
            "match": "null+nan",
            "result": {"text": "-", "color": "text"},
        }


def test_the_folder_holds_dashboards_only():
    assert {path.suffix for path in Path(ROOT, "grafana", "dashboards").iterdir()} == {".json"}


@every_board
def test_grafanas_own_model_of_a_dashboard_reads_it_and_loses_nothing(board):
    reported = json.dumps(Dashboard.from_json(board), cls=JSONEncoder)

    assert in_sight(json.loads(reported)) == board
