"""Sentiment answers before training, learns, forgets nothing, and is not to be poisoned."""

import math
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.models.sentiment import CLASSES, Learner, SentimentParams, Table, prior, score_many
from operators.domain.models.vectors import SPACE, Vector, Vectors
from operators.domain.stage.stage import StateVersionError
from operators.domain.text.vectorize import VectorizeParams, Vectorizer


def vectors(*texts, language="en"):
    return Vectorizer(VectorizeParams()).vectorize_many(texts, [language] * len(texts))


def made_of(*features):
    return Vector("en", np.array(features, "<i4").tobytes(), 0.0, False)


def examples(count, seed=1):
    """Made-up messages of 40 features, some of which speak for a class."""
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
    learner = Learner(SentimentParams())
    for vector, label in examples(count):
        learner.learn_one(vector, label)
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
    probabilities = Learner(SentimentParams()).table.score_many(vectors(text, language=language))

    assert CLASSES[probabilities[0].argmax()] == label


def test_without_a_prior_nothing_is_preferred():
    assert Learner(SentimentParams(prior_strength=0.0)).table.score_many(vectors("great"))[0] == pytest.approx(
        [1 / 3] * 3
    )


def test_the_prior_changes_its_mind_where_vader_does():
    tones = np.linspace(-1, 1, 21)
    said = prior(3.0).argmax(axis=1)

    assert [CLASSES[at] for at in said] == [
        "negative" if t < -0.05 else "positive" if t > 0.05 else "neutral" for t in tones
    ]


def test_the_table_says_what_river_says():
    learner = Learner(SentimentParams())
    worst = 0.0
    for number, (vector, label) in enumerate(examples(3_000)):
        if number % 10 == 0:
            worst = max(
                worst, np.abs(learner.table.score_many(Vectors.of([vector]))[0] - river_says(learner, vector)).max()
            )
        learner.learn_one(vector, label)

    assert worst < 1e-5
    assert learner.learned == 3_000


def test_a_batch_is_scored_as_its_messages_one_by_one():
    table = trained().table
    batch = [vector for vector, _ in examples(50, seed=2)]
    batch[3:3] = [made_of(), made_of()]
    batch += [made_of()]

    assert table.score_many(Vectors.of(batch)) == pytest.approx(
        np.concatenate([table.score_many(Vectors.of([vector])) for vector in batch]), abs=1e-6
    )


def test_empty_batches_and_messages_are_scored():
    table = Table()

    assert table.score_many(Vectors.of([])).shape == (0, 3)
    assert table.score_many(Vectors.of([made_of(), made_of()])) == pytest.approx(np.full((2, 3), 1 / 3))


def test_each_language_has_its_table():
    tables = {"en": trained().table, "zh": Learner(SentimentParams()).table, "other": Table()}
    batch = [
        vector._replace(language=("en", "zh", "other")[n % 3]) for n, (vector, _) in enumerate(examples(9, seed=3))
    ]

    assert score_many(tables, Vectors.of(batch)) == pytest.approx(
        np.concatenate([tables[vector.language].score_many(Vectors.of([vector])) for vector in batch])
    )
    assert score_many(tables, Vectors.of([])).shape == (0, 3)


def test_what_is_learned_is_scored_at_once():
    learner = Learner(SentimentParams())
    batch = vectors("the gate moved again")
    before = learner.table.score_many(batch)[0]
    learner.learn_one(batch[0], "negative")

    assert learner.table.score_many(batch)[0][0] > before[0]


def test_a_weak_example_moves_less_than_a_strong_one():
    def moved(weight):
        learner = Learner(SentimentParams())
        learner.learn_one(made_of(10, 100, 200), "positive", weight)
        return float(learner.table.weights[100, 2])

    assert 0 < moved(0.1) < moved(0.3) < moved(1.0)
    assert moved(0.1) < moved(1.0) / 3


def test_state_restores_to_the_same_future():
    first = trained()
    again = Learner(SentimentParams())
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.state())))
    for vector, label in examples(200, seed=4):
        assert (again.table.score_many(Vectors.of([vector])) == first.table.score_many(Vectors.of([vector]))).all()
        first.learn_one(vector, label)
        again.learn_one(vector, label)

    assert again.state() == first.state()
    assert (again.table.weights == first.table.weights).all()


def test_restoring_forgets_what_was_learned_here():
    fresh = Learner(SentimentParams()).state()
    learner = trained()
    learner.restore(fresh)

    assert learner.state() == fresh
    assert (learner.table.weights == Learner(SentimentParams()).table.weights).all()


def test_a_snapshot_does_not_change_when_learning_goes_on():
    learner = trained()
    state = learner.state()
    copy = dict(state)
    learner.learn_one(made_of(5, 70), "neutral")

    assert state == copy
    assert learner.state() != state
    assert learner.state() is learner.state()


@pytest.mark.parametrize("version", [None, 0, 2, "1"])
def test_a_state_of_another_version_is_refused(version):
    state = Learner(SentimentParams()).state() | {"v": version}

    with pytest.raises(StateVersionError, match=r"version .* found, 1 expected"):
        Learner(SentimentParams()).restore(state)


def test_a_state_with_bad_weights_is_refused():
    state = Learner(SentimentParams()).state()
    state = state | {"intercepts": [0.0, math.nan, 0.0]}

    with pytest.raises(ValueError, match="not finite"):
        Learner(SentimentParams()).restore(state)


def test_an_unknown_label_is_named():
    with pytest.raises(ValueError, match="'angry': expected one of negative, neutral, positive"):
        Learner(SentimentParams()).learn_one(made_of(1), "angry")


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf, 0.0, -1.0])
def test_a_weight_that_is_none_is_refused_and_counted(weight):
    learner = trained(10)
    before = learner.state()["weights"]

    assert not learner.learn_one(made_of(1, 2, 3), "negative", weight)
    assert learner.refused == 1
    assert learner.state()["weights"] == before


@pytest.mark.parametrize("features", [(-1,), (SPACE,), (3, 2**31 - 1)])
def test_features_outside_the_space_are_refused_and_counted(features):
    learner = Learner(SentimentParams())

    assert not learner.learn_one(made_of(*features), "negative")
    assert learner.refused == 1


@given(
    st.lists(
        st.tuples(st.lists(st.integers(-5, SPACE + 5), max_size=5), st.sampled_from(CLASSES), st.floats()), max_size=20
    )
)
def test_no_input_makes_it_say_what_is_no_probability(inputs):
    learner = Learner(SentimentParams())
    for features, label, weight in inputs:
        learner.learn_one(made_of(*features), label, weight)
    said = learner.table.score_many(Vectors.of([made_of(1, 2, 100), made_of()]))

    assert np.isfinite(learner.table.weights).all()
    assert said.sum(axis=1) == pytest.approx([1, 1])
    assert learner.learned + learner.refused + learner.rollbacks == len(inputs)


def test_a_thousand_times_the_same_huge_weight_stays_finite():
    learner = Learner(SentimentParams())
    for _ in range(1_000):
        learner.learn_one(made_of(1, 100), "positive", 1e300)

    assert np.isfinite(learner.table.weights).all()
    assert learner.table.score_many(Vectors.of([made_of(1, 100)]))[0].argmax() == 2


def test_weights_that_would_turn_bad_are_not_taken(monkeypatch):
    learner = trained(20)
    good, table = learner.state(), learner.table.weights.copy()
    monkeypatch.setattr(learner.river, "learning_rate", math.inf)

    assert not learner.learn_one(made_of(5, 100), "neutral")
    assert learner.rollbacks == 1
    assert (learner.table.weights == table).all()
    learner._state = None
    assert learner.state() == good | {"rollbacks": 1}


def test_changes_bring_another_table_up_to_date():
    learner, other = trained(50), Table()
    other.apply(learner.changes())
    learner.learn_one(made_of(4, 100, 200), "negative")
    change = learner.changes()
    other.apply(change)

    assert change.features.tolist() == [4, 100, 200]
    assert (other.weights == learner.table.weights).all()
    assert (other.intercepts == learner.table.intercepts).all()
    assert learner.changes().features.tolist() == []


def test_changes_after_a_restore_are_all_it_knows():
    learner, other = Learner(SentimentParams()), Table()
    learner.restore(trained(50).state())
    other.apply(learner.changes())

    assert (other.weights == learner.table.weights).all()


@pytest.mark.slow
def test_real_tweets_are_judged_as_well_as_the_document_says(data_dir):
    from bench.sentiment import _tweets, judge, prequential  # noqa: PLC0415 - only where there is data
    from operators.domain.text.clean import clean  # noqa: PLC0415 - as above

    texts, labels, _ = _tweets(data_dir)
    scored = prequential(vectors(*map(clean, texts)), labels)
    accuracy, macro_f1, _ = judge(scored[-len(labels) // 5 :], labels[-len(labels) // 5 :])

    assert accuracy > 0.80
    assert macro_f1 > 0.75
