"""Masks: e-mail addresses, bank accounts, card and phone numbers become `<email>`, `<iban>`, `<card>`, `<phone>`.

The text is normalised (NFKC) and without markup. Every pattern is linear: possessive, bounded, or anchored by a
look-behind, so that no input is scanned twice from the same place. Masking twice changes nothing.
"""

import re

MASKS = ("<email>", "<phone>", "<card>", "<iban>")
GAP = 3
"""Signs and spaces between two digits of a number."""
PHONE_DIGITS = 7
"""Digits of the shortest national numbers: fewer are masked in no text."""

_CARD_DIGITS = range(13, 20)  # ISO/IEC 7812-1
_CARD_FIRST = range(2, 7)  # the major industries of payment cards
_CARD_SCAN = 48  # digits of one run that are searched for a card number
_CARD_GROUP = 3  # cards are written solid, 4-4-4-4 or 4-6-5: no smaller group begins or ends one

_DASHES = "\\-\u00b7\u2010-\u2015\u2022\u2027\u2043\u2212\u2219\u22c5\u30fb"  # NFKC makes - of two more
_SEPARATORS = f" ().{_DASHES}/"
_STOPS = ".\u3002"  # the ideographic stop parts labels of a domain too (RFC 3490)
_EAST = (
    "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"  # written without spaces: no part of a word in Latin
)
_LOCAL = rf"[^\W{_EAST}]|[.+%-]"
_HOST = rf"@(?:[A-Za-z0-9-]++(?:[{_STOPS}][A-Za-z0-9-]++)++|[\w-]++(?:\.[\w-]++)++)"
_EMAIL = re.compile(
    rf"(?:(?<![\w.+%-])(?:[\w.+%-]++(?<=[{_EAST}])|(?:{_LOCAL})++)|(?<=[{_EAST}])(?:{_LOCAL})++|\"[^\"@<>]{{1,64}}\")"
    rf"{_HOST}(?:(?:{_LOCAL})*+{_HOST})*+"  # what follows without a space would be an address once the first is masked
)
_DOMAIN = re.compile(rf"@[\w-]++[{_STOPS}][\w-]")
_NUMBER = re.compile(rf"[+(\d](?:(?<=\d)|\(?\d)(?:[{_SEPARATORS}]{{0,{GAP}}}+\d){{{PHONE_DIGITS - 1},}}")
_DENSE = re.compile(rf"\d(?:\D{{0,{GAP}}}\d){{{PHONE_DIGITS - 1}}}")
_NO_DIGITS = bytes(code for code in range(128) if not chr(code).isdigit())
_DIGITS = re.compile(r"\d+")
_ACCOUNT = re.compile(rf"(?<![^\W_])[A-Za-z]{{2}}(?:[ .{_DASHES}]?[0-9]){{2}}(?:[ .{_DASHES}]?[0-9A-Za-z]){{11,30}}")
_ACCOUNT_SIZES = {
    country: size
    for size, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD FK", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
"""Characters of an IBAN by country (the registry of ISO 13616)."""

_VALUES = {ord(sign): str(int(sign, 36)) for sign in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

_DAY, _MONTH, _YEAR = "(?:0?[1-9]|[12][0-9]|3[01])", "(?:0?[1-9]|1[0-2])", "(?:19|20)[0-9]{2}"
_DATE = re.compile(
    rf"(?<!\d)(?<!\d[.{_DASHES}/])(?<!\+)(?:{_YEAR}(?P<a>[-./])(?:{_MONTH}(?P=a){_DAY}|{_DAY}(?P=a){_MONTH})"
    rf"|(?:{_DAY}(?P<b>[-./]){_MONTH}|{_MONTH}(?P<c>[-./]){_DAY})(?:(?P=b)|(?P=c))(?:{_YEAR}|[0-9]{{2}})"
    rf"|{_YEAR} ?[{_DASHES}/] ?{_YEAR})(?![{_DASHES}./]?\d)"
)
"""A day, or a span of years, that is no part of a longer number."""
_RATES = re.compile(r"\d{1,3} ?/ ?\d{1,3}|\d{1,6}\.\d{1,2}|\d{1,2}")
_PARTS = re.compile(rf" +|[{_DASHES}]| / ")
_MONEY_BEFORE = re.compile(r"(?:[$€£¥₹₽₺₩]|\b(?:eur|usd|gbp|chf|sek|nok|dkk|pln|rs|kr|r\$))[ .]?$", re.IGNORECASE)
_MONEY_BEHIND = re.compile(
    r"(?:[.,]\d{1,2})?[ ]?(?:[$€£¥₹₽₺₩元円원]|(?:eur|euros?|usd|dollars?|gbp|pounds?|chf|sek|nok|dkk|pln|zł|kr|czk|kč|"
    r"huf|ft|tl|rub|yen|won|inr|rupees?)\b)",
    re.IGNORECASE,
)
_MONEY = re.compile(r"[1-9]\d*(?:\.\d{1,2})?|[1-9]\d{0,2}(?:[ .]\d{3})+")
_MONEY_DIGITS = 9
_SINGLES = 9  # digits, each alone, that are a number: fewer are a list of ratings
_PAIRS = 4  # groups of two digits that are a number


def mask(text: str) -> str:
    """The text with masks in place of what names a person or an account.

    >>> mask('Ann "the" Lee <ann@example.com>, +44 20 7946 0958, DE89 3704 0044 0532 0130 00')
    'Ann "the" Lee <<email>>, <phone>, <iban>'
    >>> mask("10/10, 4.5 5 5, 10 - 20 - 30 minutes, 2026-01-05 10:30, $1299.00 on 05.01.2026")
    '10/10, 4.5 5 5, 10 - 20 - 30 minutes, 2026-01-05 10:30, $1299.00 on 05.01.2026'
    """
    if "@" in text and _DOMAIN.search(text):
        text = _EMAIL.sub("<email>", text)
    if text.isascii() and len(text.encode().translate(None, _NO_DIGITS)) < PHONE_DIGITS:
        return text
    if _DENSE.search(text) is None:
        return text
    return _NUMBER.sub(_number, _mask_accounts(text))


def _mask_accounts(text: str) -> str:
    """`<iban>` in place of as many characters as an IBAN of the country has, where its check digits are right."""
    kept, begin = "", 0
    found = _ACCOUNT.search(text)
    while found is not None:
        size = _account_size(found[0], text[found.end() : found.end() + 1])
        end = found.start() + (size or 2)
        if size:
            kept += text[begin : found.start()] + "<iban>"
            begin = end
        found = _ACCOUNT.search(text, end)
    return kept + text[begin:]


def _account_size(raw: str, behind: str) -> int:
    """Characters of an IBAN at the beginning of `raw`, or 0; `behind` is the character after it."""
    need = _ACCOUNT_SIZES.get(raw[:2].upper(), 0)
    places = [place for place, sign in enumerate(raw) if sign.isalnum()][:need]
    if not need or len(places) < need:
        return 0
    end = places[-1] + 1
    number = "".join(raw[place] for place in places).upper()
    whole = not (raw[end : end + 1] or behind).isalnum()
    return end if whole and _DENSE.search(raw[:end]) and _mod_97(number) else 0


def _mod_97(number: str) -> bool:
    """ISO 7064: the first four characters at the end, letters as 10 to 35; the rest of a division by 97 is 1.

    >>> _mod_97("DE89370400440532013000"), _mod_97("DE88370400440532013000")
    (True, False)
    """
    return int((number[4:] + number[:4]).translate(_VALUES)) % 97 == 1


def _number(match: re.Match[str]) -> str:
    """The run of digits without what names a person; days in it stay."""
    run = match[0]
    if not _DATE.search(run):
        return _masked(match)
    kept, begin = "", 0
    for day in _DATE.finditer(run):
        kept += _NUMBER.sub(_number, run[begin : day.start()]) + day[0]
        begin = day.end()
    return kept + _NUMBER.sub(_number, run[begin:])


def _masked(match: re.Match[str]) -> str:
    """`<card>` if whole groups of the run make a Luhn-valid number, itself if it is a list or money, else `<phone>`."""
    run = match[0]
    groups: list[str] = []
    for group in _DIGITS.findall(run[: 2 * _CARD_SCAN])[:_CARD_SCAN]:
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
    return run if len(run) <= _CARD_SCAN and (_is_list(run) or _is_money(match)) else "<phone>"


def _is_list(run: str) -> bool:
    """Whether a run is a list of ratings, prices or times, as in "4.5 5 5", "10/10 9/10", "9.30 - 12.45".

    >>> [_is_list(run) for run in ("4.5 5 5 4 5 5", "10/10 9/10", "10 - 20 - 30 - 40", "129.99 149.99")]
    [True, True, True, True]
    >>> [_is_list(run) for run in ("12 34 56 78", "01 23 45 67 89", "555 123 4567", "1 2 3 4 5 6 7 8 9")]
    [False, False, False, False]
    """
    if run[0] in "+(" or (run[0] == "0" and run[1:2].isdigit()) or run.isdigit():
        return False
    groups = _DIGITS.findall(run)
    between = set(_DIGITS.split(run)[1:-1])
    if max(map(len, between)) == 1 and (len(between) == 1 or not between & {".", "/"}):  # the way numbers are written
        sizes = set(map(len, groups))
        if (sizes == {1} and len(groups) >= _SINGLES) or (sizes == {2} and len(groups) >= _PAIRS):
            return False
    return all(map(_RATES.fullmatch, filter(None, _PARTS.split(run))))


def _is_money(match: re.Match[str]) -> bool:
    run, text = match[0], match.string
    if not _MONEY.fullmatch(run) or sum(map(str.isdigit, run)) > _MONEY_DIGITS:
        return False
    before = text[max(match.start() - 5, 0) : match.start()]
    return _MONEY_BEFORE.search(before) is not None or _MONEY_BEHIND.match(text, match.end()) is not None


_TWICE = bytes(sum(divmod(2 * digit, 10)) for digit in range(10))


def _luhn(number: str) -> bool:
    """ISO/IEC 7812-1: every second digit from the right is doubled, its digits summed; the sum ends in 0.

    >>> _luhn("4111111111111111"), _luhn("4111111111111112")
    (True, False)
    """
    digits = bytes(map(int, reversed(number)))
    return (sum(digits[::2]) + sum(digits[1::2].translate(_TWICE + bytes(246)))) % 10 == 0
