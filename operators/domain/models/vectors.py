"""Vectors: messages as features of a fixed hashed space, without their text.

A `Vector` is one message, as small plain data that is stored until its label arrives. `Vectors` is a batch of messages
in the layout of the scorers: one array of features, and the place where each message begins.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, pairwise
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

SPACE = 1 << 18
"""Number of features: 262,144. Stored weights and vectors refer to this space, so it never changes."""
RESERVED = 64
"""Features 0..63 belong to the lexicons and to the form of a message; words are hashed into the rest."""
TONES = 21
"""Features 0..20 of these are the tone: -1 to 1 in steps of 0.1."""
LANGUAGES = ("en", "zh", "other")
"""Languages with a model of their own."""

_ITEM = np.dtype("<i4")


class Vector(NamedTuple):
    """One message.

    `features` are little-endian int32, sorted and unique; `tone` is that of the lexicon, -1 (negative) to 1 (positive).
    """

    language: str
    features: bytes
    tone: float
    is_question: bool

    def indices(self) -> NDArray[np.int32]:
        """Return the features as numbers 0..`SPACE` - 1."""
        return np.frombuffer(self.features, _ITEM)


class Vectors(Sequence[Vector]):
    """A batch of messages; `features[starts[i]:starts[i + 1]]` are those of message i."""

    __slots__ = ("features", "languages", "questions", "starts", "tones")

    def __init__(
        self,
        features: NDArray[np.int32],
        starts: NDArray[np.int64],
        languages: list[str],
        tones: list[float],
        questions: list[bool],
    ) -> None:
        self.features = features
        self.starts = starts
        self.languages = languages
        self.tones = tones
        self.questions = questions

    @classmethod
    def of(cls, vectors: Iterable[Vector]) -> "Vectors":
        """Return a batch of single vectors, such as those from state."""
        vectors = list(vectors)
        starts = np.zeros(len(vectors) + 1, np.int64)
        np.cumsum(
            [len(vector.features) // _ITEM.itemsize for vector in vectors],
            out=starts[1:],
        )
        return cls(
            np.frombuffer(b"".join(vector.features for vector in vectors), _ITEM).astype(np.int32, copy=False),
            starts,
            [vector.language for vector in vectors],
            [vector.tone for vector in vectors],
            [vector.is_question for vector in vectors],
        )

    @classmethod
    def joined(cls, parts: "Sequence[Vectors]") -> "Vectors":
        """Concatenate batches."""
        if len(parts) == 1:
            return parts[0]
        sizes = np.concatenate([np.diff(part.starts) for part in parts])
        starts = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum(sizes, out=starts[1:])
        return cls(
            np.concatenate([part.features for part in parts]),
            starts,
            [language for part in parts for language in part.languages],
            [tone for part in parts for tone in part.tones],
            [question for part in parts for question in part.questions],
        )

    def __len__(self) -> int:
        return len(self.languages)

    @overload
    def __getitem__(self, at: int) -> Vector: ...

    @overload
    def __getitem__(self, at: slice) -> list[Vector]: ...

    def __getitem__(self, at: int | slice) -> Vector | list[Vector]:
        return self.tolist()[at]

    def __iter__(self) -> Iterator[Vector]:
        return iter(self.tolist())

    def cut(self) -> list[bytes]:
        """Return the features of each message as little-endian int32."""
        raw = self.features.astype(_ITEM, copy=False).tobytes()
        bounds = (self.starts * _ITEM.itemsize).tolist()
        return [raw[begin:end] for begin, end in pairwise(bounds)]

    def tolist(self) -> list[Vector]:
        """Return all messages as single vectors."""
        return list(map(Vector, self.languages, self.cut(), self.tones, self.questions))

    def only(self, language: str) -> "tuple[NDArray[np.bool_], Vectors]":
        """Return a mask [messages] of one language, and the batch of those messages."""
        mask = [each == language for each in self.languages]
        chosen = np.array(mask, np.bool_)
        sizes = np.diff(self.starts)
        starts = np.zeros(sum(mask) + 1, np.int64)
        np.cumsum(sizes[chosen], out=starts[1:])
        return chosen, Vectors(
            self.features[np.repeat(chosen, sizes)],
            starts,
            [language] * (len(starts) - 1),
            list(compress(self.tones, mask)),
            list(compress(self.questions, mask)),
        )
