"""One contract, every stateful stage, every learner: what a snapshot, a flood and a bad item must not break.

A simulated shop's events go through the stages once; what each stage and each learner was handed is kept, and each is then
run over it again and again.
"""

import math
import pickle
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
import pytest

from flows.settings.model import Settings
from operators.domain.conversations import stage as talk
from operators.domain.conversations.reading import Reading
from operators.domain.customers import stage as people
from operators.domain.customers.params import CustomersParams
from operators.domain.models import churn, satisfaction, sentiment
from operators.domain.models.churn import INPUTS, ChurnInputs
from operators.domain.models.model import Example, Models
from operators.domain.models.registry import training_of
from operators.domain.models.vectors import SPACE
from operators.domain.queues import stage as queues
from operators.domain.queues.record import QueuesParams
from operators.domain.stage import intake
from operators.domain.stage import table as table_module
from operators.domain.stage.facts import ContactResolved, ConversationEntered, Fact, WaitBegan
from operators.domain.stage.labels import Labels, LabelsParams
from operators.domain.stage.promise import Promises, PromisesParams
from operators.domain.stage.seal import seal, unseal
from operators.domain.stage.stage import Port, Stage, StateVersionError
from operators.domain.text.clean import clean
from operators.domain.text.vectorize import VectorizeParams, Vectorizer
from operators.domain.time.lanes import Lanes
from operators.domain.time.route import END, Chunk, Router
from operators.domain.time.watermark import Tick
from operators.domain.wire import dedupe
from operators.domain.wire.events import MessageCreated
from operators.domain.wire.outgoing import DEADLETTERS, Outgoing
from operators.engine.lanes import LaneLogic
from operators.engine.learners import LearnLogic
from operators.engine.snapshots import Snapshots
from operators.metrics.catalogue import CATALOGUE
from operators.simulator import SimulatorParams, simulate
from tests.builders import START, label, reads, say, step
from tests.builders import state_of as stored_state_of

EVENTS = 3_000
BATCH = 75
NOW = START + 30 * 86_400.0
LANES = Lanes(1)
NAMED = LabelsParams(queues=("orders", "returns", "billing", "technical"), channels=("chat", "email", "social"))
CHURN = churn.ChurnParams(attributes={"plan": "category", "age": "number"})
Logic = LaneLogic | LearnLogic


class Unhandled(Fact, frozen=True):
    """A fact that no stage takes."""


@dataclass
class Subject:
    """A stage or learner: how to make one, what it is handed, in batches."""

    name: str
    make: Callable[[bytes | None], Logic]
    values: list[Any]
    flood: Callable[[int], list[Any]]
    """What so many new entities would send."""
    bad: Any = None
    """An item that the stage must fail on."""
    raw: dict[str, Any] = field(default_factory=dict)


def lane(build: Callable[[], Stage]) -> Callable[[bytes | None], LaneLogic]:
    return lambda resume: LaneLogic("0", build(), lambda: NOW, resume, take_snapshots=True)


def learner(name: str) -> Callable[[bytes | None], LearnLogic]:
    def make(resume: bytes | None) -> LearnLogic:
        logic = LearnLogic(
            lambda model: training_of(model, Settings(churn=CHURN)),
            Models((name,)),
            resume,
            take_snapshots=True,
            clock=lambda: NOW,
        )
        logic.on_batch([name])
        return logic

    return make


def build_intake() -> Stage:
    return intake.Intake(intake.IntakeParams(), dedupe.DedupeParams(max_ids=500), Labels(NAMED))


def build_conversations() -> Stage:
    return talk.Conversations(
        talk.ConversationsParams(max_conversations=100),
        Labels(NAMED),
        Promises(PromisesParams()),
        LANES,
        satisfaction.SatisfactionScorer({satisfaction.MODEL: satisfaction.SatisfactionWeights()}).score_one,
    )


def build_queues() -> Stage:
    return queues.Queues(QueuesParams(max_open=200), Promises(PromisesParams()), Labels(NAMED))


def build_customers() -> Stage:
    weights = churn.ChurnWeights(CHURN)
    weights.slopes[list(INPUTS).index("empty_searches")] = 1.5  # so that scores move
    return people.Customers(
        CustomersParams(max_customers=100),
        Labels(NAMED),
        churn.ChurnScorer(CHURN, {churn.MODEL: weights}),
        "0",
    )


def outputs(logic: Logic, values: Iterable[Any]) -> list[Port]:
    return [port for value in values for port in logic.on_batch([value])[0]]


def of_port(ports: Iterable[Port], name: str, tick: Callable[[float], Tick]) -> list[Any]:
    """What a port hands to the next stage, with the ticks in line."""
    found = []
    for at, value in ports:
        if at == name:
            found += value.values() if isinstance(value, dict) else [value]
        elif at == "tick":
            found.append(tick(value))
    return found


def up(time: float) -> Tick:
    return Tick("up", time, 1, 1)


def read(arrived: list[Any], vectorizer: Vectorizer, weights: sentiment.SentimentWeights) -> list[Any]:
    """As vectorize and sentiment do, message by message, with one model for all languages."""
    turns = []
    for time, name, event in arrived:
        reading = None
        if isinstance(event, MessageCreated) and event.data.author.role == "customer":
            (vector,) = vectorizer.vectorize_many([clean(event.data.text)], [event.data.language])
            row = weights.score_one(vector.features)
            reading = Reading(vector.language, vector.features, vector.tone, vector.is_question, "sentiment/en", row)
        turns.append((time, name, event, reading))
    return turns


@cache
def shop() -> dict[str, Subject]:
    """Every subject with what it is handed."""
    deliveries = simulate(SimulatorParams(events_per_second=0.2, seed=3), EVENTS)[0]
    router = Router(LANES, max_bytes=65_536, slack_seconds=2.0, clock=lambda: NOW, tick_records=2 * BATCH)
    raws = [delivery.raw for delivery in deliveries]
    routed: list[Any] = []
    for start in range(0, EVENTS, BATCH):
        part = raws[start : start + BATCH]
        until = END if start + BATCH >= EVENTS else None
        routed += [
            value
            for _, value in router.route_many([Chunk("shop", until, list(range(start, start + len(part))), list(part))])
        ]
    vectorizer, weights = Vectorizer(VectorizeParams()), sentiment.SentimentLearner(sentiment.SentimentParams()).weights
    arrived = of_port(outputs(lane(build_intake)(None), routed), "events", up)
    turns = [value if isinstance(value, Tick) else read(value, vectorizer, weights) for value in arrived]
    said = outputs(lane(build_conversations)(None), turns)
    facts = of_port(said, "customers", up)
    reported = outputs(lane(build_customers)(None), facts)
    examples: dict[str, list[Any]] = {}
    for at, value in [*said, *reported]:
        if at == "examples":
            for model, several in value.items():
                examples.setdefault(model, []).append(several)
    subjects = [
        Subject("intake", lane(build_intake), routed, flood_of_events, None),
        Subject("conversations", lane(build_conversations), turns, flood_of_talks, (START, "s bad", None, None)),
        Subject("queues", lane(build_queues), of_port(said, "queues", up), flood_of_waits, Unhandled(START, "s bad")),
        Subject("customers", lane(build_customers), facts, flood_of_people, Unhandled(START, "s bad")),
        Subject("satisfaction", learner("satisfaction"), examples["satisfaction"], flood_of_ratings),
        Subject("churn", learner("churn"), examples["churn"], flood_of_cities),
        Subject("sentiment", learner("sentiment/en"), examples["sentiment/en"], flood_of_words),
    ]  # fmt: skip
    texts = [
        event.data.text
        for batch in arrived
        if not isinstance(batch, Tick)
        for _, _, event in batch
        if isinstance(event, MessageCreated)
    ]
    subjects[1].raw["texts"] = [text for text in texts if len(text) > 12]
    return {subject.name: subject for subject in subjects}


NAMES = ("intake", "conversations", "queues", "customers", "satisfaction", "churn", "sentiment")
every = pytest.mark.parametrize("name", NAMES)
stages = pytest.mark.parametrize("name", NAMES[:4])


# ---- floods of what was never seen before


def flood_of_events(count: int) -> list[Any]:
    raw = '{{"specversion":"1.0","id":"{n}","source":"s","type":"csq.behavior.page_viewed","time":"2026-01-05T08:00:00Z","data":{{"customer_id":"k"}}}}'
    return [[(raw.format(n=n).encode(), "o", n)] for n in range(count)]


def flood_of_talks(count: int) -> list[Any]:
    values: list[Any] = []
    for n in range(count):
        at = START + n
        items = [say("customer", at, f"c{n}", who=f"k{n}", reading=reads()), label("neutral", f"nobody{n}", at)]
        values += [items + ([step("resolved", at, f"c{n}")] if n % 2 else []), up(at)]
    return values


def flood_of_waits(count: int) -> list[Any]:
    facts = [
        [fact]
        for n in range(count)
        for fact in (
            ConversationEntered(START + n, f"e{n}", "orders", f"c{n}"),
            WaitBegan(START + n, f"e{n}", "orders", f"c{n}", START + n),
        )
    ]
    return [value for pair in zip(facts, (up(START + n) for n in range(2 * count)), strict=False) for value in pair]


def flood_of_people(count: int) -> list[Any]:
    values: list[Any] = []
    for n in range(count):
        values += [
            [ContactResolved(START + n, f"e{n}", f"k{n}", f"c{n}", "solved", "orders", "human", again=False)],
            up(START + n),
        ]
    return values


def flood_of_ratings(count: int) -> list[Any]:
    return [[Example([n % 5, 1.0, None, 2.0, None], 2.0, float(n % 6), 1.0, 1.0)] for n in range(count)]


def flood_of_cities(count: int) -> list[Any]:
    numbers = (0.0,) * (len(INPUTS) + 1)
    return [[Example(ChurnInputs(numbers, (f"plan=number {n}",)), 0.5, bool(n % 2), 1.0, 1.0)] for n in range(count)]


def flood_of_words(count: int) -> list[Any]:
    return [
        [Example((n * 7_919 % SPACE).to_bytes(4, "little"), (0.2, 0.3, 0.5), "neutral", 1.0, 1.0)] for n in range(count)
    ]


# ---- what is compared


def settled(ports: Iterable[Port]) -> tuple[Any, ...]:
    """All that leaves for good: counts, samples, records, examples, facts, events, ticks; not how long snapshots took."""
    counts: Counter[Any] = Counter()
    samples: dict[Any, list[Any]] = {}
    rest: list[Any] = []
    for at, value in ports:
        if at != "measured":
            rest.append((at, value))
            continue
        for name, labels, number in value:
            kind = CATALOGUE[name].kind
            if kind == "counter":
                counts[name, labels] += number
            elif kind == "histogram" and name != "csq_snapshot_duration_seconds":
                samples.setdefault((name, labels), []).append(number)
    return counts, samples, msgspec.msgpack.encode(rest, enc_hook=repr)


def gauges(ports: Iterable[Port]) -> dict[Any, Any]:
    """The last value of every gauge."""
    return {
        (name, labels): number
        for at, value in ports
        if at == "measured"
        for name, labels, number in value
        if CATALOGUE[name].kind == "gauge" and name != "csq_state_bytes"  # of the last snapshot, whenever that was
    }


def ended(logic: Logic) -> list[Port]:
    return list(logic.on_eof()[0])


# ---- the contract


@every
def test_the_stream_has_something_to_say_to_it(name: str) -> None:
    assert sum(not isinstance(value, Tick) and len(value) for value in shop()[name].values) > 20


@every
def test_it_survives_snapshot_and_resume_at_any_cut(name: str) -> None:
    subject = shop()[name]
    values = subject.values
    whole, snapshots, before, per_value = subject.make(None), list[bytes](), list[dict[Any, Any]](), list[list[Port]]()
    for value in values:
        snapshots.append(whole.snapshot())
        before.append(gauges(port for ports in per_value for port in ports))
        per_value.append(list(whole.on_batch([value])[0]))
    last = [*ended(whole)]
    final = unseal(whole.snapshot(), "")
    for cut in sorted({0, 1, *range(0, len(values), max(len(values) // 9, 1)), len(values) - 1}):
        resumed = subject.make(snapshots[cut])
        ports = [*outputs(resumed, values[cut:]), *ended(resumed)]
        expected = [*(port for some in per_value[cut:] for port in some), *last]
        assert settled(expected) == settled(ports), f"cut at {cut}"
        assert final == unseal(resumed.snapshot(), ""), f"cut at {cut}"
        if name in NAMES[:4]:  # learners measure every so many examples
            assert before[cut] | gauges(expected) == before[cut] | gauges(ports), f"cut at {cut}"


@pytest.mark.parametrize("cold_seconds", [0.0, -1e9])  # what is behind the time that was reached; each and every record
@pytest.mark.parametrize("name", ["conversations", "customers"])
def test_nothing_is_to_be_seen_of_records_that_are_frozen_in_the_middle_of_a_run(
    name: str, cold_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "COLD_SECONDS", cold_seconds)
    subject = shop()[name]
    whole, frozen = subject.make(None), subject.make(None)
    expected, actual = outputs(whole, subject.values), list[Port]()
    for value in subject.values:
        actual += frozen.on_batch([value])[0]
        frozen.snapshot()
    assert isinstance(frozen, LaneLogic)
    assert isinstance(frozen._stage, talk.Conversations | people.Customers)
    assert len(frozen._stage._records.hot) < frozen._stage.entries() / 2
    assert settled(expected) == settled(actual)
    assert gauges(expected) == gauges(actual)
    assert unseal(whole.snapshot(), "") == unseal(frozen.snapshot(), "")


@pytest.mark.parametrize("name", ["conversations", "customers"])
def test_without_a_recovery_store_nothing_is_frozen(name: str) -> None:
    subject = shop()[name]
    logic = subject.make(None)
    assert isinstance(logic, LaneLogic)
    assert isinstance(logic._stage, talk.Conversations | people.Customers)
    logic._snapshots = Snapshots(name, "0", take_snapshots=False)
    for value in subject.values:
        logic.on_batch([value])
        assert logic.snapshot() == b""
    assert len(logic._stage._records.hot) == logic._stage.entries()


@every
def test_a_second_run_gives_the_same_bytes(name: str) -> None:
    subject = shop()[name]
    first, second = subject.make(None), subject.make(None)
    assert settled(outputs(first, subject.values)) == settled(outputs(second, subject.values))
    assert first.snapshot() == second.snapshot()


@every
def test_it_leaves_its_input_unchanged(name: str) -> None:
    subject = shop()[name]
    before = pickle.dumps(subject.values)
    outputs(subject.make(None), subject.values)
    assert before == pickle.dumps(subject.values)


@every
def test_it_answers_before_anything_has_come(name: str) -> None:
    logic = shop()[name].make(None)
    assert all(
        at in {"measured", "tick"}
        for at, _ in [*outputs(logic, [up(START)] if name in NAMES[:4] else [[]]), *ended(logic)]
    )
    assert unseal(logic.snapshot(), "")


def test_models_answer_before_any_training() -> None:
    settings = Settings(churn=CHURN)
    weights = [training_of(name, settings).learner.weights for name in ("churn", "satisfaction", "sentiment/en")]
    assert weights[0].score_one(ChurnInputs((0.0,) * (len(INPUTS) + 1), ())) == pytest.approx(CHURN.base_rate)
    assert weights[1].score_one((2.5, 2.5, None, None, None)) == 2.5
    (vector,) = Vectorizer(VectorizeParams()).vectorize_many(["great, thanks"], ["en"])
    row = weights[2].score_one(vector.features)
    assert math.fsum(row) == pytest.approx(1.0)
    assert row.index(max(row)) == sentiment.CLASSES.index("positive")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"sentiment", "churn"}])
def test_it_stays_bounded_under_a_flood(name: str) -> None:
    subject, sizes = shop()[name], []
    for count in (1_500, 4_500):
        logic = subject.make(None)
        outputs(logic, subject.flood(count))
        sizes.append(len(logic.snapshot()))
    assert sizes[1] < 1.3 * sizes[0]


@pytest.mark.parametrize(
    ("name", "most"), [("intake", 500), ("conversations", 100), ("customers", 100), ("queues", 2 * 200 + 1)]
)
def test_the_number_of_its_records_is_bounded(name: str, most: int) -> None:
    subject = shop()[name]
    logic = subject.make(None)
    outputs(logic, subject.flood(1_500))
    assert isinstance(logic, LaneLogic)
    assert 0 < logic._stage.entries() <= most


def test_a_sentiment_model_knows_no_features_beyond_its_space() -> None:
    subject = shop()["sentiment"]
    logic = subject.make(None)
    beyond = Example(SPACE.to_bytes(4, "little"), (0.2, 0.3, 0.5), "neutral", 1.0, 1.0)
    outputs(logic, [*subject.flood(200), [beyond]])
    state = unseal(logic.snapshot(), "")
    assert state["counts"] == [200, 1, 0]
    assert len(state["model"]["features"]) // 4 <= 200 + 21


PLAIN = (dict, list, tuple, str, bytes, bool, int, float, type(None))


def check_plain(value: Any, where: str) -> None:
    assert type(value) in PLAIN, f"{where}: {type(value)}"
    if isinstance(value, dict):
        assert all(type(key) is str for key in value), where
        for key, inner in value.items():
            check_plain(inner, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for inner in value:
            check_plain(inner, f"{where}[]")


def state_of(logic: Logic) -> dict[str, Any]:
    """The state of the stage, as it is stored, or of the learner, before anything is encoded."""
    if isinstance(logic, LaneLogic):
        return stored_state_of(logic._stage)
    assert logic._training is not None
    return logic._training.state()


@every
def test_its_state_is_versioned_plain_data(name: str) -> None:
    subject = shop()[name]
    logic = subject.make(None)
    outputs(logic, subject.values)
    state = state_of(logic)
    check_plain(state, "$")
    assert isinstance(state["v"], int)


@every
def test_a_snapshot_is_a_copy_that_later_changes_do_not_touch(name: str) -> None:
    subject = shop()[name]
    logic = subject.make(None)
    half = len(subject.values) // 2
    outputs(logic, subject.values[:half])
    state = state_of(logic)
    before = msgspec.msgpack.encode(state)
    outputs(logic, subject.values[half:])
    assert before == msgspec.msgpack.encode(state)


@every
def test_no_text_of_any_message_is_in_its_state(name: str) -> None:
    subject = shop()[name]
    texts = shop()["conversations"].raw["texts"]
    assert len(texts) > 100
    logic = subject.make(None)
    stored = b"".join(
        ([logic.on_batch([value]), logic.snapshot()])[1] for value in subject.values[:: 1 + len(subject.values) // 20]
    )
    assert [text for text in texts if text.encode() in stored] == []


@every
def test_a_state_of_another_version_is_refused_with_a_clear_message(name: str) -> None:
    subject = shop()[name]
    logic = subject.make(None)
    state = unseal(logic.snapshot(), "")
    state.get("stage", state)["v"] = 99
    expected = {"intake": 1, "conversations": 5, "customers": 4, "queues": 3}.get(name, 2)
    what = name if name in NAMES[:4] else rf"learn, model {name}\S*"
    message = rf"recovery state of stage {what}: version 99 found, {expected} expected; start with the release that wrote it, or with an empty recovery directory"
    with pytest.raises(StateVersionError, match=message):
        subject.make(seal(state))


@every
def test_a_state_without_a_version_is_refused(name: str) -> None:
    subject = shop()[name]
    state = unseal(subject.make(None).snapshot(), "")
    del state.get("stage", state)["v"]
    with pytest.raises(StateVersionError, match="version None found"):
        subject.make(seal(state))


def letters(ports: Iterable[Port]) -> list[Outgoing]:
    """Dead letters in the output."""
    return [record for at, value in ports if at == "published" for record in value if record.stream == DEADLETTERS]


@pytest.mark.parametrize("name", NAMES[:4])
def test_an_item_it_fails_on_becomes_a_dead_letter_and_the_rest_goes_on(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    subject = shop()[name]
    place = next(n for n, value in enumerate(subject.values) if not isinstance(value, Tick) and len(value) > 1)
    values = subject.values.copy()
    bad = (
        subject.bad
        if subject.bad is None or name == "conversations"
        else type(subject.bad)(values[place][1].time + 1e-6, subject.bad.name)
    )
    values[place] = [*values[place][:1], bad, *values[place][1:]]
    clean_run, broken_run = outputs(subject.make(None), subject.values), outputs(subject.make(None), values)
    before = letters(clean_run)
    extra = [letter for letter in letters(broken_run) if letter not in before]
    assert [dict(dead.headers)["reason"] for dead in extra] == ["stage_failed"]
    expected, actual = settled(clean_run), settled(port for port in broken_run if port != ("published", extra))
    failures = actual[0] - expected[0]
    assert failures == {("csq_dead_letters_total", ("stage_failed",)): 1, ("csq_stage_failures_total", (name,)): 1}
    assert expected[1:] == actual[1:]


# ---- work on a record without an item


@dataclass
class Work:
    """Work that a stage does on one record at a time: after its items, or between them."""

    stage: str
    name: str
    """Of the method that does it."""
    key_of: Callable[..., str]
    """The record, from what the method is called with."""
    owner: Callable[[Any], Any] = lambda stage: stage

    def intercept(self, logic: LaneLogic, call: Callable[[str], None]) -> None:
        """Pass the record to `call` before the work on it."""
        owner = self.owner(logic._stage)
        work = getattr(owner, self.name)

        def intercepted(*args: Any) -> None:
            call(self.key_of(*args))
            work(*args)

        setattr(owner, self.name, intercepted)


WORKS = [
    Work("conversations", "_score", lambda _, fact, conversation_id: conversation_id, lambda stage: stage._course),
    Work("conversations", "_fire_one", lambda due, conversation_id, since: conversation_id),
    Work("queues", "_measure_one", lambda queue: queue.name),
    Work("customers", "_score", lambda customer_id, fact: customer_id),
    Work("customers", "_fire_one", lambda due, customer_id, *_: customer_id),
]


def without(key: str, ports: Iterable[Port]) -> Counter[str]:
    """Output that names a record or a queue, except one of them, with its port."""
    left: Counter[str] = Counter()
    for at, value in ports:
        if at in {"customers", "queues"}:
            left.update(repr((at, fact)) for facts in value.values() for fact in facts)
        elif at == "published":
            left.update(repr((at, record.stream, record.key, record.value)) for record in value)
        elif at == "measured":
            left.update(repr(one) for one in value if one[1] and CATALOGUE[one[0]].labels[0].name == "queue" and CATALOGUE[one[0]].kind == "gauge")  # fmt: skip
    return Counter({what: count for what, count in left.items() if key not in what})


@pytest.mark.parametrize("work", WORKS, ids=lambda work: f"{work.stage}{work.name}")
def test_work_that_fails_on_one_record_costs_no_other_record_and_no_item(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    subject = shop()[work.stage]
    keys: Counter[str] = Counter()
    whole, broken = subject.make(None), subject.make(None)
    assert isinstance(whole, LaneLogic)
    assert isinstance(broken, LaneLogic)
    work.intercept(whole, lambda key: keys.update([key]))
    values = [*subject.values, up(START + 400 * 86_400.0)]  # behind all timers
    expected = outputs(whole, values)
    assert len(keys) > 1
    victim, failed = keys.most_common(1)[0][0], Counter[str]()

    def fail(key: str) -> None:
        if key == victim:
            failed.update([key])
            raise ZeroDivisionError

    work.intercept(broken, fail)
    actual = outputs(broken, values)
    assert letters(actual) == letters(expected)
    assert without(victim, actual) == without(victim, expected)
    counts = settled(actual)[0], settled(expected)[0]
    assert counts[0]["csq_stage_failures_total", (work.stage,)] == failed[victim] > 0
    assert [key for key in counts[0] if "dead_letters" in key[0]] == [
        key for key in counts[1] if "dead_letters" in key[0]
    ]
    assert {record.event for record in caplog.records} == {"stage_work_failed"}  # type: ignore[attr-defined]  # given as extra
    records = [stored_state_of(logic._stage).get("records", {}) for logic in (whole, broken)]
    for held in records:
        held.pop(victim, None)
    assert records[0] == records[1]


@pytest.mark.parametrize("name", NAMES[:4])
def test_a_failure_after_the_last_item_makes_no_dead_letter(name: str, caplog: pytest.LogCaptureFixture) -> None:
    subject = shop()[name]
    whole, broken = subject.make(None), subject.make(None)
    assert isinstance(broken, LaneLogic)
    arrive, settle = broken._stage.arrive, broken._stage.settle

    def arrives(items: Iterable[Any], now: float, held: list[Any]) -> None:
        arrive(items, now, held)
        raise ZeroDivisionError

    def settles(facts: Iterable[Any]) -> None:
        settle(facts)
        raise ZeroDivisionError

    broken._stage.arrive, broken._stage.settle = arrives, settles  # type: ignore[method-assign]  # a stage that fails
    expected, actual = settled(outputs(whole, subject.values)), settled(outputs(broken, subject.values))
    failures = actual[0] - expected[0]
    assert failures.keys() == {("csq_stage_failures_total", (name,))}
    assert expected[1:] == actual[1:]
