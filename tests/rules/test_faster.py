"""The rules with shorter windows: valid, the same rules, and as much sooner as asked."""

import re

import pytest
import yaml

from tests.rules.faster import faster_rules, hastened
from tests.rules.objectives import DECLARATION
from tests.rules.promtool import Case, check_alert, rules
from tests.rules.scenarios import CSQ, fires, steps
from tests.servers.prometheus import promtool

FASTER = faster_rules(DECLARATION, 60)


def rules_of(files: dict[str, str]) -> list[dict]:
    return [rule for text in files.values() for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.mark.usefixtures("prometheus_programs")
def test_they_are_valid(tmp_path):
    for name, text in FASTER.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(tmp_path.glob("*.yaml")))


def test_they_are_the_same_rules_with_the_same_labels_and_links():
    def shape(rule: dict) -> tuple:
        links = {name: url for name, url in rule.get("annotations", {}).items() if name.endswith("_url")}
        return rule.get("record"), rule.get("alert"), rule.get("labels"), links

    assert sorted(map(repr, map(shape, rules_of(FASTER)))) == sorted(map(repr, map(shape, rules())))


def test_an_hour_is_a_minute_and_shares_stay():
    [page] = [
        rule
        for rule in rules_of(FASTER)
        if rule.get("alert") == "CsqReplyBurn"
        and (rule["labels"]["severity"], rule["labels"]["class"]) == ("page", "urgent")
    ]
    [hour] = [
        rule
        for rule in rules_of(FASTER)
        if rule.get("record") == "slo:csq_errors:ratio_rate1h" and rule["labels"] == {"slo": "reply", "class": "urgent"}
    ]

    assert set(re.findall(r"\[(\w+)\]", hour["expr"])) == {"1m"}
    assert "> 0.72" in page["expr"]
    assert hastened(DECLARATION, 60).slos["reply"].promised == DECLARATION.slos["reply"].promised
    assert hastened(DECLARATION, 60).thresholds.stalled_seconds == 5


@pytest.mark.slow
@pytest.mark.usefixtures("prometheus_programs")
def test_a_process_that_misses_four_scrapes_pages(tmp_path):
    [rule] = [rule for rule in rules_of(FASTER) if rule.get("alert") == "CsqPipelineDown"]
    case = Case(
        "down", 1, {f"up{{{CSQ}}}": steps((1, 0, 5), (0, 0, 5), (1, 0, 5))}, silent=[4, 8, 10], firing={9: fires("1")}
    )

    check_alert(rule, [case], tmp_path)
