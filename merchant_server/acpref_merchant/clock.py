"""The only place where the merchant reads the wall clock, and the only source of new ids.

Both are passed in everywhere, so that a decision can be replayed and a test can choose its time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]
"""Returns the time as milliseconds since 1970-01-01 UTC."""

NewId = Callable[[str], str]
"""Returns a new id that starts with the given prefix and an underscore."""


def system_clock() -> int:
    """The machine's time in milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


class ShiftedClock:
    """A clock that runs with the machine's but can be advanced; the sandbox's management endpoint moves it."""

    def __init__(self) -> None:
        self._shift_ms = 0

    def __call__(self) -> int:
        """The shifted time in milliseconds."""
        return system_clock() + self._shift_ms

    def advance(self, seconds: int) -> None:
        """Move forward by ``seconds``."""
        self._shift_ms += seconds * 1000

    def reset(self) -> None:
        """Follow the machine's time again."""
        self._shift_ms = 0


def new_id(prefix: str) -> str:
    """A new id: ``prefix_`` and 32 hexadecimal digits, of which the first twelve are the time in milliseconds.

    The 80 random bits make ids unguessable; the leading time keeps database indexes compact.
    """
    return f"{prefix}_{system_clock():012x}{os.urandom(10).hex()}"


def rfc3339(ms: int) -> str:
    """``ms`` since 1970-01-01 UTC as an RFC 3339 date-time with ``Z`` (HTTP-12)."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
