"""What an answer is, through the whole flow: lanes, text and metrics together."""

from typing import Any

import msgspec
import pytest

from operators.domain.time.lanes import Lanes
from operators.domain.wire.outgoing import DEADLETTERS
from tests.builders import START, raw
from tests.streams import ORIGIN, SETTINGS, Result, run

LANES = Lanes(SETTINGS.state.lanes)
FAR = next(f"c{n}" for n in range(2, 999) if LANES.of(f"c{n}") != LANES.of("c1"))
NEAR = next(f"c{n}" for n in range(2, 9_999) if LANES.of(f"c{n}") == LANES.of("c1"))
MESSAGE, MERGED = "csq.message.created", "csq.conversation.merged"


def said(time: float, role: str, text: str, talk: str = "c1", **data: Any) -> bytes:
    """A message, `time` seconds after the start."""
    name = f"{role}{time}{talk}"
    author = {"role": role, "id": role}
    return raw(MESSAGE, START + time, name, message_id=name, conversation_id=talk, author=author, text=text, **data)


def played(*events: bytes) -> Result:
    return run({ORIGIN: list(events)})


def rounds(result: Result) -> dict[tuple[str, ...], float]:
    return {labels[2:]: n for labels, n in result.values["csq_reply_rounds_total"].items() if n}


@pytest.mark.parametrize("into", [FAR, NEAR])
def test_a_merge_takes_the_wait_to_the_lane_of_the_other_conversation(into: str) -> None:
    merge = raw(MERGED, START + 60, "merge", into=into, waiting_since="2026-01-05T08:00:10Z")
    opened = raw("csq.conversation.opened", START, "opened", conversation_id=into)
    result = played(opened, said(10, "customer", "Where is it?"), merge, said(90, "agent", "On its way.", into))
    assert rounds(result) == {("met", "human"): 1}
    assert sum(result.values["csq_reply_seconds_sum"].values()) == 80
    assert result.values["csq_events_total"][MERGED,] == 1
    assert result.values["csq_late_events_total"][()] == result.values["csq_duplicates_total"][()] == 0
    assert DEADLETTERS not in result.published


@pytest.mark.parametrize("into", [FAR, NEAR])
def test_a_merge_into_the_unknown_is_one_dead_letter_that_can_be_read_again(into: str) -> None:
    merge = raw(MERGED, START + 60, "merge", into=into)
    result = played(said(10, "customer", "Where is it?"), merge)
    assert result.values["csq_dead_letters_total"]["unknown_conversation",] == 1
    (letter,) = result.published[DEADLETTERS]
    assert msgspec.json.decode(letter)["data"]["into"] == into


@pytest.mark.parametrize(
    ("text", "opens"),
    [
        ("Thanks, bye!", False), ("<p>Vielen Dank!</p>", False), ("谢谢亲", False), ("Tack så mycket", False),
        ("Thanks, and where is it?", True), ("Thank you. Order 12345", True), ("<p>Thanks</p><p>It is broken.</p>", True),
        ("Thanks!\n\nOn Monday ann wrote:\n> Shall we send it again?", True),
    ],
)  # fmt: skip
def test_a_message_that_only_thanks_opens_no_wait(text: str, opens: bool) -> None:
    result = played(
        said(0, "customer", "Hello, where is it?"), said(5, "agent", "It is there."), said(9, "customer", text)
    )
    assert sum(result.values["csq_open_waits"].values()) == opens
    assert sum(result.values["csq_closing_messages_total"].values()) == (not opens)


def test_a_bot_that_solves_it_misses_nothing() -> None:
    end = raw("csq.conversation.resolved", START + 400, "end", outcome="solved")
    result = played(said(0, "customer", "Where is it?"), said(2, "bot", "It arrives today."), end)
    assert rounds(result) == {("met", "bot"): 1}
    (scored,) = map(msgspec.json.decode, result.published["csq.satisfaction.scored"])
    assert scored["data"]["score"] > 2.5


def test_a_question_two_weeks_later_is_measured_from_itself() -> None:
    later = 14 * 86_400.0
    result = played(
        said(0, "customer", "Where is it?"), said(2, "bot", "It arrives today."),
        said(later, "customer", "Where is the invoice?"), said(later + 90, "agent", "Here it is."),
    )  # fmt: skip
    assert rounds(result) == {("met", "bot"): 1, ("met", "human"): 1}
    assert {labels[2]: n for labels, n in result.values["csq_reply_seconds_sum"].items() if n} == {
        "bot": 2,
        "human": 90,
    }
