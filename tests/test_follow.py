"""Following the models that other processes learn: nothing is scored before all is there, and one's own echo is no news."""

from threading import Event
from typing import Any

import pytest

from operators.domain.models import satisfaction
from operators.domain.models.churn import ChurnParams
from operators.domain.models.holder import Models
from operators.domain.models.weights import Teller, ready_record, tables_of
from operators.engine.epochs import Epochs
from operators.follow import Follow, Follower

NAME = "satisfaction"


class Learned:
    """What a teller needs of a learner."""

    def __init__(self, weights: tuple[float, ...] = satisfaction.START, examples: int = 5) -> None:
        self.table = satisfaction.Table()
        self.table.weights = weights
        self.counts = (examples, 0, 0)


def told(weights: tuple[float, ...] = satisfaction.START, examples: int = 5) -> bytes:
    return Teller(NAME, Learned(weights, examples), "p0").tell(100.0)[0][1]


def follower(models: Models, *others: str) -> Follower:
    return Follower(models, tables_of(ChurnParams()), began_at=10, process="p1", others=others)


def test_a_model_is_here_once_the_learner_of_this_start_has_told_it() -> None:
    models = Models((NAME,))
    follow = follower(models)
    assert follow.hear(9, told(examples=4)) == []
    assert not models.complete()
    assert follow.hear(10, told(examples=5)) == [
        ("csq_model_version", (NAME,), 5),
        ("csq_model_updated_timestamp_seconds", (NAME,), 100.0),
    ]
    assert models.complete()
    assert models[NAME].version == 5


def test_later_weights_go_to_the_table_that_scorers_hold() -> None:
    models = Models((NAME,))
    follow = follower(models)
    follow.hear(10, told())
    table = models[NAME]
    follow.hear(11, told((0.2, 0.2, 0.2, 0.2, 0.2), 6))
    assert models[NAME] is table
    assert table.weights == (0.2, 0.2, 0.2, 0.2, 0.2)


def test_a_learner_hears_nothing_of_its_own_model() -> None:
    models = Models((NAME,))
    models[NAME], own = Learned().table, Learned().table
    models[NAME] = own
    models.hosted.add(NAME)
    assert follower(models).hear(10, told((0.0, 1.0, 0.0, 0.0, 0.0), 9)) == []
    assert models[NAME] is own
    assert own.weights == satisfaction.START


def test_reading_begins_when_the_other_processes_are_ready_too() -> None:
    models = Models((NAME,))
    follow = follower(models, "p0", "p2")
    follow.hear(10, told())
    follow.hear(9, ready_record("p0")[1])  # of an earlier start
    follow.hear(11, ready_record("p2")[1])
    assert models.waits_for == ("p0",)
    assert not models.complete()
    follow.hear(12, ready_record("p0")[1])
    assert models.complete()


def test_it_says_once_that_it_is_ready() -> None:
    models = Models((NAME,))
    follow = follower(models)
    assert follow.say_ready() == []
    follow.hear(10, told())
    assert follow.say_ready() == [ready_record("p1")]
    assert follow.say_ready() == []


def test_what_cannot_be_used_is_told_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    models = Models((NAME,))
    follow = follower(models)
    assert follow.hear(10, b"what is this") == []
    assert follow.hear(11, told((float("nan"),) * 5)) == []
    assert "models topic, offset 10: not a record of the models topic" in caplog.text
    assert "offset 11: weights of model satisfaction from p0: weights: 5 finite numbers expected" in caplog.text
    assert not models.complete()


def test_a_model_that_this_release_does_not_know_is_passed_over() -> None:
    models = Models((NAME,))
    raw = Teller("loyalty", Learned(), "p0").tell(0.0)[0][1]
    assert follower(models).hear(10, raw) == []


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


def test_as_an_input_it_measures_and_says_that_it_is_ready_until_it_is_stopped() -> None:
    models, stop, topic = Models((NAME,)), Event(), Topic([(0, told())])
    part: Any = Follow(topic, models, tables_of(ChurnParams()), 0, 2, stop, Epochs(30.0)).build("topic", 0, 2)
    (measured, ready) = part.next_batch()
    assert measured[1][0] == ("csq_model_version", (NAME,), 5)
    assert ready == ("models", [ready_record("p0")])
    assert models.waits_for == ("p1",)
    assert part.next_awake() is None  # there may be more
    assert part.next_batch() == []
    assert part.next_awake() is not None
    stop.set()
    with pytest.raises(StopIteration):
        part.next_batch()
    part.close()
    assert topic.closed
