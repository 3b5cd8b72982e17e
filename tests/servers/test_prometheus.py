"""The servers of other tests: they start, answer, reload, and report errors."""

import time
from pathlib import Path

import pytest

from tests.servers.prometheus import Alertmanager, Prometheus, ToolError, amtool, promtool

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prometheus_programs")]

RULE = """
groups:
  - name: test
    interval: 1s
    rules:
      - {record: test:sum, expr: vector(1) + 1}
      - {alert: Always, expr: "vector(1) > 0", labels: {severity: page}}
"""
QUICK = {"scrape_interval": "1s", "evaluation_interval": "1s"}
ROUTES = {"route": {"receiver": "nobody", "group_wait": "1s"}, "receivers": [{"name": "nobody"}]}


def test_rules_are_evaluated_and_alerts_reach_alertmanager(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULE)
    assert "2 rules found" in promtool("check", "rules", rules)

    with Alertmanager(ROUTES) as alertmanager:
        targets = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]}
        with Prometheus({"global": QUICK, "alerting": targets}, [rules]) as prometheus:
            sample = prometheus.wait_for("test:sum")[0]
            assert (sample.labels["__name__"], sample.value) == ("test:sum", 2.0)
            assert prometheus.query("1 + 1")[0].value == 2.0
            assert [alert["labels"]["alertname"] for alert in prometheus.alerts()] == ["Always"]
            assert {rule["health"] for rule in prometheus.rules()} == {"ok"}
            end = prometheus.query("time()")[0].value
            assert prometheus.query_range("test:sum", end - 2, end, 1)[0].points[-1][1] == 2.0
            deadline = time.monotonic() + 20
            while not alertmanager.alerts() and time.monotonic() < deadline:
                time.sleep(0.1)
            assert [alert["labels"]["alertname"] for alert in alertmanager.alerts()] == ["Always"]


def test_reload_reads_new_settings_and_reports_mistakes_in_them() -> None:
    with Prometheus({"global": QUICK}) as prometheus:
        assert prometheus.targets() == []
        itself = {"job_name": "itself", "static_configs": [{"targets": [prometheus.address]}]}
        prometheus.reload({"global": QUICK, "scrape_configs": [itself]})
        assert prometheus.wait_for('up{job="itself"} == 1')
        with pytest.raises(RuntimeError, match="field nonsense not found"):
            prometheus.reload({"nonsense": 1})


def test_a_server_that_does_not_start_shows_the_end_of_its_log() -> None:
    alertmanager = Alertmanager({"route": {"receiver": "nobody"}, "receivers": []})
    with pytest.raises(RuntimeError, match=r"undefined receiver .*nobody"):
        alertmanager.start()
    alertmanager.stop()


def test_what_a_tool_refuses_is_reported(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("groups: [{name: x, rules: [{record: a, expr: 'sum('}]}]")
    with pytest.raises(ToolError, match="could not parse expression"):
        promtool("check", "rules", wrong)
    with pytest.raises(ToolError, match="ended with 3"):
        promtool("check", "metrics", stdin="# TYPE seen counter\nseen 1\n")
    assert "receiver: nobody" in amtool("config", "routes", "show", "--config.file", _written(tmp_path))


def _written(folder: Path) -> Path:
    path = folder / "alertmanager.yaml"
    path.write_text("{route: {receiver: nobody}, receivers: [{name: nobody}]}")
    return path
