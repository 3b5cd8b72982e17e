"""Closings: what needs no answer, in the languages of the lists, and everything that does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.conversations.closings import closing_of, only_asks

THANKS = [
    "Thanks", "thank you so much!", "Thanks, bye!", "THX", "Perfect, thank you 🙏", "ok thanks 👍", "No, thanks.", "Thank you, have a nice day",
    "Danke", "Vielen Dank!!", "Super, danke schön", "Herzlichen Dank und einen schönen Abend noch", "Tschüss",
    "Gracias", "Muchas gracias por su ayuda", "Vale, gracias", "Merci beaucoup", "Merci et bonne journée", "Au revoir",
    "Grazie mille", "Ok grazie", "Obrigada!", "Muito obrigado pela ajuda", "Bedankt", "Dank je wel", "Dziękuję bardzo",
    "Tack så mycket", "Tusen takk", "Mange tak", "Kiitos paljon", "Děkuji moc", "Teşekkürler", "Спасибо большое", "До свидания",
    "谢谢", "好的,谢谢亲", "谢谢你", "非常感谢!", "再见", "好的 谢谢🙏", "🙏", "<p>Thanks</p>", "<div>Danke&nbsp;sehr</div>",
]  # fmt: skip
AGREEMENTS = [
    "yes",
    "Yes!",
    "ok",
    "OK 👍",
    "👍",
    "perfect",
    "Ja",
    "ja genau",
    "ja",
    "sí",
    "Oui d'accord",
    "sì",
    "sim",
    "tak",
    "да",
    "好的",
    "嗯嗯",
    "No",
]
NEEDS_AN_ANSWER = [
    "Thanks?", "Thanks for nothing", "thanks, but where is it", "Danke, aber wann", "谢谢, 我的快递呢", "谢谢? 我没收到", "ok 12345", "yes please cancel it",
    "Hi", "hello", "Ciao", "Servus", "Hei", "Salut", "...", "!!!", "a", "i", "you", "merci tack", "x" * 200, "thanks " * 40,
    "Xin cảm ơn", "ありがとう", "धन्यवाद", "7", "👎", "😡", "thanks 😡", "<p>thanks</p><p>where is it</p>", "", " ", "谢谢 <img> 图", "danke123",
]  # fmt: skip


@pytest.mark.parametrize("text", THANKS)
def test_a_thank_or_a_goodbye_needs_no_answer(text: str) -> None:
    assert closing_of(text) == "thanks"


@pytest.mark.parametrize("text", AGREEMENTS)
def test_an_agreement_is_told_apart(text: str) -> None:
    assert closing_of(text) == "agreement"


@pytest.mark.parametrize("text", NEEDS_AN_ANSWER)
def test_everything_else_needs_an_answer(text: str) -> None:
    assert closing_of(text) == ""


def test_a_message_without_text_is_none() -> None:
    assert closing_of(None) == ""


@given(st.text(max_size=300))
def test_any_text_is_read_and_one_with_a_question_mark_or_a_digit_is_none(text: str) -> None:
    assert closing_of(text) in {"", "thanks", "agreement"}
    assert closing_of(text + "?") == closing_of(text + "7") == closing_of("\uff1f" + text) == ""


@given(st.sampled_from(THANKS + AGREEMENTS), st.text(st.characters(categories=["L"]), min_size=9, max_size=12))
def test_a_word_that_is_not_listed_makes_a_message_of_it(text: str, word: str) -> None:
    assert closing_of(f"{text} {word}") in {"", closing_of(text)}  # the latter only if it is listed, by chance
    assert closing_of(f"{text} qwxzvk") == ""


@pytest.mark.parametrize(
    "text",
    [
        "Did that help?",
        "Is it solved?",
        "Hat das geholfen?",
        "Ça marche ?",
        "¿Está resuelto?",
        "解决了吗?",
        "Alles klar?",
    ],
)
def test_what_a_yes_answers_is_a_question_without_an_offer(text: str) -> None:
    assert only_asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "Shall I cancel it?", "Would you like a refund?", "Do you want me to send it again?", "Soll ich stornieren?", "Möchten Sie eine Gutschrift?",
        "Puis-je annuler ?", "¿Quiere que lo cancele?", "Vuole un rimborso?", "Wilt u het annuleren?", "需要我帮您取消吗?", "要取消吗?",
        "Which one?", "It is on its way.", "", None, "Is there anything else I can do for you?",
    ],
)  # fmt: skip
def test_an_offer_or_an_open_question_waits_for_more_than_a_yes(text: str | None) -> None:
    assert not only_asks(text)
