"""Sightings: what a lane reports of names that have no series of their own."""

from random import Random
from typing import Any

import pytest

from operators.domain.stage.facts import NameSeen
from operators.domain.stage.labels import Labels, LabelsParams
from operators.domain.stage.sightings import CONVERSATIONS, HOUR_SECONDS, LabelSightings
from operators.domain.wire.forgotten import trace
from tests.builders import step


def opened(time: float, talk: str = "c1", queue: str = "returns") -> tuple[Any, ...]:
    return step("opened", time, talk, queue=queue)[:3]


def of(*events: tuple[Any, ...], **closed: tuple[str, ...]) -> list[NameSeen]:
    return LabelSightings("queue", Labels(LabelsParams(**closed)).queues, "conversation_id").of(list(events))


def test_events_of_a_name_and_hour_are_one_sighting_with_the_earliest_event_of_each_conversation() -> None:
    [seen] = of(opened(7.0), opened(5.0), opened(9.0, "c2"))
    assert (seen.time, seen.value, seen.events) == (5.0, "returns", 3)
    assert seen.firsts == {trace("c1"): (5.0, trace("s opened5.0c1")), trace("c2"): (9.0, trace("s opened9.0c2"))}


def test_at_the_same_time_the_trace_of_the_event_decides() -> None:
    both = opened(5.0, "c2"), opened(5.0, "c1")
    [seen] = of(*both)
    assert (seen.time, seen.name) == (5.0, min(trace(name) for _, name, _ in both))


def test_each_hour_has_one_sighting_of_its_own_in_whatever_order_its_events_come() -> None:
    found = of(*(opened(at) for at in (HOUR_SECONDS - 1.0, HOUR_SECONDS, 0.0, HOUR_SECONDS + 1.0)))
    assert sorted((seen.time, seen.events) for seen in found) == [(0.0, 2), (HOUR_SECONDS, 2)]


def test_it_names_as_many_conversations_as_admit_a_name_and_counts_the_others() -> None:
    many = [opened(float(n % 50), f"c{n % 50}") for n in range(200)]
    Random(1).shuffle(many)  # noqa: S311  any order
    next_hour = opened(HOUR_SECONDS, "late")
    first, second = of(*many, next_hour)
    assert first.events == 200
    assert set(first.firsts) == {trace(f"c{n}") for n in range(CONVERSATIONS)}
    assert set(second.firsts) == {trace("late")}


def test_a_name_that_is_in_is_not_reported() -> None:
    assert of(opened(1.0, queue="orders"), opened(1.0, queue="other"), queues=("orders",)) == []


@pytest.mark.parametrize(
    ("value", "closed"),
    [("returns", {"queues": ("orders",)}), ("", {}), ("x" * 65, {}), ("returns", {"queues": ()})],
    ids=["of a closed list", "empty", "too long", "of an empty list"],
)
def test_of_a_name_that_cannot_be_admitted_events_are_counted(value: str, closed: dict[str, tuple[str, ...]]) -> None:
    [seen] = of(*(opened(float(n), f"c{n}", value) for n in range(5)), **closed)
    assert (seen.value, seen.events, seen.firsts) == (value, 5, {})


def test_a_batch_begins_anew() -> None:
    sightings = LabelSightings("queue", Labels(LabelsParams()).queues, "conversation_id")
    assert sightings.of([opened(1.0)]) == sightings.of([opened(1.0)])
    assert sightings.of([]) == []
