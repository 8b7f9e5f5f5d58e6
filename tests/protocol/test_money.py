"""Exact arithmetic on minor units."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acpref_protocol.money import (
    allocate,
    apply_rate,
    divide_half_up,
    format_amount,
    included_in,
    minor_unit_exponent,
)

amounts = st.integers(-(10**15), 10**15)
weights = st.lists(st.integers(0, 10**12), min_size=1, max_size=30)
rates = st.decimals(min_value=0, max_value=1, places=6, allow_nan=False)


@pytest.mark.parametrize(
    ("currency", "exponent"),
    [("usd", 2), ("EUR", 2), ("jpy", 0), ("KRW", 0), ("kwd", 3), ("bhd", 3), ("clf", 4)],
)
def test_the_minor_unit_follows_iso_4217(currency: str, exponent: int) -> None:
    """HTTP-04."""
    assert minor_unit_exponent(currency) == exponent


@pytest.mark.parametrize("text", ["", "us", "usdx", "u$d", "é€x", "12a"])
def test_what_is_not_a_currency_code_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="three-letter"):
        minor_unit_exponent(text)


@pytest.mark.parametrize(
    ("amount", "rate", "result"),
    [
        (1, "0.5", 1),
        (-1, "0.5", -1),
        (3, "0.5", 2),
        (1, "0.4999", 0),
        (1000, "0.0825", 83),
        (999, "0.0825", 82),
    ],
)
def test_halves_round_up(amount: int, rate: str, result: int) -> None:
    assert apply_rate(amount, Decimal(rate)) == result


@given(amounts, rates)
def test_applying_a_rate_rounds_the_exact_product_once(amount: int, rate: Decimal) -> None:
    with localcontext() as context:
        context.prec = 60
        exact = (Decimal(amount) * rate).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    assert apply_rate(amount, rate) == int(exact)


@given(amounts, st.integers(0, 10**6), st.sampled_from([100, 1000]))
def test_dividing_is_applying_the_rate_that_the_fraction_is(amount: int, part: int, whole: int) -> None:
    assert divide_half_up(amount * part, whole) == apply_rate(amount, Decimal(part) / whole)


@given(st.integers(0, 10**15), rates)
def test_the_included_tax_is_what_the_rate_gives_on_the_net_amount(amount: int, rate: Decimal) -> None:
    exact = Fraction(amount) * Fraction(rate) / (1 + Fraction(rate))
    assert abs(included_in(amount, rate) - exact) <= Fraction(1, 2)


@given(amounts, weights)
def test_the_shares_add_up_to_the_amount_exactly(amount: int, parts: list[int]) -> None:
    shares = allocate(amount, parts)
    assert sum(shares) == amount
    assert len(shares) == len(parts)
    assert shares == allocate(amount, parts)


@given(amounts, weights)
def test_each_share_is_within_one_unit_of_its_proportion(amount: int, parts: list[int]) -> None:
    whole = sum(parts)
    for share, weight in zip(allocate(amount, parts), parts, strict=True):
        exact = Fraction(amount * weight, whole) if whole else Fraction(amount, len(parts))
        assert abs(share - exact) < 1


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30), st.data())
def test_a_discount_never_exceeds_the_line_it_is_spread_over(lines: list[int], data: st.DataObject) -> None:
    discount = data.draw(st.integers(0, sum(lines)))
    assert all(0 <= share <= line for share, line in zip(allocate(discount, lines), lines, strict=True))


@given(amounts, weights)
def test_a_larger_weight_never_gets_a_smaller_share(amount: int, parts: list[int]) -> None:
    shares = sorted(zip(parts, (abs(share) for share in allocate(amount, parts)), strict=True))
    ordered = [max(share for weight, share in shares if weight == w) for w in sorted(set(parts))]
    assert ordered == sorted(ordered)


def test_left_over_units_go_to_the_largest_remainders_and_then_to_the_first() -> None:
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]
    assert allocate(10, [0, 0]) == [5, 5]
    assert allocate(-10, [3, 0, 1]) == [-8, 0, -2]
    assert allocate(0, []) == []


@pytest.mark.parametrize("parts", [[], [1, -1]])
def test_what_cannot_be_allocated_is_refused(parts: list[int]) -> None:
    with pytest.raises(ValueError):
        allocate(1, parts)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(1250, "usd", "12.50 USD"), (100, "jpy", "100 JPY"), (-5, "usd", "-0.05 USD"), (1, "kwd", "0.001 KWD")],
)
def test_amounts_are_written_with_the_currencys_digits(amount: int, currency: str, text: str) -> None:
    assert format_amount(amount, currency) == text
