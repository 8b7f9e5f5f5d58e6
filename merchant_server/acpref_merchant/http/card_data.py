"""Card data where none belongs (HTTP-14).

A merchant sees tokens, never cards. What an agent writes into a note, a name or its metadata is stored and shown in
clear, so whatever looks like a card number or a security code is refused before anything keeps it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from acpref_protocol.errors import ProtocolError, invalid_request, json_path

Way = tuple[str | int, ...]

# A first digit, and behind it the others: in one piece or in the groups that are printed on cards, whatever single
# character parts them. The others are only looked at, so that the next search starts one character later.
_NUMBER = re.compile(
    r"[2-6](?<![0-9A-Za-z].)(?="
    r"([0-9]{13,18}|[0-9]{3}(?:[^0-9A-Za-z][0-9]{4}){3}|[0-9]{3}[^0-9A-Za-z][0-9]{6}[^0-9A-Za-z][0-9]{4,5})"
    r"(?![0-9A-Za-z]))"
)
_SEPARATOR = re.compile(r"[^0-9]")
_CARD = re.compile(
    r"3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}(?:[0-9]{2}|[0-9]{5})?"  # Diners Club
    # Visa, Mastercard, Discover, UnionPay, JCB
    r"|(?:4[0-9]{3}|5[1-5][0-9]{2}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)"
    r"|6(?:011|2[0-9]{2}|4[4-9][0-9]|5[0-9]{2})|35(?:2[89]|[3-8][0-9]))[0-9]{12}(?:[0-9]{3})?"
)
_DOUBLED = str.maketrans("0123456789", "0246813579")
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")
_CODE_NAME = re.compile(r"(?:cvc|cvv)2?\Z|cardsecurity(?:code|number)\Z")
_CODE = re.compile(r"[0-9]{3,4}\Z")
_NO_LETTER = re.compile(r"[^a-z0-9]")

# What has none of this has no card data. Most bodies have none, and a search of their bytes costs little.
_SUSPECT = re.compile(rb"[2-6][0-9]{13}|[2-6][0-9]{3}[^0-9A-Za-z]{1,3}[0-9]{4,6}[^0-9A-Za-z]{1,3}[0-9]{4}")
_SUSPECT_NAMES = (b"cvc", b"cvv", b"security")

_ITEM_IDS = frozenset(  # by the first and the last name on the way to them
    {("line_items", "id"), ("fulfillment_groups", "item_ids"), ("selected_fulfillment_options", "item_ids")}
)

_LONG_NUMBER = re.compile(r"[2-6](?:[ .\-]?[0-9]){11,}")


def refuse(raw: bytes, body: Any) -> None:
    """Raise 400 for the first member of ``body`` (parsed from ``raw``) that holds a card number or a security code.

    Ids of items are let through: they are the shop's own, and an unknown one is refused without being kept.
    """
    lower = raw.lower()
    if (
        _SUSPECT.search(raw) is not None
        or any(name in lower for name in _SUSPECT_NAMES)
        or b"\\" in raw  # digits, and what parts them, may be written in other ways
        or not raw.isascii()
    ):
        _search(body, ())


def holds_number(text: str) -> bool:
    """Whether ``text`` has something in it that can be a card number: digits, length and check digit are right."""
    if len(text) < 14:
        return False
    if not text.isascii():
        text = _FOREIGN_DIGIT.sub(lambda found: str(int(found[0])), text)
    return any(_is_number(_SEPARATOR.sub("", found[0] + found[1])) for found in _NUMBER.finditer(text))


def kept(key: str) -> str:
    """``key`` as it may be stored: itself, or its digest if it has a card number in it. Keys are opaque (IDEM-02)."""
    return f"sha256 {hashlib.sha256(key.encode()).hexdigest()}" if holds_number(key) else key


def masked(text: str) -> str:
    """``text`` of an error without long numbers: names of unknown members are the sender's words."""
    return _LONG_NUMBER.sub("[number]", text)


def _search(value: Any, way: Way) -> None:
    if isinstance(value, dict):
        for name, member in value.items():
            if holds_number(name):
                raise _refusal("A member's name", way)
            here = (*way, name)
            if _is_code(name, member):
                raise _refusal("This", here, "security code of a card")
            if here[0:3:2] not in _ITEM_IDS or len(here) != 3:
                _search(member, here)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _search(member, (*way, index))
    elif isinstance(value, str | int) and holds_number(str(value)):
        raise _refusal("This", way)


def _is_code(name: str, member: Any) -> bool:
    if not isinstance(member, str | int) or _CODE.match(str(member)) is None:
        return False
    return _CODE_NAME.search(_NO_LETTER.sub("", name.lower())) is not None


def _is_number(digits: str) -> bool:
    if _CARD.fullmatch(digits) is None:
        return False
    check = sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))
    return check % 10 == 0


def _refusal(what: str, way: Way, like: str = "card number") -> ProtocolError:
    return invalid_request(
        f"{what} looks like the {like}; cards are for the payment provider alone, which gives a token for them.",
        param=json_path(way),
    )
