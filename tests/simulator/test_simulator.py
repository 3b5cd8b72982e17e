"""The simulated shop: its events are valid, its broken ones are refused, and its books are true."""

import math
from collections import Counter, defaultdict
from datetime import datetime
from itertools import islice
from statistics import mean
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.domain.conversations.closings import closing_of, only_asks
from operators.domain.stage.promise import PromisesParams
from operators.domain.wire import events
from operators.simulator import Books, Delivery, Simulator, SimulatorParams, simulate
from operators.simulator.phrases_en import ENGLISH
from operators.simulator.phrases_zh import CHINESE
from operators.simulator.words import _SECRETS, LANGUAGES
from tests.reference import reckon

DECODE = msgspec.json.Decoder(events.AnyEvent).decode
MANY = 60_000
LARGEST = 65_536
WITHOUT_CUSTOMER = (
    events.AgentStateChanged,
    events.StaffingPlanned,
    events.ActionApplied,
    events.ActionRolledBack,
)
CLEAN = {"late_share": 0.0, "duplicate_share": 0.0, "broken_share": 0.0}


class Recorded:
    """A run, decoded: `true` holds each event once, with its delivery."""

    def __init__(self, params: SimulatorParams, count: int) -> None:
        deliveries, self.books = simulate(params, count)
        self.deliveries: list[Delivery] = deliveries
        self.true: dict[str, tuple[Delivery, events.Event]] = {}
        self.refused: Counter[str] = Counter()
        self.repeats = 0
        for delivery in deliveries:
            reason = reason_to_refuse(delivery)
            if reason is not None:
                self.refused[reason] += 1
                continue
            event = DECODE(delivery.raw)
            self.repeats += event.id in self.true
            self.true.setdefault(event.id, (delivery, event))
        self.in_order = sorted((event for _, event in self.true.values()), key=lambda event: (event.time, event.id))

    def of(self, *types: type[events.Event]) -> list[events.Event]:
        return [event for event in self.in_order if isinstance(event, types)]


def reason_to_refuse(delivery: Delivery) -> str | None:
    """Judge raw bytes from the definitions alone."""
    if len(delivery.raw) > LARGEST:
        return "too_large"
    try:
        envelope = msgspec.json.decode(delivery.raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "not_json"
    names = {"specversion", "id", "source", "type", "time", "data"}
    if not isinstance(envelope, dict) or names - set(envelope) or envelope["specversion"] != "1.0":
        return "not_an_event"
    if envelope["type"] not in events.TYPES:
        return "unknown_type"
    try:
        event = DECODE(delivery.raw)
    except msgspec.ValidationError:
        return "invalid_field"
    return "time_in_future" if event.time.timestamp() > delivery.time + 300 else None


def seconds(moment: datetime) -> float:
    return moment.timestamp()


@pytest.fixture(scope="module")
def run() -> Recorded:
    return Recorded(SimulatorParams(), MANY)


@pytest.fixture(scope="module")
def outage() -> Recorded:
    return Recorded(SimulatorParams(scenario="outage"), MANY)


# The stream.


def test_the_same_params_give_the_same_bytes_and_another_seed_gives_others():
    one, again, other = (simulate(SimulatorParams(seed=seed), 3_000) for seed in (5, 5, 6))
    assert one == again
    assert one[0] != other[0]


def test_the_bytes_are_those_of_every_machine_and_python():
    deliveries, _ = simulate(SimulatorParams(), 2_000)
    assert crc32(b"\n".join(delivery.raw for delivery in deliveries)) == 1_726_422_262


def test_the_course_of_the_shop_does_not_depend_on_how_badly_its_events_travel():
    def true_by_id(params):
        return {event.id: delivery.raw for delivery, event in Recorded(params, 3_000).true.values()}

    clean = true_by_id(SimulatorParams(**CLEAN))
    faulty = true_by_id(SimulatorParams(late_share=0.3, duplicate_share=0.2, broken_share=0.2))
    assert len(clean) == 3_000
    assert faulty.items() <= clean.items()


def test_every_type_of_event_comes_within_the_first_30_000_deliveries():
    _, books = simulate(SimulatorParams(), 30_000)
    # Simulated customers do not ask to be forgotten, and the shop sends no corrections.
    never = {
        "csq.customer.forgotten", "csq.conversation.pending", "csq.conversation.merged", "csq.message.edited", "csq.message.deleted",
        "csq.feedback.withdrawn",
    }  # fmt: skip
    assert set(events.TYPES) - never == set(books.events)


def test_every_true_event_decodes_and_no_event_arrives_before_it_happened(run):
    assert sum(run.books.events.values()) == len(run.true)
    late = [delivery.time - seconds(event.time) for delivery, event in run.true.values()]
    assert min(late) >= 0
    assert max(late) <= SimulatorParams().late_seconds
    assert sum(lag > 0 for lag in late) == pytest.approx(0.01 * len(late), rel=0.25)


def test_deliveries_come_in_the_order_of_their_times(run):
    times = [delivery.time for delivery in run.deliveries]
    assert times == sorted(times)


def test_the_key_is_the_conversation_else_the_customer(run):
    for delivery, event in run.true.values():
        conversation = getattr(event.data, "conversation_id", None)
        customer = getattr(event.data, "customer_id", None)
        if conversation or customer:
            assert (conversation or customer) == delivery.key
        else:
            assert isinstance(event, WITHOUT_CUSTOMER)


def test_event_times_within_a_conversation_are_distinct_milliseconds(run):
    times = defaultdict(list)
    for event in run.in_order:
        if conversation := getattr(event.data, "conversation_id", None):
            times[conversation].append(event.time)
            assert event.time.microsecond % 1000 == 0
    assert all(len(moments) == len(set(moments)) for moments in times.values())


@pytest.mark.parametrize("rate", [2.0, 20.0])
def test_events_come_at_about_the_rate_wanted(rate):
    simulator = Simulator(SimulatorParams(events_per_second=rate))
    hour = SimulatorParams().start + 3_600
    count = sum(1 for _ in iter_until(simulator, hour))
    assert count / 3_600 == pytest.approx(rate, rel=0.15)


def iter_until(simulator, time):
    for delivery in simulator:
        if delivery.time >= time:
            return
        yield delivery


# What goes wrong on purpose.


def test_broken_events_are_of_every_kind_and_refused_for_exactly_the_reason_booked():
    run = Recorded(SimulatorParams(broken_share=0.2), 8_000)
    kinds = {"not_json", "not_an_event", "unknown_type", "invalid_field", "too_large", "time_in_future"}
    assert kinds == set(run.refused)
    assert run.books.dead_letters == run.refused
    assert sum(run.refused.values()) == pytest.approx(8_000 * 0.2 / 1.21, rel=0.1)


def test_repeats_are_the_same_bytes_and_counted():
    params = SimulatorParams(duplicate_share=0.2, broken_share=0.0)
    run = Recorded(params, 8_000)
    raws = {event.id: delivery.raw for delivery, event in run.true.values()}
    assert all(delivery.raw == raws[DECODE(delivery.raw).id] for delivery in run.deliveries)
    assert run.books.duplicates == run.repeats
    assert run.repeats == pytest.approx(8_000 * 0.2 / 1.2, rel=0.1)


def test_with_no_share_of_faults_everything_arrives_once_and_in_time():
    run = Recorded(SimulatorParams(**CLEAN), 3_000)
    assert (run.books.duplicates, run.books.dead_letters, len(run.true)) == (0, {}, 3_000)
    assert all(delivery.time == seconds(event.time) for delivery, event in run.true.values())


# The cut.


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 1_500), late_seconds=st.sampled_from([0.0, 1.5, 30.0]))
def test_a_taken_part_has_the_length_wanted_and_misses_nothing_older_than_its_end(count, late_seconds):
    late = SimulatorParams(late_share=0.3, late_seconds=late_seconds, duplicate_share=0.1, broken_share=0.05)
    run = Recorded(late, count)
    assert len(run.deliveries) == count
    everything = Recorded(SimulatorParams(**CLEAN), count + 20)
    end = run.books.clock
    missing = {event.id for event in everything.in_order if seconds(event.time) < end} - set(run.true)
    assert not missing


def test_taking_twice_goes_on_where_it_stopped():
    simulator = Simulator(SimulatorParams(late_share=0.5))
    deliveries = [*simulator.take(700), *simulator.take(1_300)]
    books = simulator.books
    times = [delivery.time for delivery in deliveries]
    assert times == sorted(times)
    assert sum(books.events.values()) + books.duplicates + sum(books.dead_letters.values()) == 2_000


def test_books_are_true_after_any_number_of_deliveries():
    simulator = Simulator(SimulatorParams(late_share=0.3, late_seconds=20.0))
    seen = []
    for delivery in islice(simulator, 900):
        seen.append(delivery)
        if len(seen) % 90 == 0:
            refused = Counter(filter(None, map(reason_to_refuse, seen)))
            known = {DECODE(each.raw).id: DECODE(each.raw) for each in seen if reason_to_refuse(each) is None}
            books = simulator.books
            assert refused == books.dead_letters
            assert Counter(type(event).__struct_config__.tag for event in known.values()) == books.events
            assert max(seconds(event.time) for event in known.values()) == books.clock


# The books, counted again from the events by the definitions.


def conversations(run):
    found = defaultdict(list)
    for event in run.of(events.MessageCreated, *events.ConversationEvent.__args__):
        found[event.data.conversation_id].append(event)
    return found.values()


def steps_of(course):
    """What happened in a conversation, as the reference takes it; agents' notes and the system say nothing."""
    steps, asks = [], False
    for event in course:
        what, outcome = type(event).__struct_config__.tag.split(".")[-1], getattr(event.data, "outcome", None)
        if isinstance(event, events.MessageCreated):
            data, what = event.data, event.data.author.role
            if not data.is_public or what == "system":
                continue
            closing = closing_of(data.text) if what == "customer" and data.content_type == "text" else ""
            if closing == "thanks" or (closing and asks):
                what = "thanks"
            if what in {"agent", "bot"}:
                asks = only_asks(data.text)
        steps.append((seconds(event.time), what, outcome))
    return steps


def reckoned(run):
    """Of each conversation: queue and channel, and what the reference reckons."""
    limit, end = PromisesParams().limit_seconds, run.books.clock
    for course in conversations(run):
        yield (course[0].data.queue, course[0].data.channel), reckon(steps_of(course), limit, end)


def recount_replies(run):
    found = []
    for labels, one in reckoned(run):
        found += [(*labels, "human", waited) for waited in one.replies]
        found += [(*labels, "bot", waited) for waited in one.bot_replies]
    return found


def episodes(course):
    """Cut a conversation where it is reopened."""
    parts = [[]]
    for event in course:
        if isinstance(event, events.ConversationReopened):
            parts.append([])
        parts[-1].append(event)
    return parts


def is_closing(event, course):
    return (seconds(event.time), "thanks", None) in steps_of(course)


def says(event, role):
    return isinstance(event, events.MessageCreated) and event.data.is_public and event.data.author.role == role


def recount_first_responses(run):
    found = []
    for course in conversations(run):
        for part in episodes(course):
            replies = [event for event in part if says(event, "agent")]
            reopened = [event for event in part if isinstance(event, events.ConversationReopened)]
            asked = [event for event in part if says(event, "customer") and not is_closing(event, course)][:1]
            until = replies[0].time if replies else datetime.max.replace(tzinfo=course[0].time.tzinfo)
            handed = [event for event in part if isinstance(event, events.ConversationHandoff) and event.time < until]
            starts = [event.time for event in reopened + asked + handed if event.time < until]
            labels = (course[0].data.queue, course[0].data.channel)
            if replies and starts:
                found.append((*labels, "human", seconds(until) - seconds(max(starts))))
            bots = [event for event in part if says(event, "bot") and event.time < until]
            if bots and asked and not reopened:
                found.append((*labels, "bot", seconds(bots[0].time) - seconds(asked[0].time)))
    return found


@pytest.mark.parametrize("scenario", ["run", "outage"])
def test_reply_and_first_response_seconds_are_what_the_definitions_give(scenario, request):
    run = request.getfixturevalue(scenario)
    assert sorted(run.books.reply_seconds) == sorted(recount_replies(run))
    assert sorted(run.books.first_response_seconds) == sorted(recount_first_responses(run))


@pytest.mark.parametrize("scenario", ["run", "outage"])
def test_rounds_and_open_waits_are_what_the_definitions_give(scenario, request):
    run = request.getfixturevalue(scenario)
    rounds, waits = Counter(), Counter()
    for labels, one in reckoned(run):
        for end, n in one.rounds.items():
            rounds[(*labels, *{"held": ("met", "bot")}.get(end, (end, "human")))] += n
        waits[labels[0]] += one.waits
    assert {row[:4]: row[4] for row in run.books.rounds} == rounds
    assert run.books.open_waits == +waits


def test_outcomes_and_resolution_seconds_are_what_the_definitions_give(run):
    outcomes, resolutions, still_open = Counter(), [], Counter()
    for labels, one in reckoned(run):
        outcomes.update({(*labels, outcome): n for outcome, n in one.outcomes.items()})
        resolutions += [(*labels, *resolved) for resolved in one.resolutions]
        still_open[labels[0]] += one.is_open
    assert {row[:3]: row[3] for row in run.books.conversations} == outcomes
    assert sorted(run.books.resolution_seconds) == sorted(resolutions)
    assert run.books.conversations_open == +still_open


def test_feedback_is_booked_on_the_scale_of_its_kind(run):
    scales = {"csat": (1, 5), "nps": (0, 10), "ces": (1, 7), "review": (1, 5), "suggestion": (1, 5)}
    queues = {course[0].data.conversation_id: course[0].data.queue for course in conversations(run)}
    counted, asked_otherwise = Counter(), 0
    for event in run.of(events.FeedbackSubmitted):
        data = event.data
        low, high = scales[data.kind]
        share = (data.score - data.scale_min) / (data.scale_max - data.scale_min)
        score = math.floor(low + share * (high - low) + 0.5)
        counted[(data.kind, queues.get(data.conversation_id, "other"), score)] += 1
        asked_otherwise += (data.scale_min, data.scale_max) != (low, high)
    assert {row[:3]: row[3] for row in run.books.feedback} == counted
    assert asked_otherwise > 0


def test_messages_moods_orders_complaints_and_churn_are_booked(run):
    messages = run.of(events.MessageCreated)
    assert Counter(event.data.author.role for event in messages) == run.books.messages
    customers = {event.data.message_id for event in messages if event.data.author.role == "customer"}
    assert customers == set(run.books.true_moods)
    assert len(run.of(events.OrderCompleted)) == run.books.orders
    assert len(run.of(events.ComplaintOpened)) == run.books.complaints_opened
    assert len(run.of(events.ComplaintClosed)) == run.books.complaints_closed
    labels = {event.data.customer_id: event.data.churned for event in run.of(events.ChurnLabelled)}
    assert {customer for customer, churned in labels.items() if churned} == set(run.books.churned)
    assert {customer for customer, churned in labels.items() if not churned} == set(run.books.kept)


def test_books_become_json_and_back(run):
    assert msgspec.convert(msgspec.to_builtins(run.books), Books) == run.books


def test_a_live_run_can_do_without_books_and_says_so():
    simulator = Simulator(SimulatorParams(), keep_books=False)
    assert len(list(simulator.take(500))) == 500
    with pytest.raises(RuntimeError, match="keep_books=True"):
        _ = simulator.books


def test_a_run_without_books_does_not_grow_with_its_length():
    simulator = Simulator(SimulatorParams(events_per_second=5.0), keep_books=False)
    sizes = []
    for _ in range(3):
        list(simulator.take(20_000))
        sizes.append(len(simulator._world._agenda) + len(simulator._way))
    assert sizes[-1] < sizes[0] * 1.5


# The shop.


def test_conversations_have_a_sane_course(run):
    for course in conversations(run):
        assert isinstance(course[0], events.ConversationOpened)
        assert all(says(event, "customer") for event in course[1:2])
        assert len({(event.data.queue, event.data.channel, event.data.customer_id) for event in course}) == 1
        human = next((place for place, event in enumerate(course) if says(event, "agent")), None)
        if human is not None:
            assert any(isinstance(event, events.ConversationAssigned) for event in course[:human])
            assert not any(says(event, "bot") for event in course[human:])


def test_agents_change_from_the_state_they_were_in_and_hold_no_more_than_they_can(run):
    states = defaultdict(lambda: "offline")
    for event in run.of(events.AgentStateChanged):
        data = event.data
        assert data.from_state == states[data.agent_id] != data.to_state
        assert data.concurrency_used <= data.concurrency_max
        states[data.agent_id] = data.to_state


def test_every_half_hour_of_a_queue_is_planned_once_whenever_the_shop_opens():
    run = Recorded(SimulatorParams(start=1_767_601_234.567, events_per_second=1.0), 12_000)
    planned = defaultdict(list)
    for event in run.of(events.StaffingPlanned):
        planned[event.data.queue].append(seconds(event.data.interval_start))
    for starts in planned.values():
        assert list(range(1_767_600_000, int(max(starts)) + 1, 1_800)) == sorted(starts)
        assert max(starts) > run.books.clock


def test_labels_are_for_a_share_of_messages_and_seldom_wrong(run):
    labels = run.of(events.SentimentLabelled)
    moods = run.books.true_moods
    assert len(labels) == pytest.approx(SimulatorParams().label_share * len(moods), rel=0.2)
    wrong = mean(event.data.label != moods[event.data.message_id] for event in labels)
    assert 0.015 < wrong < 0.07


def test_moods_are_mixed_and_ratings_follow_the_outcome(run):
    shares = {mood: count / len(run.books.true_moods) for mood, count in Counter(run.books.true_moods.values()).items()}
    assert all(0.15 < share < 0.65 for share in shares.values())
    outcomes = {event.data.conversation_id: event.data.outcome for event in run.of(events.ConversationResolved)}
    scores = defaultdict(list)
    for event in rated(run):
        scores[outcomes.get(event.data.conversation_id)].append(event.data.score)
    assert mean(scores["solved"]) > mean(scores["unsolved"]) + 1


def rated(run):
    return [event for event in run.of(events.FeedbackSubmitted) if event.data.kind == "csat" and event.data.scale_min]


def longest_waits(run):
    """Conversation -> longest time without a human reply, from the events."""
    ends = (events.ConversationResolved, events.ConversationAbandoned)
    waits = defaultdict(float)
    for course in conversations(run):
        asked = None
        for event in course:
            if says(event, "customer") and asked is None:
                asked = seconds(event.time)
            elif (says(event, "agent") or isinstance(event, ends)) and asked is not None:
                key = course[0].data.conversation_id
                waits[key] = max(waits[key], seconds(event.time) - asked)
                asked = None
    return waits


def test_ratings_fall_with_waits(outage):
    waits = longest_waits(outage)
    by_wait = sorted(
        (waits[event.data.conversation_id], event.data.score)
        for event in rated(outage)
        if event.data.conversation_id in waits
    )
    third = len(by_wait) // 3
    quick, slow = by_wait[:third], by_wait[-third:]
    assert mean(score for _, score in quick) > mean(score for _, score in slow) + 0.3


def test_customers_who_waited_leave_more_often(outage):
    waits = longest_waits(outage)
    last_wait, labels = {}, []
    for event in outage.in_order:
        if isinstance(event, (events.ConversationResolved, events.ConversationAbandoned)):
            last_wait[event.data.customer_id] = waits[event.data.conversation_id]
        elif isinstance(event, events.ChurnLabelled):
            labels.append((last_wait[event.data.customer_id], event.data.churned))
    labels.sort()
    third = len(labels) // 3
    assert third > 100
    left_early, left_late = (mean(churned for _, churned in part) for part in (labels[:third], labels[-third:]))
    assert left_late > 1.3 * left_early


def first_response_in_window(run):
    start = SimulatorParams().start
    from_, until = start + SimulatorParams().scenario_start_seconds, start + SimulatorParams().scenario_end_seconds
    waits = []
    for course in conversations(run):
        asked = next((event for event in course if says(event, "customer")), None)
        reply = next((event for event in course if says(event, "agent")), None)
        if asked and reply and from_ <= seconds(asked.time) < until:
            waits.append(seconds(reply.time) - seconds(asked.time))
    return mean(waits)


def test_an_outage_takes_agents_away_and_raises_waits(run, outage):
    assert first_response_in_window(outage) > 1.5 * first_response_in_window(run)
    moment = SimulatorParams().start + SimulatorParams().scenario_start_seconds
    gone = [
        e for e in outage.of(events.AgentStateChanged) if e.data.to_state == "offline" and seconds(e.time) == moment
    ]
    present = {e.data.agent_id for e in outage.of(events.AgentStateChanged) if seconds(e.time) < moment}
    assert len(gone) == pytest.approx(len(present) / 2, rel=0.1)


def test_a_rush_triples_arrivals_within_its_times_only():
    times = {"scenario_start_seconds": 600.0, "scenario_end_seconds": 1_200.0}
    params = SimulatorParams(scenario="rush", events_per_second=10.0, **times)
    opened = [seconds(e.time) - params.start for e in Recorded(params, 18_000).of(events.ConversationOpened)]
    before, within = (sum(low <= at < high for at in opened) for low, high in ((0, 600), (600, 1_200)))
    assert 2.3 < within / before < 3.7


def test_in_a_full_outage_everybody_goes_and_comes_back():
    params = SimulatorParams(scenario="full_outage", scenario_start_seconds=300.0, scenario_end_seconds=600.0, **CLEAN)
    state: dict[str, str] = {}
    seen: dict[int, Counter] = {}
    for event in Recorded(params, 16_000).of(events.AgentStateChanged):
        state[event.data.agent_id] = event.data.to_state
        seen[int(seconds(event.time) - params.start)] = Counter(state.values())
    within = [counts for at, counts in seen.items() if 300 <= at < 599]
    after = [counts for at, counts in seen.items() if at > 601]
    assert within
    assert all(set(counts) == {"offline"} for counts in within)
    assert after[-1]["available"] + after[-1]["busy"] > 20


def test_a_broken_producer_sends_every_event_again_in_one_broken_way():
    times = {"scenario_start_seconds": 60.0, "scenario_end_seconds": 120.0}
    run = Recorded(SimulatorParams(scenario="broken_producer", **times, **CLEAN), 4_000)
    started = SimulatorParams().start
    true = sum(60 <= seconds(event.time) - started < 120 for event in run.in_order)
    assert true > 500
    assert run.refused == {"invalid_field": true} == run.books.dead_letters


def test_flipped_labels_call_the_negative_positive_and_change_nothing_else():
    times = {"scenario_start_seconds": 300.0, "scenario_end_seconds": 900.0}
    straight, flipped = (
        Recorded(SimulatorParams(scenario=name, **times), 20_000) for name in ("normal", "flipped_labels")
    )
    other = {"negative": "positive", "neutral": "neutral", "positive": "negative"}
    labels = [{e.id: e.data.label for e in run.of(events.SentimentLabelled)} for run in (straight, flipped)]
    assert labels[0].keys() == labels[1].keys()
    changed = {name for name in labels[0] if labels[0][name] != labels[1][name]}
    assert len(changed) > 50
    assert all(labels[1][name] == other[labels[0][name]] for name in changed)
    assert flipped.books.true_moods == straight.books.true_moods


def test_a_scenario_can_begin_and_end_at_any_moment():
    simulator = Simulator(SimulatorParams(**CLEAN))
    for _ in simulator.take(1_000):
        pass
    simulator.change("broken_producer")
    for _ in simulator.take(1_000):
        pass
    simulator.change("normal")
    refused = simulator.books.dead_letters
    for _ in simulator.take(1_000):
        pass
    assert 490 <= refused["invalid_field"] <= 500
    assert simulator.books.dead_letters["invalid_field"] - refused["invalid_field"] <= 5  # those that were on their way


# The words.


def test_there_are_many_phrases_for_each_mood():
    for phrases in (ENGLISH, CHINESE):
        for mood in ("negative", "neutral", "positive"):
            said = {*phrases.firsts[mood], *phrases.answers[mood], *phrases.ends[mood]}
            assert len(said | set(phrases.nudges[mood])) >= 60


def test_moods_use_words_of_their_own():
    for phrases in LANGUAGES.values():
        for part in (phrases.firsts, phrases.answers, phrases.ends):
            assert not set(part["negative"]) & set(part["positive"])


def test_languages_are_spoken_in_the_shares_wanted(run):
    languages = Counter(event.data.language for event in run.of(events.CustomerUpdated))
    total = sum(languages.values())
    assert languages["zh"] / total == pytest.approx(0.15, abs=0.04)
    assert {"en", "zh", "es", "de"} == set(languages)
    spoken = defaultdict(list)
    for event in run.of(events.MessageCreated):
        if event.data.language:
            spoken[event.data.language].append(any("\u4e00" <= character <= "\u9fff" for character in event.data.text))
    # Some messages are nothing but a question mark; notes and system messages are English.
    assert mean(spoken["zh"]) > 0.95
    assert mean(spoken["en"]) == 0


def luhn(number):
    digits = [int(digit) for digit in reversed(number)]
    return sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])


def test_some_messages_give_away_mail_addresses_phones_and_valid_card_numbers(run):
    cards = ["".join(filter(str.isdigit, secret)) for secret in _SECRETS if "ard" in secret or "paid" in secret]
    assert cards
    assert all(luhn(card) % 10 == 0 for card in cards)
    texts = " ".join(event.data.text for event in run.of(events.MessageCreated))
    assert all(part in texts for part in ("@example.com", "555-01", "4111 1111 1111 1111"))


# The settings.


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"sped": 1}, "sped"),
        ({"events_per_second": 0}, r"\$\.events_per_second"),
        ({"late_share": 1.5}, r"\$\.late_share"),
        ({"scenario": "storm"}, r"\$\.scenario"),
    ],
)
def test_wrong_settings_are_refused_with_their_path(given, where):
    with pytest.raises(msgspec.ValidationError, match=where):
        msgspec.convert(given, SimulatorParams)
