"""S(x): the parts are monotonic, and the weights learn and stay a convex combination."""

import math
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.models.model import Example, RefusedExampleError
from operators.domain.models.satisfaction import (
    KIND,
    MODEL,
    START,
    SatisfactionLearner,
    SatisfactionParams,
    SatisfactionScorer,
    SatisfactionWeights,
    attitude_part,
    effort_part,
    mood_part,
    project,
    resolution_part,
    response_part,
)
from operators.domain.models.training import ModelTraining

PART = st.none() | st.floats(0.0, 5.0)
PARTS = st.lists(PART, min_size=5, max_size=5)
TALK: dict[str, Any] = {
    "wait_seconds": 60.0, "limit_seconds": 180.0, "attitude": 3.0, "mood": 0.0, "outcome": "solved", "reopenings": 0, "rounds": 1, "handoffs": 0,
}  # fmt: skip


def scored(**changes: Any) -> tuple[float | None, dict[str, float | None]]:
    return SatisfactionScorer({MODEL: WEIGHTS}).score_one(**{**TALK, **changes})


WEIGHTS = SatisfactionWeights()


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(1e-3, 1e7))
def test_the_response_part_falls_with_the_wait(wait: float, more: float, limit: float) -> None:
    assert 0 <= response_part(wait + more, limit) <= response_part(wait, limit) <= 5
    assert response_part(limit, limit) == 2.5


@given(st.floats(1, 5), st.floats(1, 5), st.floats(-1, 1), st.floats(-1, 1))
def test_attitude_and_mood_rise(a: float, b: float, m: float, n: float) -> None:
    assert 0 <= attitude_part(min(a, b)) <= attitude_part(max(a, b)) <= 5
    assert 0 <= mood_part(min(m, n)) <= mood_part(max(m, n)) <= 5


def test_the_resolution_part_is_by_outcome_and_each_reopening_halves_it() -> None:
    assert [resolution_part(outcome, 0) for outcome in ("solved", "partial", "unsolved", "abandoned", None)] == [
        5,
        2.5,
        0,
        0,
        None,
    ]
    assert [resolution_part("solved", n) for n in range(3)] == [5, 2.5, 1.25]
    assert resolution_part("solved", 5_000) == 0.0


@given(st.integers(0, 100), st.integers(0, 20), st.integers(0, 20))
def test_the_effort_part_falls_with_each_round_hand_off_and_reopening(
    rounds: int, handoffs: int, reopenings: int
) -> None:
    effort = effort_part(rounds, handoffs, reopenings)
    assert 0 < effort <= 5
    assert effort_part(rounds + 1, handoffs, reopenings) < effort or rounds == 0
    assert effort_part(rounds, handoffs + 1, reopenings) < effort
    assert effort_part(rounds, handoffs, reopenings + 1) < effort


def test_the_sum_of_the_articles_is_2_8() -> None:
    assert SatisfactionWeights().score_one((2.0, 4.0, None, None, None)) == 2.8


def test_at_the_start_response_and_attitude_alone_count() -> None:
    score, parts = scored(wait_seconds=180.0, attitude=5.0)
    assert score == pytest.approx(0.6 * 2.5 + 0.4 * 5)
    assert parts == {"response": 2.5, "attitude": 5.0, "mood": 2.5, "resolution": 5.0, "effort": 5.0}


def test_a_part_that_is_not_known_gives_its_weight_to_the_others() -> None:
    assert scored(attitude=None)[0] == scored()[1]["response"]
    assert scored(wait_seconds=None, attitude=None)[0] == pytest.approx((2.5 + 5 + 5) / 3)  # none has a weight yet
    assert scored(wait_seconds=None, attitude=None, mood=None)[0] is None  # nothing was said
    assert scored(wait_seconds=None, attitude=None, mood=None)[1]["effort"] == 5.0


def test_no_wait_and_no_mood_are_numbers_and_not_unknown() -> None:
    assert scored(wait_seconds=0.0, mood=0.0)[1] | {} == {
        "response": 5.0,
        "attitude": 2.5,
        "mood": 2.5,
        "resolution": 5.0,
        "effort": 5.0,
    }


@given(PARTS)
def test_s_is_never_outside_its_parts(parts: list[float | None]) -> None:
    score = SatisfactionWeights().score_one(parts)
    known = [part for part, weight in zip(parts, START, strict=True) if part is not None and weight > 0]
    known = known or [part for part in parts if part is not None]
    if score is None:
        assert parts[:3] == [None] * 3
    else:
        assert min(known) - 1e-9 <= score <= max(known) + 1e-9


def check_convex(weights: Any) -> None:
    assert all(weight >= 0 for weight in weights)
    assert math.fsum(weights) == pytest.approx(1.0, abs=1e-9)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=8))
def test_the_projection_is_the_nearest_convex_combination(weights: list[float]) -> None:
    projected = project(weights)
    check_convex(projected)
    distance = math.dist(weights, projected)
    rng = Random(1)  # noqa: S311  not a secret
    for _ in range(20):
        other = [rng.expovariate(1) for _ in weights]
        assert distance <= math.dist(weights, [weight / sum(other) for weight in other]) + 1e-9


@given(st.lists(st.tuples(PARTS, st.floats(0, 5)), max_size=30), st.floats(0.001, 1.0))
def test_the_weights_stay_a_convex_combination(ratings: list[tuple[Any, float]], rate: float) -> None:
    training = ModelTraining(KIND, SatisfactionParams(learning_rate=rate))
    for parts, rating in ratings:
        training.take(Example(parts, 2.5, rating, 1.0, 0.0))
        check_convex(training.learner.state()["weights"])


def test_learning_finds_the_weights_that_customers_go_by() -> None:
    rng, learner = Random(3), SatisfactionLearner(SatisfactionParams())  # noqa: S311  not a secret
    truth = (0.2, 0.1, 0.5, 0.2, 0.0)
    errors = []
    for _ in range(4_000):
        parts = [rng.uniform(0, 5) for _ in truth]
        rating = sum(weight * part for weight, part in zip(truth, parts, strict=True))
        published = learner.weights.score_one(parts)
        assert published is not None
        errors.append(abs(published - rating))
        learner.learn_one(Example(parts, published, rating, 1.0, 0.0))
    assert sum(errors[-400:]) < 0.25 * sum(errors[:400])
    assert math.dist(truth, learner.weights.weights) < 0.1


def counts(training: ModelTraining) -> tuple[int, int, int]:
    return training.learned, training.refused, training.rollbacks


def test_the_loss_is_the_absolute_error_and_within_one_point_is_right() -> None:
    training = ModelTraining(KIND, SatisfactionParams())
    training.take(Example((5.0, 5.0, 5.0, 5.0, 5.0), 1.0, 4.0, 1.0, 60.0))
    ports = dict(training.drain())
    assert ports["judged"] == [(MODEL, 1.0, 4.0, 60.0)]
    measured = {name: value for name, _, value in ports["measured"]}
    assert (measured["csq_model_loss"], measured["csq_model_accuracy"]) == (3.0, 0.0)  # the squared error is 9
    training.take(Example((0.0, 0.0, 0.0, 0.0, 0.0), 3.0, 4.0, 1.0, 60.0))
    assert training.prequential.loss == pytest.approx(2.0, abs=0.01)
    assert training.prequential.accuracy == pytest.approx(0.5, abs=0.01)


def test_a_rating_is_no_probability_and_has_no_calibration_error() -> None:
    training = ModelTraining(KIND, SatisfactionParams())
    training.take(Example((5.0, 5.0, 5.0, 5.0, 5.0), 1.0, 4.0, 1.0, 60.0))
    measured = {name for name, _, _ in dict(training.drain())["measured"]}
    assert "csq_model_loss" in measured
    assert not {"csq_model_calibration_error", "csq_model_auc"} & measured


@pytest.mark.parametrize("rating", [math.nan, math.inf])
def test_a_rating_that_is_not_finite_is_refused_and_not_judged(rating: float) -> None:
    training = ModelTraining(KIND, SatisfactionParams())
    training.take(Example((1.0, 2.0, None, None, None), 2.0, rating, 1.0, 0.0))
    assert training.learner.state()["weights"] == list(START)
    assert (counts(training), training.prequential.n) == ((0, 1, 0), 0)


def test_a_rating_without_any_known_part_is_refused() -> None:
    with pytest.raises(RefusedExampleError, match="neither wait nor attitude nor mood is known"):
        SatisfactionLearner(SatisfactionParams()).learn_one(Example([None] * 5, 2.0, 3.0, 1.0, 0.0))


@pytest.mark.parametrize("part", [math.nan, math.inf])
def test_a_part_that_is_not_finite_is_refused(part: float) -> None:
    training = ModelTraining(KIND, SatisfactionParams())
    training.take(Example((part, 2.0, None, None, None), 2.0, 3.0, 1.0, 0.0))
    assert training.learner.state()["weights"] == list(START)
    assert counts(training) == (0, 1, 0)


@given(st.lists(st.tuples(PARTS, st.floats(0, 5)), max_size=20), st.integers(0, 20))
def test_a_resumed_learner_has_the_same_future(ratings: list[tuple[Any, float]], cut: int) -> None:
    def learn(training: ModelTraining, some: list[tuple[Any, float]]) -> ModelTraining:
        for parts, rating in some:
            published = training.learner.weights.score_one(parts) or 0.0
            training.take(Example(parts, published, rating, 1.0, 5.0))
        return training

    def fresh() -> ModelTraining:
        return ModelTraining(KIND, SatisfactionParams())

    resumed = fresh()
    resumed.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(learn(fresh(), ratings[:cut]).state())))
    assert learn(fresh(), ratings).state() == learn(resumed, ratings[cut:]).state()
