"""The features of a text are those of the previous release: learned weights belong to features by number.

The texts and what is expected of them are in ``tests/fixtures/features.json``. When features change on purpose, stored
models cannot be used (see the state version of the learners). Write the file again then, and read the difference::

    .venv/bin/python -m tests.domain.text.test_features --write
"""

import argparse
import json
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from operators.domain.text.clean import clean
from operators.domain.text.vectorize import VectorizeParams, Vectorizer

EXPECTED = Path(__file__).parents[2] / "fixtures" / "features.json"
TEXTS: tuple[tuple[str, str | None], ...] = (
    *(
        (text, None)
        for text in (
            "", " ", "?", "!", "...", "good", "Good", "GOOD", "A", "bad!", "good?!", "not good", "not very good", "never a problem",
            "not. good", "not, good", "no. It is good", "it isn't good", "it isn\u2019t good", "I don't like it, but it is great",
            "good not", "not not good", "very good", "VERY good", "extremely bad", "slightly bad", "hardly good", "so so good", "very. good",
            "very not good", "not very. good", "sooooo goooood", "gooood", "sloooow", "WORST service EVER!!!", "worst Service ever!!",
            "great great great great great great great great great great", "terrible awful horrible hate worst bad sad angry",
            "@shop thanks for nothing", "#fail", "#great service", "see http://t.co/x or www.example.com", "order 12 and 3,50 and $5",
            "I paid 4111 1111 1111 1111 to ann@example.com", "half-price", "half\u2019s", "state-of-the-art's", ":)", "fine :)", ":)!", "!:(",
            ":-( bad", "\U0001f621", "great \U0001f44d\U0001f44d", "\u2764", "where is my order?", "Where. Is. It?", "is it? yes", "why?!",
            "hello!hello", "ok..", "ok.....", "a.b", "good,bad;ugly:fine", "Where is my parcel? It is late, and I am very angry!",
            "Thank you so much, the problem is solved", "sorry about the problem", "Wo ist mein Paket?", "Das ist nicht gut, sehr schlecht!",
            "Ich bin very happy", "tr\u00e8s bien, merci", "no es bueno", "muy malo :(", "\u00a1Gracias!", "\u043f\u0440\u0438\u0432\u0435\u0442 \u043f\u043b\u043e\u0445\u043e",
            "\u3068\u3066\u3082\u826f\u3044", "\u3053\u306e\u8377\u7269\u306f\u9045\u3044", "\ube60\ub978 \ubc30\uc1a1", "\u0e14\u0e35\u0e21\u0e32\u0e01", "\u0645\u0631\u062d\u0628\u0627 good", "good \u597d", "x" * 5_000, "good " * 2_000,
            "\u4e0d\u597d\u5403", "\u5f88\u597d\u5403", "\u5feb\u9012\u5230\u4e86", "\u597d\u50cf", "\u6ca1\u5173\u7cfb", "\u4e0d\u9519", "\u592a\u5dee\u4e86\uff01", "\u5473\u9053\u600e\u4e48\u6837\u5417", "\u4e3a\u4ec0\u4e48\uff1f", "iPhone 12 \u5f88\u597d",
            "\u670d\u52a1\u6001\u5ea6\u975e\u5e38\u597d\uff0c\u4f46\u662f\u9001\u5f97\u592a\u6162", "\u4e0d\u662f\u5f88\u597d", "\u4e0d\u597d\u4e0d\u597d", "\u5f88\u5f88\u5f88\u597d", "\u5dee\u8bc4", "\u5dee\u5dee\u5dee\u8bc4", "\U0001f621\u592a\u5dee", "\u5982\u6b64\u5982\u6b64\u3002\u4e0d\u3002\u597d",
            "\u6ca1\u6709\u4e00\u70b9\u95ee\u9898\u90fd\u6ca1\u6709", "ABC123\u597d", "\u597d\U00020000", "\u5462",
        )
    ),
    *(
        (text, tag)
        for text in ("good", "no", "sehr gut, not bad", "\u5f88\u597d", "\u597d good not bad", "<email> <phone> <card>", "die is bad")
        for tag in ("en", "en-GB", "EN_us", "zh", "zh-CN", "de", "ja", "", "x")
    ),
)  # fmt: skip


def read(text: str, tag: str | None) -> dict[str, Any]:
    """What is read in one text: as a customer's, and the tone as an agent's."""
    vectorizer, cleaned = Vectorizer(VectorizeParams()), clean(text)
    vector = vectorizer.vectorize_many([cleaned], [tag])[0]
    _, (tone,) = vectorizer.read_many([cleaned], [tag], 0)
    return {
        "text": text if len(text) < 100 else f"{text[:10]} ({len(text)})",
        "tag": tag,
        "language": vector.language,
        "question": vector.is_question,
        "tone": round(vector.tone, 6),
        "agent_tone": round(tone, 6),
        "features": [len(vector.features) // 4, crc32(vector.features)],
    }


def expectations() -> list[Any]:
    found: list[Any] = json.loads(EXPECTED.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("place", range(len(TEXTS)))
def test_a_text_is_read_as_before(place: int) -> None:
    assert read(*TEXTS[place]) == expectations()[place]


def test_a_batch_is_read_as_its_texts_are() -> None:
    vectorizer, expected = Vectorizer(VectorizeParams()), expectations()
    texts, tags = [clean(text) for text, _ in TEXTS], [tag for _, tag in TEXTS]
    vectors = vectorizer.vectorize_many(texts, tags)
    _, tones = vectorizer.read_many(texts, tags, 0)
    assert list(vectors.languages) == [each["language"] for each in expected]
    assert list(vectors.questions) == [each["question"] for each in expected]
    assert [round(tone, 6) for tone in vectors.tones] == [each["tone"] for each in expected]
    assert [round(tone, 6) for tone in tones] == [each["agent_tone"] for each in expected]
    assert [[len(vector.features) // 4, crc32(vector.features)] for vector in vectors] == [
        each["features"] for each in expected
    ]


def main() -> None:
    """Write the fixture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", required=True, help="write the fixture anew")
    parser.parse_args()
    rows = ",\n".join(json.dumps(read(*each), ensure_ascii=False) for each in TEXTS)
    EXPECTED.write_text(f"[\n{rows}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
