"""Prices, weights and counts as text."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acpref_merchant.catalog.amounts import grams, minor_units, money_text, price_text, whole_number
from acpref_merchant.catalog.problems import RecordError

CURRENCIES = st.sampled_from(["usd", "eur", "jpy", "kwd"])


@given(st.integers(0, 10**12), CURRENCIES)
def test_a_price_that_is_written_is_read_back_exactly(amount: int, currency: str) -> None:
    assert money_text(price_text(amount, currency), currency) == amount


@given(st.decimals(min_value=0, max_value=10**9, places=2, allow_nan=False))
def test_cents_are_the_decimal_times_a_hundred_for_every_price(price: Decimal) -> None:
    """The prices that binary fractions get wrong, such as 1.15 or 4.35, are among them."""
    assert minor_units(format(price, "f"), "usd") == int(price * 100)


@given(st.text(max_size=12))
def test_a_price_is_read_exactly_or_refused_but_never_guessed(text: str) -> None:
    try:
        amount = minor_units(text, "usd")
    except RecordError:
        return
    assert Decimal(amount) / 100 == Decimal(text.strip())


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("12.99", "usd", 1299),
        ("12", "usd", 1200),
        ("12.990", "usd", 1299),
        ("1500", "jpy", 1500),
        ("1.234", "kwd", 1234),
        ("4.35", "usd", 435),
        ("0", "usd", 0),
        (" 7.5 ", "usd", 750),
    ],
)
def test_the_number_of_decimals_is_that_of_the_currency(text: str, currency: str, amount: int) -> None:
    assert minor_units(text, currency) == amount


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "1,299.00",
        "1.299,00",
        "12.999",
        "1e2",
        "NaN",
        "Infinity",
        "0x10",
        "12.",
        ".5",
        "\uff11\uff12",
        "1 2",
    ],
)
def test_what_is_not_plainly_a_price_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        minor_units(text, "usd")


@pytest.mark.parametrize("text", ["12.99 USD", "USD 12.99", "12.99 usd", "12.99"])
def test_the_currency_may_stand_before_or_after_the_number(text: str) -> None:
    assert money_text(text, "usd") == 1299


@pytest.mark.parametrize("text", ["12.99 EUR", "USD 12.99 USD", "12.99USD", "USD", "$12.99"])
def test_other_currencies_and_signs_are_refused_not_converted(text: str) -> None:
    with pytest.raises(RecordError):
        money_text(text, "usd")


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("1.5 kg", None, 1500),
        ("500", None, 500),
        ("2", "oz", 57),
        ("1 lb", None, 454),
        ("0", None, 0),
        ("250 g", "kg", 250),
    ],
)
def test_weights_become_whole_grams_rounded_up(text: str, unit: str | None, expected: int) -> None:
    assert grams(text, unit) == expected


def test_an_unknown_unit_of_weight_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecordError, match="one of g, kg"):
        grams("3 stone")


@pytest.mark.parametrize(("text", "expected"), [("12", 12), ("-3", 0), ("7.0", 7), ("+4", 4)])
def test_counts_are_whole_and_oversold_stock_is_none(text: str, expected: int) -> None:
    assert whole_number(text) == expected


@pytest.mark.parametrize("text", ["1.5", "many", "", "1e3"])
def test_a_count_that_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        whole_number(text)
