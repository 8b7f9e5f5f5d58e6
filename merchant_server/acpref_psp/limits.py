"""How often one identity may ask: a smooth limit with bursts, in exact integers (GCRA). Off unless configured."""

from __future__ import annotations

from acpref_protocol.errors import rate_limited

_MINUTE_MS = 60_000


class RateLimit:
    """At most ``per_minute`` requests of one identity at once, and then as many a minute. State lives in memory."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        # Times are counted in 1/per_minute of a millisecond, so that the interval between requests is an integer.
        self._next: dict[str, int] = {}

    def admit(self, identity: str, now: int) -> None:
        """Count a request at ``now`` (ms); raises 429 with Retry-After, not counting it, when there are too many."""
        ticks = now * self._per_minute
        due = max(self._next.get(identity, 0), ticks)
        wait = due - ticks + _MINUTE_MS - _MINUTE_MS * self._per_minute
        if wait > 0:
            seconds = -(-wait // (self._per_minute * 1000))
            raise rate_limited(seconds, type="rate_limit_exceeded", code="too_many_requests")
        self._next[identity] = due + _MINUTE_MS
