"""Cleaning of text: removes markup and masks personal data.

HTML is dropped, entities decoded, Unicode brought to NFKC, control characters removed, and e-mail addresses, phone and
card numbers masked before any other code sees the text. Every message passes here, and most need nothing: one look over
a whole batch finds those that do. Every pattern is linear: possessive, or anchored by a look-behind, so that no input
is scanned twice from the same place.
"""

import html
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from operators.domain.text.arrays import sums_before

LIMIT = 4_000
"""Characters that are left at most: the longest message the definitions allow."""
RAW_LIMIT = 10_000
"""Characters looked at, before markup is dropped: bounds the time of a hostile message."""
MASKS = ("<email>", "<phone>", "<card>")

_PASSES = 3  # an entity inside an entity inside an entity; who nests deeper loses the ampersands
_MARKS_IN_A_ROW = 8  # no script stacks more
_SHORT = 512  # characters up to which NFKC's reordering of marks, quadratic in their number, costs nothing
_PHONE_DIGITS = 7  # the shortest national numbers
_CARD_DIGITS = range(13, 20)  # ISO/IEC 7812-1
_CARD_FIRST = range(2, 7)  # the major industries of payment cards
_CARD_SCAN = 48  # digits of one run that are searched for a card number
_CARD_GROUP = 3  # cards are written solid, 4-4-4-4 or 4-6-5: no smaller group begins or ends one

_EXPANDING = "\ufdfa\ufdfb"  # NFKC makes 18 and 8 characters of each of these two Arabic formulas
_PLAIN, _DIGIT, _AT, _HARM = range(4)
_KIND_OF = {**dict.fromkeys(b"0123456789", _DIGIT), **dict.fromkeys(b"@", _AT), **dict.fromkeys(b"<&", _HARM)}
_KINDS = bytes(_KIND_OF.get(code, _PLAIN if code in range(32, 127) else _HARM) for code in range(256))
_GAP = 3  # signs and spaces between two digits of a number
_TAG = re.compile(r"<(?!(?:email|phone|card)>)[A-Za-z/!?][^>]*>")
_TAG_START = re.compile(r"<(?!(?:email|phone|card)>)(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)")
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]++@[\w-]++(?:\.[\w-]++)++")
_NUMBER = re.compile(rf"[+(\d](?:(?<=\d)|\(?\d)(?:[ ().\-/\u2010-\u2015]{{0,{_GAP}}}+\d){{{_PHONE_DIGITS - 1},}}+")
_DIGITS = re.compile(r"\d+")
_unescape = lru_cache(maxsize=4_096)(html.unescape)


_ASSIGNED = (*range(0x20000), *range(0xE0000, 0xE1000))  # all controls and separators lie here
_FOLDED = (*range(0xA0, 0x3400), *range(0xF900, 0x20000))  # all characters of which NFKC makes several lie here


def _all_of(*categories: str) -> str:
    return "".join(chr(code) for code in _ASSIGNED if unicodedata.category(chr(code)) in categories)


def _unfolded() -> dict[int, str]:
    """Characters of which NFKC makes several, or a combining mark although they are none, and what it makes.

    Python's NFKC takes 10 ms for ten thousand of them, and half a second where the marks have to be sorted.
    """
    signs = filter(unicodedata.decomposition, map(chr, _FOLDED))
    pairs = ((ord(sign), unicodedata.normalize("NFKC", sign)) for sign in signs)
    return {code: many for code, many in pairs if len(many) > 1 or unicodedata.combining(many)}


_BLANK = _all_of("Zl", "Zp") + "\t\n\v\f\r\x85\u1680"  # NFKC makes spaces of the others
_SILENT = _all_of("Cc", "Cf", "Cs")
_SPACES, _CONTROLS = re.compile(f"[{_BLANK}]"), re.compile(f"[{_SILENT}]")
_LONG_WAY: dict[int, str | None] = {
    **_unfolded(),
    **dict.fromkeys(map(ord, _SILENT)),
    **dict.fromkeys(map(ord, _BLANK + _EXPANDING), " "),
}
"""What a long text is rid of in one go."""
_MARKS = re.compile(rb"[^\0]{%d,}" % (_MARKS_IN_A_ROW + 1))
_CLASSES = np.frombuffer(bytes(map(unicodedata.combining, map(chr, range(0x20001)))), np.uint8)  # behind them none is


def clean(text: str) -> str:
    """The text without markup and controls, with masks for what names a person; at most `LIMIT` characters.

    A run of seven digits or more is taken for a phone number (an order number names a person as well), one that holds
    a Luhn-valid number of 13 to 19 digits for a card. Cleaning twice changes nothing.

    >>> clean("Where is my <b>order</b>?&nbsp;Write to ann@example.com or +44 20 7946 0958")
    'Where is my  order ? Write to <email> or <phone>'
    >>> clean("paid with 4111-1111-1111-1111")
    'paid with <card>'
    """
    text = _decode(_cut(text))
    text = _mask(_drop_tags(text))
    return text if len(text) <= LIMIT else _shorten(text)


def clean_many(texts: Sequence[str]) -> list[str]:
    """Each text as `clean` makes it.

    >>> clean_many(["Thanks!", "I wrote to ann@example.com"])
    ['Thanks!', 'I wrote to <email>']
    """
    cleaned = list(texts)
    for run in runs(texts):
        for place in np.flatnonzero(_suspects(texts[run])).tolist():
            cleaned[run.start + place] = clean(cleaned[run.start + place])
    return cleaned


def runs(texts: Sequence[str], messages: int = 4_096, characters: int = 1 << 19) -> list[slice]:
    """Where to cut a batch, so that numpy's arrays stay small: a hostile text may be as long as an event.

    >>> runs(["ab", "cd", "e"], characters=4), runs([])
    ([slice(0, 1, None), slice(1, 3, None)], [slice(0, 0, None)])
    """

    def halved(begin: int, end: int) -> list[slice]:
        if end - begin <= 1 or (end - begin <= messages and sum(map(len, texts[begin:end])) <= characters):
            return [slice(begin, end)]
        middle = (begin + end) // 2
        return halved(begin, middle) + halved(middle, end)

    return halved(0, len(texts))


def _suspects(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts `clean` might change; those it leaves as they are it need not see."""
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    suspects = (sizes > LIMIT) | ~np.fromiter(map(str.isascii, texts), np.bool_, len(texts))
    ends = sizes.cumsum()
    joined = "".join(texts).encode("ascii", "replace")  # a byte a character
    kinds = np.frombuffer(joined.translate(_KINDS), np.uint8)
    at = np.flatnonzero(kinds)
    kinds = kinds[at]
    digits, signs = at[kinds == _DIGIT], at[kinds == _AT]
    # A handle is left as it is: an @ at the start or behind a space. An address has something before it.
    before = np.frombuffer(b" " + joined, np.uint8)[signs]
    begins = np.searchsorted(ends, signs) < np.searchsorted(ends, signs, "right")
    addressed = signs[(before != ord(" ")) & ~begins]
    gaps = sums_before(np.diff(digits) > _GAP + 1)
    numbers = digits[: 1 - _PHONE_DIGITS][gaps[_PHONE_DIGITS - 1 :] == gaps[: 1 - _PHONE_DIGITS]]
    for found in (at[kinds == _HARM], addressed, numbers):
        suspects[np.searchsorted(ends, found, "right")] = True
    return suspects


def _cut(text: str) -> str:
    """At most `RAW_LIMIT` characters, at a space if there is one near, so that no address is cut in two."""
    if len(text) <= RAW_LIMIT:
        return text
    space = text.rfind(" ", RAW_LIMIT - 320, RAW_LIMIT)
    return text[: space if space > 0 else RAW_LIMIT]


def _shorten(text: str) -> str:
    """At most `LIMIT` characters, and no half of a mask."""
    begin = text.rfind("<", LIMIT - max(map(len, MASKS)) + 1, LIMIT)
    if begin >= 0 and text.startswith(MASKS, begin) and text.index(">", begin) >= LIMIT:
        return text[:begin]
    return text[:LIMIT]


def _decode(text: str) -> str:
    """Normalised and without entities, also those which only show after normalising or decoding."""
    for _ in range(_PASSES):
        text = _normalize(text)
        if "&" not in text:
            return text
        decoded = _ENTITY.sub(_entity, text)
        if decoded == text:
            return text
        text = decoded
    return _normalize(text).replace("&", " ")


def _entity(match: re.Match[str]) -> str:
    return _unescape(match[0])


def _normalize(text: str) -> str:
    if len(text) > _SHORT and not text.isascii():
        text = _cut(text.translate(_LONG_WAY))
    elif not text.isprintable():
        text = _CONTROLS.sub("", _SPACES.sub(" ", text))
    if text.isascii():
        return text
    for ligature in _EXPANDING:
        text = text.replace(ligature, " ")
    text = _thin(unicodedata.normalize("NFKC", _thin(text)))
    # The long stroke would turn the end of a mask into another character when it is normalised again.
    return text.replace("\u0338", " ")


def _thin(text: str) -> str:
    """At most `_MARKS_IN_A_ROW` combining marks behind each other, where more would cost time."""
    if len(text) <= _SHORT:
        return text
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    classes = _CLASSES[np.minimum(codes, len(_CLASSES) - 1)].tobytes()
    kept, begin = "", 0
    for run in _MARKS.finditer(classes):
        kept += text[begin : run.start() + _MARKS_IN_A_ROW]
        begin = run.end()
    return kept + text[begin:]


def _drop_tags(text: str) -> str:
    if "<" not in text:
        return text
    end = text.rfind(">") + 1  # behind the last > no tag can close: not looked for, or each < would scan to the end
    return _TAG_START.sub(" ", _TAG.sub(" ", text[:end]) + text[end:])


def _mask(text: str) -> str:
    if text.count("@", 1) > text.count(" @"):  # more than handles
        text = _EMAIL.sub("<email>", text)
    return _NUMBER.sub(_number, text)


def _number(match: re.Match[str]) -> str:
    """`<card>` if whole groups of the run make a Luhn-valid number, else `<phone>`."""
    groups: list[str] = []
    for group in _DIGITS.findall(match[0][: 2 * _CARD_SCAN])[:_CARD_SCAN]:
        if len(group) < _CARD_GROUP:
            groups.clear()
            continue
        groups.append(group)
        number = ""
        for part in reversed(groups[-7:]):
            number = part + number
            if len(number) >= _CARD_DIGITS.stop:
                break
            if len(number) in _CARD_DIGITS and int(number[0]) in _CARD_FIRST and _luhn(number):
                return "<card>"
    return "<phone>"


_TWICE = bytes(sum(divmod(2 * digit, 10)) for digit in range(10))


def _luhn(number: str) -> bool:
    """ISO/IEC 7812-1: every second digit from the right is doubled, its digits summed; the sum ends in 0.

    >>> _luhn("4111111111111111"), _luhn("4111111111111112")
    (True, False)
    """
    digits = bytes(map(int, reversed(number)))
    return (sum(digits[::2]) + sum(digits[1::2].translate(_TWICE + bytes(246)))) % 10 == 0
