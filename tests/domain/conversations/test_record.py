"""The clocks of one conversation, against the definitions."""

from hypothesis import given
from hypothesis import strategies as st

from operators.domain.conversations.record import MAX_MOODS, ConversationRecord, Rounds
from tests.reference import Reckoned, Step, is_open_after, reckon

LIMIT = 180.0
WHAT = st.sampled_from(["customer", "customer", "agent", "agent", "bot", "handoff", "end", "reopened"])


@st.composite
def courses(draw: st.DrawFn) -> list[Step]:
    """What happens in a conversation, in order; times are whole seconds, often equal, often exactly a limit apart."""
    time, steps = 0.0, list[Step]()
    for after, what in draw(
        st.lists(st.tuples(st.sampled_from([0, 1, 5, 60, 120, 179, 180, 181, 400]), WHAT), max_size=25)
    ):
        time += after
        is_open = is_open_after(steps)
        if is_open is (what == "reopened") and what in {"end", "reopened"}:
            continue
        steps.append((time, draw(st.sampled_from(["resolved", "abandoned"])) if what == "end" else what, None))
    return steps


def run(steps: list[Step]) -> tuple[list[float], list[float], list[float], list[float], int]:
    """What the clocks say: reply times, first responses, the bot's replies and first response, misses."""
    rounds = Rounds()
    replies, firsts, bots, bot_firsts, misses = (
        list[float | None](),
        list[float | None](),
        list[float | None](),
        list[float | None](),
        0,
    )

    for time, what, _ in steps:
        since = rounds.waiting_since
        if since is not None and time > since + LIMIT:
            misses += rounds.limit_passed(since)
        if what == "customer":
            rounds.customer_said(time)
        elif what == "agent":
            reply, first = rounds.human_said(time)
            replies.append(None if reply is None else time - reply)
            firsts.append(None if first is None else time - first)
        elif what == "bot":
            reply, first = rounds.bot_said(time)
            bots.append(None if reply is None else time - reply)
            bot_firsts.append(None if first is None else time - first)
        elif what == "handoff":
            rounds.handed_off(time)
        elif what == "reopened":
            rounds.reopened(time)
        else:
            rounds.closed()
    return *([value for value in values if value is not None] for values in (replies, firsts, bots, bot_firsts)), misses  # type: ignore[return-value]  # a test's helper


def expected(steps: list[Step]) -> Reckoned:
    return reckon(steps, LIMIT, steps[-1][0] if steps else 0.0, bots_answer=False)


@given(courses())
def test_replies_and_first_responses_are_those_of_the_definitions(steps: list[Step]) -> None:
    replies, firsts, bots, _, misses = run(steps)
    reckoned = expected(steps)
    assert (reckoned.replies, reckoned.firsts, reckoned.bot_replies) == (replies, firsts, bots)
    assert reckoned.rounds["missed"] == misses


@given(courses())
def test_the_bots_first_response_is_that_of_the_definitions_in_the_first_episode(steps: list[Step]) -> None:
    whats = [what for _, what, _ in steps]
    asked = whats.index("customer") if "customer" in whats else len(whats)
    if "reopened" in whats or "agent" in whats[:asked]:
        return  # see the examples below
    assert expected(steps).bot_firsts == run(steps)[3]


def test_a_bot_has_no_first_response_in_a_later_episode() -> None:
    steps: list[Step] = [(0.0, "customer", None), (5.0, "resolved", None), (9.0, "reopened", None), (10.0, "bot", None)]
    assert expected(steps).bot_firsts == run(steps)[3] == []


def test_a_greeting_by_a_human_does_not_take_the_first_response_from_the_bot() -> None:
    steps: list[Step] = [(0.0, "agent", None), (10.0, "customer", None), (12.0, "bot", None)]
    assert expected(steps).bot_firsts == run(steps)[3] == [2.0]


def test_a_reply_older_than_the_message_that_waits_does_not_answer_it() -> None:
    rounds = Rounds()
    rounds.customer_said(100.0)
    assert rounds.human_said(99.0) == (None, None)
    assert rounds.waiting_since == 100.0
    assert rounds.human_said(130.0) == (100.0, 100.0)


def test_a_message_older_than_the_last_reply_has_been_answered() -> None:
    rounds = Rounds()
    rounds.customer_said(100.0)
    rounds.human_said(130.0)
    assert (rounds.customer_said(120.0), rounds.waiting_since) == (False, None)
    assert rounds.customer_said(130.0) is True


def test_a_bots_reply_older_than_what_waits_does_not_answer_it() -> None:
    rounds = Rounds()
    rounds.customer_said(100.0)
    assert rounds.bot_said(99.0) == (None, None)
    assert rounds.bot_said(101.0) == (100.0, 100.0)


def test_a_limit_is_passed_once_and_only_by_the_round_it_was_set_for() -> None:
    rounds = Rounds()
    rounds.customer_said(0.0)
    assert [rounds.limit_passed(5.0), rounds.limit_passed(0.0), rounds.limit_passed(0.0)] == [False, True, False]
    rounds.human_said(300.0)
    rounds.customer_said(400.0)
    assert [rounds.limit_passed(0.0), rounds.limit_passed(400.0)] == [False, True]


def test_of_a_long_conversation_every_other_mood_is_kept() -> None:
    record = ConversationRecord("k1", "chat", "orders", 0.0, 0.0, Rounds())
    for n in range(MAX_MOODS + 1):
        record.add_mood(float(n))
    assert record.moods == [*map(float, range(0, MAX_MOODS, 2)), float(MAX_MOODS)]


def test_a_wait_of_no_time_is_a_wait() -> None:
    rounds = Rounds()
    rounds.customer_said(0.0)
    assert rounds.waiting_since == 0.0
    assert rounds.human_said(0.0) == (0.0, 0.0)
