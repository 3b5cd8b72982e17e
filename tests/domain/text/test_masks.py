"""Whatever signs part its characters, an account, a card or a phone number is masked whole; what is none of them stays."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.text import masks
from operators.domain.text.clean import clean, clean_many

DASHES = st.sampled_from(
    ["", " ", "-", "\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\uff0d", "\u00a0", ".", "\u00b7"]
)
COUNTRIES = st.sampled_from(sorted(masks._ACCOUNT_SIZES))


def luhn(digits: str) -> str:
    """The digits with the one that makes them valid."""
    return next(digits + last for last in string.digits if masks._luhn(digits + last))


@st.composite
def accounts(draw: st.DrawFn) -> str:
    country = draw(COUNTRIES)
    size = masks._ACCOUNT_SIZES[country]
    rest = draw(st.text("0123456789", min_size=8, max_size=size - 4)).ljust(size - 4, "7")
    check = 98 - int("".join(str(int(sign, 36)) for sign in f"{rest}{country}00")) % 97
    return f"{country}{check:02}{rest}"


@given(accounts(), DASHES, st.integers(2, 5))
def test_every_account_is_masked_whole(account: str, between: str, size: int) -> None:
    written = between.join(account[at : at + size] for at in range(0, len(account), size))

    assert clean(f"to {written} please") == "to <iban> please"
    assert clean(f"to {written.lower()}, now") == "to <iban>, now"
    assert clean_many([f"to {written} please"] * 20) == ["to <iban> please"] * 20


@given(accounts(), st.integers(4, 12), st.integers(1, 9))
def test_a_wrong_digit_makes_no_account(account: str, place: int, more: int) -> None:
    wrong = account[:place] + str((int(account[place]) + more) % 10) + account[place + 1 :]

    assert "<iban>" not in clean(wrong)


@given(st.text("0123456789", min_size=15, max_size=15), DASHES, st.sampled_from("23456"))
def test_every_card_number_is_masked(digits: str, between: str, first: str) -> None:
    number = luhn(first + digits[1:])

    assert clean(between.join(number[at : at + 4] for at in range(0, 16, 4))) == "<card>"


@given(st.text("23456789", min_size=10, max_size=10), DASHES)
def test_every_telephone_number_in_groups_is_masked(digits: str, between: str) -> None:
    assert clean(f"+49{between}{digits[:3]}{between}{digits[3:6]}{between}{digits[6:]}") in {"<phone>", "<card>"}


@given(st.lists(st.integers(0, 10), min_size=1, max_size=8), st.sampled_from(["/10 ", "/10, ", " - ", ", "]))
def test_a_list_of_ratings_is_no_telephone_number(ratings: list[int], between: str) -> None:
    text = between.join(map(str, ratings)) + between.strip().rstrip(",-")

    assert clean(text) == text


@given(st.dates(), st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y"]), st.times())
def test_a_date_is_no_telephone_number(date, form: str, time) -> None:
    if not 1900 <= date.year < 2100:
        date = date.replace(year=1900 + date.year % 200, day=min(date.day, 28))
    text = f"{date.strftime(form)} {time.strftime('%H:%M')}"

    assert clean(text) == text


@pytest.mark.parametrize("text", ["a@b", "@shop", "me @ home", "x@y.", '"a" @b.c'])
def test_what_is_no_address_stays(text: str) -> None:
    assert clean(text) == text
