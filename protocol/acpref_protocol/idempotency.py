"""When two request bodies are the same request (IDEM-06 to IDEM-09)."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of the meaning of a parsed JSON value.

    Equal for values that differ only in member order or in how a number is written (``1`` and ``1.0``,
    ``0`` and ``-0.0``: IDEM-07); different for null and an absent member, for arrays in another order
    (IDEM-08), and for booleans and numbers. Raises ValueError for NaN and infinities.
    """
    return hashlib.sha256(_meaning(value)).hexdigest()


def keyed_fingerprint(value: Any, key: bytes) -> str:
    """Like ``fingerprint``, but HMAC under ``key``.

    For bodies that hold card data: without the key, nobody can find the card number by trying all of them
    (DP-IDEM-05). Raises ValueError when the key is shorter than 16 bytes.
    """
    if len(key) < 16:
        raise ValueError("the key has at least 16 bytes")
    return hmac.new(key, _meaning(value), hashlib.sha256).hexdigest()


# Made once: ``json.dumps`` makes an encoder for every call that asks for anything unusual.
_write = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False).encode


def _meaning(value: Any) -> bytes:
    text = _write(value)
    if ".0" in text or "e+" in text:  # so Python writes a float that is an integer; strings may hold it, too
        text = _write(_normal(value))
    return text.encode("ascii")


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _normal(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_normal(member) for member in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
