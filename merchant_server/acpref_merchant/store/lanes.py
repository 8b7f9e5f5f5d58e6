"""What a store keeps for each event loop that uses it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Lane(Protocol):
    """The transactions of one event loop."""

    async def drain(self) -> None:
        """Wait until everything that was queued is done."""

    def close(self) -> None:
        """Close the connections."""


L = TypeVar("L", bound=Lane)


class Lanes(Generic[L]):
    """A lane for each event loop, made at its first use; those of loops that are gone are closed by and by."""

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], L]) -> None:
        self._make = make
        self._lanes: dict[asyncio.AbstractEventLoop, L] = {}
        self._lock = threading.Lock()

    def mine(self) -> L:
        """The lane of the running event loop."""
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            lane = self._make(loop)
            with self._lock:
                gone = [self._lanes.pop(other) for other in list(self._lanes) if other.is_closed()]
                self._lanes[loop] = lane
            for other in gone:
                other.close()
        return lane

    async def drain(self) -> None:
        """Wait until everything that the running event loop has queued is done."""
        lane = self._lanes.get(asyncio.get_running_loop())
        if lane is not None:
            await lane.drain()

    def close(self) -> None:
        """Close every lane."""
        with self._lock:
            lanes = list(self._lanes.values())
            self._lanes.clear()
        for lane in lanes:
            lane.close()
