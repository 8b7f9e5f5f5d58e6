"""Functions that wait without holding up the event loop, though they are written as if they did.

A function of a transaction is plain, synchronous code, and on PostgreSQL each of its statements waits for the server.
Run as a *strand*, a greenlet with a stack of its own in the loop's thread, it is set aside whenever it would wait, and
taken up again when its connection has something to read. In between the loop serves others. Threads would cost several
times as much.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from greenlet import GreenletExit, getcurrent, greenlet
from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait
from typing_extensions import override

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


class GreenConnection(psycopg.Connection[Any]):
    """A connection that waits for its server in the event loop when a strand uses it, and by blocking elsewhere.

    One that is used by strands is watched by their loop from its first wait until it is closed.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _watched = -1
    _waiting: _Strand | None = None

    pipelined: psycopg.Pipeline | None = None
    """Set when statements are sent without waiting for the outcome of those before."""

    def keep_pipelined(self) -> None:
        """Use pipeline mode until the connection is closed."""
        self._until_closed = contextlib.ExitStack()
        self.pipelined = self._until_closed.enter_context(self.pipeline())

    @override
    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Drive ``gen`` to its end. Everything that psycopg does on a connection goes through here."""
        strand = getcurrent()
        if not isinstance(strand, _Strand) or timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            state = next(gen)
            if self._loop is None:
                self._watch(strand.loop)
            while True:
                # What is to be sent fits into the socket's buffer nearly always: no need to ask the loop.
                ready = self._ready_now() if state & Wait.W else Ready.NONE
                state = gen.send(ready or self._until_ready(strand, state))
        except StopIteration as end:
            result: T = end.value
            return result

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        # A descriptor of our own: libpq closes its one without telling the loop.
        self._watched = os.dup(self.pgconn.socket)
        self._poll = select.poll()
        self._poll.register(self._watched, select.POLLIN | select.POLLOUT)
        self._loop = loop
        loop.add_reader(self._watched, self._on_ready, Ready.R)

    def _ready_now(self) -> int:
        ready = 0
        for _, event in self._poll.poll(0):
            ready |= (Ready.R if event & ~select.POLLOUT else 0) | (Ready.W if event & select.POLLOUT else 0)
        return ready

    def _until_ready(self, strand: _Strand, state: Wait) -> Ready:
        while True:
            # psycopg may wait for an answer while a long question is still on its way.
            sending = bool(state & Wait.W or self.pgconn.flush())
            if sending:
                strand.loop.add_writer(self._watched, self._on_ready, Ready.W)
            self._waiting = strand
            try:
                ready: Ready = strand.pause()
            except GreenletExit:  # the loop is gone: nobody would ever take the strand up again
                self.pgconn.finish()
                raise
            finally:
                self._waiting = None
            if sending:
                strand.loop.remove_writer(self._watched)
            if ready & state:
                return ready

    def _on_ready(self, ready: Ready) -> None:
        if self._waiting is not None:
            self._waiting.switch(ready)
            return
        # Nobody asked: a notice, or the server hangs up.
        try:
            self.pgconn.consume_input()
        except psycopg.OperationalError:
            self.close()

    def look_again(self) -> None:
        """Go on if there is something to read after all.

        libuv forgets a socket on which an error has occurred, such as a reset by the server, and tells nobody.
        """
        if self._waiting is not None and self._ready_now() & Ready.R:
            self._waiting.switch(Ready.R)

    @override
    def close(self) -> None:
        """Close the connection; in the thread of its loop if it has one."""
        if self.pipelined is not None:
            with contextlib.suppress(psycopg.Error):  # broken or not, it is not needed any more
                self._until_closed.close()
        super().close()
        if self._loop is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._watched)
            os.close(self._watched)
            self._loop = None
