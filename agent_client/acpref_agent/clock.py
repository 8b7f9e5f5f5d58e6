"""The one place of this package that reads the wall clock; everything else is given the time."""

from __future__ import annotations

import time


def seconds_since_1970() -> float:
    """The time as signatures, allowances and webhooks count it: seconds since 1970-01-01 UTC."""
    return time.time()
