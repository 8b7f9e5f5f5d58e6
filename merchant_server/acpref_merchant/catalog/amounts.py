"""Prices as text become integers in minor units, exactly, or not at all.

Feeds write "12.99 USD", spreadsheets "12.99", JSON numbers 12.99. Each is read through ``Decimal`` from its
text, never through a binary float, and a price that is not a whole number of minor units is an error, not a
rounding.
"""

from __future__ import annotations

import re
from decimal import Decimal

from acpref_merchant.catalog.problems import RecordError
from acpref_protocol.money import minor_unit_exponent

# Fifteen digits keep the result far below the 2**53 that JSON readers in other languages hold exactly.
_PLAIN = re.compile(r"\d{1,13}(?:\.\d{1,12})?", re.ASCII)
_WITH_CURRENCY = re.compile(
    r"(?:(?P<before>[A-Za-z]{3})\s+)?(?P<number>\S+?)(?:\s+(?P<after>[A-Za-z]{3}))?", re.ASCII
)


def minor_units(text: str, currency: str) -> int:
    """The amount written in ``text`` (major units, a point as decimal sign) in minor units of ``currency``.

    >>> minor_units("12.99", "usd")
    1299

    Raises RecordError for signs, commas (which are decimal signs in half of the world), exponents, other
    text, and fractions of a minor unit.
    """
    number = text.strip()
    if not _PLAIN.fullmatch(number):
        raise RecordError(
            f"{_shown(number)} is not a price: write digits with a decimal point, such as 12.99"
        )
    scaled = Decimal(number).scaleb(minor_unit_exponent(currency))
    amount = int(scaled)
    if amount != scaled:
        raise RecordError(f"{_shown(number)} is not a whole number of {currency.upper()} minor units")
    return amount


def money_text(text: str, currency: str) -> int:
    """The amount of "12.99 USD" (or "USD 12.99", or a bare number) in minor units of ``currency``.

    Raises RecordError when the text names another currency: prices are never converted.
    """
    match = _WITH_CURRENCY.fullmatch(text.strip())
    if match is None or (match["before"] and match["after"]):
        raise RecordError(f"{_shown(text)} is not a price such as 12.99 {currency.upper()}")
    named = match["before"] or match["after"]
    if named and named.lower() != currency:
        raise RecordError(f"the price is in {named.upper()}, the shop sells in {currency.upper()}")
    return minor_units(match["number"], currency)


def price_text(amount: int, currency: str) -> str:
    """``amount`` minor units as feeds write them: ``1299`` US cents are ``12.99 USD``."""
    exponent = minor_unit_exponent(currency)
    return f"{Decimal(amount).scaleb(-exponent):.{exponent}f} {currency.upper()}"


_GRAMS = {
    "g": Decimal(1),
    "kg": Decimal(1000),
    "mg": Decimal("0.001"),
    "lb": Decimal("453.59237"),
    "lbs": Decimal("453.59237"),
    "oz": Decimal("28.349523125"),
}


def grams(text: str, unit: str | None = None) -> int:
    """A weight such as "1.5 kg" (or a bare number with ``unit``) in whole grams, rounded up: parcels are
    not lighter.

    Raises RecordError for an unknown unit or a text that is not a weight.
    """
    number, _, named = text.strip().partition(" ")
    symbol = (named.strip() or unit or "g").lower()
    if symbol not in _GRAMS:
        raise RecordError(f"{_shown(symbol)} is not a unit of weight: use one of {', '.join(_GRAMS)}")
    if not _PLAIN.fullmatch(number):
        raise RecordError(f"{_shown(number)} is not a weight")
    exact = Decimal(number) * _GRAMS[symbol]
    return int(exact) + (exact != int(exact))


def whole_number(text: str) -> int:
    """A count such as a stock level. Negative stock (oversold) is none; raises RecordError for anything
    else.
    """
    number = text.strip()
    if not re.fullmatch(r"[+-]?\d{1,12}(?:\.0+)?", number, re.ASCII):
        raise RecordError(f"{_shown(number)} is not a whole number")
    return max(0, int(number.partition(".")[0]))


def _shown(text: str) -> str:
    """The text, quoted and short enough for one line of a terminal."""
    short = text if len(text) <= 40 else text[:37] + "..."
    return ascii(short)
