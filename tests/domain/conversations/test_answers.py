"""What an answer is: bots that answer, messages that need no answer, edits, deletions, merges, ratings that settle."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from operators.domain.conversations import ratings
from operators.domain.conversations.ratings import FeedbackParams
from operators.domain.conversations.stage import Conversations, ConversationsParams
from operators.domain.models.satisfaction import MODEL, SatisfactionScorer, SatisfactionWeights
from operators.domain.stage.facts import ConversationExited, ConversationReentered, WaitAnswered, WaitBegan, WaitEnded
from operators.domain.stage.promise import Promises, PromisesParams
from operators.domain.time.lanes import Lanes
from operators.domain.wire import events
from tests.builders import AT_ONCE, NAMES, Seen, arrived, play, rate, reads, restored, say, step

DAY = 86_400.0
HERE = ("orders", "chat")
ROUNDS, OUTCOMES, CHANGES = "csq_reply_rounds_total", "csq_conversations_total", "csq_message_changes_total"
RATINGS, CORRECTIONS = "csq_feedback_total", "csq_feedback_corrections_total"


def talks(feedback: FeedbackParams = AT_ONCE, **params: Any) -> Conversations:
    score = SatisfactionScorer({MODEL: SatisfactionWeights()}).score_one
    promises = Promises(PromisesParams())
    return Conversations(ConversationsParams(**params), NAMES, promises, Lanes(8), score, feedback=feedback)


def after(*steps: Any, until: float = 5_000.0, **params: Any) -> Seen:
    return play(talks(**params), steps, until)


def rounds(seen: Seen) -> dict[tuple[str, ...], int]:
    return {labels[2:]: n for labels, n in seen.count(ROUNDS).items()}


def waits(seen: Seen) -> list[tuple[float, str]]:
    """Since when a wait goes on, or when it ended."""
    return [
        (getattr(fact, "since", fact.time), type(fact).__name__[4:])
        for fact in seen.queues
        if isinstance(fact, WaitBegan | WaitAnswered | WaitEnded)
    ]


# ---- bots


def test_a_bots_answer_holds_when_the_customer_is_silent_and_the_next_message_opens_a_new_round() -> None:
    seen = after(say("customer", 0), say("bot", 2), say("customer", 700), say("agent", 730))
    assert rounds(seen) == {("met", "bot"): 1, ("met", "human"): 1}
    assert seen.sampled("csq_reply_seconds") == {(*HERE, "bot"): [2], (*HERE, "human"): [30]}
    assert waits(seen) == [(0, "Began"), (2, "Ended"), (700, "Began"), (730, "Answered")]


def test_it_does_not_hold_when_the_customer_writes_again_the_wait_goes_on_from_its_first_message() -> None:
    seen = after(say("customer", 0), say("bot", 2), say("customer", 100), say("agent", 150))
    assert rounds(seen) == {("met", "human"): 1}
    assert seen.sampled("csq_reply_seconds")[*HERE, "human"] == [150]
    assert waits(seen) == [(0, "Began"), (2, "Ended"), (0, "Began"), (150, "Answered")]


def test_what_was_hidden_while_it_seemed_answered_is_missed_at_the_moment_it_shows() -> None:
    stage = talks()
    assert rounds(play(stage, [say("customer", 0), say("bot", 2)], until=400.0)) == {}
    assert rounds(play(stage, [say("customer", 500)], until=500.0)) == {("missed", "human"): 1}
    assert rounds(play(stage, [say("agent", 510)], until=5_000.0)) == {}


def test_a_hand_off_before_it_holds_lets_the_wait_go_on_and_after_it_begins_one() -> None:
    before = after(say("customer", 0), say("bot", 2), step("handoff", 60), say("agent", 90))
    assert before.sampled("csq_reply_seconds")[*HERE, "human"] == [90]
    later = after(say("customer", 0), say("bot", 2), step("handoff", 700), say("agent", 730))
    assert later.sampled("csq_reply_seconds")[*HERE, "human"] == [30]
    assert rounds(later) == {("met", "bot"): 1, ("met", "human"): 1}


def test_a_hand_off_opens_nothing_where_a_human_has_answered_or_nobody_has_asked() -> None:
    assert waits(after(say("customer", 0), say("agent", 5), step("handoff", 60))) == [(0, "Began"), (5, "Answered")]
    assert waits(after(step("opened", 0), step("handoff", 60))) == []


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (step("resolved", 300), {("met", "bot"): 1}),
        (step("resolved", 300, outcome="partial"), {("met", "bot"): 1}),
        (step("resolved", 300, outcome="unsolved"), {("missed", "human"): 1}),
        (step("abandoned", 300), {("missed", "human"): 1}),
        (step("abandoned", 60), {}),
    ],
)
def test_the_end_decides_whether_it_held(end: Any, expected: dict[tuple[str, str], int]) -> None:
    assert rounds(after(say("customer", 0), say("bot", 2), end)) == expected


def test_the_customer_confirms_it() -> None:
    seen = after(
        say("customer", 0), say("bot", 2), say("customer", 20, text="Thanks!"), say("customer", 60), say("agent", 70)
    )
    assert rounds(seen) == {("met", "bot"): 1, ("met", "human"): 1}
    assert seen.sampled("csq_reply_seconds")[*HERE, "human"] == [10]


def test_a_human_who_answers_before_it_holds_ends_the_round() -> None:
    assert rounds(after(say("customer", 0), say("bot", 2), say("agent", 60))) == {("met", "human"): 1}
    assert rounds(after(say("customer", 0), say("bot", 2), say("agent", 300))) == {("missed", "human"): 1}


def test_a_round_that_was_missed_before_the_bot_answered_counts_once() -> None:
    assert rounds(after(say("customer", 0), say("bot", 200))) == {("missed", "human"): 1}


def test_bots_need_not_answer() -> None:
    seen = after(say("customer", 0), say("bot", 2), bots_answer=False)
    assert rounds(seen) == {("missed", "human"): 1}
    assert seen.sampled("csq_reply_seconds") == {(*HERE, "bot"): [2]}


def test_what_a_bot_has_answered_survives_a_restart() -> None:
    stage = talks()
    play(stage, [say("customer", 0), say("bot", 2)], until=100.0)
    assert rounds(play(restored(talks(), stage), [], until=603.0)) == {("met", "bot"): 1}
    assert rounds(play(restored(talks(bots_confirm_seconds=900.0), stage), [], until=603.0)) == {}
    assert rounds(play(restored(talks(), stage), [say("customer", 300)], until=301.0)) == {("missed", "human"): 1}


def test_satisfaction_waits_for_humans_only() -> None:
    seen = after(say("customer", 0, reading=reads(0.0, 0.2, 0.8)), say("bot", 2), step("resolved", 700))
    (scored,) = seen.published["csq.satisfaction.scored"]
    assert scored["data"]["parts"] == {
        "response": None,
        "attitude": None,
        "mood": 4.5,
        "resolution": 5.0,
        "effort": 5.0,
    }
    assert scored["data"]["score"] == pytest.approx(14.5 / 3)  # a bot that solved it leaves a customer content
    late = after(say("customer", 0), say("bot", 2), say("customer", 700), say("agent", 880), step("resolved", 900))
    (scored,) = late.published["csq.satisfaction.scored"]
    assert scored["data"]["parts"]["response"] == 2.5  # the human's 180 s, as long as the limit


@pytest.mark.parametrize(
    ("steps", "by"),
    [([], "nobody"), ([say("bot", 5)], "bot"), ([say("agent", 5)], "human"), ([say("bot", 5), say("agent", 6)], "human"), ([say("agent", 5), say("bot", 6)], "human")],
)  # fmt: skip
def test_a_resolution_names_who_had_replied(steps: list[Any], by: str) -> None:
    seen = after(step("opened", 0), say("customer", 1), *steps, step("resolved", 90))
    assert seen.sampled("csq_resolution_seconds") == {(*HERE, by): [90]}


# ---- messages that need no answer


def test_a_thank_you_opens_no_wait_also_after_the_end() -> None:
    seen = after(
        say("customer", 0),
        say("agent", 5),
        say("customer", 9, text="Thanks, bye!"),
        step("resolved", 20),
        say("customer", 30, text="danke"),
    )
    assert waits(seen) == [(0, "Began"), (5, "Answered")]
    assert seen.count("csq_closing_messages_total") == {HERE: 2}


@pytest.mark.parametrize(
    ("ours", "opens"),
    [("Did that help?", False), ("Shall I cancel it?", True), ("It is on its way.", True), (None, True)],
)
@pytest.mark.parametrize("who", ["agent", "bot"])
def test_a_yes_needs_no_answer_only_if_we_asked_and_offered_nothing(ours: str | None, opens: bool, who: str) -> None:
    seen = after(say("customer", 0), say(who, 5, text=ours), say("customer", 700, text="Yes"))
    assert ((700, "Began") in waits(seen)) is opens


def test_an_image_with_a_thank_you_opens_a_wait() -> None:
    assert waits(after(say("customer", 0, text="thanks", content="image"))) == [(0, "Began")]


def test_a_thank_you_does_not_end_an_open_wait_or_begin_the_first_response() -> None:
    seen = after(say("customer", 0, text="hello"), say("customer", 5, text="thanks"), say("agent", 9))
    assert seen.sampled("csq_reply_seconds")[*HERE, "human"] == [9]
    quiet = after(say("customer", 0, text="thanks"), say("agent", 9), say("customer", 20), say("agent", 25))
    assert quiet.sampled("csq_first_response_seconds")[*HERE, "human"] == [5]


# ---- the same moment


def test_the_numbers_of_the_source_order_what_happens_at_the_same_moment() -> None:
    by_cause = after(say("customer", 5), say("agent", 5))
    assert by_cause.sampled("csq_reply_seconds")[*HERE, "human"] == [0]
    numbered = after(say("agent", 5, sequence="1"), say("customer", 5, sequence="2"), until=100.0)
    assert numbered.sampled("csq_reply_seconds") == {}
    assert waits(numbered) == [(5, "Began")]
    words = after(say("agent", 5, sequence="b"), say("customer", 5, sequence="a"))  # no numbers
    assert words.sampled("csq_reply_seconds")[*HERE, "human"] == [0]


# ---- identity


def test_a_message_that_comes_again_is_a_repeat_and_with_another_text_an_edit() -> None:
    stage = talks()
    seen = play(
        stage,
        [say("customer", 0, message="m1", reading=reads()), say("customer", 0, message="m1", reading=reads())],
        until=1.0,
    )
    assert seen.count(CHANGES) == {("repeated",): 1}
    assert len(seen.published["csq.turn.scored"]) == 1
    other = msgspec.structs.replace(reads(), features=b"\x08\x00\x00\x00")
    edited = play(stage, [say("customer", 2, message="m1", reading=other), _edited("m1", 3)], until=4.0)
    assert edited.count(CHANGES) == {("edited",): 2}
    assert edited.published["csq.turn.scored"] == []


def _edited(message: str, time: float, text: str = "something else") -> Any:
    return say("customer", time, message=message, text=text, kind="csq.message.edited")


def test_an_agents_message_that_comes_again_answers_nothing() -> None:
    seen = after(
        say("customer", 0),
        say("agent", 5, message="a1"),
        say("customer", 50),
        say("agent", 60, message="a1"),
        until=100.0,
    )
    assert seen.sampled("csq_reply_seconds")[*HERE, "human"] == [5]
    assert seen.count(CHANGES) == {("repeated",): 1}


def test_a_message_without_text_that_comes_again_is_a_repeat() -> None:
    image = say("customer", 0, message="i1", text=None, content="image")
    assert after(image, image).count(CHANGES) == {("repeated",): 1}


def test_an_edit_that_makes_a_question_of_a_thank_you_opens_a_wait_when_it_is_made() -> None:
    thanked = [say("customer", 0), say("agent", 5), say("customer", 9, message="t1", text="thanks")]
    assert waits(after(*thanked, _edited("t1", 50, "thanks, and where is it")))[2:] == [(50, "Began")]
    assert waits(after(*thanked, _edited("t1", 50, "thanks!!")))[2:] == []
    assert waits(after(*thanked, _edited("other", 50)))[2:] == []


def test_an_edit_of_an_agent_answers_nothing() -> None:
    edit = say("agent", 9, message="a1", text="no", kind="csq.message.edited")
    seen = after(say("customer", 0), edit, until=100.0)
    assert waits(seen) == [(0, "Began")]
    assert seen.count(CHANGES) == {("edited",): 1}


def deleted(message: str, time: float) -> Any:
    data = events.MessageId(message, "c1", "k1", "chat", "orders")
    return arrived("csq.message.deleted", time, f"deleted{message}{time}", data)


def test_a_wait_whose_only_message_is_deleted_is_withdrawn() -> None:
    seen = after(say("customer", 0, message="m1"), deleted("m1", 60))
    assert (rounds(seen), waits(seen)) == ({}, [(0, "Began"), (60, "Ended")])
    two = after(say("customer", 0, message="m1"), say("customer", 5, message="m2"), deleted("m1", 60), until=100.0)
    assert waits(two) == [(0, "Began")]
    handed = after(
        say("customer", 0, message="m1"), say("bot", 2), step("handoff", 700), deleted("m1", 710), until=720.0
    )
    assert waits(handed)[-1] == (700, "Began")  # the hand-off began this one


def test_a_deletion_or_an_edit_begins_no_conversation() -> None:
    for change in (deleted("m1", 60), _edited("m1", 60)):
        assert after(change).queues == []


def test_the_wait_that_an_edit_opens_has_a_limit() -> None:
    thanked = [say("customer", 0), say("agent", 5), say("customer", 9, message="t1", text="thanks")]
    assert rounds(after(*thanked, _edited("t1", 50, "thanks, and where is it"))) == {
        ("met", "human"): 1, ("missed", "human"): 1,
    }  # fmt: skip


def test_a_deletion_after_a_miss_does_not_undo_it_and_one_of_a_bots_question_leaves_nothing() -> None:
    assert rounds(after(say("customer", 0, message="m1"), deleted("m1", 400))) == {("missed", "human"): 1}
    suspended = after(say("customer", 0, message="m1"), say("bot", 2), deleted("m1", 60))
    assert (rounds(suspended), waits(suspended)) == ({}, [(0, "Began"), (2, "Ended")])


# ---- merges


FAR = next(f"c{n}" for n in range(2, 99) if Lanes(8).of(f"c{n}") != Lanes(8).of("c1"))
"""A conversation of another lane."""
NEAR = next(f"c{n}" for n in range(2, 999) if Lanes(8).of(f"c{n}") == Lanes(8).of("c1"))
"""A conversation of the same lane."""


def received(merge: Any) -> Any:
    """A merge as the lane of the other conversation gets it."""
    time, name, event, reading = merge
    return time, name, events.MergeReceived(event), reading


def merged(time: float, *, source: str = "c1", into: str = NEAR, **data: Any) -> Any:
    event = events.Merge(source, "k1", "chat", "orders", into=into, **data)
    return arrived("csq.conversation.merged", time, f"merged{time}{source}", event)


def test_a_merge_ends_a_conversation_and_its_wait_goes_on_in_the_other_one() -> None:
    seen = after(step("opened", 0), say("customer", 10), step("opened", 20, NEAR), merged(60), say("agent", 90, NEAR))
    assert seen.count(OUTCOMES) == {(*HERE, "merged"): 1}
    assert rounds(seen) == {("met", "human"): 1}
    assert seen.sampled("csq_reply_seconds")[*HERE, "human"] == [30]  # the event does not say since when
    assert seen.published["csq.satisfaction.scored"] == []


def test_a_merge_may_say_since_when_the_customer_waits_or_that_nobody_does() -> None:
    since = datetime.fromtimestamp(10, UTC)
    said = after(say("customer", 10), step("opened", 20, NEAR), merged(60, waiting_since=since), say("agent", 90, NEAR))
    assert said.sampled("csq_reply_seconds")[*HERE, "human"] == [80]
    none = after(say("customer", 10), step("opened", 20, NEAR), merged(60, waiting_since=None), say("agent", 90, NEAR))
    assert none.sampled("csq_reply_seconds") == {}


def test_the_lane_of_the_other_conversation_takes_the_wait() -> None:
    seen = after(step("opened", 20, FAR), received(merged(60, into=FAR)), say("agent", 90, FAR))
    assert seen.sampled("csq_reply_seconds")[*HERE, "human"] == [30]
    assert seen.count(OUTCOMES) == {}


def test_of_two_waits_the_longer_goes_on() -> None:
    since = datetime.fromtimestamp(10, UTC)
    older = after(
        say("customer", 10), say("customer", 40, NEAR), merged(60, waiting_since=since), say("agent", 90, NEAR)
    )
    assert older.sampled("csq_reply_seconds")[*HERE, "human"] == [80]
    younger = after(
        say("customer", 10), say("customer", 5, NEAR), merged(60, waiting_since=since), say("agent", 90, NEAR)
    )
    assert younger.sampled("csq_reply_seconds")[*HERE, "human"] == [85]


def test_a_merge_into_the_unknown_is_a_dead_letter() -> None:
    seen = after(step("opened", 0), received(merged(60, into="c99")))
    (letter,) = seen.dead
    assert dict(letter.headers)["reason"] == "unknown_conversation"
    assert b'"into":"c99"' in letter.value
    assert seen.count("csq_dead_letters_total") == {("unknown_conversation",): 1}
    assert after(step("opened", 0), merged(60, into=FAR)).dead == []  # the lane of the other conversation says so


# ---- what never ends


def test_a_silent_conversation_goes_on_when_someone_writes_and_is_no_reopening() -> None:
    stage = talks()
    play(stage, [say("customer", 0), say("agent", 5)], until=2 * DAY)
    seen = play(
        stage,
        [say("customer", 3 * DAY), say("agent", 3 * DAY + 60), step("resolved", 3 * DAY + 90)],
        until=3 * DAY + 100,
    )
    assert seen.count(OUTCOMES) == {(*HERE, "solved"): 1}
    assert len(seen.sent(ConversationReentered)) == 1
    assert seen.sampled("csq_resolution_seconds") == {(*HERE, "human"): [3 * DAY + 90]}


@pytest.mark.parametrize("what", ["reopened", "opened", "assigned", "handoff", "pending"])
def test_a_silent_conversation_that_goes_on_is_open_in_its_queue(what: str) -> None:
    stage = talks()
    play(stage, [say("customer", 0), say("agent", 5)], until=2 * DAY)
    seen = play(stage, [step(what, 3 * DAY)], until=3 * DAY + 9)
    assert len(seen.sent(ConversationReentered)) == 1
    assert seen.count(OUTCOMES) == {}


def test_a_thank_you_or_an_end_does_not_open_a_silent_conversation() -> None:
    for last in (say("customer", 3 * DAY, text="thanks"), step("resolved", 3 * DAY)):
        stage = talks()
        play(stage, [say("customer", 0), say("agent", 5)], until=2 * DAY)
        assert play(stage, [last], until=3 * DAY + 9).sent(ConversationReentered) == []


def test_mail_is_silent_later_than_chat() -> None:
    mail = [say("customer", 0, channel="email"), say("agent", 5, channel="email")]
    assert after(*mail, until=6 * DAY).count(OUTCOMES) == {}
    assert after(*mail, until=8 * DAY).count(OUTCOMES) == {("orders", "email", "silent"): 1}


def test_an_open_wait_is_not_ended_by_silence_but_after_days() -> None:
    assert after(say("customer", 0), until=6 * DAY).count(OUTCOMES) == {}
    seen = after(say("customer", 0), until=8 * DAY)
    assert seen.count(OUTCOMES) == {(*HERE, "forgotten"): 1}
    assert [fact.outcome for fact in seen.sent(ConversationExited)] == ["forgotten"]


def test_a_silent_end_says_nothing_of_the_resolution() -> None:
    seen = after(say("customer", 0), say("agent", 90), until=2 * DAY)
    (scored,) = seen.published["csq.satisfaction.scored"]
    assert (scored["data"]["outcome"], scored["data"]["parts"]["resolution"]) == ("silent", None)


# ---- waiting for the customer


def test_while_a_conversation_waits_for_the_customer_resolution_and_handling_stand_still() -> None:
    seen = after(
        step("opened", 0), say("customer", 10), say("agent", 20), step("pending", 30), say("customer", 1_030), say("agent", 1_040),
        step("resolved", 1_100),
    )  # fmt: skip
    assert seen.sampled("csq_resolution_seconds") == {(*HERE, "human"): [100]}
    assert seen.sampled("csq_handle_seconds") == {HERE: [80]}
    assert seen.sampled("csq_reply_seconds")[*HERE, "human"] == [10, 10]


def test_it_does_not_stop_the_wait_of_a_customer_and_ends_with_the_conversation() -> None:
    waiting = after(say("customer", 0), step("pending", 30), until=400.0)
    assert rounds(waiting) == {("missed", "human"): 1}
    ended = after(step("opened", 0), say("agent", 20), step("pending", 30), step("resolved", 500))
    assert ended.sampled("csq_resolution_seconds") == {(*HERE, "human"): [30]}
    assert ended.sampled("csq_handle_seconds") == {HERE: [10]}


def test_a_pause_is_kept_over_a_restart() -> None:
    stage = talks()
    play(stage, [step("opened", 0), step("pending", 30)], until=100.0)
    seen = play(restored(talks(), stage), [say("customer", 530), step("resolved", 600)], until=601.0)
    assert seen.sampled("csq_resolution_seconds") == {(*HERE, "nobody"): [100]}


# ---- ratings that settle

SETTLES = FeedbackParams()


def test_a_rating_counts_once_it_is_quiet_and_the_last_one_counts() -> None:
    stage = talks(SETTLES)
    first = play(stage, [say("customer", 0), rate(2, 100, feedback="f1")], until=650.0)
    assert first.count(RATINGS) == {}
    second = play(stage, [rate(5, 660, feedback="f1")], until=1_200.0)
    assert (second.count(RATINGS), second.count(CORRECTIONS)) == ({}, {("replaced",): 1})
    assert play(stage, [], until=1_261.0).count(RATINGS) == {("csat", "orders", "5"): 1}


def test_a_correction_of_what_has_counted_is_counted_apart() -> None:
    stage = talks(SETTLES)
    play(stage, [say("customer", 0), rate(2, 100, feedback="f1")], until=701.0)
    seen = play(stage, [rate(5, 800, feedback="f1"), withdrawn("f1", 900)], until=2_000.0)
    assert (seen.count(RATINGS), seen.count(CORRECTIONS)) == ({}, {("late",): 2})


def withdrawn(feedback: str, time: float) -> Any:
    return arrived("csq.feedback.withdrawn", time, f"withdrawn{time}", events.FeedbackId(feedback, "c1", "k1"))


def test_a_rating_that_is_withdrawn_in_time_does_not_count() -> None:
    seen = play(talks(SETTLES), [say("customer", 0), rate(2, 100, feedback="f1"), withdrawn("f1", 200)], until=2_000.0)
    assert (seen.count(RATINGS), seen.count(CORRECTIONS)) == ({}, {("withdrawn",): 1})


def test_of_two_ratings_out_of_order_the_later_one_counts() -> None:
    stage = talks(SETTLES)
    play(stage, [say("customer", 0), rate(5, 300, feedback="f1")], until=350.0)
    assert play(stage, [rate(1, 200, feedback="f1")], until=901.0).count(RATINGS) == {("csat", "orders", "5"): 1}


def test_what_has_not_settled_survives_a_restart_and_at_the_end_of_a_finite_input_it_counts() -> None:
    stage = talks(SETTLES)
    play(
        stage,
        [say("customer", 0), rate(4, 100, feedback="f1"), rate(3, 100, None, feedback="f2", who="k1")],
        until=300.0,
    )
    again = restored(talks(SETTLES), stage)
    assert play(again, [], until=701.0).count(RATINGS) == {("csat", "orders", "4"): 1, ("csat", "other", "3"): 1}
    stage.finish()
    assert Seen().take(stage.drain()).count(RATINGS) == {}  # a live flow goes on
    score = SatisfactionScorer({MODEL: SatisfactionWeights()}).score_one
    finite = Conversations(ConversationsParams(), NAMES, Promises(PromisesParams()), Lanes(8), score, is_finite=True)
    play(finite, [say("customer", 0), rate(4, 100)], until=300.0)
    finite.finish()
    assert Seen().take(finite.drain()).count(RATINGS) == {("csat", "orders", "4"): 1}


def test_ratings_are_forgotten_with_the_customer() -> None:
    stage = talks(SETTLES)
    play(
        stage,
        [say("customer", 0), rate(4, 100, feedback="f1"), rate(3, 100, None, feedback="f2", who="k1")],
        until=200.0,
    )
    gone = arrived("csq.customer.forgotten", 250, "forget", events.CustomerId("k1"))
    assert play(stage, [gone], until=5_000.0).count(RATINGS) == {}
    assert len(stage._ratings) == 0


def test_the_ratings_that_are_known_are_bounded_in_number_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratings, "MOST", 3)
    stage = talks(FeedbackParams(settle_seconds=0.0))
    play(stage, [rate(4, n, feedback=f"f{n}") for n in range(5)], until=10.0)
    assert len(stage._ratings._settled) == 3
    play(stage, [], until=15 * DAY)
    assert len(stage._ratings._settled) == 0
    waiting = talks(SETTLES)
    seen = play(waiting, [rate(4, n, feedback=f"f{n}") for n in range(5)], until=10.0)
    assert (len(waiting._ratings), sum(seen.count(RATINGS).values())) == (3, 2)
