"""Text: what a customer wrote, made safe for everything that follows.

HTML is dropped, entities decoded, Unicode brought to NFKC, control characters removed, and e-mail addresses, phone and
card numbers masked before any other code sees the text. Every message passes here, so plain ASCII takes a short way:
one `bytes.translate` shows that there is nothing to do. Every pattern is linear: possessive, or anchored by a
look-behind, so that no input is scanned twice from the same place.
"""

import html
import re
import unicodedata

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

_PLAIN = bytes(code for code in range(32, 127) if chr(code) not in "<&@0123456789")
_NO_HARM = b"@0123456789"
_TAG = re.compile(r"<(?!(?:email|phone|card)>)[A-Za-z/!?][^>]*>")
_TAG_START = re.compile(r"<(?!(?:email|phone|card)>)(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)")
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]++@[\w-]++(?:\.[\w-]++)++")
_NUMBER = re.compile(rf"[+(\d](?:(?<=\d)|\(?\d)(?:[ ().\-/\u2010-\u2015]{{0,3}}+\d){{{_PHONE_DIGITS - 1},}}+")
_DIGITS = re.compile(r"\d+")


_ASSIGNED = (*range(0x20000), *range(0xE0000, 0xE1000))  # all controls and separators lie here


def _all_of(*categories: str) -> str:
    return "[" + "".join(chr(code) for code in _ASSIGNED if unicodedata.category(chr(code)) in categories) + "]"


_SPACES = re.compile(_all_of("Zl", "Zp") + r"|[\t-\r\x85]")
_CONTROLS = re.compile(_all_of("Cc", "Cf", "Cs"))
_MARKS = re.compile(rb"[^\0]{%d,}" % (_MARKS_IN_A_ROW + 1))


def clean(text: str) -> str:
    """The text without markup and controls, with masks for what names a person; at most `LIMIT` characters.

    A run of seven digits or more is taken for a phone number (an order number names a person as well), one that holds
    a Luhn-valid number of 13 to 19 digits for a card. Cleaning twice changes nothing.

    >>> clean("Where is my <b>order</b>?&nbsp;Write to ann@example.com or +44 20 7946 0958")
    'Where is my  order ? Write to <email> or <phone>'
    >>> clean("paid with 4111-1111-1111-1111")
    'paid with <card>'
    """
    if text.isascii() and len(text) <= LIMIT:
        rest = text.encode().translate(None, _PLAIN)
        # Digits too few for a number and handles (an @ behind a space or at the start) are left as they are.
        harmless = len(rest) < _PHONE_DIGITS and not rest.strip(_NO_HARM)
        if harmless and (text.find("@", 1) < 0 or text.count("@") == text.count(" @") + text.startswith("@")):
            return text
    text = _decode(_cut(text))
    text = _mask(_drop_tags(text))
    return text if len(text) <= LIMIT else _shorten(text)


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
    return html.unescape(match[0])


def _normalize(text: str) -> str:
    if not text.isprintable():
        text = _CONTROLS.sub("", _SPACES.sub(" ", text))
    if text.isascii():
        return text
    for ligature in _EXPANDING:
        text = text.replace(ligature, " ")
    text = _cut(_thin(unicodedata.normalize("NFKC", _thin(text))))
    # The long stroke would turn the end of a mask into another character when it is normalised again.
    return text.replace("\u0338", " ")


def _thin(text: str) -> str:
    """At most `_MARKS_IN_A_ROW` combining marks behind each other, where more would cost time."""
    if len(text) <= _SHORT:
        return text
    classes = bytes(map(unicodedata.combining, text))
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
    if "@" in text:
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
