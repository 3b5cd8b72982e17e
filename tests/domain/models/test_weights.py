"""What a learner tells other processes: table for table the same, whatever part came twice, and nothing of a stranger."""

import random
from typing import Any

import msgspec
import numpy as np
import pytest

from operators.domain.models import churn, mood, satisfaction, sentiment
from operators.domain.models.churn import Inputs
from operators.domain.models.example import Example
from operators.domain.models.vectors import SPACE
from operators.domain.models.weights import (
    CHANGES_PER_WHOLE,
    RANGE,
    WIRE_VERSION,
    Listener,
    Ready,
    Teller,
    Update,
    WeightsError,
    decode,
    ready_record,
    tables_of,
)

CHURN = churn.ChurnParams(attributes={"plan": "category"})
LARGEST_MESSAGE = 200_000
"""Bytes; brokers take 1 MiB unless told otherwise."""


def features(rng: random.Random, count: int = 40) -> bytes:
    return np.array(sorted(rng.sample(range(SPACE), count)), "<i4").tobytes()


class Shop:
    """Learners of the three kinds, and examples for them."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = random.Random(seed)  # noqa: S311  a test wants the same examples again
        self.mood = mood.Learner("sentiment/en", sentiment.SentimentParams())
        self.churn = churn.Learner(CHURN)
        self.satisfaction = satisfaction.Learner(satisfaction.SatisfactionParams())

    def learn(self, count: int) -> None:
        rng, names = self.rng, churn.names_of(CHURN)
        for _ in range(count):
            self.mood.learn_one(Example(features(rng), (0.3, 0.3, 0.4), rng.choice(sentiment.CLASSES), 1.0, 0.0))
            inputs = Inputs(tuple(rng.random() for _ in names), (f"plan={rng.randrange(50)}",))
            self.churn.learn_one(Example(inputs, 0.5, rng.random() < 0.5, 1.0, 0.0))
            parts = tuple(rng.choice([None, 5 * rng.random()]) for _ in satisfaction.PARTS)
            self.satisfaction.learn_one(Example(parts, 2.5, 5 * rng.random(), 1.0, 0.0))

    def learners(self) -> dict[str, Any]:
        return {"sentiment/en": self.mood, "churn": self.churn, "satisfaction": self.satisfaction}


def hear(listener: Listener, records: list[tuple[str, bytes]], *, is_of_now: bool = True) -> None:
    for _, raw in records:
        update = decode(raw)
        assert isinstance(update, Update)
        listener.hear(update, is_of_now=is_of_now)


def same(name: str, one: Any, other: Any) -> bool:
    if name == "churn":
        numbers = [(table.slopes, table.means, table.base, table.categories) for table in (one, other)]
        return numbers[0] == numbers[1]
    if name == "satisfaction":
        return one.weights == other.weights
    return np.array_equal(one.weights, other.weights) and np.array_equal(one.intercepts, other.intercepts)


@pytest.mark.parametrize("name", ["sentiment/en", "churn", "satisfaction"])
def test_whoever_listens_scores_with_the_learners_own_weights(name: str) -> None:
    shop = Shop()
    learner, listener = shop.learners()[name], Listener(tables_of(CHURN)[name]())
    teller = Teller(name, learner, "p0")
    for count in (0, 1, 30, 200):
        shop.learn(count)
        hear(listener, teller.tell(1_000.0))
        assert same(name, learner.table, listener.table)
        assert listener.table.version == learner.counts[0]
        assert teller.pending() == 0
    assert teller.tell(1_001.0) == []
    assert listener.is_whole


def test_a_model_is_whole_only_when_all_its_parts_came_from_the_learner_of_now() -> None:
    shop = Shop()
    shop.learn(20)
    records = Teller("sentiment/en", shop.mood, "p0").tell(0.0)
    assert len(records) == SPACE // RANGE
    listener = Listener(sentiment.Table())
    hear(listener, records, is_of_now=False)
    assert not listener.is_whole
    hear(listener, records[:-1])
    assert not listener.is_whole
    hear(listener, records[-1:])
    assert listener.is_whole


def test_changes_alone_are_no_whole_model() -> None:
    shop = Shop()
    teller = Teller("sentiment/en", shop.mood, "p0")
    teller.tell(0.0)
    shop.learn(5)
    listener = Listener(sentiment.Table())
    hear(listener, teller.tell(1.0))
    assert not listener.is_whole


def test_what_compaction_leaves_is_the_model() -> None:
    """The last record of each key, in the order of the topic, at whatever moment one begins to read."""
    shop, topic = Shop(), list[tuple[str, bytes]]()
    teller = Teller("sentiment/en", shop.mood, "p0")
    for _ in range(2 * CHANGES_PER_WHOLE + 7):
        shop.learn(2)
        topic += teller.tell(0.0)
    last = {key: place for place, (key, _) in enumerate(topic)}
    left = [record for place, record in enumerate(topic) if last[record[0]] == place]
    assert len(left) < len(topic) / 2
    listener = Listener(sentiment.Table())
    hear(listener, left)
    assert same("sentiment/en", shop.mood.table, listener.table)


def test_a_learner_that_went_back_is_followed_back() -> None:
    """After a crash it resumes from its snapshot, and what it had told since is no more."""
    shop = Shop()
    shop.learn(50)
    state, listener = shop.mood.state(), Listener(sentiment.Table())
    ahead = Teller("sentiment/en", shop.mood, "p0")
    hear(listener, ahead.tell(0.0))
    shop.learn(50)
    hear(listener, ahead.tell(1.0))
    resumed = mood.Learner("sentiment/en", sentiment.SentimentParams())
    resumed.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(state)))
    hear(listener, Teller("sentiment/en", resumed, "p1").tell(2.0))
    assert same("sentiment/en", resumed.table, listener.table)
    assert listener.table.version == 50


def test_a_part_that_comes_twice_does_no_harm() -> None:
    shop = Shop()
    shop.learn(20)
    records = Teller("sentiment/en", shop.mood, "p0").tell(0.0)
    listener = Listener(sentiment.Table())
    hear(listener, [record for record in records for _ in range(2)])
    assert same("sentiment/en", shop.mood.table, listener.table)


def test_no_record_comes_near_what_a_broker_takes() -> None:
    shop = Shop()
    table = shop.mood.table
    table.weights[:] = 1.0
    shop.churn.table.categories.update(dict.fromkeys(range(churn.SLOTS), 0.5))
    for name in ("sentiment/en", "churn"):
        learner = shop.learners()[name]
        records = Teller(name, learner, "p0").tell(0.0)
        assert max(len(raw) for _, raw in records) < LARGEST_MESSAGE
        listener = Listener(tables_of(CHURN)[name]())
        hear(listener, records)
        assert same(name, learner.table, listener.table)


def test_keys_name_model_kind_and_part() -> None:
    shop = Shop()
    teller = Teller("churn", shop.churn, "p0")
    keys = [[key for key, _ in teller.tell(0.0)]]
    for _ in range(2):
        shop.learn(1)
        keys.append([key for key, _ in teller.tell(0.0)])
    assert keys == [["churn/whole/00"], ["churn/change/00/00"], ["churn/change/01/00"]]


def test_an_update_says_who_told_it_and_with_which_release() -> None:
    shop = Shop()
    shop.learn(3)
    told = decode(Teller("satisfaction", shop.satisfaction, "p2").tell(12.5)[0][1])
    assert isinstance(told, Update)
    assert (told.model, told.version, told.told_at, told.process, told.whole) == ("satisfaction", 3, 12.5, "p2", True)
    assert told.csq
    assert told.river.startswith("0.")


def update(**changes: Any) -> Update:
    weights = {"cleared": (0, 0), "features": b"", "weights": b"", "intercepts": [0.0, 0.0, 0.0]}
    fields: dict[str, Any] = {"v": WIRE_VERSION, "model": "sentiment/en", "version": 1, "told_at": 0.0, "process": "p0"}
    fields |= {"csq": "1", "river": "1", "whole": False, "part": 0, "parts": 1, "weights": weights | changes}
    return Update(**fields)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"features": b"123"}, "buffer size must be a multiple"),
        ({"features": np.array([5], "<i4").tobytes()}, "cannot reshape"),
        (
            {"features": np.array([SPACE], "<i4").tobytes(), "weights": np.zeros(3, "<f4").tobytes()},
            f"features of 0..{SPACE - 1} expected, got {SPACE}",
        ),
        (
            {"features": np.array([5], "<i4").tobytes(), "weights": np.array([1, np.nan, 0], "<f4").tobytes()},
            "a weight is not finite",
        ),
        ({"intercepts": [0.0, float("inf"), 0.0]}, "intercepts: 3 finite numbers expected"),
        ({"intercepts": [0.0]}, "intercepts: 3 finite numbers expected"),
        ({"cleared": (0, SPACE + 1)}, "a range within"),
        ({"cleared": "all"}, "too many values"),
    ],
)
def test_weights_that_no_scorer_can_use_are_refused_and_change_nothing(changes: dict[str, Any], complaint: str) -> None:
    listener = Listener(sentiment.Table())
    with pytest.raises(WeightsError, match=complaint):
        listener.hear(update(**changes), is_of_now=True)
    assert not listener.table.weights.any()
    assert listener.table.version == 0


def test_a_churn_model_of_other_settings_is_refused_with_what_to_do() -> None:
    shop = Shop()
    told = decode(Teller("churn", shop.churn, "p0").tell(0.0)[0][1])
    assert isinstance(told, Update)
    other = Listener(tables_of(churn.ChurnParams(attributes={"age": "number"}))["churn"]())
    with pytest.raises(WeightsError, match="give all processes the same settings"):
        other.hear(told, is_of_now=True)


def test_bytes_of_a_stranger_are_no_record() -> None:
    with pytest.raises(WeightsError, match="not a record of the models topic"):
        decode(b'{"kind": "weights"}')


def test_a_record_of_another_release_is_passed_over() -> None:
    assert decode(msgspec.msgpack.encode({"kind": "ready", "v": WIRE_VERSION + 1, "process": "p0"})) is None


def test_the_word_that_a_process_is_ready_names_it() -> None:
    key, raw = ready_record("p3")
    assert (key, decode(raw)) == ("ready/p3", Ready(WIRE_VERSION, "p3"))
