"""Numbers on a command line, for argparse: an invalid one is refused before anything runs."""

import math
from argparse import ArgumentTypeError
from collections.abc import Callable


def whole(least: int = 1) -> Callable[[str], int]:
    """Reads a whole number from `least` up.

    >>> whole()("20000"), whole(0)("0")
    (20000, 0)
    >>> whole()("-3")
    Traceback (most recent call last):
    argparse.ArgumentTypeError: got '-3', expected a whole number from 1 up
    """

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise ArgumentTypeError(f"got {text!r}, expected a whole number from {least} up")
        return number

    return read


def above_zero(text: str) -> float:
    """Reads a finite number above 0.

    >>> above_zero("0.5")
    0.5
    >>> above_zero("nan")
    Traceback (most recent call last):
    argparse.ArgumentTypeError: got 'nan', expected a number above 0
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return number
