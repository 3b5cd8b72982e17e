"""Which names are admitted, from when on, and what is remembered of them."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from operators.domain.stage.admission import CONVERSATIONS, MOST_NAMES, STEP_SECONDS, WINDOW_SECONDS, Admission
from operators.domain.stage.facts import NameSeen
from operators.domain.stage.labels import BOUNDS, Admitted, Labels, LabelsParams

HOUR = 3_600.0


def auto(**closed: tuple[str, ...]) -> Labels:
    return Labels(LabelsParams(**closed))


def sightings(value: str, count: int, start: float = 0.0, step: float = 1.0, label: Any = "queue") -> list[NameSeen]:
    return [NameSeen(start + n * step, f"{value}{n}", label, value, f"{value}-c{n}") for n in range(count)]


def drained(stage: Admission) -> dict[str, Any]:
    return dict(stage.drain())


def settled(stage: Admission, facts: list[Any]) -> dict[str, Any]:
    facts = sorted(facts, key=lambda fact: (fact.time, fact.name))
    stage.settle(facts)
    stage.advance(facts[-1].time)
    return drained(stage)


def test_a_name_is_admitted_with_its_twentieth_conversation() -> None:
    stage = Admission(auto())
    assert "admitted" not in settled(stage, sightings("VIP", CONVERSATIONS - 1))
    [admitted] = settled(stage, [NameSeen(30.0, "e", "queue", "VIP", "one more")])["admitted"]
    assert admitted == Admitted("queue", "VIP", 120.0)


def test_a_conversation_counts_once() -> None:
    stage = Admission(auto())
    facts = [NameSeen(float(n), f"e{n}", "queue", "VIP", f"c{n % 19}") for n in range(200)]
    assert "admitted" not in settled(stage, facts)


def test_conversations_outside_the_window_do_not_count() -> None:
    stage = Admission(auto())
    step = WINDOW_SECONDS / (CONVERSATIONS - 1)
    assert "admitted" not in settled(stage, sightings("rare", 60, step=step * 1.01))
    assert "admitted" in settled(Admission(auto()), sightings("frequent", 60, step=step * 0.99))


@given(st.lists(st.floats(0.0, 50.0), min_size=20, max_size=60))
def test_nothing_is_admitted_within_a_lease_that_was_given(gaps: list[float]) -> None:
    """However time is cut: what a lane settled under a lease stays right."""
    stage, time, lease = Admission(auto()), 0.0, -math.inf
    for n, gap in enumerate(gaps):
        time += gap
        found = settled(stage, [NameSeen(time, f"e{n}", "queue", "VIP", f"c{n}")])
        for admitted in found.get("admitted", ()):
            assert admitted.since >= lease
            assert admitted.since > time
        lease = found.get("lease", lease)
        assert time + STEP_SECONDS < lease <= time + 2 * STEP_SECONDS


def test_as_many_names_as_the_bound_are_admitted_and_those_of_the_settings_count() -> None:
    labels = auto()
    labels.queues.fixed = ("orders", "billing")
    stage = Admission(labels)
    facts = [fact for n in range(30) for fact in sightings(f"q{n:02d}", CONVERSATIONS, start=n * 100.0)]
    assert len(settled(stage, facts)["admitted"]) == BOUNDS["queue"] - 2


def test_a_closed_label_admits_nothing_and_names_what_came() -> None:
    stage = Admission(auto(queues=("orders",)))
    found = settled(stage, sightings("Returns EU", 50) + sightings("web", 50, label="channel"))
    assert [each.value for each in found["admitted"]] == ["web"]
    assert found["seen"]["queue"] == {"Returns EU": 50}


def test_with_closed_labels_only_lanes_need_not_wait() -> None:
    stage = Admission(auto(queues=("a",), channels=("b",), segments=("c",)))
    assert drained(stage)["lease"] == math.inf


@pytest.mark.parametrize("value", ["x" * 65, ""])
def test_a_name_that_is_no_label_is_watched_and_not_admitted(value: str) -> None:
    assert "admitted" not in settled(Admission(auto()), sightings(value, 30))


def test_many_names_do_not_fill_the_memory() -> None:
    stage = Admission(auto())
    settled(stage, [NameSeen(float(n), f"e{n}", "queue", f"order-{n}", "c") for n in range(3 * MOST_NAMES)])
    assert stage.entries() <= MOST_NAMES < stage.limit()


def test_a_resume_hands_admissions_out_again_and_goes_on_counting() -> None:
    stage = Admission(auto())
    settled(stage, sightings("VIP", CONVERSATIONS) + sightings("web", CONVERSATIONS - 1, label="channel"))

    again = Admission(auto())
    again.restore(Raw(msgspec.msgpack.encode(stage.snapshot())))

    assert drained(again)["admitted"] == [Admitted("queue", "VIP", 120.0)]
    [admitted] = settled(again, [NameSeen(40.0, "e", "channel", "web", "last")])["admitted"]
    assert admitted.value == "web"


def test_a_resume_under_a_list_drops_what_was_admitted() -> None:
    stage = Admission(auto())
    settled(stage, sightings("VIP", CONVERSATIONS))
    again = Admission(auto(queues=("orders",)))
    again.restore(Raw(msgspec.msgpack.encode(stage.snapshot())))
    assert "admitted" not in drained(again)


@pytest.mark.parametrize("name", ["ann@example.com", "+49 170 1234567", "Ann Smith 4111111111111111"])
def test_a_name_that_is_personal_data_is_never_admitted_and_not_kept(name: str) -> None:
    stage = Admission(auto())
    out = settled(stage, sightings(name, 3 * CONVERSATIONS))

    assert "admitted" not in out
    assert name not in msgspec.msgpack.encode(stage.snapshot()).decode("latin-1")


def test_a_name_that_was_admitted_before_it_counted_as_personal_data_is_not_admitted_again() -> None:
    stage = Admission(auto())
    stage._admit(Admitted("queue", "ann@example.com", 120.0))
    again = Admission(auto())
    again.restore(msgspec.Raw(msgspec.msgpack.encode(stage.snapshot())))

    assert "admitted" not in drained(again)
