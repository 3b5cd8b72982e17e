"""The model of a text, by its script, its declared language and its function words."""

import pytest

from operators.domain.models.vectors import LANGUAGES
from operators.domain.text.language import UNDECLARED, Tags, by_script, foreign

EN, ZH, OTHER = range(3)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", UNDECLARED),
        ("fine", UNDECLARED),
        ("très bien", UNDECLARED),
        ("😡 ... ?", UNDECLARED),
        ("好", ZH),
        ("ab好", ZH),
        ("abc好", UNDECLARED),  # three Latin letters say as much as one character
        ("abcde好吃", ZH),
        ("abcdef好吃", UNDECLARED),
        ("好の", OTHER),
        ("好好好好好好好好好好の", OTHER),  # ten beside one kana are Japanese still
        ("好好好好好好好好好好好の", ZH),
        ("東京都港区の郵便番号", OTHER),
        ("очень плохо", OTHER),
        ("好я", ZH),  # half of the letters
        ("好яя", OTHER),
        ("好好яяabc", ZH),
        ("안녕하세요", OTHER),
        ("مرحبا", OTHER),
    ],
)
def test_the_script_distinguishes_chinese_and_leaves_latin_letters_open(text: str, code: int) -> None:
    assert by_script(text) == code


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", EN),
        ("EN-us", EN),
        ("zh_Hant_TW", ZH),
        ("de", OTHER),
        ("tlh", OTHER),
        ("und", UNDECLARED),
        ("UND", UNDECLARED),
        ("", UNDECLARED),
        (None, UNDECLARED),
    ],
)
def test_a_declared_language_is_that_of_the_first_part_of_its_tag(tag: str | None, code: int) -> None:
    tags = Tags()
    assert [tags[tag], tags[tag]] == [code, code]


def test_invented_tags_are_answered_and_not_all_remembered() -> None:
    tags = Tags()
    assert {tags[f"x-{number}"] for number in range(10_000)} == {OTHER}
    assert len(tags) <= 1_000


def test_small_words_speak_for_english_for_others_or_for_neither() -> None:
    assert [foreign(word) for word in ("the", "nicht", "les", "parcel", "in", "me")] == [-1, 1, 1, 0, 0, 0]
    assert LANGUAGES == ("en", "zh", "other")
