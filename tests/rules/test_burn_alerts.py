"""Every burn-rate alert, each of its pairs of windows: silent just before, firing just after, resolved, silent when few."""

import pytest

from flows.commands.rules.burn_alerts import name_of
from tests.rules.objectives import all_burn_alerts, cases
from tests.rules.promtool import Rule, check_alert, rules

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prometheus_programs")]


def rule_of(slo: str, queue_class: str | None, severity: str) -> Rule:
    [rule] = [
        rule
        for rule in rules()
        if rule.get("alert") == name_of(slo)
        and (rule["labels"].get("class"), rule["labels"]["severity"]) == (queue_class, severity)
    ]
    return rule


@pytest.mark.parametrize("which", all_burn_alerts(), ids=lambda which: "-".join(filter(None, which)))
def test_a_burn_alert_fires_when_its_windows_say_so_and_only_then(which, tmp_path):
    check_alert(rule_of(*which), cases(*which), tmp_path)
