"""The store on PostgreSQL: one transaction per function, on a pool of connections.

A transaction that PostgreSQL undid for the sake of another one (serialization failure, deadlock) is run again, a few
times. So is one whose connection was lost before the commit was sent, because nothing of it can have happened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import psycopg
from greenlet import GreenletExit
from sqlalchemy import URL
from typing_extensions import override

from acpref_merchant.store import green
from acpref_merchant.store.engine import connect_postgresql, is_retriable
from acpref_merchant.store.errors import StoreClosed, StoreUnavailable
from acpref_merchant.store.lanes import Lanes
from acpref_merchant.store.pipeline import Pipeline, is_there
from acpref_merchant.store.statement import CursorTx, DialectName, Tx, finished, typed
from acpref_merchant.store.store import Store

T = TypeVar("T")

_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.005
_LOOK_AGAIN_SECONDS = 0.5


_BEGIN = {False: "BEGIN", True: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}
"""By whether the transaction only reads: reads see one snapshot from their first to their last statement."""


class _LostBeforeCommit(StoreUnavailable):
    """The connection broke while the transaction was open: the server has forgotten all of it."""


class PostgreSQLStore(Store):
    """A PostgreSQL database shared with other processes. Connections are opened when needed and kept."""

    dialect: DialectName = "postgresql"

    def __init__(self, url: URL, *, pool_size: int) -> None:
        self._blocking = Connections(lambda: _Waiting(connect_postgresql(url)))
        self._lanes = Lanes(lambda loop: Lane(url, loop, pool_size))
        self._closed = False

    @override
    async def run(self, function: Callable[[Tx], T]) -> T:
        return await self._lane().submit(function, read_only=False)

    @override
    async def read(self, function: Callable[[Tx], T]) -> T:
        return await self._lane().submit(function, read_only=True)

    @override
    def run_sync(self, function: Callable[[Tx], T]) -> T:
        self._refuse_if_closed()
        return self._blocking.transact(function, read_only=False)

    @override
    def read_sync(self, function: Callable[[Tx], T]) -> T:
        self._refuse_if_closed()
        return self._blocking.transact(function, read_only=True)

    @override
    async def aclose(self) -> None:
        self._closed = True
        await self._lanes.drain()
        self.close()

    @override
    def close(self) -> None:
        self._closed = True
        self._blocking.close()
        self._lanes.close()

    def _lane(self) -> Lane:
        self._refuse_if_closed()
        return self._lanes.mine()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")


class _Job(NamedTuple):
    """A function to run in a transaction, and who waits for its result."""

    function: Callable[[Tx], Any]
    read_only: bool
    waiter: asyncio.Future[Any]


class Lane:
    """The transactions of one event loop: up to ``limit`` under way, the others queued in the order they came."""

    def __init__(self, url: URL, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._url = url
        self._connections = Connections(self._connect)
        self._loop = loop
        self._limit = limit
        self._queue: deque[_Job] = deque()
        self._workers = 0
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, function: Callable[[Tx], T], *, read_only: bool) -> asyncio.Future[T]:
        """Run ``function`` as soon as fewer than ``limit`` others are under way."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Job(function, read_only, future))
        if self._workers < self._limit:
            self._workers += 1
            self._idle.clear()
            if self._timer is None:
                self._timer = self._loop.call_later(_LOOK_AGAIN_SECONDS, self._look_again)
            green.start(self._work, self._loop)
        return future

    async def drain(self) -> None:
        """Wait until everything that was queued is done."""
        await self._idle.wait()

    def close(self) -> None:
        """Close the connections: the idle ones at once, the others as soon as they are, or with their loop."""
        if self._loop.is_closed():
            self._connections.abandon()
        else:
            self._connections.close()

    def _connect(self) -> Pipeline:
        return Pipeline(green.in_thread(partial(connect_postgresql, self._url)), self._loop)

    def _look_again(self) -> None:
        self._timer = None
        self._connections.look_again()
        if self._workers:
            self._timer = self._loop.call_later(_LOOK_AGAIN_SECONDS, self._look_again)

    def _work(self) -> None:
        while self._queue:
            job = self._queue.popleft()
            try:
                result = self._connections.transact(job.function, read_only=job.read_only)
            except GreenletExit:  # the loop is gone, and with it everybody who waits
                raise
            except StopIteration:  # a future refuses it: it would end the generator that awaits
                _fail(job.waiter, RuntimeError("the function raised StopIteration"))
            except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the caller, not to the loop
                _fail(job.waiter, error)
            else:
                # When cancelled, the work is done all the same, only the answer is not wanted.
                if not job.waiter.done():
                    job.waiter.set_result(result)
            del job  # keep no request alive while waiting for the next
        self._workers -= 1
        if not self._workers:
            self._idle.set()


def _fail(waiter: asyncio.Future[Any], error: BaseException) -> None:
    if not waiter.done():
        waiter.set_exception(error)


class Link(Protocol):
    """A connection, and one transaction at a time on it. Raises psycopg's errors."""

    @property
    def closed(self) -> bool:
        """Whether the connection is lost or has been closed."""

    def usable(self) -> bool:
        """Whether the server, as far as it has been heard, is still there. Costs no round trip."""

    def begin(self, statement: str) -> Tx:
        """A transaction that begins with ``statement``."""

    def commit(self) -> None:
        """Commit the transaction."""

    def roll_back(self) -> None:
        """Undo the transaction after whatever happened to it."""

    def look_again(self) -> None:
        """Go on if there is something to read after all."""

    def close(self) -> None:
        """Close the connection; may be called twice."""

    def hang_up(self) -> None:
        """Cut the connection, whoever uses it."""


class _Waiting:
    """A link whose user waits for every statement, in a thread of its own."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    @property
    def closed(self) -> bool:
        return self._connection.closed

    def usable(self) -> bool:
        return is_there(self._connection.pgconn)

    def begin(self, statement: str) -> Tx:
        cursor = self._connection.cursor()
        cursor.execute(statement)
        return CursorTx("postgresql", cursor)

    def commit(self) -> None:
        self._connection.commit()

    def roll_back(self) -> None:
        self._connection.rollback()

    def look_again(self) -> None:
        return

    def close(self) -> None:
        self._connection.close()

    def hang_up(self) -> None:
        self._connection.pgconn.finish()


class Connections:
    """Links that are idle or in use, and transactions on them. ``connect`` makes a new one or raises psycopg.Error."""

    def __init__(self, connect: Callable[[], Link]) -> None:
        self._connect = connect
        self._idle: list[Link] = []
        self._in_use: set[Link] = set()
        self._closed = False

    def transact(self, function: Callable[[Tx], T], *, read_only: bool) -> T:
        """Run ``function`` in a transaction; raises what it raises, or StoreUnavailable."""
        attempt = 1
        while True:
            try:
                return self._once(function, read_only)
            except StoreUnavailable as error:
                again = isinstance(error, _LostBeforeCommit) or is_retriable(error.__cause__)
                if not again or attempt == _ATTEMPTS:
                    raise
                green.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
                attempt += 1

    def close(self) -> None:
        """Close those that are idle, and each of the others as soon as it is."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def abandon(self) -> None:
        """Hang up on all of them: the loop whose strands used them is gone, and its transactions hold locks."""
        self.close()
        for link in self._in_use:
            link.hang_up()

    def look_again(self) -> None:
        """Wake whoever waits on a connection whose news the event loop has missed."""
        for link in list(self._in_use):
            link.look_again()

    def _once(self, function: Callable[[Tx], T], read_only: bool) -> T:
        link = self._take()
        committing = False
        try:
            result = finished(function, link.begin(_BEGIN[read_only]))
            committing = True
            link.commit()
        except GreenletExit:
            raise
        except BaseException as error:
            if not link.closed:
                with contextlib.suppress(psycopg.Error):
                    link.roll_back()
            if not link.closed:
                if isinstance(error, psycopg.Error) and (told := typed(error)) is not error:
                    raise told from error  # the cause decides whether the transaction is run again
                raise
            if committing:
                raise StoreUnavailable(
                    "the connection was lost during the commit: outcome unknown"
                ) from error
            raise _LostBeforeCommit(str(error)) from error
        else:
            return result
        finally:
            self._give_back(link)

    def _take(self) -> Link:
        """A connection that is idle, or a new one. Those that the server has closed meanwhile are thrown away."""
        while self._idle:
            link = self._idle.pop()
            if link.usable():
                break
            link.close()
        else:
            try:
                link = self._connect()
            except psycopg.Error as error:
                raise StoreUnavailable(f"no connection to PostgreSQL: {error}") from error
        self._in_use.add(link)
        return link

    def _give_back(self, link: Link) -> None:
        self._in_use.discard(link)
        if self._closed or link.closed:
            link.close()
        else:
            self._idle.append(link)
