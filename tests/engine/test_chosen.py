"""Chosen positions are there after a crash, until the store has a position that follows them."""

from pathlib import Path

import pytest

from operators.domain.stage.seal import StateDamagedError
from operators.engine.chosen import FILES, ChosenPositions
from operators.engine.fit import StoreShape
from operators.engine.positions import Position, TopicId
from operators.engine.recovery import make
from operators.engine.store import StoreError

PART, OTHER = "events[0]", "events[1]"
TOPIC = TopicId("cluster", "topic")


def loaded(folder: Path | None, process: str = "p0") -> ChosenPositions:
    chosen = ChosenPositions(folder, process)
    chosen.load()
    return chosen


def test_a_choice_applies_until_the_store_has_a_position_that_follows_it(tmp_path: Path) -> None:
    first = loaded(tmp_path)
    position = first.choose(PART, 100, TOPIC, None)
    assert position == Position(100, TOPIC, 1)
    first.save()
    assert loaded(tmp_path).newest(PART, None) == position
    later = position._replace(next=140)
    assert loaded(tmp_path).newest(PART, later) == later
    again = loaded(tmp_path)
    assert again.newest(PART, later) == later
    again.save()
    assert not list(tmp_path.glob(FILES))


def test_a_choice_in_the_place_of_a_stored_position_is_newer_than_it_also_where_it_is_lower(tmp_path: Path) -> None:
    first, stored = loaded(tmp_path), Position(500, TopicId("cluster", "older"), 3)
    position = first.choose(PART, 0, TOPIC, stored)
    first.save()
    assert position.choice == 4
    assert loaded(tmp_path).newest(PART, stored) == position


def test_a_choice_is_removed_once_it_is_stored_and_a_later_one_is_not(tmp_path: Path) -> None:
    chosen = loaded(tmp_path)
    first = chosen.choose(PART, 100, TOPIC, None)
    chosen.choose(OTHER, 7, TOPIC, None)
    chosen.save()
    second = chosen.choose(PART, 900, TOPIC, first)
    chosen.forget(PART, first.choice)
    chosen.forget(OTHER, 1)
    chosen.save()
    assert loaded(tmp_path).parts() == {PART}
    assert loaded(tmp_path).newest(PART, first) == second
    chosen.forget(PART, second.choice)
    chosen.save()
    assert not list(tmp_path.glob(FILES))


def test_a_process_goes_on_with_what_another_one_has_chosen_and_keeps_it_itself(tmp_path: Path) -> None:
    other = loaded(tmp_path, "p1")
    position = other.choose(PART, 100, TOPIC, None)
    other.save()
    ours = loaded(tmp_path, "p0")
    assert ours.newest(PART, None) == position
    ours.save()
    (tmp_path / "chosen-p1").unlink()
    assert loaded(tmp_path).newest(PART, None) == position


def test_a_choice_of_a_partition_that_is_not_read_now_is_kept(tmp_path: Path) -> None:
    first = loaded(tmp_path)
    position = first.choose(PART, 100, TOPIC, None)
    first.save()
    second = loaded(tmp_path)  # with other topics
    second.choose(OTHER, 5, TOPIC, None)
    second.save()
    assert loaded(tmp_path).newest(PART, None) == position


def test_a_damaged_file_is_refused_and_one_that_cannot_be_written_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    chosen = loaded(tmp_path)
    chosen.choose(PART, 100, TOPIC, None)
    chosen.save()
    path = tmp_path / "chosen-p0"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StateDamagedError, match="chosen-p0 is damaged"):
        loaded(tmp_path)
    missing = ChosenPositions(tmp_path / "missing")
    missing.choose(PART, 100, TOPIC, None)
    with pytest.raises(StoreError, match=r"No such file or directory \(docs/state.md"):
        missing.save()


def test_a_new_store_has_none_of_an_earlier_one_in_its_directory(tmp_path: Path) -> None:
    chosen = loaded(tmp_path)
    chosen.choose(PART, 100, TOPIC, None)
    chosen.save()
    make(tmp_path, StoreShape(2, 1, ["csq.kafka"]))
    assert loaded(tmp_path).parts() == frozenset()


def test_without_a_store_nothing_is_kept() -> None:
    chosen = loaded(None)
    assert chosen.choose(PART, 100, TOPIC, None).next == 100
    chosen.save()
    assert loaded(None).parts() == frozenset()
