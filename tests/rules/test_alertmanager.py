"""Alertmanager: its settings are valid, every alert reaches who it is for, what follows is inhibited, texts can be read."""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from tests.rules.promtool import ROOT, rendered, rules
from tests.servers.prometheus import Alertmanager, amtool

CONFIG = ROOT / "config" / "alertmanager" / "alertmanager.yml"
TEMPLATES = ROOT / "config" / "alertmanager" / "templates"
SETTINGS = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
ALERTS = [rule for rule in rules() if "alert" in rule]
LABELS = {"job": "csq", "instance": "a:1", "queue": "orders", "model": "churn", "stage": "customers"}
LABELS |= {"reason": "not_json", "segment": "business", "source": "csq.events", "calendar": "office"}
RECEIVERS = {
    ("none", "platform"): "watchdog",
    ("page", "platform"): "page-platform",
    ("page", "service"): "page-service",
    ("ticket", "platform"): "ticket-platform",
    ("ticket", "service"): "ticket-service",
    ("ticket", "data"): "ticket-data",
}
"""Receiver by severity and team."""

pytestmark = pytest.mark.usefixtures("prometheus_programs")


def labels_of(rule: dict[str, Any]) -> dict[str, str]:
    """The labels of an alert, with those in its texts."""
    text = " ".join(rule["annotations"].values())
    named = {label: value for label, value in LABELS.items() if f"$labels.{label}" in text}
    return {"job": "csq", **named, **rule["labels"], "alertname": rule["alert"]}


def test_the_settings_and_the_templates_are_valid():
    reported = amtool("check-config", CONFIG)

    assert "1 templates" in reported
    assert f"{len(SETTINGS['inhibit_rules'])} inhibit rules" in reported


@pytest.mark.parametrize(
    ("severity", "team"), sorted({(rule["labels"]["severity"], rule["labels"]["team"]) for rule in ALERTS})
)
def test_every_alert_reaches_the_team_that_it_is_for(severity, team):
    for rule in ALERTS:
        if (rule["labels"]["severity"], rule["labels"]["team"]) == (severity, team):
            reported = [f"{name}={value}" for name, value in labels_of(rule).items()]
            amtool(
                *("config", "routes", "test", f"--config.file={CONFIG}"),
                *(f"--verify.receivers={RECEIVERS[severity, team]}", *reported),
            )


def test_opening_hours_stand_in_the_settings_of_csq_and_not_here_too():
    assert "time_intervals" not in SETTINGS
    assert "mute_time_intervals" not in CONFIG.read_text(encoding="utf-8")


def test_every_receiver_is_used_and_sends_resolved_alerts():
    assert {receiver["name"] for receiver in SETTINGS["receivers"]} == set(RECEIVERS.values())
    for receiver in SETTINGS["receivers"]:
        for reported in [*receiver.get("slack_configs", ()), *receiver.get("email_configs", ())]:
            assert reported["send_resolved"] is True


def test_secrets_come_from_files():
    text = CONFIG.read_text(encoding="utf-8")
    reported = dict(re.findall(r"^#   (\w+) +(.+)$", text, re.MULTILINE))

    assert set(re.findall(r"/etc/alertmanager/secrets/(\w+)", text)) == set(reported)
    assert (
        re.findall(r"^\s*-?\s*(?:\w*password|\w*_key|api_url|credentials|routing_key|service_key):", text, re.MULTILINE)
        == []
    )


# ---- what is written


def data(rule: dict[str, Any], status: str, queues: tuple[str, ...] = ("orders",)) -> dict[str, Any]:
    """What Alertmanager hands to a template."""
    alerts = []
    for queue in queues:
        labels = labels_of(rule) | ({"queue": queue} if "queue" in labels_of(rule) else {})
        annotations = {name: rendered(text, labels, "63.2%") for name, text in rule["annotations"].items()}
        alerts.append(
            {
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": "2026-01-05T08:00:00Z",
                "endsAt": "2026-01-05T09:00:00Z" if status == "resolved" else "0001-01-01T00:00:00Z",
                "generatorURL": "http://prometheus:9090/graph",
            }
        )
    first = alerts[0]
    common = {
        kind: {
            name: value
            for name, value in first[kind].items()
            if all(alert[kind].get(name) == value for alert in alerts)
        }
        for kind in ("labels", "annotations")
    }
    return {
        "receiver": "x",
        "status": status,
        "alerts": alerts,
        "groupLabels": {"alertname": rule["alert"]},
        "commonLabels": common["labels"],
        "commonAnnotations": common["annotations"],
        "externalURL": "http://alertmanager:9093",
    }


def render(name: str, reported: dict[str, Any], folder) -> str:
    file = folder / "data.json"
    file.write_text(json.dumps(reported), encoding="utf-8")
    return amtool(
        *("template", "render", f"--template.glob={TEMPLATES / '*.tmpl'}", f"--template.data={file}"),
        *(
            f"--template.type={'html' if name == 'csq.mail' else 'text'}",
            f'--template.text={{{{ template "{name}" . }}}}',
        ),
    )


def rule_of(alert: str, severity: str) -> dict[str, Any]:
    return next(rule for rule in ALERTS if (rule["alert"], rule["labels"]["severity"]) == (alert, severity))


@pytest.mark.parametrize("template", ["csq.chat", "csq.text", "csq.mail"])
def test_a_message_shows_queue_numbers_and_links(template, tmp_path):
    shown = render(template, data(rule_of("CsqReplyBurn", "page"), "firing", ("orders", "returns")), tmp_path)
    shown = shown.replace("&amp;", "&")

    for queue in ("orders", "returns"):
        assert f"queue {queue}" in shown
        assert f"Queue {queue}: 63.2% of reply rounds missed their limit" in shown
        assert f"/d/csq-queues?from=1767596400000&to=now&var-queue={queue}" in shown
    assert f"{'runbooks/CsqReplyBurn.md'}" in shown
    assert "2026-01-05 08:00 UTC" in shown


def test_what_is_over_says_so_and_its_dashboard_ends_there(tmp_path):
    reported = data(rule_of("CsqReplyBurn", "page"), "resolved")

    assert render("csq.title", reported, tmp_path).startswith("OVER CsqReplyBurn: Replies within the limit")
    assert "(over)" in render("csq.chat", reported, tmp_path)
    assert "from=1767596400000&to=1767605400000" in render("csq.chat", reported, tmp_path)
    assert "Silence" not in render("csq.chat", reported, tmp_path)
    assert render("csq.colour", reported, tmp_path) == "good"


def test_a_title_of_several_names_their_places(tmp_path):
    several = data(rule_of("CsqReplyBurn", "page"), "firing", ("orders", "returns"))
    one = data(rule_of("CsqModelLossRising", "ticket"), "firing")

    assert render("csq.title", several, tmp_path) == "PAGE CsqReplyBurn (2 of 2): queue orders, queue returns"
    assert render("csq.title", one, tmp_path) == "TICKET CsqModelLossRising: The loss of model churn is rising"
    assert [render("csq.colour", reported, tmp_path) for reported in (several, one)] == ["danger", "warning"]


@pytest.mark.slow
def test_every_alert_can_be_written(tmp_path):
    for rule in ALERTS:
        reported = data(rule, "firing")
        for template in ("csq.title", "csq.chat"):
            shown = render(template, reported, tmp_path)
            assert "no value" not in shown
            assert "{{" not in shown
        assert reported["alerts"][0]["annotations"]["description"] in shown


# ---- what is inhibited

FOLLOWS = [
    (
        ("CsqPipelineDown", {}),
        [("CsqStalled", {}), ("CsqReplyBurn", {"queue": "orders"}), ("CsqModelBehind", {})],
        True,
    ),
    (("CsqPipelineDown", {}), [("CsqWatchdog", {}), ("CsqRestarting", {})], False),
    (("CsqPipelineDown", {}), [("CsqStalled", {"job": "staging"}), ("NodeDown", {})], False),
    (
        ("CsqBrokersLost", {}),
        [("CsqStalled", {}), ("CsqLagGrowing", {}), ("CsqOldestOpenWait", {"queue": "orders"})],
        True,
    ),
    (("CsqBrokersLost", {}), [("CsqDeadLetterSurge", {}), ("CsqModelRolledBack", {})], False),
    (("CsqStalled", {}), [("CsqFreshnessBurn", {}), ("CsqQueueWithoutAgents", {"queue": "orders"})], True),
    (("CsqReplyBurn", {"queue": "orders"}), [("CsqReplyBurn", {"queue": "orders", "severity": "ticket"})], True),
    (("CsqReplyBurn", {"queue": "orders"}), [("CsqReplyBurn", {"queue": "returns", "severity": "ticket"})], False),
    (("CsqReplyBurn", {"queue": "orders"}), [("CsqReply5mBurn", {"queue": "orders"})], True),
    (("CsqReplyBurn", {"queue": "orders"}), [("CsqReply5mBurn", {"queue": "returns"})], False),
    (
        ("CsqNobodyThere", {}),
        [("CsqQueueWithoutAgents", {"queue": "orders"}), ("CsqReplyBurn", {"queue": "returns"})],
        True,
    ),
    (("CsqNobodyThere", {}), [("CsqCsatBurn", {"queue": "orders"}), ("CsqDeadLettersBurn", {})], False),
    (("CsqQueueWithoutAgents", {"queue": "orders"}), [("CsqOldestOpenWait", {"queue": "orders"})], True),
    (("CsqQueueWithoutAgents", {"queue": "orders"}), [("CsqOldestOpenWait", {"queue": "returns"})], False),
    (("CsqStateEvicted", {"stage": "intake"}), [("CsqStateNearLimit", {"stage": "intake", "instance": "a:1"})], True),
]
"""A cause, others beside it, and whether those are silenced."""


def sent(alert: tuple[str, dict[str, str]]) -> dict[str, Any]:
    name, own = alert
    rule = next(
        (rule for rule in ALERTS if rule["alert"] == name), {"labels": {"severity": "page", "team": "platform"}}
    )
    return {
        "labels": {"alertname": name, "job": "csq", **rule["labels"], **own},
        "startsAt": datetime.now(UTC).isoformat(),
    }


@pytest.mark.slow
def test_what_follows_from_a_cause_is_inhibited_and_nothing_else(tmp_path):
    quiet = {
        "route": {"receiver": "nobody", "group_wait": "1h"},
        "receivers": [{"name": "nobody"}],
        "inhibit_rules": SETTINGS["inhibit_rules"],
    }
    for number, (cause, others, silenced) in enumerate(FOLLOWS):
        with Alertmanager(quiet, folder=tmp_path / str(number)) as alertmanager:
            alertmanager.send([sent(cause), *map(sent, others)])
            states = wait_for(alertmanager, 1 + len(others))

            expected = {name: "suppressed" if silenced else "active" for name, _ in others}
            assert {name: states[name] for name in expected if name != cause[0]} == {
                name: state for name, state in expected.items() if name != cause[0]
            }, cause
            if cause[0] in expected:
                assert states[f"{cause[0]}/ticket"] == expected[cause[0]]


def wait_for(alertmanager: Alertmanager, number: int) -> dict[str, str]:
    """The state of each alert by its name, and of tickets also by name and severity."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        alerts = alertmanager.alerts()
        if len(alerts) == number and all(alert["status"]["state"] != "unprocessed" for alert in alerts):
            break
        time.sleep(0.05)
    states = {alert["labels"]["alertname"]: alert["status"]["state"] for alert in alerts}
    tickets = [alert for alert in alerts if alert["labels"]["severity"] == "ticket"]
    return states | {f"{alert['labels']['alertname']}/ticket": alert["status"]["state"] for alert in tickets}
