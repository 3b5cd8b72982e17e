"""Pieces: cuts the texts of a whole batch at white space and finds the row of each piece in the memory of words.

All in numpy, over bytes: no string is made of a piece that is known. A piece of up to sixteen bytes is two numbers,
compared whole, so nothing rests on a hash being the only one of its kind. A table gives its row; what the table does
not have (new, longer, or its place was taken) the memory is asked for, piece by piece.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from operators.domain.text.sums import sums_before
from operators.domain.text.words import Memo

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
        """The row of each piece; text i has `rows[bounds[i]:bounds[i + 1]]`. They hold until the next call."""
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
    """All texts as UTF-8 between white space, and where the breaks before, between and behind them stand."""
    breaks = len(texts) + 1
    raw = "\n".join(("", *texts, " " * _WHOLE)).encode("utf-8", "surrogatepass")
    if raw.count(_BREAK) != breaks:
        return _joined([text.replace("\n", " ") for text in texts])
    return raw, np.flatnonzero(np.frombuffer(raw, np.uint8) == _BREAK[0])


def _edges(raw: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where pieces begin and end, in turn."""
    space = raw <= _SPACE
    return np.flatnonzero(space[1:] != space[:-1]) + 1
