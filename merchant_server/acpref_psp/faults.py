"""Failures on demand, for trying out how a merchant or an agent copes. Off unless armed."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

MAX_TIMES = 10_000


class Where(StrEnum):
    """The operation that fails; ``authorize`` is the creation of a charge."""

    DELEGATE_PAYMENT = "delegate_payment"
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"


class Kind(StrEnum):
    """How it fails.

    ``error_500``: answered with 500, nothing was done. ``slow``: done and answered after a delay. ``timeout``: done,
    but the answer comes after a longer delay, when callers have given up. ``drop_connection``: done, but the
    connection breaks before the answer is complete.
    """

    ERROR_500 = "error_500"
    TIMEOUT = "timeout"
    DROP_CONNECTION = "drop_connection"
    SLOW = "slow"


class Faults:
    """The armed faults of one service, taken in the order in which they were armed."""

    def __init__(self) -> None:
        self._armed: dict[Where, deque[Kind]] = {where: deque() for where in Where}

    def arm(self, where: str, kind: str, times: int = 1) -> None:
        """The next ``times`` requests at ``where`` fail as ``kind``. Raises ValueError for unknown names or counts."""
        place, how = Where(where), Kind(kind)
        if not 1 <= times <= MAX_TIMES:
            raise ValueError(f"times is 1 to {MAX_TIMES}")
        self._armed[place].extend([how] * times)

    def take(self, where: Where) -> Kind | None:
        """The fault for the request that is being handled at ``where``, if one is armed."""
        armed = self._armed[where]
        return armed.popleft() if armed else None

    def clear(self) -> None:
        """Disarm everything."""
        for armed in self._armed.values():
            armed.clear()

    def pending(self) -> dict[str, list[str]]:
        """What is still armed, by place."""
        return {where: [kind.value for kind in armed] for where, armed in self._armed.items() if armed}
