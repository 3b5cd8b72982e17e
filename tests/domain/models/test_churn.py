"""Churn: the table is River's model, numbers are scaled, categories are not, and the door is guarded."""

import math
from random import Random
from typing import Any

import msgspec
import pytest

from operators.domain.models.churn import INPUTS, SLOTS, ChurnParams, Inputs, Learner, Scorer, Table, slot_of
from operators.domain.models.example import Example

PARAMS = ChurnParams(attributes={"age": "number", "plan": "category", "city": "category"})
PLAIN = len(INPUTS)


def people(count: int, seed: int = 1) -> list[tuple[Inputs, bool]]:
    """Customers who leave for waits, against their mood, and on a plan that nobody likes."""
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
        made.append((Inputs((*numbers, rng.uniform(18, 80)), categories), rng.random() < 1 / (1 + math.exp(-z))))
    return made


def example(x: Any, left: bool, published: float = 0.5, weight: float = 1.0) -> Example:
    return Example(x, published, left, weight, 3_600.0)


def taught(count: int, params: ChurnParams = PARAMS, learner: Learner | None = None, skip: int = 0) -> Learner:
    learner = learner or Learner(params)
    for x, left in people(count)[skip:]:
        item = example(x, left, learner.table.score_one(x))
        learner.judge_one(item)
        learner.learn_one(item)
    return learner


def by_river(learner: Learner, x: Inputs) -> float:
    """River's own prediction: scaler, then logistic regression."""
    raw = dict(zip(learner._names, x.numbers, strict=True))
    scaled = learner._scaler.transform_one(raw) | dict.fromkeys(map(slot_of, x.categories), 1.0)
    return float(learner._model.predict_proba_one(scaled)[True])


@pytest.mark.parametrize("count", [0, 1, 2, 50, 3_000])
def test_the_table_is_rivers_own_prediction(count: int) -> None:
    learner = taught(count)
    for x, _ in people(300, seed=2):
        assert learner.table.score_one(x) == pytest.approx(by_river(learner, x), abs=1e-9)


def test_an_attribute_with_the_name_of_an_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"churn\.attributes: `orders` is the name of an input"):
        ChurnParams(attributes={"orders": "number"})


def test_before_any_label_everybody_leaves_at_the_base_rate() -> None:
    learner = Learner(ChurnParams(base_rate=0.2))
    p, x = Scorer(ChurnParams(), lambda: learner.table).score_one(tuple(range(PLAIN)), {})
    assert p == pytest.approx(0.2)
    assert learner.table.reasons_of(x) == []


def test_the_model_learns_who_leaves() -> None:
    learner = taught(3_000)
    assert learner.judge.auc() > 0.8
    assert learner.judge.accuracy > 0.72
    assert learner.counts == (3_000, 0, 0)


def test_reasons_are_the_largest_products_that_speak_for_leaving_in_words() -> None:
    learner = taught(3_000)
    numbers = list(learner.table.means)
    numbers[0] += 4.0  # long waits
    numbers[2] -= 0.5  # a bad mood
    reasons = learner.table.reasons_of(Inputs(tuple(numbers), ("plan=tin",)))
    assert {name for name, _ in reasons} == {"long waits for replies", "their mood", "plan=tin"}
    effects = [effect for _, effect in reasons]
    assert effects == sorted(effects, reverse=True)
    assert all(effect > 0 for effect in effects)
    assert reasons[0][1] == pytest.approx(learner.table.slopes[0] * 4.0, abs=1e-3)
    assert learner.table.reasons_of(Inputs(tuple(learner.table.means), ())) == []


def test_a_category_is_not_scaled_away() -> None:
    learner = Learner(ChurnParams(attributes={"plan": "category"}))
    for n in range(200):
        learner.learn_one(example(Inputs((0.0,) * PLAIN, ("plan=tin",) if n % 2 else ("plan=gold",)), left=bool(n % 2)))
    tin, gold = (learner.table.score_one(Inputs((0.0,) * PLAIN, (category,))) for category in ("plan=tin", "plan=gold"))
    assert tin > 0.6
    assert gold < 0.4


def test_a_category_never_seen_says_nothing() -> None:
    table = taught(50).table
    x = people(1)[0][0]
    assert table.score_one(x._replace(categories=("plan=new",))) == table.score_one(x._replace(categories=()))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_inputs_that_are_not_finite_are_refused_and_counted(bad: float) -> None:
    learner = taught(50)
    before = msgspec.msgpack.encode([learner.state()["weights"], learner.state()["scaler"]])
    x = people(1)[0][0]
    learner.learn_one(example(x._replace(numbers=(bad, *x.numbers[1:])), left=True))
    assert learner.counts == (50, 1, 0)
    assert before == msgspec.msgpack.encode([learner.state()["weights"], learner.state()["scaler"]])


def test_inputs_of_other_settings_are_refused() -> None:
    learner = taught(5)
    learner.learn_one(example(Inputs((0.0,) * PLAIN, ()), left=True))
    assert learner.counts == (5, 1, 0)


def test_an_example_whose_weight_is_no_number_is_refused() -> None:
    learner = taught(50)
    x, _ = people(1)[0]
    before = learner.table.score_one(x), learner.state()["weights"]
    learner.learn_one(example(x, left=True, weight=math.nan))
    assert learner.counts == (50, 1, 0)
    assert (learner.table.score_one(x), learner.state()["weights"]) == before


def test_weights_that_turn_bad_go_back_to_the_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = taught(50)
    x, _ = people(1)[0]
    before = learner.table.score_one(x), learner.state()["weights"], learner.state()["squares"]
    learn_one = learner._model.learn_one

    def poison(features: dict[str, float], label: bool, w: float) -> None:
        learn_one(features, label, w)
        learner._model._weights["mood"] = math.nan
        learner._model.optimizer.g2["mood"] = math.inf

    with monkeypatch.context() as patch:
        patch.setattr(learner._model, "learn_one", poison)
        learner.learn_one(example(x, left=True))
    assert learner.counts == (50, 0, 1)
    assert (learner.state()["weights"], learner.state()["squares"]) == before[1:]
    learner.learn_one(example(x, left=True))
    assert learner.counts == (51, 0, 1)


def test_after_a_rollback_the_model_learns_on() -> None:
    learner = taught(50)
    learner.learn_one(example(people(1)[0][0], left=True, weight=math.nan))
    learner = taught(100, learner=learner, skip=50)
    assert learner.counts[0] == 100


@pytest.mark.parametrize("sizes", [(1e308, -1e308), (1.7e308, 1e200, -1.7e308)])
def test_a_huge_attribute_does_not_poison_the_model(sizes: tuple[float, ...]) -> None:
    learner = taught(50)
    x, _ = people(1)[0]
    for size in sizes:
        learner.learn_one(example(x._replace(numbers=(*x.numbers[:-1], size)), left=True))
    learner = taught(100, learner=learner, skip=50)
    assert all(math.isfinite(value) for value in (learner.table.base, *learner.table.slopes, *learner.table.means))
    assert learner.table.slopes[-1] != 0.0
    assert math.isfinite(learner.table.score_one(x))


@pytest.mark.parametrize("clip", [0.01, 1.0])
def test_no_single_label_moves_the_intercept_further_than_the_clip(clip: float) -> None:
    learner = Learner(ChurnParams(clip_gradient=clip, base_rate=0.001))
    before = learner._model.intercept
    learner.learn_one(example(Inputs((0.0,) * PLAIN, ()), left=True, weight=1e6))
    assert abs(learner._model.intercept - before) <= 0.01 * clip + 1e-12  # River's step of the intercept is 0.01


def test_what_is_judged_is_what_was_published() -> None:
    learner = Learner(ChurnParams())
    assert learner.judge_one(example(Inputs((0.0,) * PLAIN, ()), left=True, published=0.9)) == ((0.9,), True)
    assert learner.judge.loss == pytest.approx(-math.log(0.9))
    assert learner.judge.accuracy == 1.0


@pytest.mark.parametrize("cut", [0, 1, 77, 200])
def test_a_resumed_model_is_bit_for_bit_the_undisturbed_one(cut: int) -> None:
    whole = taught(200)
    stored = msgspec.msgpack.encode(taught(cut).state())
    resumed = Learner(PARAMS)
    resumed.restore(msgspec.msgpack.decode(stored))
    assert msgspec.msgpack.encode(resumed.state()) == stored
    resumed = taught(200, learner=resumed, skip=cut)
    assert whole.state() == resumed.state()
    for x, _ in people(50, seed=4):
        assert whole.table.score_one(x) == resumed.table.score_one(x)
        assert whole.table.reasons_of(x) == resumed.table.reasons_of(x)


def test_examples_that_were_stored_as_lists_are_learned_the_same() -> None:
    tuples, lists = Learner(PARAMS), Learner(PARAMS)
    for x, left in people(20):
        tuples.learn_one(example(x, left))
        lists.learn_one(example(msgspec.msgpack.decode(msgspec.msgpack.encode(x)), left))
    assert tuples.state() == lists.state()


# ---- the scorer


def scorer(**params: Any) -> Scorer:
    return Scorer(ChurnParams(**params), lambda: Table((*INPUTS, "age"), 0.0))


def test_only_declared_attributes_are_kept_and_a_number_must_be_one() -> None:
    declared = scorer(attributes={"age": "number", "plan": "category"}).declared
    assert declared({"age": 41.0, "plan": "gold", "shoes": 43.0}) == {"age": 41.0, "plan": "gold"}
    assert declared({"age": "old", "plan": True}) == {"plan": True}


def test_attributes_become_inputs_and_what_is_not_known_stands_at_zero() -> None:
    score = scorer(attributes={"age": "number", "plan": "category"}).score_one
    numbers = tuple(float(n) for n in range(PLAIN))
    assert score(numbers, {"age": 41.0, "plan": "gold"})[1] == Inputs((*numbers, 41.0), ("plan=gold",))
    assert score(numbers, {"plan": True})[1] == Inputs((*numbers, 0.0), ("plan=True",))
    assert score(numbers, {})[1] == Inputs((*numbers, 0.0), ())


def test_a_score_is_news_when_it_moved_or_crossed_the_line() -> None:
    news = scorer(at_risk_from=0.5, publish_delta=0.1).is_news
    assert [news(None, 0.2), news(0.2, 0.25), news(0.2, 0.31), news(0.31, 0.2), news(0.48, 0.5), news(0.5, 0.49)] == [
        True, False, True, True, True, True,
    ]  # fmt: skip


def test_at_risk_begins_at_the_line() -> None:
    assert [scorer(at_risk_from=0.5).at_risk(p) for p in (0.4999, 0.5)] == [False, True]


def test_a_table_never_overflows() -> None:
    table = Table(("a",), 0.0)
    table.slopes = [1e300]
    assert [table.score_one(Inputs((sign * 1e300,), ())) for sign in (-1, 1)] == [
        pytest.approx(0, abs=1e-12),
        pytest.approx(1, abs=1e-12),
    ]


def test_categories_are_hashed_into_a_fixed_space() -> None:
    slots = {slot_of(f"city={n}") for n in range(200_000)}
    assert len(slots) <= SLOTS
    assert slots <= set(range(SLOTS))
