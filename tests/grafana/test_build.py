"""The committed dashboards are up to date, and the command reports stale ones."""

import json

import pytest

from grafana import build, goals
from grafana.frame import Band, Section, frame
from grafana.panels import Field, PanelText, Query, number

WORDS = PanelText("It says.", "It is good.", "Do this.")


def test_the_committed_dashboards_are_fresh():
    assert build.stale() == []


def test_the_same_declaration_gives_the_same_bytes():
    assert build.documents() == build.documents()


def test_a_changed_a_missing_and_a_left_over_file_are_stale(tmp_path):
    for name, text in build.documents().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert build.stale(tmp_path) == []

    (tmp_path / "queues.json").write_text("{}", encoding="utf-8")
    (tmp_path / "pipeline.json").unlink()
    (tmp_path / "old.json").write_text("{}", encoding="utf-8")

    assert build.stale(tmp_path) == ["old.json", "pipeline.json", "queues.json"]


def test_check_fails_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "stale", lambda _: ["queues.json"])

    with pytest.raises(SystemExit, match=r"not up to date: queues\.json; run `python -m grafana\.build --write`"):
        build.main(["--check"])


def test_write_then_check_is_content(tmp_path):
    build.main(["--write", "--folder", str(tmp_path)])

    assert build.stale(tmp_path) == []
    assert json.loads((tmp_path / "overview.json").read_text(encoding="utf-8"))["uid"] == "csq-overview"


def test_own_queues_and_promises_make_own_dashboards(tmp_path):
    (tmp_path / "my.yaml").write_text(
        "labels: {queues: [VIP]}\npromises: {limit_seconds: 240, queues: {VIP: {limit_seconds: 45}}}\n",
        encoding="utf-8",
    )
    text = goals.FILE.read_text(encoding="utf-8")
    text = text.replace("[billing, technical]", "[VIP]").replace("[orders, returns, other]", "[other]")
    (tmp_path / "slo.yaml").write_text(text, encoding="utf-8")
    own = [
        "--config",
        str(tmp_path / "my.yaml"),
        "--slo",
        str(tmp_path / "slo.yaml"),
        "--folder",
        str(tmp_path / "new"),
    ]

    build.main(["--write", *own])
    build.main(["--check", *own])

    [panel] = [
        each
        for each in json.loads((tmp_path / "new" / "queues.json").read_text("utf-8"))["panels"]
        if each["title"] == "Reply time"
    ]
    assert [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]] == [None, 45, 240]
    assert build.stale() == []  # the committed ones are made from the built-in settings again


def test_settings_that_do_not_fit_are_named_without_a_traceback(tmp_path):
    (tmp_path / "my.yaml").write_text("labels: {queus: [VIP]}\n", encoding="utf-8")

    with pytest.raises(SystemExit, match=r"my\.yaml, line 1: labels\.queus: unknown key"):
        build.main(["--check", "--config", str(tmp_path / "my.yaml")])


def test_panels_that_do_not_fill_the_grid_are_refused():
    panel = number("A", WORDS, Query("vector(1)"), Field("short"))

    with pytest.raises(ValueError, match=r"Now: the panels of a band are 24 wide together, got 12"):
        frame("u", "t", "q", ("job",), [Section("Now", [Band(4, [(12, panel)])])])
