"""The catalogue of metrics is sound, and its document is up to date."""

from pathlib import Path

import pytest

from operators.metrics.catalogue import CATALOGUE, SECTIONS, ClosedSets, Metric, document, main

SETS = ClosedSets(queue=("orders", "returns"), channel=("chat",), segment=("vip",), model=("churn",), stage=("intake",))


def test_every_metric_is_declared_once() -> None:
    assert len(CATALOGUE) == sum(map(len, SECTIONS.values()))


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert metric.name.startswith("csq_")
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert (metric.unit == "seconds") == metric.name.endswith("_seconds")
    assert metric.unit != "0..1" or not metric.name.endswith("_total")
    assert metric.help.endswith(".")
    assert "\n" not in metric.help


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_only_histograms_have_buckets_and_they_rise(metric: Metric) -> None:
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_durations_have_a_bound_at_every_limit_of_a_service_level() -> None:
    limits = {10, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 259200}
    assert limits <= set(CATALOGUE["csq_reply_seconds"].buckets)


def test_known_series_are_the_product_of_the_closed_sets() -> None:
    assert list(CATALOGUE["csq_reply_rounds_total"].known(SETS)) == [
        (queue, "chat", outcome, responder)
        for queue in ("orders", "returns")
        for outcome in ("met", "missed")
        for responder in ("human", "bot")
    ]


def test_a_score_outside_the_scale_of_its_kind_is_no_known_series() -> None:
    known = set(CATALOGUE["csq_feedback_total"].known(SETS))
    assert ("nps", "orders", "0") in known
    assert ("nps", "orders", "10") in known
    assert ("csat", "orders", "0") not in known
    assert ("ces", "orders", "8") not in known
    assert len(known) == 2 * (5 + 11 + 7 + 5 + 5)


@pytest.mark.parametrize("name", ["csq_model_accuracy", "csq_reply_smoothed_seconds", "csq_service_level_ratio"])
def test_a_measure_is_absent_before_it_is_measured(name: str) -> None:
    assert list(CATALOGUE[name].known(SETS)) == []


def test_the_document_names_every_metric() -> None:
    text = document()
    assert all(f"| `{name}` |" in text for name in CATALOGUE)


def test_check_passes_on_what_write_wrote(tmp_path: Path) -> None:
    path = tmp_path / "metrics.md"
    main(["--write", str(path)])
    main(["--check", str(path)])


@pytest.mark.parametrize("content", [None, "# Metrics\n"])
def test_check_says_how_to_mend_a_stale_document(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "metrics.md"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"is not up to date: run `python -m operators\.metrics\.catalogue --write"):
        main(["--check", str(path)])
