"""Functions that wait without holding up the event loop, though they are written as if they did.

A function of a transaction is plain, synchronous code, and on PostgreSQL each of its statements waits for the server.
Run as a *strand*, a greenlet with a stack of its own in the loop's thread, it is set aside whenever it would wait, and
taken up again when its connection has something to read. In between the loop serves others. Threads would cost several
times as much.
"""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Callable
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")


class _Strand(greenlet):
    """A function under way in ``loop``."""

    def __init__(self, function: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(function)
        self.loop = loop

    def pause(self) -> Any:
        """Set the function aside until somebody switches to it; returns what it is given then."""
        assert self.parent is not None  # noqa: S101 - only the outermost greenlet has none, and it is no strand
        return self.parent.switch()


def start(function: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
    """Run ``function``, which raises nothing, until it waits for the first time; ``loop``, the running one, goes on."""
    _Strand(function, loop).switch()


def sleep(seconds: float) -> None:
    """Wait, in a strand or in a thread."""
    strand = getcurrent()
    if not isinstance(strand, _Strand):
        time.sleep(seconds)
        return
    strand.loop.call_later(seconds, strand.switch)
    strand.pause()


def in_thread(function: Callable[[], T]) -> T:
    """``function()``, which blocks: in a strand another thread runs it, elsewhere the caller does."""
    strand = getcurrent()
    if not isinstance(strand, _Strand):
        return function()
    future = strand.loop.run_in_executor(None, function)
    future.add_done_callback(strand.switch)
    strand.pause()
    return future.result()


class Watch:
    """A socket whose news wake the strand that waits for them. ``unasked`` is called for news that nobody waits for."""

    def __init__(self, socket: int, loop: asyncio.AbstractEventLoop, unasked: Callable[[], None]) -> None:
        # A descriptor of our own, since libpq closes its one without telling the loop.
        self._socket = os.dup(socket)
        self._loop = loop
        self._unasked = unasked
        self._waiting: _Strand | None = None
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        loop.add_reader(self._socket, self._on_ready, True)

    def until_readable(self, flush: Callable[[], int]) -> None:
        """Set the running strand aside until there is something to read; meanwhile ``flush`` until it returns 0."""
        strand = getcurrent()
        assert isinstance(strand, _Strand)  # noqa: S101 - nobody else has such a connection
        while True:
            sending = bool(flush())
            if sending:
                self._loop.add_writer(self._socket, self._on_ready, False)
            self._waiting = strand
            try:
                readable: bool = strand.pause()
            finally:
                self._waiting = None
            if sending:
                self._loop.remove_writer(self._socket)
            if readable:
                return

    def look_again(self) -> None:
        """Wake the strand if there is something to read after all.

        libuv forgets a socket on which an error has occurred, such as a reset by the server, and tells nobody.
        """
        if self._waiting is not None and self._poll.poll(0):
            self._waiting.switch(True)

    def close(self) -> None:
        """Stop watching."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self._socket)
        os.close(self._socket)

    def _on_ready(self, readable: bool) -> None:
        if self._waiting is not None:
            self._waiting.switch(readable)
        elif readable:
            self._unasked()
