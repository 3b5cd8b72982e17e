"""A piece is found by its bytes: its row does not depend on its neighbours or on earlier pieces."""

from hypothesis import given
from hypothesis import strategies as st

from operators.domain.text.words import Memo, Pieces, take_apart

LONG = "abcdefghijklmnop"  # sixteen bytes: the longest that the table holds
ALIKE = [
    "a",
    "aa",
    "a" * 7,
    "a" * 8,
    "a" * 9,
    "a" * 15,
    "a" * 16,
    "a" * 17,
    LONG,
    LONG + "q",
    LONG + "r",
    LONG[:8],
    "好" * 5,
    "é",
]
TEXTS = st.lists(
    st.lists(st.sampled_from(ALIKE) | st.text("ab\0\n é😡", max_size=20), max_size=9).map(" ".join), max_size=6
)


def words_of(pieces: Pieces, texts: list[str]) -> list[list[tuple[int, ...]]]:
    """The words of each text, from the memo."""
    rows, bounds = pieces.rows(texts)
    ends, words = pieces.memo.bounds().tolist(), pieces.memo.words().tolist()
    found = [[tuple(word) for row in rows.tolist()[begin:end] for word in words[ends[row] : ends[row + 1]]]
             for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)]  # fmt: skip
    assert len(found) == len(texts)
    return found


def one_by_one(text: str) -> list[tuple[int, ...]]:
    """The same without a table. Controls part pieces: cleaned text has none."""
    return [word for piece in text.replace("\0", " ").split() for word in take_apart(piece)]


@given(st.lists(TEXTS, max_size=4))
def test_every_piece_is_found_as_one_by_one(batches: list[list[str]]) -> None:
    pieces = Pieces(1_000)
    for texts in batches:
        for many in (texts, texts * 16):
            assert [one_by_one(text) for text in many] == words_of(pieces, many)


def test_pieces_that_begin_alike_are_distinguished() -> None:
    pieces = Pieces(1_000)
    texts = ALIKE * 2
    assert words_of(pieces, texts) == words_of(pieces, texts) == [one_by_one(text) for text in texts]


def test_more_pieces_than_places_are_still_found() -> None:
    # 900 pieces over 1,024 places: many share one, and the last to come has it.
    texts = ["w" + "".join(chr(97 + int(digit)) for digit in str(number)) for number in range(900)]
    pieces = Pieces(1_000)
    for _ in range(2):
        assert words_of(pieces, texts) == [one_by_one(text) for text in texts]


def test_nothing_is_read_from_a_cleared_memo() -> None:
    pieces = Pieces(1_000)
    first = [f"{'x' * (number % 7)}y{chr(97 + number % 26)}{chr(97 + number // 26)}" for number in range(1_100)]
    pieces.rows([" ".join(first)])
    assert len(pieces.memo) >= pieces.memo.entries
    assert words_of(pieces, ["good", first[0], first[-1]]) == [
        one_by_one(text) for text in ("good", first[0], first[-1])
    ]
    assert len(pieces.memo) == 3


def test_known_pieces_are_not_asked_for_again() -> None:
    pieces = Pieces(1_000)
    pieces.rows(["very good", *[""] * 20])

    class Silent(Memo):
        def __getitem__(self, piece: bytes) -> int:
            raise AssertionError(f"asked for {piece!r}")

    pieces.memo.__class__ = Silent
    rows, bounds = pieces.rows(["good very", "", "very", *[""] * 20])
    assert (rows.tolist(), bounds.tolist()) == ([3, 2, 2], [0, 2, 2, *[3] * 21])
