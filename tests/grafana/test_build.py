"""The committed dashboards are those that the declaration makes, and the command says when they are not."""

import json

import pytest

from grafana import build
from grafana.frame import Band, Section, frame
from grafana.panels import Field, Query, Words, number

WORDS = Words("It says.", "It is good.", "Do this.")


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
    monkeypatch.setattr(build, "stale", lambda: ["queues.json"])

    with pytest.raises(SystemExit, match=r"not up to date: queues\.json; run `python -m grafana\.build --write`"):
        build.main(["--check"])


def test_write_then_check_is_content(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "FOLDER", tmp_path)

    build.main(["--write"])

    assert build.stale(tmp_path) == []
    assert json.loads((tmp_path / "overview.json").read_text(encoding="utf-8"))["uid"] == "csq-overview"


def test_panels_that_do_not_fill_the_grid_are_refused():
    panel = number("A", WORDS, Query("vector(1)"), Field("short"))

    with pytest.raises(ValueError, match=r"Now: the panels of a band are 24 wide together, got 12"):
        frame("u", "t", "q", ("job",), [Section("Now", [Band(4, [(12, panel)])])])
