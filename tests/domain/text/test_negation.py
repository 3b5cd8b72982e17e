"""Negation against the reference: NLTK's `mark_negation` (Pang, Lee and Vaithyanathan, 2002)."""

import re
from zlib import crc32

import numpy as np
import pytest
from nltk.sentiment.util import mark_negation

from operators.domain.text.arrays import fold
from operators.domain.text.vectorize import VectorizeParams, Vectorizer

SENTENCES = [
    "I do not like this service at all",
    "The parcel never arrived. It was a great pity",
    "nothing works here! please help me now",
    "they don't answer and they won't call",
    "everything is fine today",
    "no refund was given: what a surprise",
]


def negated(word: str) -> int:
    return int(fold(np.array([crc32(b"not " + word.encode())], np.uint32))[0])


def plain(word: str) -> int:
    return int(fold(np.array([crc32(word.encode())], np.uint32))[0])


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_same_words_stand_in_the_scope_of_a_negation(sentence: str):
    tokens = re.findall(r"[a-z']+|[.:;!?]", sentence.lower())
    expected = {token.removesuffix("_NEG") for token in mark_negation(tokens) if token.endswith("_NEG")}
    (vector,) = Vectorizer(VectorizeParams()).vectorize_many([sentence], ["en"]).tolist()
    features = set(vector.indices().tolist())

    words = {word for word in tokens if word.isalpha() and word not in {"not", "never", "nothing", "no"}}
    assert {word for word in words if negated(word) in features} == {word for word in expected if word in words}
    assert all(plain(word) in features for word in words - expected)
