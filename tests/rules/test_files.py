"""The committed rule files: up to date, valid, named by the conventions, with clear texts."""

import re

import promql_parser
import pytest
import yaml

from flows.commands.rules.build import alerts, files, rule_groups, stale
from flows.commands.rules.grafana_alerts import uid_of
from tests.grafana.test_queries import kind_and_labels, selectors
from tests.rules.objectives import DECLARATION
from tests.rules.promtool import NAME, ROOT, RULES, rules
from tests.servers.prometheus import promtool

ALL = rules()
ALERTS = [rule for rule in ALL if "alert" in rule]
RECORDS = [rule for rule in ALL if "record" in rule]
MANAGED = yaml.safe_load((ROOT / "grafana/provisioning/alerting/rules.yaml").read_text(encoding="utf-8"))
COPIES = [rule for group in MANAGED["groups"] for rule in group["rules"]]
NOT_IN_2_42 = r"keep_firing_for|limit_ratio|limitk|sort_by_label|info\(|histogram_(?:avg|stddev|count|sum)|query_offset"
"""What later releases of Prometheus brought, or what is experimental."""


def test_what_is_committed_is_what_the_declaration_says():
    assert stale(DECLARATION, ROOT) == []


def test_every_rule_file_that_is_built_is_there_and_no_other():
    assert [path.name for path in RULES] == sorted(f"{name}.rules.yaml" for name in rule_groups(DECLARATION))


@pytest.mark.usefixtures("prometheus_programs")
def test_promtool_finds_nothing_to_complain_about():
    reported = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)

    assert sum(map(int, re.findall(r"SUCCESS: (\d+) rules", reported))) == len(ALL)


@pytest.mark.parametrize("record", sorted({rule["record"] for rule in RECORDS}))
def test_a_record_is_named_by_level_metric_and_operations(record):
    assert NAME.fullmatch(record)


def test_the_level_of_a_record_is_what_it_is_summed_by():
    for rule in RECORDS:
        level = rule["record"].split(":")[0]
        by = {label for labels in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in labels.split(", ")}
        if by:
            assert level in by | {"slo"}, rule["record"]
            assert "job" in by, rule["record"]


def test_no_rule_wants_more_than_prometheus_2_42():
    for path in RULES:
        assert re.findall(NOT_IN_2_42, path.read_text(encoding="utf-8")) == []


def test_every_expression_is_valid_and_asks_for_what_is_exported_or_recorded():
    for rule in ALL:
        for seen in selectors(promql_parser.parse(rule["expr"])):
            assert seen.name == "up" or kind_and_labels(seen.name), rule


def test_counters_stand_under_rate_or_increase_only():
    for rule in ALL:
        for seen in selectors(promql_parser.parse(rule["expr"])):
            if seen.name != "up" and kind_and_labels(seen.name)[0] == "counter":
                assert seen.function in {"rate", "increase"}, rule


@pytest.mark.parametrize(
    "rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels'].get('class', '')}-{rule['labels']['severity']}"
)
def test_an_alert_says_what_where_how_much_and_what_to_do(rule):
    annotations = rule["annotations"]

    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert rule["labels"]["severity"] in {"page", "ticket", "none"}
    assert rule["labels"]["team"] in {"platform", "service", "data"}
    assert re.search(r"\?from=now-\d+h&to=now", annotations["dashboard_url"])
    if rule["alert"] != "CsqWatchdog":
        assert re.search(r"\$value|\d", annotations["description"])
    for label in set(re.findall(r"\$labels\.(\w+)", " ".join(annotations.values()))):
        assert label in rule["expr"] or label in rule["labels"] or label in made_by_records(rule["expr"]), label


def made_by_records(expr: str) -> set[str]:
    """The labels of the records that an expression reads."""
    return {
        label
        for name in NAME.findall(expr)
        for record in RECORDS
        if record["record"] == name
        for labels in re.findall(r"by \(([^)]*)\)", record["expr"])
        for label in labels.split(", ")
    }


def test_alerts_with_a_queue_open_the_dashboard_on_it():
    for rule in ALERTS:
        if "$labels.queue" in rule["annotations"]["description"]:
            assert rule["annotations"]["dashboard_url"].endswith("&var-queue={{ $labels.queue | urlquery }}")


# ---- the copies that Grafana manages


def test_grafana_has_a_copy_of_every_alert():
    reported = [(rule["data"][0]["model"]["expr"], rule["labels"]) for rule in unescaped(COPIES)]

    assert sorted(reported, key=str) == sorted([(rule["expr"], rule["labels"]) for rule in ALERTS], key=str)


def unescaped(value):
    if isinstance(value, dict):
        return {key: unescaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unescaped(item) for item in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def test_every_dollar_is_escaped_from_the_expansion_of_grafana():
    text = (ROOT / "grafana/provisioning/alerting/rules.yaml").read_text(encoding="utf-8")

    assert "$$labels" in text
    assert re.findall(r"(?<!\$)\$(?!\$)", text.replace("$$", "")) == []


def test_a_copy_fires_on_any_value_and_shows_that_of_the_query():
    for rule in unescaped(COPIES):
        query, number, fires = rule["data"]
        assert (rule["condition"], fires["model"]["expression"]) == (fires["refId"], number["refId"])
        assert number["model"]["expression"] == "is_number($query) || is_nan($query) || is_inf($query)"
        assert query["model"]["instant"] is True
        assert "$value " not in " ".join(rule["annotations"].values())
        assert rule["noDataState"] == "OK"


def test_the_uid_of_a_copy_is_its_own_and_stays_when_its_words_change():
    uids = [rule["uid"] for rule in COPIES]
    [down] = [alert for alert in alerts(DECLARATION) if alert.name == "CsqPipelineDown"]

    assert len(set(uids)) == len(uids)
    assert all(len(uid) <= 40 for uid in uids)
    assert uid_of(down) == "csq-f601160bda38fca1"


def test_the_index_names_every_alert():
    page = files(DECLARATION)["docs/alerts.md"]

    assert {rule["alert"] for rule in ALERTS} == set(re.findall(r"^\| \[(\w+)\]", page, re.MULTILINE))
