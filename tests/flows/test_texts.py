"""Mails in the whole flow: what is read in them, and that this decides no wait."""

import msgspec
import pytest

from tests.builders import START, raw
from tests.streams import ORIGIN, SETTINGS, run

QUOTE = "\n\nOn Wed, 4 Dec 2024 at 17:15, Sam <sam@example.com> wrote:\n> We are terribly sorry for this awful problem."
HTML = "<style>.great {color: red} .love, .happy {}</style><p>I hate this. <b>Worst</b> shop ever!</p>"


def message(number: int, text: str, role: str = "customer", **data) -> bytes:
    """A message, each in a conversation of its own."""
    ids = {"conversation_id": f"c{number}", "message_id": f"m{number}", "customer_id": f"k{number}"}
    author = {"role": role, "id": f"k{number}" if role == "customer" else "a1"}
    return raw("csq.message.created", START + number, f"e{number}", text=text, author=author, **ids, **data)


def turns(*values: bytes) -> tuple[dict[str, dict], dict]:
    """The published turns by message, and the metrics."""
    result = run({ORIGIN: list(values)}, settings=SETTINGS)
    records = [msgspec.json.decode(record)["data"] for record in result.published["csq.turn.scored"]]
    return {record["message_id"]: record for record in records}, result.values


def test_a_reply_is_read_without_what_it_quotes_and_html_without_its_styles() -> None:
    found, _ = turns(message(1, "Perfect, thank you!" + QUOTE), message(2, HTML), message(3, QUOTE.strip()))

    assert found["m1"]["sentiment"] == "positive"
    assert found["m2"]["sentiment"] == "negative"
    assert found["m3"]["sentiment"] == "negative", "where nothing else is said, the quote is read"


@pytest.mark.parametrize("text", ["Thanks" + QUOTE, QUOTE.strip(), "<style>p {}</style>", "<!-- -->", "-- \nAnn"])
def test_what_is_left_of_a_text_does_not_decide_whether_a_wait_opens(text: str) -> None:
    _, values = turns(message(1, text))
    _, plain = turns(message(1, "Where is it?"))

    assert values["csq_open_waits"] == plain["csq_open_waits"]
