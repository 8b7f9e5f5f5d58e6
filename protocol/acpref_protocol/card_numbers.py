"""Card numbers and security codes in text: recognised, to keep them out of what is stored and shown (HTTP-14).

A number is recognised by its brand's prefix and length, its check digit and the ways in which numbers are printed; that
is a judgement, not a proof. Nothing in here repeats what it was given.
"""

from __future__ import annotations

import re

# A first digit, and behind it the others: in one piece or in the groups that are printed on cards, whatever single
# character parts them. The others are only looked at, so that the next search starts one character later.
_PRINTED = re.compile(
    r"([2-6])(?<![0-9A-Za-z].)(?="
    r"([0-9]{13,18}|[0-9]{3}(?:[^0-9A-Za-z][0-9]{4}){3}|[0-9]{3}[^0-9A-Za-z][0-9]{6}[^0-9A-Za-z][0-9]{4,5})"
    r"(?![0-9A-Za-z]))"
)
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")
_NO_DIGIT = re.compile(r"[^0-9]")
_SPACING = re.compile(r"[^0-9A-Za-z]")
_LONG_NUMBER = re.compile(r"[2-6](?:[ .\-]?[0-9]){11,}")  # no card begins with another digit
_CODE = re.compile(r"[0-9]{3,4}\Z")
_CODE_NAME = re.compile(r"(?:cvc|cvv)2?\Z|cardsecurity(?:code|number)\Z")
_DOUBLED = str.maketrans("0123456789", "0246813579")

_LENGTHS = {"amex": (15,), "diners": (14, 16, 19)}  # of every other brand: 16 and 19
# Prefix ranges of the issuer identification number, most specific first: (digits compared, from, to, brand).
_BRANDS = (
    (4, 2221, 2720, "mastercard"),
    (2, 51, 55, "mastercard"),
    (2, 34, 34, "amex"),
    (2, 37, 37, "amex"),
    (4, 6011, 6011, "discover"),
    (3, 644, 649, "discover"),
    (2, 65, 65, "discover"),
    (3, 300, 305, "diners"),
    (2, 36, 36, "diners"),
    (2, 38, 39, "diners"),
    (4, 3528, 3589, "jcb"),
    (2, 62, 62, "unionpay"),
    (1, 4, 4, "visa"),
)


def brand_of(number: str) -> str:
    """The card network by the prefix of ``number``, which consists of digits; or ``unknown``."""
    for length, low, high, brand in _BRANDS:
        if low <= int(number[:length]) <= high:
            return brand
    return "unknown"


def luhn(number: str) -> bool:
    """Whether the check digit of ``number``, which consists of digits, is right."""
    total = sum(map(int, number[-1::-2])) + sum(map(int, number[-2::-2].translate(_DOUBLED)))
    return total % 10 == 0


def holds_number(text: str) -> bool:
    """Whether ``text`` has something in it that can be a card number, in one piece or grouped as on a card."""
    if len(text) < 14:
        return False
    return any(_is_card(_NO_DIGIT.sub("", first + rest)) for first, rest in _PRINTED.findall(_plain(text)))


def mentions(text: str, number: str) -> bool:
    """Whether ``text`` gives the card number ``number`` away, however it is spaced."""
    return len(text) >= len(number) and number in _SPACING.sub("", _plain(text))


def is_code(name: str, value: object) -> bool:
    """Whether a member called ``name`` with this ``value`` is the security code of a card."""
    if not isinstance(value, str | int) or _CODE.match(str(value)) is None:
        return False
    return _CODE_NAME.search(_SPACING.sub("", name.lower())) is not None


def masked(text: str) -> str:
    """``text`` with long numbers taken out: names of unknown members in an error are the sender's words."""
    return _LONG_NUMBER.sub("[number]", text)


def _is_card(number: str) -> bool:
    brand = brand_of(number)
    return brand != "unknown" and len(number) in _LENGTHS.get(brand, (16, 19)) and luhn(number)


def _plain(text: str) -> str:
    """``text`` with every decimal digit of any script as an ASCII digit."""
    return text if text.isascii() else _FOREIGN_DIGIT.sub(lambda found: str(int(found[0])), text)
