"""Churn: the weights score as River does, numbers are scaled and categories are not, bad examples are refused."""

import math
from random import Random
from typing import Any, cast

import msgspec
import pytest

from operators.domain.models.churn import (
    INPUTS,
    KIND,
    MODEL,
    MOST_IGNORED,
    SLOTS,
    ChurnInputs,
    ChurnLearner,
    ChurnParams,
    ChurnScorer,
    ChurnWeights,
    slot_of,
)
from operators.domain.models.model import PART_FEATURES, Example, RefusedExampleError, WeightsNotFiniteError
from operators.domain.models.training import ModelTraining

PARAMS = ChurnParams(attributes={"age": "number", "plan": "category", "city": "category"})
PLAIN = len(INPUTS)


def people(count: int, seed: int = 1) -> list[tuple[ChurnInputs, bool]]:
    """Customers who leave because of waits, mood, and an unpopular plan."""
    rng, made = Random(seed), []  # noqa: S311  not a secret
    for _ in range(count):
        numbers = [
            rng.gauss(3, 2),
            rng.expovariate(1),
            rng.uniform(-1, 1),
            *(rng.choice([0.0, rng.expovariate(0.2)]) for _ in range(PLAIN - 3)),
        ]
        plan = rng.choice(["gold", "tin"])
        z = 0.8 * (numbers[0] - 3) - 2.5 * numbers[2] + (1.5 if plan == "tin" else -0.5)
        categories = (
            (f"plan={plan}",) if rng.random() < 0.3 else (f"plan={plan}", rng.choice(["city=Bonn", "city=Jena"]))
        )
        made.append((ChurnInputs((*numbers, rng.uniform(18, 80)), categories), rng.random() < 1 / (1 + math.exp(-z))))
    return made


def example(x: Any, left: bool, published: float = 0.5, weight: float = 1.0) -> Example:
    return Example(x, published, left, weight, 3_600.0)


def taught(
    count: int, params: ChurnParams = PARAMS, training: ModelTraining | None = None, skip: int = 0
) -> ModelTraining:
    training = training or ModelTraining(KIND, params)
    for x, left in people(count)[skip:]:
        training.take(example(x, left, training.learner.weights.score_one(x)))
    return training


def counts(training: ModelTraining) -> tuple[int, int, int]:
    return training.learned, training.refused, training.rollbacks


def by_river(learner: ChurnLearner, x: ChurnInputs) -> float:
    """River's own prediction: scaler, then logistic regression."""
    raw = dict(zip(learner._names, x.numbers, strict=True))
    scaled = learner._scaler.transform_one(raw) | dict.fromkeys(map(slot_of, x.categories), 1.0)
    return float(learner._model.predict_proba_one(scaled)[True])


@pytest.mark.parametrize("count", [0, 1, 2, 50, 3_000])
def test_the_weights_score_as_river_predicts(count: int) -> None:
    learner: Any = taught(count).learner
    for x, _ in people(300, seed=2):
        assert learner.weights.score_one(x) == pytest.approx(by_river(learner, x), abs=1e-9)


def test_an_attribute_with_the_name_of_an_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"churn\.attributes: `orders` is the name of a built-in input"):
        ChurnParams(attributes={"orders": "number"})


def test_before_any_label_everybody_leaves_at_the_base_rate() -> None:
    weights = ChurnLearner(ChurnParams(base_rate=0.2)).weights
    p, x = ChurnScorer(ChurnParams(), {MODEL: weights}).score_one(tuple(range(PLAIN)), {})
    assert p == pytest.approx(0.2)
    assert weights.reasons_of(x) == []


def test_the_model_learns_who_leaves() -> None:
    training = taught(3_000)
    auc = training.prequential.auc()
    assert auc is not None
    assert auc > 0.8
    assert training.prequential.accuracy > 0.72
    assert counts(training) == (3_000, 0, 0)


def test_reasons_are_the_largest_products_that_speak_for_leaving_in_words() -> None:
    weights: Any = taught(3_000).learner.weights
    numbers = list(weights.means)
    numbers[0] += 4.0  # long waits
    numbers[2] -= 0.5  # a bad mood
    reasons = weights.reasons_of(ChurnInputs(tuple(numbers), ("plan=tin",)))
    assert {name for name, _ in reasons} == {"long waits for replies", "their mood", "plan=tin"}
    effects = [effect for _, effect in reasons]
    assert effects == sorted(effects, reverse=True)
    assert all(effect > 0 for effect in effects)
    assert reasons[0][1] == pytest.approx(weights.slopes[0] * 4.0, abs=1e-3)
    assert weights.reasons_of(ChurnInputs(tuple(weights.means), ())) == []


def by_hand(**categories: float) -> ChurnWeights:
    """Weights that are easy to multiply: a slope of 1 for the reply time, -1 for the mood."""
    weights = ChurnWeights(PARAMS)
    weights.slopes[0], weights.slopes[2], weights.means[0] = 1.0, -1.0, 2.0
    weights.categories = {slot_of(f"plan={plan}"): weight for plan, weight in categories.items()}
    return weights


def inputs(reply: float, mood: float, *plans: str) -> ChurnInputs:
    numbers = [0.0] * (PLAIN + 1)
    numbers[0], numbers[2] = reply, mood
    return ChurnInputs(tuple(numbers), tuple(f"plan={plan}" for plan in plans))


def test_reasons_are_rounded_to_four_digits_and_a_category_counts_however_small_its_weight() -> None:
    weights = by_hand(tin=0.123456, gold=-0.5, iron=0.0)
    assert weights.reasons_of(inputs(2.333333, -0.2, "tin", "gold", "iron", "new")) == [
        ("long waits for replies", 0.3333),
        ("their mood", 0.2),
        ("plan=tin", 0.1235),
    ]
    assert weights.reasons_of(inputs(2.5, -0.2, "tin"), most=2) == [
        ("long waits for replies", 0.5),
        ("their mood", 0.2),
    ]
    assert weights.reasons_of(inputs(1.0, 0.2, "gold", "iron")) == []
    assert by_hand(tin=0.5, iron=0.25, zinc=0.75).reasons_of(inputs(0.0, 0.0, "gold", "tin", "iron", "zinc")) == [
        ("plan=zinc", 0.75),
        ("plan=tin", 0.5),
        ("plan=iron", 0.25),
    ]


def test_a_score_is_the_logistic_function_of_the_sum_of_products() -> None:
    weights = by_hand(tin=0.5, gold=-0.25)
    weights.base = -1.0
    for x, z in (
        (inputs(3.0, 0.5, "tin", "gold"), -1.0 + 3.0 - 0.5 + 0.5 - 0.25),
        (inputs(0.0, 0.0), -1.0),
        (inputs(31.5, 0.0), 30.0),
        (inputs(-31.5, 0.0), -30.0),
    ):
        assert weights.score_one(x) == pytest.approx(1 / (1 + math.exp(-z)), rel=1e-12)


def test_a_change_replaces_the_categories_of_its_range_and_all_numbers() -> None:
    weights = by_hand()
    weights.categories = {5: 0.1, 10: 0.2, 19: 0.3, 20: 0.4}
    numbers = [float(place) for place in range(PLAIN + 1)]
    change = {"names": weights.names, "slopes": numbers, "means": numbers[::-1], "base": 0.5}
    weights.apply({**change, "cleared": (10, 20), "categories": [(12, 0.9)]})
    assert weights.categories == {5: 0.1, 20: 0.4, 12: 0.9}
    assert (weights.slopes, weights.means, weights.base) == (numbers, numbers[::-1], 0.5)


def test_all_changes_together_are_all_categories_however_many_there_are() -> None:
    for count in (1, PART_FEATURES, PART_FEATURES + 1):
        learner = ChurnLearner(PARAMS)
        learner.weights.categories = {(7 * number) % SLOTS: number / 100 for number in range(count)}
        parts = list(learner.changes(whole=True))
        assert len(parts) == (1 if count <= PART_FEATURES else SLOTS // PART_FEATURES)
        other = ChurnWeights(PARAMS)
        other.categories = dict.fromkeys(range(0, SLOTS, 3), 1.0)
        for part in parts:
            other.apply(part)
        assert other.categories == learner.weights.categories


def test_a_category_is_not_scaled_away() -> None:
    learner = ChurnLearner(ChurnParams(attributes={"plan": "category"}))
    for n in range(200):
        x = ChurnInputs((0.0,) * PLAIN, ("plan=tin",) if n % 2 else ("plan=gold",))
        learner.learn_one(example(x, left=bool(n % 2)))
    tin, gold = (
        learner.weights.score_one(ChurnInputs((0.0,) * PLAIN, (category,))) for category in ("plan=tin", "plan=gold")
    )
    assert tin > 0.6
    assert gold < 0.4


def test_a_category_never_seen_says_nothing() -> None:
    weights = taught(50).learner.weights
    x = people(1)[0][0]
    assert weights.score_one(x._replace(categories=("plan=new",))) == weights.score_one(x._replace(categories=()))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_inputs_that_are_not_finite_are_refused_and_counted(bad: float) -> None:
    training = taught(50)
    before = msgspec.msgpack.encode(training.learner.state())
    x = people(1)[0][0]
    training.take(example(x._replace(numbers=(bad, *x.numbers[1:])), left=True))
    assert counts(training) == (50, 1, 0)
    assert before == msgspec.msgpack.encode(training.learner.state())


def test_inputs_of_other_settings_are_refused() -> None:
    with pytest.raises(RefusedExampleError, match=f"{PLAIN} inputs, {PLAIN + 1} expected"):
        ChurnLearner(PARAMS).learn_one(example(ChurnInputs((0.0,) * PLAIN, ()), left=True))


def test_weights_that_turn_bad_go_back_to_the_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    learner: Any = taught(50).learner
    x, _ = people(1)[0]

    def known() -> tuple[Any, ...]:
        state = learner.state()
        return learner.weights.score_one(x), state["weights"], state["squares"], state["intercept"]

    before = known()
    learn_one = learner._model.learn_one

    def poison(features: dict[str, float], label: bool, w: float) -> None:
        learn_one(features, label, w)
        learner._model._weights["mood"] = math.nan
        learner._model.optimizer.g2["mood"] = math.inf

    with monkeypatch.context() as patch:
        patch.setattr(learner._model, "learn_one", poison)
        with pytest.raises(WeightsNotFiniteError):
            learner.learn_one(example(x, left=True))
    assert known() == before
    learner.learn_one(example(x, left=True))
    assert learner.weights.score_one(x) != before[0]


@pytest.mark.parametrize("sizes", [(1e308, -1e308), (1.7e308, 1e200, -1.7e308)])
def test_a_huge_attribute_does_not_poison_the_model(sizes: tuple[float, ...]) -> None:
    training = taught(50)
    x, _ = people(1)[0]
    for size in sizes:
        training.take(example(x._replace(numbers=(*x.numbers[:-1], size)), left=True))
    assert counts(training) == (50, len(sizes), 0)
    weights: Any = taught(100, training=training, skip=50).learner.weights
    assert all(math.isfinite(value) for value in (weights.base, *weights.slopes, *weights.means))
    assert weights.slopes[-1] != 0.0
    assert math.isfinite(weights.score_one(x))


@pytest.mark.parametrize("clip", [0.01, 0.5])
def test_a_single_label_moves_the_intercept_by_no_more_than_the_clip(clip: float) -> None:
    learner = ChurnLearner(ChurnParams(clip_gradient=clip, base_rate=0.001))
    before = learner._model.intercept
    learner.learn_one(example(ChurnInputs((0.0,) * PLAIN, ()), left=True))
    assert learner._model.intercept - before == pytest.approx(0.01 * clip)  # River's step of the intercept is 0.01


@pytest.mark.parametrize("cut", [0, 1, 77, 200])
def test_a_resumed_model_is_bit_for_bit_the_undisturbed_one(cut: int) -> None:
    whole = taught(200)
    stored = msgspec.msgpack.encode(taught(cut).state())
    resumed = ModelTraining(KIND, PARAMS)
    resumed.restore(msgspec.msgpack.decode(stored))
    assert msgspec.msgpack.encode(resumed.state()) == stored
    resumed = taught(200, training=resumed, skip=cut)
    assert whole.state() == resumed.state()
    one, other = (cast("ChurnWeights", training.learner.weights) for training in (whole, resumed))
    for x, _ in people(50, seed=4):
        assert one.score_one(x) == other.score_one(x)
        assert one.reasons_of(x) == other.reasons_of(x)


def test_an_input_that_the_settings_no_longer_declare_is_dropped_on_resume() -> None:
    resumed = ChurnLearner(ChurnParams())
    resumed.restore({"v": 2, **taught(50).learner.state()})
    assert set(resumed.state()["names"]) == set(INPUTS)
    assert "age" not in dict(resumed.state()["weights"])


def test_examples_that_were_stored_as_lists_are_learned_the_same() -> None:
    tuples, lists = ChurnLearner(PARAMS), ChurnLearner(PARAMS)
    for x, left in people(20):
        tuples.learn_one(example(x, left))
        lists.learn_one(example(msgspec.msgpack.decode(msgspec.msgpack.encode(x)), left))
    assert tuples.state() == lists.state()


# ---- the scorer


def scorer(**params: Any) -> ChurnScorer:
    chosen = ChurnParams(**params)
    return ChurnScorer(chosen, {MODEL: ChurnWeights(chosen)})


def test_only_declared_attributes_are_kept_and_a_number_must_be_one() -> None:
    declared = scorer(attributes={"age": "number", "plan": "category"}).declared
    assert declared({"age": 41.0, "plan": "gold", "shoes": 43.0}) == {"age": 41.0, "plan": "gold"}
    assert declared({"age": "old", "plan": True}) == {"plan": True}


def test_attributes_that_no_setting_declares_are_logged_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ignored: dict[str, int] = {}
    chosen = ChurnParams(attributes={"plan": "category"})
    declared = ChurnScorer(chosen, {MODEL: ChurnWeights(chosen)}, ignored).declared

    for _ in range(2):
        declared({"plan": "gold", "shoes": 43.0, "hat": 7.0})
    declared({"coat": "red", "hat": 7.0})
    declared({f"a{n}": 1.0 for n in range(MOST_IGNORED)})
    declared({"late": 1.0, "hat": 7.0})

    assert [record.attributes for record in caplog.records[:2]] == [["shoes", "hat"], ["coat"]]
    assert (len(caplog.records), len(ignored)) == (3, MOST_IGNORED)
    assert (ignored["shoes"], ignored["hat"], ignored["coat"]) == (2, 4, 1)
    assert "late" not in ignored


def test_attributes_become_inputs_and_what_is_not_known_stands_at_zero() -> None:
    score = scorer(attributes={"age": "number", "plan": "category"}).score_one
    numbers = tuple(float(n) for n in range(PLAIN))
    assert score(numbers, {"age": 41.0, "plan": "gold"})[1] == ChurnInputs((*numbers, 41.0), ("plan=gold",))
    assert score(numbers, {"plan": True})[1] == ChurnInputs((*numbers, 0.0), ("plan=True",))
    assert score(numbers, {})[1] == ChurnInputs((*numbers, 0.0), ())


def test_a_score_is_news_when_it_moved_or_crossed_the_line() -> None:
    news = scorer(at_risk_from=0.5, publish_delta=0.1).is_news
    assert [news(None, 0.2), news(0.2, 0.25), news(0.2, 0.31), news(0.31, 0.2), news(0.48, 0.5), news(0.5, 0.49)] == [
        True, False, True, True, True, True,
    ]  # fmt: skip


def test_at_risk_begins_at_the_line() -> None:
    assert [scorer(at_risk_from=0.5).at_risk(p) for p in (0.4999, 0.5)] == [False, True]


def test_a_score_never_overflows() -> None:
    weights = ChurnWeights(ChurnParams())
    weights.slopes = [1e300] * PLAIN
    assert [weights.score_one(ChurnInputs((sign * 1e300,) * PLAIN, ())) for sign in (-1, 1)] == [
        pytest.approx(0, abs=1e-12),
        pytest.approx(1, abs=1e-12),
    ]


def test_categories_are_hashed_into_a_fixed_space() -> None:
    slots = {slot_of(f"city={n}") for n in range(200_000)}
    assert len(slots) <= SLOTS
    assert slots <= set(range(SLOTS))
