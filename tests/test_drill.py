"""The drills: what they are made of, that a wrong outcome fails, and, with real servers, that every one passes."""

import json
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Condition

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition

from operators.connectors.embedded import PARTITIONS, EmbeddedBroker
from operators.simulator import Simulator, SimulatorParams
from tests.drills import __main__ as command
from tests.drills.cases import DRILLS, LANES, WAITS, Drill, shop
from tests.drills.ground import TOPIC, settings
from tests.drills.pager import Notice, Pager
from tests.drills.run import DrillError, Row, _Run
from tests.drills.shop import Shop, faster
from tests.drills.table import table
from tests.drills.watch import Held, routes_to, rule_files
from tests.letters import consume
from tests.rules.promtool import rules
from tests.streams import ROOT

COMMITTED = yaml.safe_load((ROOT / "config" / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
PAGE = {"alertname": "CsqReplyBurn", "severity": "page", "team": "service", "slo": "reply", "queue": "billing"}


# What is shortened, and what is not.


def test_the_routes_are_the_committed_ones_but_for_receivers_hours_and_intervals():
    drilled = routes_to("http://127.0.0.1:1", 60)

    def shape(route: dict) -> dict:
        kept = {
            name: value
            for name, value in route.items()
            if name not in {"group_wait", "group_interval", "repeat_interval"}
        }
        return kept | {"routes": [shape(child) for child in route.get("routes", [])]}

    assert shape(drilled["route"]) == shape(COMMITTED["route"])
    assert drilled["inhibit_rules"] == COMMITTED["inhibit_rules"]
    assert [one["name"] for one in drilled["receivers"]] == [one["name"] for one in COMMITTED["receivers"]]
    assert COMMITTED["route"]["group_interval"] == "5m"
    assert drilled["route"]["group_interval"] == "5000ms"


def test_the_rules_are_the_committed_ones_with_the_same_objectives_and_guards(tmp_path):
    files = rule_files(tmp_path, 60, 720)
    drilled = [
        rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
    ]

    assert sorted(rule.get("alert", rule.get("record")) for rule in drilled) == sorted(
        rule.get("alert", rule.get("record")) for rule in rules()
    )
    text = next(rule["expr"] for rule in drilled if rule.get("alert") == "CsqModelLossRising")
    assert "[30s]" in text
    assert ">= 8" in text  # of 100: the shop is 60 times as fast, this window 720 times


def test_a_time_in_an_event_moves_towards_the_start_also_in_one_that_is_broken():
    deliveries = list(Simulator(SimulatorParams(broken_share=0.5)).take(2_000))
    start = SimulatorParams().start
    moved = [faster(delivery.raw, start, 60) for delivery in deliveries]

    assert any(b"2036" in delivery.raw for delivery in deliveries)  # broken ones, from the future
    assert not any(b"2036" in raw for raw in moved)
    assert any(b"2026-03" in raw for raw in moved)
    true = [json.loads(raw) for raw in moved if raw.startswith(b'{"specversion":"1.0","id":"e')]
    assert len(true) > 1_000
    assert max(event["time"] for event in true) < "2026-01-05T08:00:10"


def test_a_shop_has_been_open_for_a_while_and_goes_on_live():
    with EmbeddedBroker([TOPIC]) as broker:
        reader = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "arrived"})
        parts = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]

        def arrived() -> int:
            return sum(reader.get_watermark_offsets(part, timeout=10)[1] for part in parts)

        begun = time.time()
        written = Shop(broker.bootstrap_servers, TOPIC, SimulatorParams(events_per_second=1), by=60, past_seconds=1_800)
        written.start()
        try:
            while not (written.is_live and arrived() > 1_000) and time.time() < begun + 20:
                time.sleep(0.05)  # what the broker has not taken when a shop is closed is dropped
        finally:
            written.close()
            reader.close()
        seen = consume(broker.bootstrap_servers, TOPIC)

    assert written.is_live
    assert len(seen) > 1_000
    assert written.behind_seconds > 25  # of its past of 30 s; a drill counts from its own beginning


def test_limits_of_csq_are_shorter_by_the_same_factor():
    assert settings("127.0.0.1:1", 60)["promises"]["limit_seconds"] == 3.0


def test_every_drill_is_held_once():
    assert sorted(name for lane in LANES for name in lane) == sorted(drill.name for drill in DRILLS)
    known = {drill.name: drill for drill in DRILLS}
    for lane in LANES:
        assert len({(known[name].by, known[name].long_by) for name in lane}) == 1


# Expected and received notifications are compared.


class GivenPager(Pager):
    """A pager without a server, with given notifications."""

    def __init__(self, notices: Sequence[Notice]) -> None:
        self._notices = list(notices)
        self._received = Condition()


class GivenWatch:
    """A watch with given notices."""

    def __init__(self, *notices: Notice) -> None:
        self.pager = GivenPager(notices)
        self.held: dict = {}

    def firing(self) -> list:
        return [PAGE]

    def look(self) -> None:
        """Nothing is kept back."""


class RunningCsq:
    """A csq that runs."""

    class csq:  # noqa: N801 - the name of the attribute
        class process:  # noqa: N801 - the name of the attribute
            poll = staticmethod(lambda: None)


DRILL = Drill(
    *("one", "something breaks", 60, shop("rush"), shop("normal"), "CsqReplyBurn"),
    labels={"severity": frozenset({"page"}), "queue": frozenset({"billing"})},
    receiver="page-service",
    held=WAITS,
    within_seconds=0.0,
)


def outcome(*notices: Notice, held: tuple = (), drill: Drill = DRILL) -> _Run:
    watch = GivenWatch(*notices)
    watch.held = {tuple(sorted(labels.items())): [at] for at, labels in held}
    return _Run(drill, RunningCsq(), watch, Row(drill))  # type: ignore[arg-type]  # stand-ins


FIRING, RESOLVED = Notice(10.0, "page-service", "firing", PAGE), Notice(20.0, "page-service", "resolved", PAGE)


def test_the_right_notice_counts_from_the_cause():
    run = outcome(FIRING, RESOLVED)
    run._wait_for_alert(4.0)
    run._wait_for_resolved(4.0, 15.0)
    run._check_others(4.0)

    assert (run._row.to_alert, run._row.to_resolved) == (6.0, 5.0)


@pytest.mark.parametrize(
    "notice",
    [
        FIRING._replace(receiver="ticket-service"),
        FIRING._replace(labels=PAGE | {"severity": "ticket"}),
        FIRING._replace(labels=PAGE | {"queue": "orders"}),
        FIRING._replace(labels=PAGE | {"alertname": "CsqCsatBurn"}),
        FIRING._replace(status="resolved"),
        FIRING._replace(at=3.0),
    ],
)
def test_a_notice_with_another_receiver_label_name_status_or_time_does_not_count(notice):
    with pytest.raises(DrillError, match=r"expected CsqReplyBurn\{queue=billing,severity=page\} at page-service"):
        outcome(notice)._wait_for_alert(4.0)


def test_a_page_later_than_the_aim_fails():
    with pytest.raises(DrillError, match="within 60 s of objective time, it took 360 s"):
        outcome(FIRING, drill=replace(DRILL, objective_seconds=60.0))._wait_for_alert(4.0)


def test_what_does_not_resolve_fails(monkeypatch):
    monkeypatch.setattr("tests.drills.run.RESOLVED_SECONDS", 0.0)
    with pytest.raises(DrillError, match="still firing: CsqReplyBurn"):
        outcome(FIRING)._wait_for_resolved(4.0, 15.0)


def test_an_alert_that_is_over_before_its_cause_fails():
    outcome(FIRING)._check_still_firing(4.0)
    outcome(FIRING, RESOLVED, FIRING._replace(at=21.0))._check_still_firing(4.0)
    with pytest.raises(DrillError, match="to fire as long as the cause lasts, it was resolved before"):
        outcome(FIRING, RESOLVED)._check_still_firing(4.0)


def test_where_nothing_is_inhibited_the_drill_fails(monkeypatch):
    monkeypatch.setattr("tests.drills.run.HELD_SECONDS", 0.0)
    with pytest.raises(DrillError, match="to be inhibited"):
        outcome(FIRING)._wait_for_held()


def test_an_unexpected_alert_fails():
    other = FIRING._replace(labels={"alertname": "CsqStalled"})
    with pytest.raises(DrillError, match=r"expected nothing beside CsqReplyBurn, came CsqStalled"):
        outcome(FIRING, RESOLVED, other)._check_others(4.0)


def test_a_notification_of_an_inhibited_alert_fails():
    ticket = PAGE | {"severity": "ticket"}
    held = ((Held(11.0, 20.0), ticket),)
    outcome(FIRING, RESOLVED, FIRING._replace(at=9.0, labels=ticket), held=held)._check_others(4.0)
    outcome(FIRING, RESOLVED, FIRING._replace(at=25.0, labels=ticket), held=held)._check_others(4.0)
    with pytest.raises(DrillError, match="to be inhibited, but it notified"):
        outcome(FIRING, RESOLVED, FIRING._replace(at=15.0, labels=ticket), held=held)._check_others(4.0)


def test_the_pager_remembers_every_alert_of_a_message():
    said = {"summary": "Replies come late"}
    with Pager() as pager:
        alerts = [{"status": status, "labels": PAGE, "annotations": said} for status in ("firing", "resolved")]
        body = json.dumps({"alerts": alerts})
        urllib.request.urlopen(f"{pager.url}/page-service", data=body.encode(), timeout=5).close()  # noqa: S310 - our own

        assert [(one.receiver, one.status, one.summary) for one in pager.notices()] == [
            ("page-service", "firing", "Replies come late"),
            ("page-service", "resolved", "Replies come late"),
        ]


def test_the_table_has_a_row_for_each_and_says_what_failed():
    row = Row(DRILL, [PAGE], "Replies come late", 2.5, 7.0, ["CsqReplyBurn ticket"], age_p99=0.05)
    lines = table([row, Row(DRILL, failed="expected this, came that")]).splitlines()

    assert lines[1].split("  ")[0] == "one"
    assert " ".join(lines[1].split()).endswith(
        "CsqReplyBurn severity=page team=service slo=reply queue=billing "
        "2.5 s 2 min (60x) 7.0 s 1 CsqReplyBurn ticket 50 ms"
    )
    assert lines[-2:] == ["one: summary: Replies come late", "one: FAILED: expected this, came that"]


def test_a_drill_that_fails_ends_with_another_code(monkeypatch, capsys):
    monkeypatch.setattr(command, "prepare", lambda names: None)
    monkeypatch.setattr(command, "hold_all", lambda *_: [Row(DRILL), Row(DRILL, failed="expected this, came that")])

    assert command.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "drills 2, passed 1"


# With real servers.


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("prometheus_programs", "kafka_libraries")
def test_every_drill_passes(tmp_path: Path, capsys):
    code = command.main(["--keep", str(tmp_path)])

    printed = capsys.readouterr().out
    assert code == 0, printed
    assert printed.splitlines()[-1] == f"drills {len(DRILLS)}, passed {len(DRILLS)}"
