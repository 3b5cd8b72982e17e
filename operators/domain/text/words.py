"""Words: takes text apart at white space, each piece once, and remembers what it found as rows of numbers.

A new piece is matched against the regular expressions and the lexicon; later it costs one dictionary look-up. The memo
only saves time: the result depends on the piece alone.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from operators.domain.text import lexicon
from operators.domain.text.arrays import sums_before
from operators.domain.text.language import foreign

PLAIN, NEGATED, VALENCE, ELSEWHERE, BOOST, FLAGS, FOREIGN = range(7)
"""Columns of a word: its hash; its hash when negated; valence in English and elsewhere, and what it adds to the next
word's, all in thousandths; flags; `language.foreign`."""
NEGATOR, CLAUSE_END, WORD, QUESTION, EXCLAIM, MATTER = 1, 2, 4, 8, 16, 32
"""Flags: turns what follows; ends the scope of a negator; is a word (and not a sign, number, name); has ?; has !; names
what is talked about and not how."""
UNIT = 1_000
"""Valences are kept as thousandths: sums of integers are the same in every order and batch."""

Word = tuple[int, int, int, int, int, int, int]

_COLUMNS = 7
_UNSIGNED = 0xFFFFFFFF
_FEW_DIGITS = 2  # of a word or number that keeps its identity: "5 stars", "2nd", "iPhone 15", "4.5"; more name an order
_ORDINALS = frozenset(("st", "nd", "rd", "th"))
_PRODUCT = 2  # letters before the digits of a product, as in "iPhone15", "PS5"; a seat or a gate has one
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_BYTES = 16  # per entry, on average, before the memory is taken for full
_PIECE = re.compile(
    r"(?P<url>(?:https?://|www\.)\S+)"
    r"|(?P<mask><(?:email|phone|card|iban)>)"
    r"|(?P<user>@\w+)"
    r"|(?P<rating>\d{1,2}[.,]\d(?![\w.,:]))"
    r"|(?P<number>\d{1,4}(?P<part>[-/.])\d{1,2}(?P=part)\d{1,4}(?!\w)|[#$£€]\d[\d.,:]*|\d{3,}[\d.,:]*|\d+[.,:]\d[\d.,:]*)"
    rf"|(?P<unspaced>[{_UNSPACED}]+)"
    r"|(?P<word>#?[^\W\d_]++(?:['\u2019-][^\W\d_]++)*+(?!\d))"
    rf"|(?P<mixed>#?[^\W_{_UNSPACED}]+)"
    r"|(?P<sign>[!?]+|\.{2,}|[.,;:])"
    r"|(?P<emoji>[\u203c-\u2bff\U0001f000-\U0001faff])"
)
_LETTERS = re.compile(r"\d+|\D+")
_LONG_DRAWN = re.compile(r"(.)\1{2,}")
_ENDS = frozenset(".,!?;:")
_VALENCES = {word: round(valence * UNIT) for word, valence in lexicon.words().items()}
_EMOJI = {sign: round(valence * UNIT) for sign, valence in lexicon.emoji().items()}
_BOOSTS = {word: round(boost * UNIT) for word, boost in lexicon.BOOSTERS.items()}
_FLAGS = {
    word: WORD | NEGATOR * (word in lexicon.NEGATORS) | MATTER * (word in lexicon.MATTERS)
    for word in lexicon.NEGATORS | lexicon.MATTERS
}
_NOT = crc32(b"not ")
_LOUDER = round(lexicon.CAPITALS * UNIT)


def take_apart(piece: str) -> list[Word]:
    """The words of a piece of text without white space.

    >>> [len(take_apart(piece)) for piece in ("don't", "good,fast", "http://t.co/x", "great!!", ":-)", "とても")]
    [1, 3, 1, 2, 1, 5]
    >>> [take_apart(one) == take_apart(other) for one, other in (("1", "5"), ("2nd", "3rd"), ("4.5", "3.5"))]
    [False, False, False]
    >>> take_apart("12345") == take_apart("98765"), take_apart("AB1234") == take_apart("AB9876")
    (True, True)
    """
    if piece.isalpha() and piece.isascii():
        return [_parse_word(piece)]
    if piece[-1] in _ENDS and piece[:-1].isalpha() and piece.isascii():
        return [_parse_word(piece[:-1]), _sign(piece[-1])]
    smile = _emoticon(piece)
    return [smile] if smile else list(_parts(piece))


def _parts(piece: str) -> Iterator[Word]:
    for match in _PIECE.finditer(piece):
        kind, text = match.lastgroup, match[0]
        if kind == "word":
            yield _parse_word(text)
        elif kind == "sign":
            yield _sign(text)
        elif kind == "rating":
            yield from (_word("<number>"), _word(text.replace(",", ".")))
        elif kind == "mixed":
            yield from _mixed(text)
        elif kind == "emoji":
            yield _word(text, _EMOJI.get(text, 0), _EMOJI.get(text, 0))
        elif kind == "unspaced":  # Thai, Khmer, Japanese: characters and pairs of neighbours
            for gram in (*text, *map("".join, pairwise(text))):
                yield _word(gram, flags=WORD)
        else:
            yield _word(text if kind == "mask" else f"<{kind}>")


def _mixed(text: str) -> Iterator[Word]:
    """Letters and digits as words of their own; a number of one or two digits, an ordinal and a product also as it is.

    That there is a number says the same beside every unit, so `<number>` stays: without it the models learn slower.
    """
    parts = _LETTERS.findall(text)
    few = sum(map(str.isdigit, text)) <= _FEW_DIGITS
    ordinal = len(parts) > 1 and parts[1].lower() in _ORDINALS
    for part in parts:
        if not part.isdigit():
            yield _parse_word(part)
        else:
            yield _word("<number>")
            if few and part is parts[0] and not ordinal:
                yield _word(part)
    if few and len(parts) == len(("iPhone", "15")) and (ordinal or len(parts[0]) >= _PRODUCT):
        yield _parse_word(text)


def _word(text: str, valence: int = 0, elsewhere: int = 0, boost: int = 0, flags: int = 0) -> Word:
    raw = text.encode("utf-8", "replace")
    return (
        crc32(raw),
        crc32(raw, _NOT),
        valence & _UNSIGNED,
        elsewhere & _UNSIGNED,
        boost & _UNSIGNED,
        flags,
        foreign(text) & _UNSIGNED,
    )


def _emoticon(piece: str) -> Word | None:
    """Also with a sign before or behind it."""
    return _EMOTICONS.get(piece) or _EMOTICONS.get(piece.rstrip(".,!?")) or _EMOTICONS.get(piece.lstrip(".,!?"))


def _parse_word(text: str) -> Word:
    """A word in lower case, with soooo as soo and don't with its apostrophe, and the valence of any of its forms."""
    low = short = text.lower().replace("\u2019", "'")
    drawn = _LONG_DRAWN.search(low)
    if drawn:
        short = _LONG_DRAWN.sub(r"\1\1", low)
    bare = short if short.isalpha() else short.replace("'", "").lstrip("#")
    valence = _VALENCES.get(low) or _VALENCES.get(bare) or _VALENCES.get(short) or 0
    if drawn and not valence:
        valence = _VALENCES.get(_LONG_DRAWN.sub(r"\1", low), 0)
    if valence and len(text) > 1 and text.isupper():
        valence += _LOUDER if valence > 0 else -_LOUDER
    return _word(short, valence, 0, _BOOSTS.get(bare, 0), _FLAGS.get(bare, WORD))


def _sign(text: str) -> Word:
    return _word(text[:2], flags=CLAUSE_END | QUESTION * ("?" in text) | EXCLAIM * ("!" in text))


_EMOTICONS = {
    smile: _word(smile, valence, valence)
    for smile, valence in _VALENCES.items()
    if not any(map(str.isalpha, smile[:-1]))
}


class Memo(dict[bytes, int]):
    """Piece of text in UTF-8 -> row, the place of its words among all words.

    >>> memo = Memo(1_000)
    >>> memo[b"good"], memo[b"very"], memo[b"good"]
    (2, 3, 2)
    """

    def __init__(self, entries: int) -> None:
        super().__init__()
        self.entries = entries
        self._begin()

    def _begin(self) -> None:
        self.clear()
        self._bytes = 0
        self._ends = array("i", [0])  # per row the place behind its last word, where the next row begins
        self._words = array("I")
        self._user, self._url = self._add([_word("<user>")]), self._add([_word("<url>")])

    def __missing__(self, piece: bytes) -> int:
        if piece.startswith((b"http://", b"https://")):
            return self._url  # hardly one occurs twice: not worth its place
        self._bytes += len(piece)
        text = piece.decode("utf-8", "surrogatepass")
        row = self._user if text[0] == "@" and text[1:].isalnum() else self._add(take_apart(text))
        self[piece] = row
        return row

    def _add(self, words: list[Word]) -> int:
        row = len(self._ends) - 1
        for word in words:
            self._words.extend(word)
        self._ends.append(len(self._words) // _COLUMNS)
        return row

    def make_room(self) -> bool:
        """Clear the memo if it is full; return whether it was. Only between batches, because rows are lost."""
        full = len(self) >= self.entries or self._bytes >= _BYTES * self.entries
        if full:
            self._begin()
        return full

    def bounds(self) -> NDArray[np.int32]:
        """Row i has the words `bounds[i]` up to `bounds[i + 1]`. Valid until the next piece is looked up."""
        return np.frombuffer(self._ends, np.int32)

    def words(self) -> NDArray[np.uint32]:
        """[words, columns]; as short-lived as `bounds`."""
        return np.frombuffer(self._words, np.uint32).reshape(-1, _COLUMNS)


_HALF = 8  # bytes of a number
_WHOLE = 2 * _HALF
_AWAY = np.arange(
    8 * _HALF, -1, -8, dtype=np.uint64
)  # bits by which what follows a piece of so many bytes is shifted out
_BREAK, _SPACE = b"\n", 32  # cleaned text has no white space but the space, and nothing else below it
_SPACED = bytes(max(code, _SPACE) for code in range(256))
_FEW = 16  # texts: where both ways cost the same
_LEFT = np.uint64(0x9E3779B97F4A7C15)  # odd numbers without pattern; which ones makes no difference to any result
_RIGHT = np.uint64(0xC2B2AE3D27D4EB4F)
_FOLD = np.uint64(32)


class Pieces:
    """Finds the pieces of texts in a `memo` of so many entries.

    >>> rows, bounds = Pieces(1_000).rows(["very good", "", "very"])
    >>> rows.tolist(), bounds.tolist()
    ([2, 3, 2], [0, 2, 2, 3])
    """

    def __init__(self, entries: int) -> None:
        self.memo = Memo(entries)
        bits = entries.bit_length()  # places: more than entries
        self._shift = np.uint64(64 - bits)
        self._left = np.zeros(1 << bits, np.uint64)
        self._right = np.zeros(1 << bits, np.uint64)
        self._row = np.zeros(1 << bits, np.int32)

    def rows(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The row of each piece; text i has `rows[bounds[i]:bounds[i + 1]]`. They are valid until the next call."""
        if self.memo.make_room():
            self._left.fill(0)  # no piece is 0
        if len(texts) < _FEW:
            return self._one_by_one(texts)
        raw, breaks = _joined(texts)
        edges = _edges(np.frombuffer(raw, np.uint8))
        begins, ends = edges[::2], edges[1::2]
        sizes = ends - begins
        left, right, place = self._keys(raw, begins, sizes)
        rows = self._row.take(place)
        known = (self._left.take(place) == left) & (self._right.take(place) == right) & (sizes <= _WHOLE)
        missed = np.flatnonzero(~known)
        if len(missed):
            cut = zip(begins[missed].tolist(), ends[missed].tolist(), strict=True)
            rows[missed] = [self.memo[raw[begin:end]] for begin, end in cut]
            missed = missed[sizes[missed] <= _WHOLE]
            at = place[missed]
            self._left[at], self._right[at], self._row[at] = left[missed], right[missed], rows[missed]
        return rows, np.searchsorted(begins, breaks)

    def _one_by_one(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The same for so few texts that numpy's calls would cost more than the look-ups."""
        pieces = [text.encode("utf-8", "surrogatepass").translate(_SPACED).split() for text in texts]
        sizes = np.fromiter(map(len, pieces), np.int64, len(texts))
        rows = np.fromiter(map(self.memo.__getitem__, chain.from_iterable(pieces)), np.int32, int(sizes.sum()))
        return rows, sums_before(sizes)

    def _keys(
        self, raw: bytes, begins: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
        """The first and the second eight bytes of each piece, and its place in the table."""
        window = np.ndarray(len(raw) - _HALF + 1, "<u8", raw, strides=(1,))  # at each byte the eight from there on
        left: NDArray[np.uint64] = window[begins] << _AWAY[np.minimum(sizes, _HALF)]
        right = np.zeros(len(begins), np.uint64)
        longer = np.flatnonzero(sizes > _HALF)
        rest = np.minimum(sizes[longer], _WHOLE) - _HALF
        right[longer] = window[begins[longer] + _HALF] << _AWAY[rest]
        mixed: NDArray[np.uint64] = left * _LEFT ^ right * _RIGHT
        mixed ^= mixed >> _FOLD
        return left, right, mixed * _LEFT >> self._shift


def _joined(texts: Sequence[str]) -> tuple[bytes, NDArray[np.int64]]:
    """All texts as UTF-8 between white space, and the places of the breaks before, between and after them."""
    breaks = len(texts) + 1
    raw = "\n".join(("", *texts, " " * _WHOLE)).encode("utf-8", "surrogatepass")
    if raw.count(_BREAK) != breaks:
        return _joined([text.replace("\n", " ") for text in texts])
    return raw, np.flatnonzero(np.frombuffer(raw, np.uint8) == _BREAK[0])


def _edges(raw: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where pieces begin and end, in turn."""
    space = raw <= _SPACE
    return np.flatnonzero(space[1:] != space[:-1]) + 1
