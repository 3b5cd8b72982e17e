"""Personal data in a name: whether an id or the name of a queue is an e-mail address, a phone number or a card."""

import re
from typing import Final, Literal, get_args

Kind = Literal["email", "phone", "card"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_EMAIL = re.compile(r"[^\s@]@[\w-]++(?:\.[\w-]++)++")
_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_CARD_FIRST = "23456"
"""The major industries of payment cards (ISO/IEC 7812-1)."""
_PHONE = re.compile(
    r"(?:\+|(?<!\d)00)[ (]{0,2}[1-9](?:[ ().\-/]{0,3}\d){6,14}(?!\d)"  # international
    r"|(?<![\w.])\(?0\d{1,4}[) /.-]{1,3}\d{2,}(?:[ .-]?\d{2,})*(?![\w.])"  # national, with an area code
    r"|\A[1-9]\d{9,14}\Z"  # as messengers write it: nothing but country code and number
)
_LEAST_DIGITS = 7


def kind_of(name: str) -> Kind | None:
    """What personal data a name has in it; `None` for most.

    A number of 10 to 15 digits alone is taken for a phone number, as messengers send it: a counter as long is one, too.

    >>> kind_of("ann@example.com"), kind_of("+49 170 1234567"), kind_of("491701234567"), kind_of("4111-1111-1111-1111")
    ('email', 'phone', 'phone', 'card')
    >>> kind_of("order-12345678"), kind_of("123e4567-e89b-12d3-a456-426614174000"), kind_of("@ann")
    (None, None, None)
    """
    if "@" in name and _EMAIL.search(name):
        return "email"
    if sum(map(str.isdigit, name)) < _LEAST_DIGITS:
        return None
    for found in _CARD.finditer(name):
        digits = re.sub(r"\D", "", found[0])
        if digits[0] in _CARD_FIRST and _luhn(digits):
            return "card"
    phone = _PHONE.search(name)
    return "phone" if phone is not None and sum(map(str.isdigit, phone[0])) >= _LEAST_DIGITS else None


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1: every second digit from the right is doubled, its digits summed; the sum ends in 0."""
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in values[1::2])) % 10 == 0
