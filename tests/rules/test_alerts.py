"""Every alert beside the burn rates against the real promtool, and that none is without a case."""

import pytest

from flows.commands.rules.burn_alerts import name_of
from tests.rules.objectives import DECLARATION, all_burn_alerts
from tests.rules.promtool import Rule, check_alert, ignores_closed, ignores_simulated, rules
from tests.rules.scenarios import CASES

ALERTS = [rule for rule in rules() if "alert" in rule]


def key(rule: Rule) -> str:
    return "/".join([rule["alert"], *([rule["labels"]["class"]] if "class" in rule["labels"] else [])])


@pytest.mark.slow
@pytest.mark.usefixtures("prometheus_programs")
@pytest.mark.parametrize("name", CASES)
def test_an_alert_is_silent_before_fires_after_and_ends(name, tmp_path):
    [rule] = [rule for rule in ALERTS if key(rule) == name]

    check_alert(rule, CASES[name], tmp_path)


def test_every_alert_has_cases():
    burns = {name_of(slo) for slo, _, _ in all_burn_alerts()}

    assert {key(rule) for rule in ALERTS if rule["alert"] not in burns} == set(CASES)
    assert [rule["alert"] for rule in ALERTS if "slo" in rule["labels"]] == [
        name_of(slo) for slo, _, _ in all_burn_alerts()
    ]


def test_every_alert_but_two_is_silent_on_invented_customers():
    assert {rule["alert"] for rule in ALERTS if not ignores_simulated(rule)} == {"CsqWatchdog", "CsqSimulated"}


def test_alerts_about_waiting_customers_are_silent_for_closed_queues_and_no_others():
    by_queue = {name_of(slo) for slo, _, _ in all_burn_alerts() if "queue" in DECLARATION.slos[slo].each}

    assert {rule["alert"] for rule in ALERTS if ignores_closed(rule)} == by_queue | {
        "CsqOldestOpenWait",
        "CsqQueueWithoutAgents",
    }


@pytest.mark.parametrize("name", CASES)
def test_every_alert_is_seen_silent_firing_and_silent_again(name):
    if name == "CsqWatchdog":
        assert not any(case.silent for case in CASES[name])
        return
    begins = [min([*case.firing, *case.since]) for case in CASES[name] if case.firing]
    ends = [max([*case.firing, *case.since]) for case in CASES[name] if case.firing]
    cases = [case for case in CASES[name] if case.firing]

    assert any(min(case.silent) < begin for case, begin in zip(cases, begins, strict=True))
    assert any(max(case.silent) > end for case, end in zip(cases, ends, strict=True))
