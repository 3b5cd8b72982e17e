"""A small recorded stream gives exactly the numbers of the last review.

The stream and what is expected of it are in ``tests/fixtures``. When a number changes on purpose, write them again and
read the difference before it is committed::

    .venv/bin/python -m tests.flows.test_golden --write

Learned numbers may differ in their last digits from one machine to another; everything else is equal.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.process import observer_of
from flows.replay import replay
from operators.metrics.catalogue import CATALOGUE
from operators.simulator import SimulatorParams, simulate
from tests.streams import NOW, SERVICE, SETTINGS, raws, write

FIXTURES = Path(__file__).parents[1] / "fixtures"
EVENTS, EXPECTED = FIXTURES / "golden.jsonl", FIXTURES / "golden.expected.json"
SHOP = SimulatorParams(
    seed=39,
    events_per_second=1.0,
    scenario="outage",
    scenario_start_seconds=120.0,
    scenario_end_seconds=420.0,
    duplicate_share=0.02,
    broken_share=0.02,
    label_share=0.4,
    rating_share=0.8,
)
DELIVERIES = 600
LARGEST_LINE = 5_000
"""Of the fixture: a record that is too large by purpose would be most of it."""
LEARNED = (
    "csq_turns_total",
    "csq_satisfaction_score",
    "csq_churn_probability",
    "csq_model_examples_total",
    "csq_model_accuracy",
    "csq_model_loss",
    "csq_reply_smoothed_seconds",
    "csq_reply_forecast_seconds",
)
PASSING = {"seconds", "events_per_second"}


def outcome(folder: Path) -> dict[str, Any]:
    """Replay the recorded stream: the summary, and the metrics that are not 0."""
    summary = replay(SETTINGS, [str(EVENTS)], folder, batch_size=16, now=NOW)
    lines = (folder / "metrics.prom").read_text(encoding="utf-8").splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    kept = {
        name: float(value)
        for name, value in samples.items()
        if float(value) and _metric(name) in {*SERVICE, *LEARNED} and "_bucket{" not in name
    }
    return {
        "summary": {key: value for key, value in summary.items() if key not in PASSING},
        "metrics": dict(sorted(kept.items())),
    }


def _metric(sample: str) -> str:
    name = sample.split("{", maxsplit=1)[0]
    return name if name in CATALOGUE else name.removesuffix("_count").removesuffix("_sum")


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(EXPECTED.read_bytes())
    return found


@pytest.fixture(scope="module")
def actual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return outcome(tmp_path_factory.mktemp("golden"))


def test_the_summary_is_the_same(expected: dict[str, Any], actual: dict[str, Any]):
    for key in ("events", "dead_letters", "duplicates", "reply_seconds", "first_response_seconds"):
        assert expected["summary"][key] == actual["summary"][key], key
    assert expected["summary"].keys() == actual["summary"].keys()


def test_the_models_are_as_good(expected: dict[str, Any], actual: dict[str, Any]):
    assert expected["summary"]["models"].keys() == actual["summary"]["models"].keys()
    for model, figures in expected["summary"]["models"].items():
        reported = actual["summary"]["models"][model]
        assert figures.pop("label_delay_seconds") == pytest.approx(reported.pop("label_delay_seconds")), model
        assert figures.pop("last_fifth") == pytest.approx(reported.pop("last_fifth"), rel=1e-5), model
        assert figures == pytest.approx(reported, rel=1e-5), model


def test_service_metrics_are_equal(expected: dict[str, Any], actual: dict[str, Any]):
    def service(metrics: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in metrics.items() if _metric(name) in SERVICE}

    assert service(expected["metrics"]) == service(actual["metrics"])


def test_learned_metrics_are_close(expected: dict[str, Any], actual: dict[str, Any]):
    def learned(metrics: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in metrics.items() if _metric(name) in LEARNED}

    assert learned(expected["metrics"]) == pytest.approx(learned(actual["metrics"]), rel=1e-5)


def test_the_expectation_is_worth_having(expected: dict[str, Any]):
    names = {_metric(name) for name in expected["metrics"]}
    defects = {name for name in SERVICE if name.startswith(("csq_refused_", "csq_stage_"))}
    days_later = {"csq_last_resolution_seconds", "csq_first_contact_resolutions_total"}
    assert set(SERVICE) - defects - days_later <= names
    rounds = {name for name in expected["metrics"] if _metric(name) == "csq_reply_rounds_total"}
    assert {outcome for outcome in ("met", "missed") for name in rounds if outcome in name} == {"met", "missed"}
    assert {*observer_of(SETTINGS, None)[1]._series} >= names


def main() -> None:
    """Write the fixtures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", required=True, help="write the fixtures anew")
    parser.parse_args()
    deliveries, _ = simulate(SHOP, DELIVERIES)
    write(EVENTS, (raw for raw in raws(deliveries) if len(raw) < LARGEST_LINE))
    with tempfile.TemporaryDirectory() as folder:
        EXPECTED.write_text(json.dumps(outcome(Path(folder)), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
