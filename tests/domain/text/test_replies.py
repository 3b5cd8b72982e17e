"""What stands around a reply is not what the customer says; what a customer says is never taken out."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.text.clean import clean, clean_many
from operators.domain.text.replies import said
from operators.domain.text.vectorize import VectorizeParams, Vectorizer
from tests.domain.text.test_clean import least_seconds

SHAPES = yaml.safe_load((Path(__file__).parents[2] / "fixtures" / "replies.yaml").read_text(encoding="utf-8"))
WHOLE = [shape for shape in SHAPES if shape["said"] is None]
LINES = st.sampled_from(
    ["> quoted", ">", "", " ", "On Wed, 4 Dec 2024 at 17:15, Sam <sam@x.de> wrote:", "wrote:", "On Wed, 4 Dec 2024,", "-- ", "--", "From: Ann", "Sent: 1 May",
     "-----Original Message-----", "Best regards,", "Ann", "Sent from my iPhone", "This email is confidential", "Hello", "my lamp is broken:", "😡", "___", "a" * 500]
)  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["client"])
def test_only_what_the_customer_says_is_read(shape):
    expected = " ".join((shape["said"] or shape["text"]).split())

    assert clean(shape["text"]).split() == expected.split()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["client"])
def test_windows_line_ends_and_batches_make_no_difference(shape):
    text = shape["text"].replace("\n", "\r\n")

    assert clean_many([text, "Fine.", text] * 8) == [clean(shape["text"]), "Fine.", clean(shape["text"])] * 8


def test_the_shapes_are_of_many_programs_and_languages():
    assert len(SHAPES) - len(WHOLE) >= 50
    assert len(WHOLE) >= 10
    assert {shape["language"] for shape in SHAPES} >= {
        "en",
        "de",
        "fr",
        "es",
        "it",
        "pt",
        "nl",
        "sv",
        "da",
        "fi",
        "pl",
        "zh",
    }
    assert {"Gmail", "Outlook", "Apple Mail", "Thunderbird", "Yahoo", "ProtonMail"} <= {
        shape["client"].split(",")[0] for shape in SHAPES
    }


def test_thanks_above_a_quoted_apology_sound_good():
    text = clean(
        "Perfect, thank you!\n\nOn Wed, 4 Dec 2024 at 17:15, Sam <sam@example.com> wrote:\n"
        "> We are terribly sorry for this awful, horrible problem. It was our worst week."
    )

    assert Vectorizer(VectorizeParams()).vectorize_many([text], [None])[0].tone > 0.5


@given(st.lists(LINES | st.text(max_size=20), max_size=12).map("\n".join))
def test_something_is_always_left_and_it_is_part_of_the_text(text):
    rest = said(text)

    assert rest.strip() or not text.strip()
    assert {line.strip() for line in rest.split("\n")} <= {line.strip() for line in text.split("\n")}


@given(st.text(st.characters(exclude_characters="\n")))
def test_a_text_of_one_line_stays(text):
    assert said(text) == text


@pytest.mark.parametrize(
    "unit",
    [
        "\n", "\n>", "\n> a", "a:\n", "wrote:\n", "wrote @ ", "On 2024 wrote ", "From: a\n", "From:\n\n", "This ", "This is\n", "Best regards,\n", "Best regards, a a ",
        "-- \n", "----", "-----Original ", "a wrote 2024 b@c:\n", ": ", ":\n", "On 1.1.2024,\nb\n:\n", "Sent from my ", "*_", " \t", "## -", "##-", "a@b wrote\n:\n",
    ],
)  # fmt: skip
def test_no_message_of_many_lines_takes_long(unit):
    assert least_seconds((unit * 65_536)[:65_536]) < 0.02  # 10 ms; twice that for a busy machine
