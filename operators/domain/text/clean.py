"""Cleaning of text: what its author says, without markup, quoted mail and personal data.

Markup and entities are decoded (`markup`), quoted replies, signatures and disclaimers left out (`replies`), Unicode is
brought to NFKC, control characters are removed, and e-mail addresses, bank accounts, phone and card numbers masked
(`masks`) before any other code sees the text. Every message passes here, and most need nothing: one look over a whole
batch finds those that do.
"""

import html
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from operators.domain.text.arrays import sums_before
from operators.domain.text.markup import TAG, is_markup, lines
from operators.domain.text.masks import GAP, MASKS, PHONE_DIGITS, mask
from operators.domain.text.replies import said

LIMIT = 4_000
"""Characters that are left at most: the longest message the definitions allow."""
RAW_LIMIT = 10_000
"""Characters looked at, once markup is gone: bounds the time of a hostile message."""

_PASSES = 3  # markup or an entity inside an entity; who nests deeper loses the signs
_MARKS_IN_A_ROW = 8  # no script stacks more
_SHORT = 512  # characters up to which NFKC's reordering of marks, quadratic in their number, costs nothing

_EXPANDING = "\ufdfa\ufdfb"  # NFKC makes 18 and 8 characters of each of these two Arabic formulas
_PLAIN, _DIGIT, _AT, _HARM = range(4)
_KIND_OF = {**dict.fromkeys(b"0123456789", _DIGIT), **dict.fromkeys(b"@", _AT), **dict.fromkeys(b"<&", _HARM)}
_KINDS = bytes(_KIND_OF.get(code, _PLAIN if code in range(32, 127) else _HARM) for code in range(256))
_ENTITY = re.compile(r"&(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)")
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


_BLANK = "\t\u1680"  # NFKC makes spaces of the others
_BREAK = _all_of("Zl", "Zp") + "\v\f\r\x85"  # and of each of these a line break is made
_SILENT = _all_of("Cc", "Cf", "Cs").replace("\n", "")
_SPACES, _BREAKS, _CONTROLS = re.compile(f"[{_BLANK}]"), re.compile(f"\r\n|[{_BREAK}]"), re.compile(f"[{_SILENT}]")
_LONG_WAY: dict[int, str | None] = {
    **_unfolded(),
    **dict.fromkeys(map(ord, _SILENT)),
    **dict.fromkeys(map(ord, _BLANK + _EXPANDING), " "),
    **dict.fromkeys(map(ord, _BREAK), "\n"),
}
"""What a long text is rid of in one go."""
_MARKS = re.compile(rb"[^\0]{%d,}" % (_MARKS_IN_A_ROW + 1))
_CLASSES = np.frombuffer(bytes(map(unicodedata.combining, map(chr, range(0x20001)))), np.uint8)  # behind them none is


def clean(text: str) -> str:
    r"""What the author of a text says in it, without markup and controls, with masks for what names a person.

    At most `LIMIT` characters. A run of seven digits or more is taken for a phone number (an order number names a
    person as well) unless it is a date, a list of ratings or money; one that holds a Luhn-valid number of 13 to 19
    digits for a card. Cleaning twice changes nothing.

    >>> clean("<p>Where is my <b>or</b>der?</p>Write to ann@example.com<br>or +44 20 7946 0958")
    'Where is my order? Write to <email> or <phone>'
    >>> clean("Paid with 4111-1111-1111-1111\n\n-- \nAnn Lee")
    'Paid with <card>'
    """
    text = _decode(text)
    if "\n" in text:
        text = said(text).replace("\n", " ")
        if "<" in text and is_markup(text):  # lines that were left out stood inside a tag
            text = _without_tags(text)
    text = mask(text)
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
    gaps = sums_before(np.diff(digits) > GAP + 1)
    numbers = digits[: 1 - PHONE_DIGITS][gaps[PHONE_DIGITS - 1 :] == gaps[: 1 - PHONE_DIGITS]]
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
    """Normalised lines without markup and entities, also those which only show after normalising or decoding."""
    markup = "<" in text and is_markup(text)
    for _ in range(_PASSES):
        found = _normalize(_cut(lines(text) if markup else text))
        decoded = _ENTITY.sub(_entity, found) if "&" in found else found
        if decoded == text and not markup:
            return text
        markup = "<" in decoded and is_markup(decoded)
        if decoded == found and not markup:
            return found
        text = decoded
    text = _normalize(text).replace("&", " ")
    return _without_tags(text) if is_markup(text) else text


def _without_tags(text: str) -> str:
    """No sign before a name that would make a tag of it."""
    text = text.replace("<!--", " !--")
    while TAG.search(text):
        text = TAG.sub(_opened, text)
    return text


def _opened(match: re.Match[str]) -> str:
    return " " + match[0][1:]


def _entity(match: re.Match[str]) -> str:
    return _unescape(match[0])


def _normalize(text: str) -> str:
    if len(text) > _SHORT and not text.isascii():
        text = _cut(text.replace("\r\n", "\n").translate(_LONG_WAY))
    elif not text.isprintable():
        text = _CONTROLS.sub("", _SPACES.sub(" ", _BREAKS.sub("\n", text)))
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
