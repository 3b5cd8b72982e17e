"""Features of Chinese: single characters, pairs of neighbours, and what the lexicon says. No word segmentation.

Everything is numpy over the code points of the whole batch. The lexicon is found by hashing the windows of two to five
characters that begin like one of its words, longest first: a character belongs to one word only.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.domain.text import lexicon, lexicon_zh
from operators.domain.text.hashing import SHIFT, fold, mix
from operators.domain.text.sums import form, per_message, sums_before
from operators.domain.text.words import UNIT

_TURNED = round(lexicon.NEGATED * UNIT)
_TABLE = 0x20000  # code points looked up; those above are rare Han characters
_SALT = np.array([0x5A485A48], np.uint32)  # keeps single characters apart from other hashes
_QUESTION, _EXCLAIM = ord("?"), ord("!")
_ENDS = ("吗", "呢", "么")


class Part(NamedTuple):
    """What some Chinese messages come to. `keys` are message << 18 | feature, in any order, with repeats."""

    keys: list[NDArray[np.uint32]]
    totals: NDArray[np.int64]
    questions: NDArray[np.bool_]


class _Words(NamedTuple):
    """Lexicon words of one length, by hash, sorted."""

    hashes: NDArray[np.uint32]
    valences: NDArray[np.int32]
    turns: NDArray[np.bool_]
    boosts: NDArray[np.int32]


@cache
def _speaks() -> NDArray[np.bool_]:
    """Per code point whether it counts: letters, digits and signs of feeling."""
    table = np.array([chr(code).isalnum() for code in range(_TABLE)])
    table[0x203C:0x2C00] = table[0x1F000:0x1FB00] = True
    table[[_QUESTION, _EXCLAIM]] = True
    return table


def _window(codes: NDArray[np.uint32], at: NDArray[np.int64], size: int) -> NDArray[np.uint32]:
    """The hash of the `size` characters from each of these places on."""
    hashes = mix(codes[at], _SALT)
    for step in range(1, size):
        hashes = mix(hashes, codes[at + step])
    return hashes


@cache
def _lexicon() -> tuple[dict[int, _Words], NDArray[np.bool_]]:
    """The words by length, and whether a character begins one."""
    valences = lexicon_zh.words() | lexicon.emoji()
    every = {*valences, *lexicon_zh.NEGATORS, *lexicon_zh.BOOSTERS}
    begins = np.zeros(_TABLE, np.bool_)
    begins[[ord(word[0]) for word in every]] = True
    by_length = {}
    for length in range(max(map(len, every)), 0, -1):
        words = [word for word in every if len(word) == length]
        if not words:
            continue
        hashed = [int(_window(_codes(word), np.zeros(1, np.int64), length)[0]) for word in words]
        order = np.argsort(hashed)
        by_length[length] = _Words(
            np.array(hashed, np.uint32)[order],
            np.array([round(valences.get(word, 0.0) * UNIT) for word in words], np.int32)[order],
            np.array([word in lexicon_zh.NEGATORS for word in words])[order],
            np.array(
                [round(lexicon_zh.BOOSTERS.get(word, 0.0) * UNIT) for word in words],
                np.int32,
            )[order],
        )
    return by_length, begins


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def extract(texts: Sequence[str]) -> Part:
    """The features of cleaned Chinese texts."""
    count = len(texts)
    codes = _codes("".join(texts))
    bounds = sums_before(np.fromiter(map(len, texts), np.int64, count))
    message = np.repeat(np.arange(count, dtype=np.uint32), np.diff(bounds))
    plain = _simplified(codes)
    speaks = (codes >= _TABLE) | _speaks()[np.minimum(codes, _TABLE - 1)]
    tops = message << SHIFT
    near = speaks[1:] & speaks[:-1] & (message[1:] == message[:-1])
    single = mix(plain, _SALT)
    keys = [(tops | fold(single))[speaks], (tops[1:] | fold(mix(single[:-1], plain[1:])))[near]]
    valence = _valences(codes, message)
    form_keys, asked = form(valence, codes == _QUESTION, codes == _EXCLAIM, bounds)
    ends = np.array([text.endswith(_ENDS) for text in texts], np.bool_)
    return Part([*keys, *form_keys], per_message(valence, bounds), asked | ends)


def _simplified(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Latin letters in lower case, every digit as 0."""
    upper = (codes >= ord("A")) & (codes <= ord("Z"))
    plain = codes + upper * np.uint32(32)
    plain[(codes >= ord("0")) & (codes <= ord("9"))] = ord("0")
    return plain


def _valences(codes: NDArray[np.uint32], message: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The valence of the lexicon word that begins at each place, else 0."""
    size = len(codes)
    valence = np.zeros(size, np.int64)
    boost = np.zeros(size + 1, np.int64)  # at the place behind a booster
    negator = np.full(size, -1)  # at its first character the place of its last one
    for length, words, at, found in _matches(codes, message):
        valence[at] = words.valences[found]
        boost[at + length] += words.boosts[found]
        turns = at[words.turns[found]]
        negator[turns] = turns + length - 1
    if not valence.any():
        return valence
    boosted = np.where(message[1:] == message[:-1], boost[1:-1], 0)
    valence[1:] += np.sign(valence[1:]) * boosted
    last = np.maximum.accumulate(negator)
    last[1:] = last[:-1]  # of the characters before
    last[0] = -1
    scope = (last >= 0) & (np.arange(size) - last <= lexicon_zh.REACH) & (message[last] == message)
    return np.where(scope, valence * _TURNED // UNIT, valence)


def _matches(
    codes: NDArray[np.uint32], message: NDArray[np.uint32]
) -> Iterator[tuple[int, _Words, NDArray[np.int64], NDArray[np.int64]]]:
    """Words of the lexicon, longest first: length, words of that length, where they begin, which ones they are."""
    by_length, begins = _lexicon()
    taken = np.zeros(len(codes), np.bool_)
    start = np.flatnonzero(begins[np.minimum(codes, _TABLE - 1)])
    for length, words in by_length.items():
        at = start[start <= len(codes) - length]
        hashes = _window(codes, at, length)
        found = np.minimum(np.searchsorted(words.hashes, hashes), len(words.hashes) - 1)
        hit = (words.hashes[found] == hashes) & (message[at] == message[at + length - 1])
        at, found = at[hit], found[hit]
        if not len(at):
            continue
        free = _free(at, length, taken)
        at, found = at[free], found[free]
        for step in range(length):
            taken[at + step] = True
        yield length, words, at, found


def _free(at: NDArray[np.int64], length: int, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the words at these places touch no longer word, and no earlier one of the same length."""
    free: NDArray[np.bool_] = ~taken[at[:, None] + np.arange(length)].any(axis=1)
    if (np.diff(at) < length).any():  # rare: words of one length overlap, the first that stands wins
        end = -1
        for number, place in enumerate(at.tolist()):
            if free[number]:
                free[number] = place >= end
                end = max(end, place + length) if free[number] else end
    return free
