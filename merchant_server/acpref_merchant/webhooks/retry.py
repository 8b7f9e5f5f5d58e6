"""When an undelivered event is tried again, and when it is given up: the policy that WH-13 leaves to sellers.

Exponential backoff with full jitter: the n-th failure is followed by a pause drawn evenly from nothing to
``min(1 s * 2^(n-1), 1 h)``, so that a receiver that comes back is not met by all senders at once. ``Retry-After``
lengthens the pause, up to an hour. What the answer means:

==================================  =========================================================================
2xx                                 delivered
410 Gone                            the receiver wants no more: dead at once
408, 425, 429, 5xx                  trouble that passes: tried for at least 24 hours and at least 12 times
timeout, no connection, cut answer  the same
everything else (3xx, other 4xx)    a mistake of somebody's, such as a secret being changed: tried 10 times,
                                    some minutes in all, because repetition seldom helps and a dead letter is seen
==================================  =========================================================================

Dead letters stay in the outbox and can be replayed. Times are milliseconds.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

FIRST_PAUSE_MS = 1_000
LONGEST_PAUSE_MS = 3_600_000
PATIENCE_MS = 24 * 3_600_000
PATIENT_ATTEMPTS = 12
"""Attempts that even an event older than the patience gets: the sender itself may have been down for a day."""
REJECTED_ATTEMPTS = 10

_PASSING = frozenset({408, 425, 429})

Jitter = Callable[[int], int]
"""Draws a pause in milliseconds between 0 and the given bound, both inclusive."""


def full_jitter(bound_ms: int) -> int:
    """Evenly distributed between 0 and ``bound_ms``."""
    return secrets.randbelow(bound_ms + 1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt: a status code, or ``None`` with what went wrong. ``detail`` is for the operator."""

    status: int | None
    detail: str = ""
    retry_after_ms: int | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver has accepted the event."""
        return self.status is not None and 200 <= self.status < 300


def next_attempt(answer: Answer, *, attempts: int, created_at: int, now: int, jitter: Jitter) -> int | None:
    """When to try an event again that ``attempts`` attempts, this one included, have not delivered.

    ``None`` when it is given up. ``created_at`` is when the event came into being.
    """
    if answer.status == 410:
        return None
    if _passes(answer.status):
        if attempts >= PATIENT_ATTEMPTS and now - created_at >= PATIENCE_MS:
            return None
    elif attempts >= REJECTED_ATTEMPTS:
        return None
    bound = min(FIRST_PAUSE_MS << min(attempts - 1, 30), LONGEST_PAUSE_MS)
    pause = max(jitter(bound), min(answer.retry_after_ms or 0, LONGEST_PAUSE_MS))
    return now + pause


def _passes(status: int | None) -> bool:
    return status is None or status in _PASSING or status >= 500


def retry_after_ms(header: str | None, now: int) -> int | None:
    """A ``Retry-After`` header, seconds or a date, as milliseconds from now; ``None`` if absent or unreadable."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]) * 1000, LONGEST_PAUSE_MS)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000": a date without a zone is UTC here, as in HTTP
        return None
    return max(0, int(moment.timestamp() * 1000) - now)
