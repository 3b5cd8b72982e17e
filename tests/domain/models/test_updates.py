"""Weights announced to other processes: followers score the same, repeated parts do no harm, bad records are refused."""

import random
from typing import Any

import msgspec
import numpy as np
import pytest

from flows.settings.model import Settings
from operators.domain.models import churn, satisfaction, sentiment
from operators.domain.models.churn import ChurnInputs
from operators.domain.models.model import PART_FEATURES, Example
from operators.domain.models.registry import MODELS, training_of, weights_of
from operators.domain.models.updates import (
    CHANGES_PER_WHOLE,
    WIRE_VERSION,
    FollowedWeights,
    Origin,
    ProcessReady,
    UpdateError,
    WeightsAnnouncer,
    WeightsUpdate,
    check_origin,
    decode,
    ready_record,
)
from operators.domain.models.vectors import SPACE

ORIGIN = Origin("deployment", "run", "p2")
CHURN = churn.ChurnParams(attributes={"plan": "category"})
SETTINGS = Settings(churn=CHURN)
ENGLISH = "sentiment/en"
LARGEST_MESSAGE = 200_000
"""Bytes; brokers accept 1 MiB by default."""


def features(rng: random.Random, count: int = 40) -> bytes:
    return np.array(sorted(rng.sample(range(SPACE), count)), "<i4").tobytes()


class Shop:
    """Models of the three kinds, and examples for them."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = random.Random(seed)  # noqa: S311  a test wants the same examples again
        self.trainings = {name: training_of(name, SETTINGS) for name in (ENGLISH, "churn", "satisfaction")}

    def weights(self, name: str) -> Any:
        return self.trainings[name].learner.weights

    def learn(self, count: int) -> None:
        rng, names = self.rng, churn.names_of(CHURN)
        for _ in range(count):
            label = rng.choice(sentiment.CLASSES)
            self.trainings[ENGLISH].take(Example(features(rng), (0.3, 0.3, 0.4), label, 1.0, 0.0))
            inputs = ChurnInputs(tuple(rng.random() for _ in names), (f"plan={rng.randrange(50)}",))
            self.trainings["churn"].take(Example(inputs, 0.5, rng.random() < 0.5, 1.0, 0.0))
            parts = (5 * rng.random(), *(rng.choice([None, 5 * rng.random()]) for _ in satisfaction.PARTS[1:]))
            self.trainings["satisfaction"].take(Example(parts, 2.5, 5 * rng.random(), 1.0, 0.0))

    def announcer(self, name: str, now: float = 0.0) -> WeightsAnnouncer:
        return WeightsAnnouncer(self.trainings[name], ORIGIN, lambda: now)


def followed(name: str) -> Any:
    return FollowedWeights(weights_of(name, SETTINGS))


def apply(follower: FollowedWeights, records: list[tuple[str, bytes]]) -> None:
    for _, raw in records:
        update = decode(raw)
        assert isinstance(update, WeightsUpdate)
        follower.apply(update)


def same(name: str, one: Any, other: Any) -> bool:
    if name == "churn":
        numbers = [(each.slopes, each.means, each.base, each.categories) for each in (one, other)]
        return numbers[0] == numbers[1]
    if name == "satisfaction":
        return one.weights == other.weights
    return np.array_equal(one.weights, other.weights) and np.array_equal(one.intercepts, other.intercepts)


@pytest.mark.parametrize("name", [ENGLISH, "churn", "satisfaction"])
def test_a_follower_scores_with_the_learners_own_weights(name: str) -> None:
    shop = Shop()
    follower, announcer = followed(name), shop.announcer(name)
    for count in (0, 1, 30, 200):
        shop.learn(count)
        apply(follower, announcer.announce())
        assert same(name, shop.weights(name), follower.weights)
        assert follower.weights.version == shop.trainings[name].learned
        assert announcer.pending() == 0
    assert announcer.announce() == []
    assert follower.is_whole


@pytest.mark.parametrize("learned", [0, 1, 2])
def test_the_first_announcement_is_always_the_whole_model(learned: int) -> None:
    shop = Shop()
    shop.learn(learned)
    announcer, follower = shop.announcer("churn"), followed("churn")
    assert announcer.pending() == learned + 1
    apply(follower, announcer.announce())
    assert follower.is_whole
    assert follower.weights.version == learned


def test_a_whole_model_is_announced_again_after_so_many_changes() -> None:
    shop = Shop()
    announcer, kinds = shop.announcer("satisfaction"), list[str]()
    for _ in range(2 * CHANGES_PER_WHOLE + 4):
        shop.learn(1)
        kinds += [key.split("/")[1] for key, _ in announcer.announce()]
    assert [place for place, kind in enumerate(kinds) if kind == "whole"] == [
        0,
        CHANGES_PER_WHOLE + 1,
        2 * CHANGES_PER_WHOLE + 2,
    ]


@pytest.mark.parametrize("name", list(MODELS))
def test_every_registered_model_can_be_followed(name: str) -> None:
    training = training_of(name, SETTINGS)
    follower = FollowedWeights(weights_of(name, SETTINGS))
    apply(follower, WeightsAnnouncer(training, ORIGIN, lambda: 0.0).announce())
    assert follower.is_whole
    assert same(name, training.learner.weights, follower.weights)


def test_a_model_is_complete_only_with_all_parts() -> None:
    shop = Shop()
    shop.learn(20)
    records = shop.announcer(ENGLISH).announce()
    assert len(records) == SPACE // PART_FEATURES
    follower = followed(ENGLISH)
    apply(follower, records[:-1])
    assert not follower.is_whole
    apply(follower, records[-1:])
    assert follower.is_whole


def test_changes_alone_are_no_whole_model() -> None:
    shop = Shop()
    announcer = shop.announcer(ENGLISH)
    announcer.announce()
    shop.learn(5)
    follower = followed(ENGLISH)
    apply(follower, announcer.announce())
    assert not follower.is_whole


def test_what_compaction_leaves_is_the_model() -> None:
    """The last record of each key, in the order of the topic, from any start of reading."""
    shop, topic = Shop(), list[tuple[str, bytes]]()
    announcer = shop.announcer(ENGLISH)
    for _ in range(2 * CHANGES_PER_WHOLE + 7):
        shop.learn(2)
        topic += announcer.announce()
    last = {key: place for place, (key, _) in enumerate(topic)}
    left = [record for place, record in enumerate(topic) if last[record[0]] == place]
    assert len(left) < len(topic) / 2
    follower = followed(ENGLISH)
    apply(follower, left)
    assert same(ENGLISH, shop.weights(ENGLISH), follower.weights)


def test_a_learner_that_went_back_is_followed_back() -> None:
    """After a crash it resumes from its snapshot, and what it announced after it is no longer valid."""
    shop = Shop()
    shop.learn(50)
    state, follower = msgspec.msgpack.encode(shop.trainings[ENGLISH].state()), followed(ENGLISH)
    ahead = shop.announcer(ENGLISH)
    apply(follower, ahead.announce())
    shop.learn(50)
    apply(follower, ahead.announce())
    resumed = training_of(ENGLISH, SETTINGS)
    resumed.restore(msgspec.msgpack.decode(state))
    apply(follower, WeightsAnnouncer(resumed, ORIGIN, lambda: 2.0).announce())
    assert same(ENGLISH, resumed.learner.weights, follower.weights)
    assert follower.weights.version == 50


def test_a_part_that_comes_twice_does_no_harm() -> None:
    shop = Shop()
    shop.learn(20)
    follower = followed(ENGLISH)
    apply(follower, [record for record in shop.announcer(ENGLISH).announce() for _ in range(2)])
    assert same(ENGLISH, shop.weights(ENGLISH), follower.weights)


def test_no_record_comes_near_what_a_broker_takes() -> None:
    shop = Shop()
    shop.weights(ENGLISH).weights[:] = 1.0
    shop.weights("churn").categories.update(dict.fromkeys(range(churn.SLOTS), 0.5))
    for name in (ENGLISH, "churn"):
        records = shop.announcer(name).announce()
        assert max(len(raw) for _, raw in records) < LARGEST_MESSAGE
        follower = followed(name)
        apply(follower, records)
        assert same(name, shop.weights(name), follower.weights)


def test_keys_name_model_kind_and_part() -> None:
    shop = Shop()
    announcer = shop.announcer("churn")
    keys = [[key for key, _ in announcer.announce()]]
    for _ in range(2):
        shop.learn(1)
        keys.append([key for key, _ in announcer.announce()])
    assert keys == [["churn/whole/00"], ["churn/change/00/00"], ["churn/change/01/00"]]


def test_an_update_names_its_deployment_its_run_its_process_and_its_releases() -> None:
    shop = Shop()
    shop.learn(3)
    raw = shop.announcer("satisfaction", now=12.5).announce()[0][1]
    update = decode(raw)
    assert isinstance(update, WeightsUpdate)
    assert (update.cluster, update.run, update.process) == ORIGIN
    assert (update.model, update.version, update.announced_at) == ("satisfaction", 3, 12.5)
    assert update.whole
    assert update.csq
    assert update.river.startswith("0.")
    assert msgspec.msgpack.decode(raw)["told_at"] == 12.5  # its name on the wire


def update(**changes: Any) -> WeightsUpdate:
    weights = {"cleared": (0, 0), "features": b"", "weights": b"", "intercepts": [0.0, 0.0, 0.0]}
    fields: dict[str, Any] = {
        "v": WIRE_VERSION,
        "model": "sentiment/en",
        "version": 1,
        "announced_at": 0.0,
        **ORIGIN._asdict(),
    }
    fields |= {"csq": "1", "river": "1", "whole": False, "part": 0, "parts": 1, "weights": weights | changes}
    return WeightsUpdate(**fields)


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
            {"features": np.array([5, SPACE], "<i4").tobytes(), "weights": np.zeros(6, "<f4").tobytes()},
            f"features of 0..{SPACE - 1} expected, got 5 to {SPACE}",
        ),
        (
            {"features": np.array([-1, 5], "<i4").tobytes(), "weights": np.zeros(6, "<f4").tobytes()},
            f"features of 0..{SPACE - 1} expected, got -1 to 5",
        ),
        (
            {"features": np.array([5], "<i4").tobytes(), "weights": np.array([1, np.nan, 0], "<f4").tobytes()},
            r"weights up to 1e\+06 expected, got one that is larger or not finite",
        ),
        (
            {"features": np.array([5], "<i4").tobytes(), "weights": np.array([1, -3e38, 0], "<f4").tobytes()},
            r"weights up to 1e\+06 expected, got one that is larger or not finite",
        ),
        ({"intercepts": [0.0, 1e16, 0.0]}, r"intercepts: 3 finite numbers expected, up to 1e\+15"),
        ({"intercepts": [0.0, float("inf"), 0.0]}, "intercepts: 3 finite numbers expected"),
        ({"intercepts": [0.0]}, "intercepts: 3 finite numbers expected"),
        ({"cleared": (0, SPACE + 1)}, "a range within"),
        ({"cleared": "all"}, "too many values"),
    ],
)
def test_weights_that_no_scorer_can_use_are_refused_and_change_nothing(changes: dict[str, Any], complaint: str) -> None:
    follower = followed(ENGLISH)
    with pytest.raises(UpdateError, match=complaint):
        follower.apply(update(**changes))
    assert not follower.weights.weights.any()
    assert follower.weights.version == 0


def test_a_churn_model_of_other_settings_is_refused_with_what_to_do() -> None:
    received = decode(Shop().announcer("churn").announce()[0][1])
    assert isinstance(received, WeightsUpdate)
    other = FollowedWeights(churn.ChurnWeights(churn.ChurnParams(attributes={"age": "number"})))
    with pytest.raises(UpdateError, match="give all processes the same settings"):
        other.apply(received)


@pytest.mark.parametrize(
    "changes",
    [{"parts": 1 << 31}, {"parts": 0}, {"part": -1}, {"version": -1}, {"told_at": float("nan")}, {"told_at": -1.0}, {"run": "r" * 65}],
)  # fmt: skip
def test_numbers_that_no_learner_writes_are_no_record(changes: dict[str, Any]) -> None:
    fields = msgspec.msgpack.decode(Shop().announcer("satisfaction").announce()[0][1])
    with pytest.raises(UpdateError, match="not a record of the models topic") as raised:
        decode(msgspec.msgpack.encode(fields | changes))
    assert raised.value.reason == "not_a_record"


def test_categories_of_churn_are_numbered() -> None:
    fields = msgspec.msgpack.decode(Shop().announcer("churn").announce()[0][1])
    fields["weights"]["categories"] = [["slot", 0.5]]
    forged = decode(msgspec.msgpack.encode(fields))
    assert isinstance(forged, WeightsUpdate)
    with pytest.raises(UpdateError, match="categories: whole numbers expected"):
        followed("churn").apply(forged)


@pytest.mark.parametrize(
    "raw", [b'{"kind": "weights"}', b"", b"\xff" * 100, msgspec.msgpack.encode({"v": WIRE_VERSION})]
)
def test_bytes_of_another_kind_are_no_record(raw: bytes) -> None:
    with pytest.raises(UpdateError, match="not a record of the models topic") as raised:
        decode(raw)
    assert raised.value.reason == "not_a_record"


def test_a_record_of_another_wire_version_is_refused_as_such() -> None:
    with pytest.raises(UpdateError, match=f"a record of version 1, {WIRE_VERSION} expected") as raised:
        decode(msgspec.msgpack.encode({"kind": "ready", "v": 1, "process": "p0"}))
    assert raised.value.reason == "other_version"


def test_a_record_of_another_deployment_or_run_is_refused_as_such() -> None:
    message = decode(ready_record(ORIGIN)[1])
    check_origin(message, ORIGIN._replace(process="p7"), ["p2"])
    for changed, members, reason in (
        (ORIGIN._replace(cluster="x"), ["p2"], "other_cluster"),
        (ORIGIN._replace(run="x"), ["p2"], "other_run"),
        (ORIGIN, ["p0", "p1"], "other_process"),
    ):
        with pytest.raises(UpdateError) as raised:
            check_origin(message, changed, members)
        assert raised.value.reason == reason


def test_the_ready_record_names_its_process() -> None:
    key, raw = ready_record(ORIGIN)
    assert (key, decode(raw)) == ("ready/p2", ProcessReady(WIRE_VERSION, *ORIGIN))
