"""Card data where none belongs (HTTP-14).

A merchant sees tokens, never cards. What an agent writes into a note, a name or its metadata is stored and shown in
clear, so whatever looks like a card number or a security code is refused before anything keeps it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from acpref_protocol.card_numbers import holds_number, is_code
from acpref_protocol.errors import ProtocolError, invalid_request, json_path

Way = tuple[str | int, ...]

# What has none of this has no card data. Most bodies have none, and a search of their bytes costs little.
_SUSPECT = re.compile(rb"[2-6][0-9]{13}|[2-6][0-9]{3}[^0-9A-Za-z]{1,3}[0-9]{4,6}[^0-9A-Za-z]{1,3}[0-9]{4}")
_SUSPECT_NAMES = (b"cvc", b"cvv", b"security")

_ITEM_IDS = frozenset(  # by the first and the last name on the way to them
    {("line_items", "id"), ("fulfillment_groups", "item_ids"), ("selected_fulfillment_options", "item_ids")}
)


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


def kept(key: str) -> str:
    """``key`` as it may be stored: itself, or its digest if it has a card number in it. Keys are opaque (IDEM-02)."""
    return f"sha256 {hashlib.sha256(key.encode()).hexdigest()}" if holds_number(key) else key


def _search(value: Any, way: Way) -> None:
    if isinstance(value, dict):
        for name, member in value.items():
            if holds_number(name):
                raise _refusal("A member's name", way)
            here = (*way, name)
            if is_code(name, member):
                raise _refusal("This", here, "security code of a card")
            if here[0:3:2] not in _ITEM_IDS or len(here) != 3:
                _search(member, here)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _search(member, (*way, index))
    elif isinstance(value, str | int) and holds_number(str(value)):
        raise _refusal("This", way)


def _refusal(what: str, way: Way, like: str = "card number") -> ProtocolError:
    return invalid_request(
        f"{what} looks like the {like}; cards are for the payment provider alone, which gives a token for them.",
        param=json_path(way),
    )
