"""The running evaluation of a model, compared with River's metrics and with brute force."""

import math
from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import metrics

from operators.domain.models.prequential import (
    BINS,
    FADING,
    WINDOW,
    Judgement,
    Prequential,
    auc_of,
    calibration_error_of,
    log_loss_one,
)
from operators.domain.models.tasks import BinaryTask

SHARE = st.floats(0.0, 1.0)
PAIRS = st.lists(st.tuples(SHARE | st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans()), max_size=40)


@given(PAIRS)
def test_auc_is_the_share_of_pairs_that_are_ranked_right(pairs: list[tuple[float, bool]]) -> None:
    positives, negatives = [s for s, t in pairs if t], [s for s, t in pairs if not t]
    actual = auc_of(pairs)
    if not positives or not negatives:
        assert actual is None
        return
    wins = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in product(positives, negatives))
    assert actual == pytest.approx(wins / (len(positives) * len(negatives)), abs=1e-12)


def test_auc_agrees_with_river() -> None:
    pairs = [((7 * n % 100) / 100, (3 * n % 100) / 100 + (7 * n % 100) / 100 > 0.9) for n in range(400)]
    river = metrics.ROCAUC(n_thresholds=1_001)
    for score, truth in pairs:
        river.update(truth, score)
    assert auc_of(pairs) == pytest.approx(river.get(), abs=2e-3)


@given(SHARE, st.booleans())
def test_log_loss_agrees_with_river(p: float, truth: bool) -> None:
    river = metrics.LogLoss()
    river.update(truth, min(max(p, 1e-7), 1 - 1e-7))
    assert log_loss_one(p if truth else 1 - p) == pytest.approx(river.get(), rel=1e-6)


@given(PAIRS)
def test_the_calibration_error_is_the_mean_gap_of_its_bins(pairs: list[tuple[float, bool]]) -> None:
    actual = calibration_error_of(pairs)
    if not pairs:
        assert actual is None
        return
    error = 0.0
    for place in range(BINS):
        found = [(c, r) for c, r in pairs if min(int(c * BINS), BINS - 1) == place]
        if found:
            gap = abs(sum(c for c, _ in found) / len(found) - sum(r for _, r in found) / len(found))
            error += len(found) / len(pairs) * gap
    assert actual == pytest.approx(error, abs=1e-12)


def add(prequential: Prequential, p: float, truth: bool) -> None:
    prequential.add(BinaryTask().judge_one(p, truth), 60 * p)


def judged(cases: list[tuple[float, bool]]) -> Prequential:
    prequential = Prequential("churn")
    for p, truth in cases:
        add(prequential, p, truth)
    return prequential


@given(st.lists(st.tuples(SHARE, st.booleans()), min_size=1, max_size=60))
def test_loss_and_accuracy_fade_exponentially(cases: list[tuple[float, bool]]) -> None:
    weights = [FADING ** (len(cases) - 1 - place) for place in range(len(cases))]
    losses = [log_loss_one(p if truth else 1 - p) for p, truth in cases]
    rights = [(p > 0.5) == truth for p, truth in cases]
    judge = judged(cases)
    assert judge.n == len(cases)
    assert judge.loss == pytest.approx(
        sum(map(math.prod, zip(weights, losses, strict=True))) / sum(weights), rel=1e-9, abs=1e-12
    )
    assert judge.accuracy == pytest.approx(
        sum(map(math.prod, zip(weights, rights, strict=True))) / sum(weights), rel=1e-9, abs=1e-12
    )


def test_accuracy_of_few_examples_is_nearly_that_of_river() -> None:
    cases = [(0.9, n % 3 != 0) for n in range(30)]
    river = metrics.Accuracy()
    for p, truth in cases:
        river.update(truth, p > 0.5)
    assert judged(cases).accuracy == pytest.approx(river.get(), abs=0.01)


def test_auc_is_of_the_last_thousand_only() -> None:
    wrong = [(0.1, True), (0.9, False)] * WINDOW
    right = [(0.9, True), (0.1, False)] * (WINDOW // 2)
    assert judged(wrong + right).auc() == 1.0


def test_before_any_example_nothing_is_measured() -> None:
    assert Prequential("churn").measure() == []


def test_what_is_measured_has_the_name_of_the_model() -> None:
    measured = {name: (labels, value) for name, labels, value in judged([(0.9, True), (0.2, False)]).measure()}
    assert set(measured) == {
        "csq_model_loss", "csq_model_accuracy", "csq_model_label_delay_seconds", "csq_model_auc", "csq_model_calibration_error",
    }  # fmt: skip
    assert {labels for labels, _ in measured.values()} == {("churn",)}
    assert measured["csq_model_auc"][1] == 1.0


def test_a_model_of_more_classes_has_no_auc() -> None:
    judge = Prequential("sentiment/en")
    judge.add(Judgement(0.1, right=True, confidence=0.9), 1.0)
    assert judge.auc() is None
    assert "csq_model_auc" not in {name for name, _, _ in judge.measure()}


@given(st.lists(st.tuples(SHARE, st.booleans()), max_size=30), st.integers(0, 30))
def test_a_resumed_evaluation_is_bit_for_bit_the_undisturbed_one(cases: list[tuple[float, bool]], cut: int) -> None:
    whole, first, resumed = judged(cases), judged(cases[:cut]), Prequential("churn")
    resumed.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.state())))
    for p, truth in cases[cut:]:
        add(resumed, p, truth)
    assert whole.state() == resumed.state()
    assert whole.measure() == resumed.measure()
