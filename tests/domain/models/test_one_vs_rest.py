"""The classifier over a hashed space learns what River's own composition learns."""

import math
import random

import numpy as np
import pytest
from river import linear_model, multiclass, optim

from operators.domain.models.one_vs_rest import HashedOneVsRest

CLASSES = ("negative", "neutral", "positive")
SPACE = 500


def rivers(rate, damping, clip, intercept_rate):
    one = linear_model.LogisticRegression(
        optim.AdaGrad(rate, eps=damping), intercept_lr=intercept_rate, clip_gradient=clip
    )
    river = multiclass.OneVsRestClassifier(one)
    river.classifiers = {label: one.clone() for label in CLASSES}
    return river


def examples(count, seed=1):
    draw = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(count):
        label = draw.choice(CLASSES)
        features = {draw.randrange(SPACE): draw.choice((1.0, 1.0, -0.5, 3.0)) for _ in range(draw.randrange(30))}
        yield features | {CLASSES.index(label): 1.0}, label, draw.choice((1.0, 0.1, 0.5, 7.0))


@pytest.mark.parametrize(
    ("rate", "damping", "clip", "intercept_rate"),
    [(0.12, 0.1, 1.0, 0.01), (0.5, 1e-8, 1e12, 0.1), (2.0, 1.0, 0.3, 0.0)],
    ids=["defaults", "rivers-defaults", "clipped"],
)
def test_it_says_and_learns_what_rivers_own_says_and_learns(rate, damping, clip, intercept_rate):
    # River takes a shorter way past a logit of 18, which is where the last digits differ.
    ours = HashedOneVsRest(CLASSES, SPACE, rate, damping, intercept_rate, clip)
    theirs = rivers(rate, damping, clip, intercept_rate)
    for x, label, weight in examples(2_000):
        said, expected = ours.predict_proba_one(x), theirs.predict_proba_one(x)
        assert [said[name] for name in CLASSES] == pytest.approx([expected[name] for name in CLASSES], abs=1e-6)
        ours.learn_one(x, label, w=weight)
        theirs.learn_one(x, label, w=weight)

    for column, model in enumerate(theirs.classifiers.values()):
        weights = model.weights
        assert ours.weights[list(weights), column] == pytest.approx(list(weights.values()), rel=1e-6, abs=1e-6)
        assert ours.intercepts[column] == pytest.approx(model.intercept, rel=1e-6)


def test_its_parameters_are_rivers_unless_others_are_given():
    ours, one = HashedOneVsRest(CLASSES, SPACE), linear_model.LogisticRegression(optim.AdaGrad())
    for x, label, weight in examples(200):
        ours.learn_one(x, label, w=weight)
        one.learn_one(x, label == "negative", w=weight)

    assert ours.clip_gradient == one.clip_gradient
    assert ours.weights[list(one.weights), 0] == pytest.approx(list(one.weights.values()), rel=1e-6, abs=1e-6)
    assert ours.intercepts[0] == pytest.approx(one.intercept, rel=1e-6)


def test_features_that_are_there_are_features_of_the_value_1():
    ours, beside = (
        HashedOneVsRest(CLASSES, SPACE, clip_gradient=1.0),
        HashedOneVsRest(CLASSES, SPACE, clip_gradient=1.0),
    )
    for x, label, weight in examples(500):
        ours.learn_present(np.array(list(x), np.int32), label, w=weight)
        beside.learn_one(dict.fromkeys(x, 1.0), label, w=weight)

    assert ours.weights.any()
    assert ours.weights == pytest.approx(beside.weights, rel=1e-12, abs=1e-12)
    assert ours.intercepts == pytest.approx(beside.intercepts, rel=1e-12)


def test_it_is_a_river_classifier():
    model = HashedOneVsRest(CLASSES, SPACE).clone()
    for x, label, _ in examples(300):
        model.learn_one(x, label)

    assert sum(model.predict_one(x) == label for x, label, _ in examples(200, seed=2)) > 150


@pytest.mark.parametrize(
    ("x", "weight"), [({3: 1e200}, 1.0), ({3: math.inf}, 1.0), ({3: math.nan}, 1.0), ({3: 1.0}, math.nan)]
)
def test_a_step_into_the_infinite_is_not_taken(x, weight):
    model = HashedOneVsRest(CLASSES, SPACE)
    model.learn_one({3: 1.0, 4: 1.0}, "positive")
    before = model.weights.copy(), model.squares.copy(), model.intercepts.copy()

    with pytest.raises(ArithmeticError, match=r"not finite after an example of 1 features"):
        model.learn_one(x, "negative", w=weight)

    assert all(map(np.array_equal, (model.weights, model.squares, model.intercepts), before))
