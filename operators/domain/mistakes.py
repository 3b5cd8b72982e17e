"""Mistakes of a struct of settings that its types do not find: a key that is refused, keys that do not go together."""

from typing import NamedTuple


class Mistake(NamedTuple):
    """One mistake."""

    place: tuple[str | int, ...]
    """Keys and list positions from the struct to the value; the line of a file that is named is that of this value."""
    text: str


class MistakesError(ValueError):
    r"""What the ``__post_init__`` of a struct raises, so that `operators.documents` names the line of each mistake.

    A mistake of the struct as a whole, such as a key too many, may be a plain `ValueError`: its line is the struct's.

    >>> str(MistakesError(Mistake(("channels", "other"), "`other` is no channel"), Mistake((), "a key is missing")))
    '`other` is no channel\na key is missing'
    """

    def __init__(self, *found: Mistake) -> None:
        super().__init__("\n".join(mistake.text for mistake in found))
        self.found = found
