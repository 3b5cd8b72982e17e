"""Hashing into the space of features: the same in every process, release and batch (unlike Python's own `hash`)."""

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
