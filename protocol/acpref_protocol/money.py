"""Arithmetic on money: integers of minor units, exact, with every rounding rule in one place (HTTP-04).

An amount is an ``int`` of the currency's smallest unit (ISO 4217 exponent: 100 is one US dollar, or a
hundred yen). A rate is a ``Decimal`` fraction, such as ``Decimal("0.0825")``. Nothing here touches a float.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

_WITHOUT_DECIMALS = "bif clp djf gnf isk jpy kmf krw pyg rwf ugx uyi vnd vuv xaf xof xpf"
_EXPONENTS: dict[str, int] = {
    **dict.fromkeys(_WITHOUT_DECIMALS.split(), 0),
    **dict.fromkeys(("bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"), 3),
    **dict.fromkeys(("clf", "uyw"), 4),
}


MAX_AMOUNT = 2**53 - 1
"""Minor units; beyond this, common JSON readers lose the last digits."""


def minor_unit_exponent(currency: str) -> int:
    """How many decimal digits the minor unit of ``currency`` (ISO 4217 code, any case) stands for.

    2 for every code outside the table of exceptions. Raises ValueError for what is not a three-letter code.
    """
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha()):
        raise ValueError("a currency is a three-letter ISO 4217 code")
    return _EXPONENTS.get(currency.lower(), 2)


def divide_half_up(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` (positive) rounded to the nearest integer, halves away from zero."""
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return magnitude if numerator >= 0 else -magnitude


def apply_rate(amount: int, rate: Decimal) -> int:
    """``amount * rate`` in minor units, rounded half up (halves away from zero), without intermediate
    rounding."""
    numerator, denominator = rate.as_integer_ratio()
    return divide_half_up(amount * numerator, denominator)


def included_in(amount: int, rate: Decimal) -> int:
    """The part of ``amount`` that is a tax of ``rate`` already contained in it: ``amount * rate / (1 +
    rate)``."""
    numerator, denominator = rate.as_integer_ratio()
    if numerator + denominator <= 0:
        raise ValueError("an included rate is greater than -1")
    return divide_half_up(amount * numerator, denominator + numerator)


def allocate(amount: int, weights: Sequence[int]) -> list[int]:
    """Split ``amount`` over ``weights`` by largest remainder; the shares add up to ``amount`` exactly.

    Each share is within one unit of its exact proportion; left-over units go to the largest remainders, the
    earlier index first, so that equal input always gives equal output. A weight of zero gets nothing,
    unless all weights are zero: then they count as equal. A negative amount splits like its mirror image.
    Raises ValueError for a negative weight, and for no weights at all unless ``amount`` is zero.
    """
    if not weights:
        if amount:
            raise ValueError("there is nothing to allocate the amount to")
        return []
    if min(weights) < 0:
        raise ValueError("weights are not negative")
    if amount < 0:
        return [-share for share in allocate(-amount, weights)]
    whole = sum(weights)
    if whole == 0:
        return allocate(amount, [1] * len(weights))
    parts = [divmod(amount * weight, whole) for weight in weights]
    shares = [share for share, _ in parts]
    if left := amount - sum(shares):
        by_remainder = sorted(range(len(parts)), key=lambda index: -parts[index][1])  # a stable sort
        for index in by_remainder[:left]:
            shares[index] += 1
    return shares


def format_amount(amount: int, currency: str) -> str:
    """``amount`` for people: ``1250, "usd"`` is ``"12.50 USD"``, and ``100, "jpy"`` is ``"100 JPY"``."""
    exponent = minor_unit_exponent(currency)
    sign = "-" if amount < 0 else ""
    units, fraction = divmod(abs(amount), 10**exponent)
    decimals = f".{fraction:0{exponent}d}" if exponent else ""
    return f"{sign}{units}{decimals} {currency.upper()}"
