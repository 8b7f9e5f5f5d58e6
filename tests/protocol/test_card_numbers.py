"""What is taken for a card number, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acpref_protocol import card_numbers

NUMBERS = {
    "4242424242424242": "visa",
    "5555555555554444": "mastercard",
    "2223003122003222": "mastercard",
    "378282246310005": "amex",
    "6011111111111117": "discover",
    "3056930009020004": "diners",
    "36227206271667": "diners",
    "3566002020360505": "jcb",
    "6200000000000005": "unionpay",
}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("around", ["{}", "card {}.", "({})", "number:{}\nthanks"])
def test_a_card_number_is_found_in_any_text(number: str, around: str) -> None:
    """HTTP-14."""
    assert card_numbers.brand_of(number) == NUMBERS[number]
    assert card_numbers.holds_number(around.format(number))
    assert not card_numbers.holds_number(around.format(number[:-1] + str((int(number[-1]) + 1) % 10)))


@pytest.mark.parametrize(
    "separator", [" ", "-", ".", "/", "\N{FULLWIDTH HYPHEN-MINUS}", "\N{NO-BREAK SPACE}"]
)
def test_a_number_is_found_however_it_is_printed(separator: str) -> None:
    """HTTP-14."""
    assert card_numbers.holds_number(separator.join(["4242"] * 4))
    assert card_numbers.holds_number(separator.join(["3782", "822463", "10005"]))


def test_digits_of_other_scripts_are_digits() -> None:
    """HTTP-14."""
    assert card_numbers.holds_number("4242424242424242".translate({48 + n: 0xFF10 + n for n in range(10)}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "15551230000",
        "cs_01a2107cdcaf9767107efdda6204046c",
        "2026-01-01T00:00:00.000Z",
        "4242 4242",
        "tok42424242x",
    ],
)
def test_what_purchases_are_made_of_is_no_card_number(text: str) -> None:
    assert not card_numbers.holds_number(text)


@given(st.text(alphabet="0123456789 -.ab", max_size=60))
def test_a_number_that_is_found_is_masked_as_well(text: str) -> None:
    if card_numbers.holds_number(text) and not set(text) - set("0123456789 -."):
        assert not card_numbers.holds_number(card_numbers.masked(text))


@pytest.mark.parametrize("name", ["cvc", "CVV2", "card_cvc", "security-code-cvv", "cardSecurityCode"])
def test_a_security_code_is_known_by_its_name_and_form(name: str) -> None:
    """HTTP-14."""
    assert card_numbers.is_code(name, "123")
    assert card_numbers.is_code(name, 1234)
    assert not card_numbers.is_code(name, "12345")
    assert not card_numbers.is_code(name, ["123"])
    assert not card_numbers.is_code("quantity", "123")


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_each_number_has_one_check_digit(digits: list[int]) -> None:
    stem = "".join(map(str, digits))
    assert sum(card_numbers.luhn(f"{stem}{check}") for check in range(10)) == 1
