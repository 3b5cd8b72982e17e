"""Following the models of other processes: complete before anything is scored, and never one's own announcements."""

import time
from threading import Event
from typing import Any

import msgspec
import pytest

from flows.settings.model import Settings
from operators.domain.models import satisfaction
from operators.domain.models.model import Models
from operators.domain.models.registry import training_of
from operators.domain.models.updates import WeightsAnnouncer, WeightsUpdate, ready_record
from operators.engine.epochs import ALWAYS_DUE, Epochs
from operators.follow import REST_SECONDS, FollowSource, ModelsFollower

NAME = "satisfaction"


def announced(weights: tuple[float, ...] = satisfaction.START, examples: int = 5) -> bytes:
    training: Any = training_of(NAME, Settings())
    training.learner.weights.weights, training.learned = weights, examples
    return WeightsAnnouncer(training, "p0", lambda: 100.0).announce()[0][1]


def follower(models: Models, *others: str) -> ModelsFollower:
    return ModelsFollower(models, Settings(), began_at=10, process="p1", others=others)


def test_a_model_is_there_once_a_learner_of_this_start_has_announced_it() -> None:
    models = Models((NAME,))
    follow = follower(models)
    assert follow.take(9, announced(examples=4)) == []
    assert not models.complete()
    assert follow.take(10, announced(examples=5)) == [
        ("csq_model_version", (NAME,), 5),
        ("csq_model_updated_timestamp_seconds", (NAME,), 100.0),
    ]
    assert models.complete()
    assert models[NAME].version == 5


def test_later_weights_go_to_the_table_that_scorers_hold() -> None:
    models = Models((NAME,))
    follow = follower(models)
    follow.take(10, announced())
    table = models[NAME]
    follow.take(11, announced((0.2, 0.2, 0.2, 0.2, 0.2), 6))
    assert models[NAME] is table
    assert table.weights == (0.2, 0.2, 0.2, 0.2, 0.2)


def test_a_process_ignores_announcements_of_a_model_that_it_trains_itself() -> None:
    models, own = Models((NAME,)), satisfaction.SatisfactionWeights()
    models[NAME] = own
    models.hosted.add(NAME)
    assert follower(models).take(10, announced((0.0, 1.0, 0.0, 0.0, 0.0), 9)) == []
    assert models[NAME] is own
    assert own.weights == satisfaction.START


def test_reading_begins_when_the_other_processes_are_ready_too() -> None:
    models = Models((NAME,))
    follow = follower(models, "p0", "p2")
    follow.take(10, announced())
    follow.take(9, ready_record("p0")[1])  # of an earlier start
    follow.take(11, ready_record("p2")[1])
    assert models.waits_for == ("p0",)
    assert not models.complete()
    follow.take(12, ready_record("p0")[1])
    assert models.complete()


def test_it_announces_once_that_it_is_ready() -> None:
    models = Models((NAME,))
    follow = follower(models)
    assert follow.announce_ready() == []
    follow.take(10, announced())
    assert follow.announce_ready() == [ready_record("p1")]
    assert follow.announce_ready() == []


def test_a_record_that_cannot_be_used_is_logged_and_skipped(caplog: pytest.LogCaptureFixture) -> None:
    models = Models((NAME,))
    follow = follower(models)
    assert follow.take(10, b"what is this") == []
    assert follow.take(11, announced((float("nan"),) * 5)) == []
    assert "models topic, offset 10: not a record of the models topic" in caplog.text
    assert "offset 11: weights of model satisfaction from p0: weights: 5 finite numbers expected" in caplog.text
    assert not models.complete()


def test_a_model_that_is_not_registered_is_passed_over() -> None:
    raw = announced()
    update = msgspec.structs.replace(msgspec.msgpack.decode(raw, type=WeightsUpdate), model="loyalty")
    models = Models((NAME,))
    assert follower(models).take(10, msgspec.msgpack.encode(update)) == []
    assert not models


class Topic:
    """A topic in memory."""

    began_at = 0

    def __init__(self, *batches: list[tuple[int, bytes]]) -> None:
        self.batches = list(batches)
        self.closed = False

    def poll(self) -> list[tuple[int, bytes]]:
        return self.batches.pop(0) if self.batches else []

    def close(self) -> None:
        self.closed = True


def test_as_an_input_it_measures_and_announces_that_it_is_ready_until_it_is_stopped() -> None:
    models, stop, topic, now = Models((NAME,)), Event(), Topic([(0, announced())]), 1_700_000_000.0
    epochs = Epochs(30.0, clock=lambda: now)
    source = FollowSource(topic, models, Settings(), 0, 2, stop, epochs)
    part: Any = source.build("topic", 0, 2)
    (measured, ready) = part.next_batch()
    assert measured[1][0] == ("csq_model_version", (NAME,), 5)
    assert ready == ("models", [ready_record("p0")])
    assert models.waits_for == ("p1",)
    assert part.next_batch() == []
    topic.batches.append([(1, announced())])
    assert part.next_batch() == []  # it rests
    time.sleep(REST_SECONDS)
    assert part.next_batch() != []
    assert part.next_awake() == ALWAYS_DUE
    stop.set()
    with pytest.raises(StopIteration):
        part.next_batch()
    part.close()
    assert topic.closed
