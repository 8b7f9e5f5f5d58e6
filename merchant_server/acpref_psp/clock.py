"""Time and randomness, injected so that every test can choose them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], int]
"""Milliseconds since 1970-01-01 UTC."""

NewId = Callable[[str], str]
"""Makes an unguessable id with the given prefix."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def system_clock() -> int:
    """The machine's time, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def random_id(prefix: str) -> str:
    """``prefix``, an underscore and 32 hexadecimal digits: 128 bits of randomness."""
    return f"{prefix}_{secrets.token_hex(16)}"


def rfc3339(milliseconds: int) -> str:
    """A time on the wire: RFC 3339 with milliseconds and Z (HTTP-12)."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def parse_rfc3339(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 date-time. Raises ValueError when it names no moment."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the time has no offset")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
