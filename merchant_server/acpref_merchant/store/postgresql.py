"""The store on PostgreSQL: one transaction per function, on a pool of connections.

A transaction that PostgreSQL undid for the sake of another one (serialization failure, deadlock) is run again, a few
times. So is one whose connection was lost before the commit was sent, because nothing of it can have happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import psycopg
from greenlet import GreenletExit
from psycopg import pq
from sqlalchemy import URL
from typing_extensions import override

from acpref_merchant.store import green
from acpref_merchant.store.engine import connect_postgresql, is_retriable
from acpref_merchant.store.errors import StoreClosed, StoreUnavailable, TransactionOver
from acpref_merchant.store.green import GreenConnection
from acpref_merchant.store.statement import DialectName, Tx, typed
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
        self._url = url
        self._blocking = Connections(
            url, pipelined=False
        )  # which could not take a large import as one stream
        self._pool_size = pool_size
        self._lanes: dict[asyncio.AbstractEventLoop, Lane] = {}
        self._lock = threading.Lock()
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
        lane = self._lanes.get(asyncio.get_running_loop())
        if lane is not None:
            await lane.drain()
        self.close()

    @override
    def close(self) -> None:
        self._closed = True
        self._blocking.close()
        with self._lock:
            lanes = list(self._lanes.values())
            self._lanes.clear()
        for lane in lanes:
            lane.close()

    def _lane(self) -> Lane:
        self._refuse_if_closed()
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            lane = Lane(Connections(self._url, pipelined=True), loop, self._pool_size)
            with self._lock:
                gone = [self._lanes.pop(other) for other in list(self._lanes) if other.is_closed()]
                self._lanes[loop] = lane
            for other in gone:
                other.close()
        return lane

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

    def __init__(self, connections: Connections, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._connections = connections
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
                if (
                    not job.waiter.done()
                ):  # cancelled: the work is done all the same, only the answer is not wanted
                    job.waiter.set_result(result)
            del job  # keep no request alive while waiting for the next
        self._workers -= 1
        if not self._workers:
            self._idle.set()


def _fail(waiter: asyncio.Future[Any], error: BaseException) -> None:
    if not waiter.done():
        waiter.set_exception(error)


class Connections:
    """Idle connections, and transactions on them: in the strands of one loop (see ``green``), or in waiting threads."""

    def __init__(self, url: URL, *, pipelined: bool) -> None:
        self._url = url
        self._pipelined = pipelined
        self._idle: list[GreenConnection] = []
        self._in_use: set[GreenConnection] = set()
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
        for connection in self._in_use:
            connection.pgconn.finish()

    def look_again(self) -> None:
        """Wake whoever waits on a connection whose news the event loop has missed."""
        for connection in list(self._in_use):
            connection.look_again()

    def _once(self, function: Callable[[Tx], T], read_only: bool) -> T:
        connection = self._take()
        pipeline = connection.pipelined
        cursor = connection.cursor()
        tx = Tx("postgresql", cursor, None if pipeline is None else pipeline.sync)
        committing = False
        try:
            cursor.execute(_BEGIN[read_only])
            result = function(tx)
            if tx.over:  # it has kept a failure to itself
                raise TransactionOver("the transaction has failed")
            committing = True
            cursor.execute("COMMIT")
            if pipeline is not None:
                pipeline.sync()
        except GreenletExit:
            raise
        except BaseException as error:
            if connection.closed:
                if committing:
                    raise StoreUnavailable(
                        "the connection was lost during the commit: outcome unknown"
                    ) from error
                raise _LostBeforeCommit(str(error)) from error
            _roll_back(connection)
            if isinstance(error, psycopg.Error):
                raise typed(error) from error
            raise
        else:
            return result
        finally:
            tx.close()
            self._give_back(connection)

    def _take(self) -> GreenConnection:
        """A connection that is idle, or a new one. Those that the server has closed meanwhile are thrown away."""
        while self._idle:
            connection = self._idle.pop()
            if not _hung_up(connection):
                self._in_use.add(connection)
                return connection
            connection.close()
        try:
            connection = green.in_thread(partial(connect_postgresql, self._url, GreenConnection))
            if self._pipelined:
                connection.keep_pipelined()
        except psycopg.Error as error:
            raise StoreUnavailable(f"no connection to PostgreSQL: {error}") from error
        self._in_use.add(connection)
        return connection

    def _give_back(self, connection: GreenConnection) -> None:
        self._in_use.discard(connection)
        if self._closed or connection.closed:
            connection.close()
        else:
            self._idle.append(connection)


def _roll_back(connection: GreenConnection) -> None:
    """Make the connection fit for the next transaction, or close it."""
    for _ in range(2):  # what was still on its way when the first statement failed may fail as well
        with contextlib.suppress(psycopg.Error):
            connection.rollback()
        if connection.pgconn.transaction_status == pq.TransactionStatus.IDLE:
            return
    connection.close()


def _hung_up(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server has closed an idle connection, as far as this side has heard. Costs no round trip."""
    try:
        connection.pgconn.consume_input()  # its last words
        connection.pgconn.consume_input()  # and the end
    except psycopg.OperationalError:
        return True
    return connection.closed
