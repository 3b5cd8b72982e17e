"""Following the models of other processes: complete before anything is scored, and never one's own announcements."""

import re
import time
from threading import Event
from typing import Any

import msgspec
import pytest

from flows.settings.model import Settings
from operators.domain.models import satisfaction
from operators.domain.models.model import Models
from operators.domain.models.registry import training_of
from operators.domain.models.updates import Origin, WeightsAnnouncer, WeightsUpdate, ready_record
from operators.domain.stage.stage import Measurement
from operators.engine.epochs import ALWAYS_DUE, Epochs
from operators.follow import REST_SECONDS, FollowSource, ModelsFollower, RefusedRecords

NAME = "satisfaction"


HERE = Origin("shop", "run-2", "p1")
"""The process that follows."""


LEARNER = HERE._replace(process="p0")


def announced(weights: tuple[float, ...] = satisfaction.START, examples: int = 5, origin: Origin = LEARNER) -> bytes:
    training: Any = training_of(NAME, Settings())
    training.learner.weights.weights, training.learned = weights, examples
    return WeightsAnnouncer(training, origin, lambda: 100.0).announce()[0][1]


def ready(process: str) -> bytes:
    return ready_record(HERE._replace(process=process))[1]


class Following:
    """A follower, its models and its refused records, as process p1 of some."""

    def __init__(self, *others: str) -> None:
        self.models = Models((NAME,))
        self.now = 0.0
        self.refused = RefusedRecords(lambda: self.now)
        self.follower = ModelsFollower(self.models, Settings(), HERE, ["p1", *others], self.refused)

    def take(self, *raws: bytes, offset: int = 10) -> list[Measurement]:
        return [one for place, raw in enumerate(raws) for one in self.follower.take(offset + place, raw)]

    def counted(self) -> dict[str, Any]:
        return {labels[0]: value for name, labels, value in self.refused.drain() if "refused" in name}


@pytest.fixture
def following() -> Following:
    return Following("p0", "p2")


def test_a_model_is_there_once_its_learner_has_announced_it(following: Following) -> None:
    assert following.take(announced(examples=5)) == [
        ("csq_model_version", (NAME,), 5),
        ("csq_model_updated_timestamp_seconds", (NAME,), 100.0),
    ]
    assert following.models.missing() == []
    assert following.models[NAME].version == 5


def test_later_weights_go_to_the_table_that_scorers_hold(following: Following) -> None:
    following.take(announced())
    table = following.models[NAME]
    following.take(announced((0.2, 0.2, 0.2, 0.2, 0.2), 6))
    assert following.models[NAME] is table
    assert table.weights == (0.2, 0.2, 0.2, 0.2, 0.2)


def test_a_process_passes_over_what_it_announced_itself(following: Following) -> None:
    models, own = following.models, satisfaction.SatisfactionWeights()
    models[NAME] = own
    models.hosted.add(NAME)
    assert following.take(announced((0.0, 1.0, 0.0, 0.0, 0.0), 9, HERE)) == []
    assert following.counted() == {}
    assert following.take(announced((0.0, 1.0, 0.0, 0.0, 0.0), 9)) == []
    assert following.counted() == {"other_process": 1}
    assert models[NAME] is own
    assert own.weights == satisfaction.START


def test_reading_begins_when_the_other_processes_are_ready_too(following: Following) -> None:
    following.take(announced(), ready("p2"))
    assert following.models.waits_for == ("p0",)
    assert not following.models.complete()
    following.take(ready("p0"))
    assert following.models.complete()


def test_it_announces_once_that_it_is_ready(following: Following) -> None:
    assert following.follower.announce_ready() == []
    following.take(announced())
    assert following.follower.announce_ready() == [ready_record(HERE)]
    assert following.follower.announce_ready() == []


OTHERS = (0.0, 1.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("raw", "reason", "says"),
    [
        (b"what is this", "not_a_record", "not a record of the models topic"),
        (msgspec.msgpack.encode({"kind": "ready", "v": 1, "process": "p0"}), "other_version", "a record of version 1, 2 expected"),
        (announced(OTHERS, origin=Origin("bank", "run-2", "p0")), "other_cluster", r"another deployment \(bank; this is shop\)"),
        (announced(OTHERS, origin=Origin("shop", "run-1", "p0")), "other_run", r"a record of run run-1 .*\(this is run-2\)"),
        (announced(OTHERS, origin=Origin("shop", "run-2", "p9")), "other_process", "a record of p9, which is not one of this cluster"),
        (announced(OTHERS, origin=Origin("shop", "run-2", "p2")), "other_process", "weights of model satisfaction from p2; p0 trains it"),
        (announced((float("nan"),) * 5), "unusable", "weights of model satisfaction from p0: weights: 5 finite numbers expected"),
        (announced((1e300,) * 5), "unusable", r"5 finite numbers expected, up to 1e\+15"),
        (ready_record(Origin("bank", "run-2", "p2"))[1], "other_cluster", "another deployment"),
        (ready_record(Origin("shop", "run-1", "p2"))[1], "other_run", "a record of run run-1"),
        (ready_record(Origin("shop", "run-2", "p9"))[1], "other_process", "a record of p9"),
    ],
)  # fmt: skip
def test_any_other_record_is_refused_counted_and_changes_nothing(
    following: Following, caplog: pytest.LogCaptureFixture, raw: bytes, reason: str, says: str
) -> None:
    following.take(announced())
    assert following.take(raw, offset=17) == []
    assert following.counted() == {reason: 1}
    assert re.search(rf"models topic: 1 records refused \({reason} 1\); the last one: offset 17: .*{says}", caplog.text)
    assert following.models[NAME].weights == satisfaction.START
    assert following.models.waits_for == ("p0", "p2")


def test_a_model_that_is_not_registered_is_refused(following: Following) -> None:
    update = msgspec.structs.replace(msgspec.msgpack.decode(announced(), type=WeightsUpdate), model="loyalty")
    assert following.take(msgspec.msgpack.encode(update)) == []
    assert following.counted() == {"unusable": 1}
    assert not following.models


def test_refused_records_are_logged_together_once_a_minute(
    following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    for now, records in ((0.0, 1), (1.0, 3_000), (59.0, 1), (60.0, 0), (61.0, 1), (200.0, 0)):
        following.now = now
        following.take(*[b"junk"] * records)
        assert following.counted() == ({"not_a_record": records} if records else {})
    counts = [int(found) for found in re.findall(r"models topic: (\d+) records refused", caplog.text)]
    assert counts == [1, 3_001, 1]


class Topic:
    """A topic in memory."""

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
    source = FollowSource(topic, models, Settings(), HERE, ["p0", "p1"], stop, epochs)
    part: Any = source.build("topic", 0, 2)
    (measured, ready) = part.next_batch()
    assert measured[1][0] == ("csq_model_version", (NAME,), 5)
    assert ready == ("models", [ready_record(HERE)])
    assert models.waits_for == ("p0",)
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
