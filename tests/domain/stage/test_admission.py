"""Which names are admitted, from when on, and what is remembered of them."""

import math
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.stage import sightings as sightings_module
from operators.domain.stage.admission import MOST_NAMES, STEP_SECONDS, WINDOW_HOURS, Admission
from operators.domain.stage.facts import NameSeen
from operators.domain.stage.intake import Intake, IntakeParams
from operators.domain.stage.labels import BOUNDS, Admitted, Label, Labels, LabelsParams
from operators.domain.stage.sightings import CONVERSATIONS, HOUR_SECONDS, LabelSightings
from operators.domain.time.lanes import Lanes
from operators.domain.wire.dedupe import DedupeParams
from operators.domain.wire.events import Conversation
from operators.domain.wire.forgotten import trace
from operators.engine.lanes import MAX_HELD, LaneLogic
from tests.builders import START, arrived, raw, restored


def auto(**closed: tuple[str, ...]) -> Labels:
    return Labels(LabelsParams(**closed))


def seen(value: str, time: float, subject: str, label: Label = "queue", events: int = 1) -> NameSeen:
    return NameSeen(time, f"{value}{time}", label, value, events, {subject: (time, f"{value}{time}")})


def sightings(value: str, count: int, start: float = 0.0, label: Label = "queue", first: int = 0) -> list[NameSeen]:
    return [seen(value, start + n, f"{value}-c{first + n}", label) for n in range(count)]


def drained(stage: Admission) -> dict[str, Any]:
    return dict(stage.drain())


def settled(stage: Admission, facts: list[NameSeen]) -> dict[str, Any]:
    stage.arrive(facts, 0.0, [])
    stage.advance(max(fact.time for fact in facts))
    return drained(stage)


def test_a_name_is_admitted_with_its_twentieth_conversation() -> None:
    stage = Admission(auto())
    assert "admitted" not in settled(stage, sightings("VIP", CONVERSATIONS - 1))
    [admitted] = settled(stage, [seen("VIP", 30.0, "one more")])["admitted"]
    assert admitted == Admitted("queue", "VIP", 120.0)


def test_a_conversation_counts_once() -> None:
    stage = Admission(auto())
    facts = [seen("VIP", float(n), f"c{n % 19}") for n in range(200)]
    assert "admitted" not in settled(stage, facts)


def test_conversations_add_up_over_24_hours_and_no_longer() -> None:
    half, last_hour = CONVERSATIONS // 2, 23 * HOUR_SECONDS
    facts = [
        *sightings("often", half),
        *sightings("rare", half),
        *sightings("often", half, start=last_hour, first=half),
        *sightings("rare", half, start=last_hour + HOUR_SECONDS, first=half),
    ]
    [admitted] = settled(Admission(auto()), facts)["admitted"]
    assert admitted == Admitted("queue", "often", last_hour + 120.0)


def test_a_conversation_that_goes_on_counts_in_every_window() -> None:
    stage = Admission(auto())
    start, goes_on = sightings("VIP", CONVERSATIONS - 1), sightings("VIP", CONVERSATIONS - 1, start=30 * HOUR_SECONDS)
    assert "admitted" not in settled(stage, start + goes_on)
    [admitted] = settled(stage, [seen("VIP", 40 * HOUR_SECONDS, "one more")])["admitted"]
    assert admitted.since == 40 * HOUR_SECONDS + 120.0


def test_a_sighting_older_than_the_window_is_only_counted() -> None:
    stage = Admission(auto())
    stage.advance(24 * HOUR_SECONDS)
    found = settled(stage, sightings("VIP", CONVERSATIONS))
    assert "admitted" not in found
    assert found["seen"]["queue"] == {"VIP": CONVERSATIONS}
    assert stage.entries() == 1


def test_of_too_many_names_those_that_came_first_may_still_be_admitted() -> None:
    stage = Admission(auto())
    first = sightings("early", CONVERSATIONS - 1)
    found = settled(stage, first + [seen(f"order-{n}", 100.0 + n, "c") for n in range(MOST_NAMES)])
    assert stage.entries() == 2 * (MOST_NAMES + 1 - MOST_NAMES // 8)
    assert {labels: n for _, labels, n in found["measured"]} == {("labels",): 2 * (MOST_NAMES // 8)}
    [admitted] = settled(stage, [seen("early", 2_000.0, "one more")])["admitted"]
    assert admitted.value == "early"


def test_a_lease_and_what_was_seen_are_handed_out_once() -> None:
    stage = Admission(auto())
    assert "lease" not in drained(stage)
    assert {"lease", "seen"} <= settled(stage, [seen("VIP", 10.0, "c1")]).keys()
    assert drained(stage) == {}


def test_what_time_has_not_passed_is_not_admitted_yet() -> None:
    stage = Admission(auto())
    stage.arrive(sightings("VIP", CONVERSATIONS), 0.0, [])
    stage.advance(18.5)
    assert "admitted" not in drained(stage)
    stage.advance(19.0)
    assert "admitted" in drained(stage)


@given(st.lists(st.floats(0.0, 50.0), min_size=20, max_size=60))
def test_nothing_is_admitted_within_a_lease_that_was_given(gaps: list[float]) -> None:
    """However time is cut: what a lane settled under a lease stays right."""
    stage, time, lease = Admission(auto()), 0.0, -math.inf
    for n, gap in enumerate(gaps):
        time += gap
        found = settled(stage, [seen("VIP", time, f"c{n}")])
        for admitted in found.get("admitted", ()):
            assert admitted.since >= lease
            assert admitted.since > time
        lease = found.get("lease", lease)
        assert time + STEP_SECONDS < lease <= time + 2 * STEP_SECONDS


def test_as_many_names_as_the_bound_are_admitted_and_those_of_the_settings_count() -> None:
    stage = Admission(Labels(LabelsParams(), queues=("orders", "billing")))
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
    settled(stage, [seen(f"order-{n}", float(n), "c") for n in range(3 * MOST_NAMES)])
    assert stage.entries() <= 2 * MOST_NAMES < stage.limit()


def test_a_resume_hands_admissions_out_again_and_goes_on_counting() -> None:
    stage = Admission(auto())
    settled(stage, sightings("VIP", CONVERSATIONS) + sightings("web", CONVERSATIONS - 1, label="channel"))

    again = restored(Admission(auto()), stage)

    assert drained(again)["admitted"] == [Admitted("queue", "VIP", 120.0)]
    [admitted] = settled(again, [seen("web", 40.0, "last", "channel")])["admitted"]
    assert admitted.value == "web"


def test_a_resume_under_a_list_drops_what_was_admitted() -> None:
    stage = Admission(auto())
    settled(stage, sightings("VIP", CONVERSATIONS))
    again = restored(Admission(auto(queues=("orders",))), stage)
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
    assert "admitted" not in drained(restored(Admission(auto()), stage))


# ---- however events are grouped


class Event(NamedTuple):
    """An event of a conversation in a queue."""

    time: float
    name: str
    queue: str
    talk: str


FEW, PLACES = 3, 2
"""Conversations that admit a name, and names that are admitted, in this test."""
TIMES = [hour * HOUR_SECONDS + at for hour in (0, 1, 12, 23, 24, 25, 50) for at in (0.0, 1.0, 60.0, HOUR_SECONDS - 1.0)]
EVENTS = st.lists(
    st.tuples(st.sampled_from(TIMES), st.sampled_from("abc"), st.integers(0, 7)), min_size=20, max_size=80
)


def expected_of(events: list[Event]) -> list[Admitted]:
    """The definition, applied to all events at once."""
    admitted: dict[str, Admitted] = {}
    came: list[tuple[float, str, str]] = []
    for time, _, queue, talk in sorted(events, key=lambda event: (event.time, trace(f"s {event.name}"))):
        hour = time // HOUR_SECONDS
        came.append((hour, queue, talk))
        talks = {known for at, where, known in came if where == queue and at > hour - WINDOW_HOURS}
        if len(talks) >= FEW and len(admitted) < PLACES:
            admitted.setdefault(queue, Admitted("queue", queue, (time // STEP_SECONDS + 2) * STEP_SECONDS))
    return list(admitted.values())


def sightings_of(lane: LabelSightings, events: list[Event]) -> list[NameSeen]:
    return lane.of(
        [
            arrived("csq.conversation.opened", time, name, Conversation(talk, "k", "chat", queue))[:3]
            for time, name, queue, talk in events
        ]
    )


def admissions(events: list[Event], rng: Random) -> list[Admitted]:
    """What is admitted when the events come in batches, over lanes, with ticks and restarts in between, by chance."""
    labels, found = auto(), list[Admitted]()
    labels.queues.bound = PLACES
    stage, rest = Admission(labels), sorted(events)
    while rest:
        until = rng.choice(rest).time
        now, rest = [each for each in rest if each.time <= until], [each for each in rest if each.time > until]
        rng.shuffle(now)
        lanes = [LabelSightings("queue", labels.queues, "conversation_id") for _ in range(rng.randint(1, 3))]
        facts: list[NameSeen] = []
        while now:
            size = rng.randint(1, 20)
            facts += sightings_of(rng.choice(lanes), now[:size])
            del now[:size]
        rng.shuffle(facts)
        stage.arrive(facts, 0.0, [])
        if rng.random() < 0.7:
            stage.advance(until)
        found += drained(stage).get("admitted", [])
        if rng.random() < 0.3:
            labels = auto()
            labels.queues.bound = PLACES
            stage = restored(Admission(labels), stage)
            drained(stage)
    stage.advance(1e6)
    return found + drained(stage).get("admitted", [])


@given(EVENTS, st.randoms(use_true_random=False))
def test_admissions_depend_on_events_and_not_on_batches_lanes_ticks_or_restarts(
    drawn: list[tuple[float, str, int]], rng: Random
) -> None:
    events = [Event(time, f"e{n}", queue, f"c{talk}") for n, (time, queue, talk) in enumerate(drawn)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sightings_module, "CONVERSATIONS", FEW)
        assert admissions(events, rng) == expected_of(events)


# ---- what a large batch makes of it


def test_a_batch_of_new_names_is_some_sightings_and_none_is_held_back() -> None:
    """16,000 events, each of its own conversation, in 20 queues and 10 channels, over 64 lanes."""
    labels, lanes = auto(), Lanes(64)
    intakes = {name: Intake(IntakeParams(), DedupeParams(), labels) for name in lanes.names}
    for n in range(16_000):
        at, where = START + n / 100, {"queue": f"q{n % 20}", "channel": f"m{n % 10}"}
        event = raw("csq.message.created", at, f"e{n}", conversation_id=f"c{n}", **where)
        intakes[lanes.of(f"c{n}")].arrive([(event, "o", n)], at, [])
    facts = [fact for stage in intakes.values() for fact in dict(stage.drain())["labels"]["labels"]]
    assert len(facts) == 64 * 30

    logic = LaneLogic("0", Admission(labels), lambda: START, None, take_snapshots=True)
    out, _ = logic.on_batch([facts])

    assert len(logic._held) == 0 < MAX_HELD
    assert "csq_early_facts_total" not in {name for at, value in out if at == "measured" for name, *_ in value}
    assert {value: count for names in dict(out)["seen"].values() for value, count in names.items()} == {
        **{f"q{n}": 800 for n in range(20)},
        **{f"m{n}": 1_600 for n in range(10)},
    }
    assert logic._stage.entries() == 2 * 30


def test_after_a_restart_names_that_cannot_be_admitted_any_more_are_dropped_and_shown_again() -> None:
    stage = Admission(auto())
    settled(stage, sightings("VIP", 3) + sightings("web", 3, label="channel"))
    again = restored(Admission(auto(queues=("orders",))), stage)
    assert stage.entries() - again.entries() == 1  # the conversations of VIP; what was counted stays
    assert drained(again)["seen"] == {"queue": {"VIP": 3}, "channel": {"web": 3}, "segment": {}}


def test_conversations_of_hours_before_the_window_are_dropped() -> None:
    stage = Admission(auto())
    settled(stage, sightings("VIP", 3))
    stage.advance(23 * HOUR_SECONDS)
    assert stage.entries() == 2
    stage.advance(24 * HOUR_SECONDS)
    assert stage.entries() == 1
