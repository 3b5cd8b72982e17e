"""Minutes under load with faults of csq, its broker, its topic, its clock and its store: nothing is lost.

`make soak` does it for longer.
"""

import re
from pathlib import Path

import pytest

from bench.soak import main, quantile


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_faults_under_load_lose_nothing(kafka_libraries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--minutes", "2", "--rate", "1000"])

    reported = capsys.readouterr().out
    assert reported.splitlines()[-1] == "soak ok: lost 0", reported
    assert code == 0
    for fault in (
        "kill -9",
        "broken records",
        "ahead",
        "back",
        "held",
        "transaction",
        "down",
        "added",
        "made anew",
        "store removed",
    ):
        assert re.search(rf"^at \d+ s .*{fault}.*, over after", reported, re.MULTILINE), fault


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        (0.5, {"1.0": 0, "2.0": 10, "+Inf": 10}, 1.5),
        (1.0, {"1.0": 5, "2.0": 10, "+Inf": 10}, 2.0),
        (0.99, {"1.0": 5, "+Inf": 10}, 1.0),  # beyond the last bound nothing more is known
        (0.5, {"1.0": 0, "+Inf": 0}, None),
        (0.5, {}, None),
    ],
)
def test_a_quantile_is_what_prometheus_would_say(q: float, buckets: dict[str, float], expected: float | None) -> None:
    assert quantile(q, {(bound,): count for bound, count in buckets.items()}) == expected
