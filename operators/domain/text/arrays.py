"""Arrays of a batch: hashes into the space of features, and sums over messages.

Hashes are the same in every process, release and batch, unlike Python's own `hash`. The words or characters of all
messages of a batch lie in one array, one message after the other.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.domain.models.vectors import RESERVED, SPACE

SHIFT = np.uint32(SPACE.bit_length() - 1)
"""A key is message << `SHIFT` | feature."""
_GOLDEN = np.uint32(0x9E3779B1)  # Knuth's multiplicative hashing, 2**32 / golden ratio
_LEFT = np.uint32(0x85EBCA6B)  # constants of MurmurHash3's finaliser
_RIGHT = np.uint32(0xC2B2AE35)
_DOWN = np.uint32(32) - SHIFT
_HALF = np.uint32(15)


def mix(left: NDArray[np.uint32], right: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """One hash of two in their order."""
    mixed: NDArray[np.uint32] = left * _LEFT ^ right * _RIGHT
    mixed ^= mixed >> _HALF
    return mixed


def fold(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """32-bit hashes to features `RESERVED`..`SPACE` - 1.

    >>> fold(np.array([0, 1, 2, 3], np.uint32)).tolist()
    [64, 162013, 61883, 223897]
    """
    features: NDArray[np.uint32] = hashes * _GOLDEN >> _DOWN
    return features | (features < RESERVED) * np.uint32(RESERVED)


GOOD, BAD, EXCLAIM = 24, 28, 32
"""Reserved features, four each: no, one, two, three or more good words, bad words, exclamation marks."""

_COUNT = 16  # bits of a count when several are summed at once; a message has at most 4,000 words
_MASK = (1 << _COUNT) - 1
_MOST = 3


def sums_before(values: NDArray[Any]) -> NDArray[np.int64]:
    """The sum of all values before each place, and at the end of all.

    >>> sums_before(np.array([3, 1, 2])).tolist()
    [0, 3, 4, 6]
    """
    sums = np.zeros(len(values) + 1, np.int64)
    values.cumsum(out=sums[1:])
    return sums


def per_message(values: NDArray[Any], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of the integers of each message; message i has `values[bounds[i]:bounds[i + 1]]`.

    >>> per_message(np.array([3, 1, 2]), np.array([0, 2, 2, 3])).tolist()
    [4, 0, 2]
    """
    sums = sums_before(values)[bounds]
    return sums[1:] - sums[:-1]


def form(
    valence: NDArray[Any], asks: NDArray[np.bool_], exclaims: NDArray[np.bool_], bounds: NDArray[np.int64]
) -> tuple[list[NDArray[np.uint32]], NDArray[np.bool_]]:
    """Keys for the numbers of good words, bad words and exclamation marks of a message, and for a question."""
    each = (valence > 0) + ((valence < 0).astype(np.int64) << _COUNT)
    each += (asks.astype(np.int64) << 2 * _COUNT) + (exclaims.astype(np.int64) << 3 * _COUNT)
    sums = per_message(each, bounds)  # one sum for all four
    counts = (sums & _MASK, sums >> _COUNT & _MASK, sums >> 3 * _COUNT)
    tops = np.arange(len(sums), dtype=np.uint32) << SHIFT
    keys = [
        tops + (np.minimum(count, _MOST) + feature).astype(np.uint32)
        for count, feature in zip(counts, (GOOD, BAD, EXCLAIM), strict=True)
    ]
    return keys, sums >> 2 * _COUNT & _MASK != 0
