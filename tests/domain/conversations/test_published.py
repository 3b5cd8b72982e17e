"""What conversations publish and learn from, whole: replies, satisfaction, sentiment; and what outlives a restart."""

from typing import Any

import pytest

from operators.domain.conversations.reading import Reading
from operators.domain.conversations.stage import DAY, Conversations, ConversationsParams
from operators.domain.models.satisfaction import MODEL, SatisfactionScorer, SatisfactionWeights
from operators.domain.queues.record import QueuesParams
from operators.domain.queues.stage import Queues
from operators.domain.stage.promise import Promises, PromisesParams, QueuePromise
from operators.domain.time.lanes import Lanes
from tests.builders import AT_ONCE, NAMES, Seen, play, rate, reads, restored, say, step

WEIGHTS = SatisfactionWeights()
PROMISES = PromisesParams()
LATER = 100_000.0


def talks(promises: PromisesParams = PROMISES, **params: Any) -> Conversations:
    score = SatisfactionScorer({MODEL: WEIGHTS}).score_one
    return Conversations(ConversationsParams(**params), NAMES, Promises(promises), Lanes(8), score, feedback=AT_ONCE)


def after(*steps: Any, until: float = LATER, promises: PromisesParams = PROMISES) -> Seen:
    return play(talks(promises), steps, until)


def tone(value: float) -> Reading:
    return Reading("en", b"", value, question=False)


def data(seen: Seen, stream: str) -> list[dict[str, Any]]:
    return [event["data"] for event in seen.published[stream]]


def durations(reply: float | None, first: float | None) -> dict[str, float | None]:
    """Durations of a queue that is always open: none by the wall beside them."""
    return {"reply_seconds": reply, "first_response_seconds": first}


def test_a_reply_is_published_with_what_was_promised_and_kept() -> None:
    late = after(say("customer", 0), say("agent", 60), say("customer", 100), say("agent", 400), say("agent", 500))
    human = {
        "conversation_id": "c1", "customer_id": "k1", "queue": "orders", "channel": "chat",
        "responder": "human", "limit_seconds": 180.0,
    }  # fmt: skip
    assert data(late, "csq.reply.measured") == [
        {**human, **durations(60.0, 60.0), "outcome": "met"},
        {**human, **durations(None, None), "outcome": "missed"},
        {**human, **durations(300.0, None), "outcome": "missed"},
    ]
    bots = after(
        say("customer", 0),
        say("bot", 3),
        promises=PromisesParams(queues={"orders": QueuePromise(limit_seconds=60.0)}),
        until=10.0,
    )
    assert data(bots, "csq.reply.measured") == [
        {**human, "responder": "bot", "limit_seconds": 60.0, **durations(3.0, 3.0), "outcome": "answered"}
    ]


def test_a_first_response_after_a_reopening_is_published_though_nobody_waited() -> None:
    seen = after(say("customer", 0), say("agent", 5), step("resolved", 9), step("reopened", 20), say("agent", 50))
    last = data(seen, "csq.reply.measured")[-1]
    assert (last["reply_seconds"], last["first_response_seconds"], last["outcome"]) == (None, 30.0, None)
    assert seen.sampled("csq_first_response_seconds") == {("orders", "chat", "human"): [5.0, 30.0]}


def test_the_attitude_of_the_agent_is_the_mean_tone_of_what_they_wrote() -> None:
    said = [say("customer", 0), say("agent", 10, reading=tone(0.5)), say("agent", 20, reading=tone(-0.1))]
    seen = after(*said, say("agent", 25), step("resolved", 30))
    assert data(seen, "csq.satisfaction.scored")[0]["parts"]["attitude"] == pytest.approx((2 + 2 * 0.2) * 5 / 4)


def test_a_rated_attitude_counts_from_the_next_score_on() -> None:
    seen = after(say("customer", 0), say("agent", 10, reading=tone(1.0)), rate(4, 20, attitude=2), step("resolved", 30))
    first, second = (scored["parts"]["attitude"] for scored in data(seen, "csq.satisfaction.scored"))
    assert (first, second) == (5.0, 1.25)


def test_a_rating_judges_one_score_though_another_comes_after_it() -> None:
    seen = after(say("customer", 0), say("agent", 10), rate(4, 20), step("resolved", 30))
    assert len(seen.published["csq.satisfaction.scored"]) == 2
    (example,) = seen.examples["satisfaction"]
    assert (example.label, example.delay_seconds) == (3.75, 0.0)


def test_an_attitude_that_was_not_rated_leaves_the_one_before() -> None:
    seen = after(say("customer", 0), rate(4, 10, attitude=2), rate(5, 20), step("resolved", 30))
    assert data(seen, "csq.satisfaction.scored")[-1]["parts"]["attitude"] == 1.25


@pytest.mark.parametrize(
    ("probabilities", "sentiment"),
    [
        ((0.5, 0.3, 0.2), "negative"),
        ((0.3, 0.2, 0.5), "positive"),
        ((0.2, 0.3, 0.5), "positive"),
        ((0.3, 0.5, 0.2), "neutral"),
        ((0.2, 0.5, 0.3), "neutral"),
        ((0.4, 0.4, 0.2), "negative"),
        ((0.4, 0.2, 0.4), "negative"),
        ((0.2, 0.4, 0.4), "neutral"),
    ],
)
def test_the_sentiment_of_a_turn_is_the_most_probable_class_and_of_two_the_more_careful(
    probabilities: tuple[float, float, float], sentiment: str
) -> None:
    seen = after(say("customer", 0, reading=reads(*probabilities)))
    (turn,) = data(seen, "csq.turn.scored")
    assert turn["sentiment"] == sentiment
    assert turn["polarity"] == pytest.approx(probabilities[2] - probabilities[0])
    assert turn["probabilities"] == dict(zip(("negative", "neutral", "positive"), probabilities, strict=True))
    assert seen.count("csq_turns_total") == {("orders", "chat", "en", sentiment): 1}


def waits(seen: Seen, now: float) -> float:
    """The open waits that the queue shows."""
    queues = Queues(QueuesParams(), Promises(PROMISES), NAMES)
    queues.settle(sorted(seen.queues, key=lambda fact: fact.time))
    queues.advance(now)
    shown = {metric: value for _, values in queues.drain() for metric, _, value in values}
    return shown["csq_open_waits"]


@pytest.mark.parametrize("end", ["resolved", "abandoned"])
def test_the_queue_hears_of_the_end_of_a_wait_in_a_conversation_that_was_closed(end: str) -> None:
    said = [say("customer", 0), say("agent", 5), step("resolved", 10), say("customer", 20)]
    assert waits(after(*said, until=100.0), 100.0) == 1
    assert waits(after(*said, step(end, 30), until=100.0), 100.0) == 0


def test_a_conversation_that_was_heard_of_again_is_given_up_after_a_silence_from_then_on() -> None:
    stage = talks(auto_close_hours={"chat": 24.0})
    play(stage, [say("customer", 0), say("agent", 5)], until=1.0)
    again = play(stage, [say("agent", 0.5 * DAY)], until=1.5 * DAY)
    assert again.count("csq_conversations_total") == {}
    assert play(stage, [], until=1.5 * DAY + 1.0).count("csq_conversations_total") == {("orders", "chat", "silent"): 1}


def test_a_wait_of_long_ago_is_missed_after_a_restart() -> None:
    promises = PromisesParams(limit_seconds=7_200.0)
    stage = talks(promises)
    play(stage, [say("customer", 0), say("customer", 0, "c2"), say("agent", 9, "c2")], until=3_600.0)
    again = restored(talks(promises), stage)
    seen = play(again, [], until=7_201.0)
    assert [missed["conversation_id"] for missed in data(seen, "csq.reply.measured")] == ["c1"]
