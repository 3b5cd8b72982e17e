"""Sentiment scores before training, learns, keeps what it learned, and limits the effect of bad labels."""

import math
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.models.model import Example, RefusedExampleError, WeightsNotFiniteError
from operators.domain.models.sentiment import (
    CLASSES,
    KINDS,
    SentimentLearner,
    SentimentParams,
    SentimentWeights,
    prior,
    score_many,
)
from operators.domain.models.training import ModelTraining
from operators.domain.models.vectors import SPACE, Vector, Vectors
from operators.domain.text.vectorize import VectorizeParams, Vectorizer


def vectors(*texts, language="en"):
    return Vectorizer(VectorizeParams()).vectorize_many(texts, [language] * len(texts))


def made_of(*features):
    return Vector("en", np.array(features, "<i4").tobytes(), 0.0, False)


def labelled(vector, label, weight=1.0):
    return Example(vector.features, (0.3, 0.3, 0.4), label, weight, 0.0)


def examples(count, seed=1):
    """Generated messages of 40 features, some of which indicate a class."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(count):
        label = draw.randrange(3)
        yield (
            made_of(
                *sorted(
                    {
                        draw.randrange(21),
                        *(draw.randrange(64, 3_000) * 3 + label * (draw.random() < 0.3) for _ in range(40)),
                    }
                )
            ),
            CLASSES[label],
        )


def trained(count=300):
    learner = SentimentLearner(SentimentParams())
    for vector, label in examples(count):
        learner.learn_one(labelled(vector, label))
    return learner


def river_says(learner, vector):
    said = learner.river.predict_proba_one(dict.fromkeys(vector.indices().tolist(), 1.0))
    return [said[label] for label in CLASSES]


@pytest.mark.parametrize(
    ("text", "language", "label"),
    [
        ("this is great, thank you", "en", "positive"),
        ("worst service ever :(", "en", "negative"),
        ("my flight is at nine", "en", "neutral"),
        ("很好吃, 非常满意", "zh", "positive"),
        ("太难吃了, 差评", "zh", "negative"),
        ("我的订单号", "zh", "neutral"),
        ("😡", "other", "negative"),
    ],
)
def test_the_first_message_is_scored_sensibly(text, language, label):
    probabilities = SentimentLearner(SentimentParams()).weights.score_many(vectors(text, language=language))

    assert CLASSES[probabilities[0].argmax()] == label


def test_without_a_prior_nothing_is_preferred():
    assert SentimentLearner(SentimentParams(prior_strength=0.0)).weights.score_many(vectors("great"))[
        0
    ] == pytest.approx([1 / 3] * 3)


def test_the_prior_changes_its_mind_where_vader_does():
    tones = np.linspace(-1, 1, 21)
    said = prior(3.0).argmax(axis=1)

    assert [CLASSES[at] for at in said] == [
        "negative" if t < -0.05 else "positive" if t > 0.05 else "neutral" for t in tones
    ]


def test_the_weights_score_as_river_predicts():
    learner = SentimentLearner(SentimentParams())
    worst = 0.0
    for number, (vector, label) in enumerate(examples(3_000)):
        if number % 10 == 0:
            worst = max(
                worst, np.abs(learner.weights.score_many(Vectors.of([vector]))[0] - river_says(learner, vector)).max()
            )
        learner.learn_one(labelled(vector, label))

    assert worst < 1e-5


def test_a_batch_is_scored_as_its_messages_one_by_one():
    weights = trained().weights
    batch = [vector for vector, _ in examples(50, seed=2)]
    batch[3:3] = [made_of(), made_of()]
    batch += [made_of()]

    assert weights.score_many(Vectors.of(batch)) == pytest.approx(
        np.concatenate([weights.score_many(Vectors.of([vector])) for vector in batch]), abs=1e-6
    )


def test_empty_batches_and_messages_are_scored():
    weights = SentimentWeights()

    assert weights.score_many(Vectors.of([])).shape == (0, 3)
    assert weights.score_many(Vectors.of([made_of(), made_of()])) == pytest.approx(np.full((2, 3), 1 / 3))


def test_each_language_has_its_weights():
    weights = {"en": trained().weights, "zh": SentimentLearner(SentimentParams()).weights, "other": SentimentWeights()}
    batch = [
        vector._replace(language=("en", "zh", "other")[n % 3]) for n, (vector, _) in enumerate(examples(9, seed=3))
    ]

    assert score_many(weights, Vectors.of(batch)) == pytest.approx(
        np.concatenate([weights[vector.language].score_many(Vectors.of([vector])) for vector in batch])
    )
    assert score_many(weights, Vectors.of([])).shape == (0, 3)


def test_what_is_learned_is_scored_at_once():
    learner = SentimentLearner(SentimentParams())
    batch = vectors("the gate moved again")
    before = learner.weights.score_many(batch)[0]
    learner.learn_one(labelled(batch[0], "negative"))

    assert learner.weights.score_many(batch)[0][0] > before[0]


def test_a_weak_example_moves_less_than_a_strong_one():
    def moved(weight):
        learner = SentimentLearner(SentimentParams())
        learner.learn_one(labelled(made_of(10, 100, 200), "positive", weight))
        return float(learner.weights.weights[100, 2])

    assert 0 < moved(0.1) < moved(0.3) < moved(1.0)
    assert moved(0.1) < moved(1.0) / 3


def test_state_restores_to_the_same_future():
    first = trained()
    again = SentimentLearner(SentimentParams())
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.state())))
    for vector, label in examples(200, seed=4):
        assert (again.weights.score_many(Vectors.of([vector])) == first.weights.score_many(Vectors.of([vector]))).all()
        first.learn_one(labelled(vector, label))
        again.learn_one(labelled(vector, label))

    assert again.state() == first.state()
    assert (again.weights.weights == first.weights.weights).all()


def test_restoring_forgets_what_was_learned_here():
    fresh = SentimentLearner(SentimentParams()).state()
    learner = trained()
    learner.restore(fresh)

    assert learner.state() == fresh
    assert (learner.weights.weights == SentimentLearner(SentimentParams()).weights.weights).all()


def test_a_snapshot_does_not_change_when_learning_goes_on():
    learner = trained()
    state = learner.state()
    copy = dict(state)
    learner.learn_one(labelled(made_of(5, 70), "neutral"))

    assert state == copy
    assert learner.state() != state
    assert learner.state() is learner.state()


def test_a_state_with_bad_weights_is_refused():
    state = SentimentLearner(SentimentParams()).state()
    state = state | {"intercepts": [0.0, math.nan, 0.0]}

    with pytest.raises(ValueError, match="not finite"):
        SentimentLearner(SentimentParams()).restore(state)


def test_an_unknown_label_is_named():
    with pytest.raises(RefusedExampleError, match="'angry': expected one of negative, neutral, positive"):
        SentimentLearner(SentimentParams()).learn_one(labelled(made_of(1), "angry"))


@pytest.mark.parametrize("features", [(-1,), (SPACE,), (3, 2**31 - 1)])
def test_features_outside_the_space_are_refused(features):
    learner = SentimentLearner(SentimentParams())
    before = learner.state()

    with pytest.raises(RefusedExampleError, match="a feature is outside"):
        learner.learn_one(labelled(made_of(*features), "negative"))
    assert learner.state() is before


@given(
    st.lists(
        st.tuples(st.lists(st.integers(-5, SPACE + 5), max_size=5), st.sampled_from(CLASSES), st.floats()), max_size=20
    )
)
def test_every_example_leaves_weights_that_give_probabilities(inputs):
    training = ModelTraining(KINDS[0], SentimentParams())
    for features, label, weight in inputs:
        training.take(labelled(made_of(*features), label, weight))
    weights = training.learner.weights
    said = weights.score_many(Vectors.of([made_of(1, 2, 100), made_of()]))

    assert np.isfinite(weights.weights).all()
    assert said.sum(axis=1) == pytest.approx([1, 1])
    assert training.learned + training.refused + training.rollbacks == len(inputs)


def test_a_thousand_times_the_same_huge_weight_stays_finite():
    learner = SentimentLearner(SentimentParams())
    for _ in range(1_000):
        learner.learn_one(labelled(made_of(1, 100), "positive", 1e300))

    assert np.isfinite(learner.weights.weights).all()
    assert learner.weights.score_many(Vectors.of([made_of(1, 100)]))[0].argmax() == 2


def test_weights_that_would_turn_bad_are_not_taken(monkeypatch):
    learner = trained(20)
    good, weights = learner.state(), learner.weights.weights.copy()
    monkeypatch.setattr(learner.river, "learning_rate", math.inf)

    with pytest.raises(WeightsNotFiniteError):
        learner.learn_one(labelled(made_of(5, 100), "neutral"))
    assert (learner.weights.weights == weights).all()
    learner._state = None
    assert learner.state() == good


def test_one_message_is_scored_as_in_a_batch():
    weights = trained().weights
    vector = made_of(3, 70, 400)

    assert weights.score_one(vector.features) == tuple(weights.score_many(Vectors.of([vector]))[0].tolist())
