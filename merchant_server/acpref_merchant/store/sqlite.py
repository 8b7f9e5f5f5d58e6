"""The store on SQLite: transactions run in the event loop's thread, a batch of them at a time, and only their common
commit waits for the disk, in a thread of its own.

SQLite allows one writer, and a durable commit costs a flush of the disk. So requests queue up while a commit is under
way; then all that wait, up to a limit, run one after the other, each in its own savepoint, are committed once, and only
then answered. A request that fails undoes its savepoint; a commit that fails fails its whole batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import URL, Engine
from typing_extensions import override

from acpref_merchant.store import engine as engines
from acpref_merchant.store.errors import StoreClosed, StoreUnavailable
from acpref_merchant.store.lanes import Lanes
from acpref_merchant.store.statement import CursorTx, DialectName, Tx, finished
from acpref_merchant.store.store import Store

T = TypeVar("T")

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class SQLiteStore(Store):
    """One database file. Each event loop has a lane of its own; blocking callers share a pair of connections."""

    dialect: DialectName = "sqlite"

    def __init__(self, url: URL, *, batch_limit: int) -> None:
        self._engine = engines.create_engine(url)
        self._writer = _Blocking(self._engine, read_only=False)
        self._reader = _Blocking(self._engine, read_only=True)
        self._lanes = Lanes(lambda loop: Lane(self._engine, loop, batch_limit))
        self._closed = False

    @override
    async def run(self, function: Callable[[Tx], T]) -> T:
        return await self._lane().submit(function)

    @override
    async def read(self, function: Callable[[Tx], T]) -> T:
        return self._lane().read(function)

    @override
    def run_sync(self, function: Callable[[Tx], T]) -> T:
        return self._writer.transact(function)

    @override
    def read_sync(self, function: Callable[[Tx], T]) -> T:
        return self._reader.transact(function)

    @override
    async def aclose(self) -> None:
        self._closed = True
        await self._lanes.drain()
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    @override
    def close(self) -> None:
        self._closed = True
        self._lanes.close()
        self._writer.close()
        self._reader.close()
        self._engine.dispose()

    def _lane(self) -> Lane:
        if self._closed:
            raise StoreClosed("the store is closed")
        return self._lanes.mine()


class _Connection:
    """A connection of the driver, and how a transaction on it is read or written."""

    def __init__(self, engine: Engine, *, read_only: bool) -> None:
        try:
            self._pooled = engine.raw_connection()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"cannot open {engine.url.database}: {error}") from error
        driver = self._pooled.driver_connection
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - the engine was made for this driver
        self.driver = driver
        self.execute = driver.execute
        if read_only:
            self.execute("PRAGMA query_only = ON")

    def run(self, function: Callable[[Tx], T]) -> T:
        """What ``function`` makes of a transaction; BEGIN and COMMIT are the caller's."""
        return finished(function, CursorTx("sqlite", self.driver.cursor()))

    def undo(self) -> None:
        """Roll back if anything is open. If that fails, the next BEGIN will, and say so."""
        if self.driver.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self.driver.rollback()

    def close(self) -> None:
        """Close the connection; what is open is rolled back."""
        self._pooled.close()


class _Blocking:
    """A connection for callers that wait: one transaction at a time, whichever thread it comes from."""

    def __init__(self, engine: Engine, *, read_only: bool) -> None:
        self._connection = _Connection(engine, read_only=read_only)
        self._begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        self._lock = threading.RLock()
        self._closed = False

    def transact(self, function: Callable[[Tx], T]) -> T:
        """Run ``function`` in a transaction of its own."""
        with self._lock:
            if self._closed:
                raise StoreClosed("the store is closed")
            connection = self._connection
            self._control(self._begin)
            try:
                result = connection.run(function)
                self._control("COMMIT")
            except BaseException:
                connection.undo()
                raise
            return result

    def _control(self, statement: str) -> None:
        try:
            self._connection.execute(statement)
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        """Close the connection, once."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._connection.close()


class _Job(NamedTuple):
    """A function to run in a transaction, and who waits for its result."""

    function: Callable[[Tx], Any]
    waiter: asyncio.Future[Any]


class _Outcome(NamedTuple):
    """What came of a job: ``error`` or, when that is None, ``result``."""

    waiter: asyncio.Future[Any]
    result: Any
    error: BaseException | None


class Lane:
    """The transactions of one event loop. All methods but ``close`` are called in the loop's thread."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, batch_limit: int) -> None:
        self._loop = loop
        self._batch_limit = batch_limit
        self._reader = _Connection(engine, read_only=True)
        self._snapshot = False  # whether the reader has one open
        self._writer = _Connection(engine, read_only=False)
        # The loop never waits for another process's lock: it asks once, and leaves the waiting to the thread.
        self._writer.execute("PRAGMA busy_timeout = 0")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-commit")
        self._queue: deque[_Job] = deque()
        self._at_work = False
        self._idle = asyncio.Event()
        self._idle.set()

    def read(self, function: Callable[[Tx], T]) -> T:
        """Run ``function`` at once, on a snapshot that it shares with the other reads of this turn of the loop.

        Whatever was committed before a request came has been answered in an earlier turn, so no request misses it.
        """
        reader = self._reader
        if not self._snapshot:
            try:
                reader.execute("BEGIN")
            except sqlite3.Error as error:
                raise StoreUnavailable(str(error)) from error
            self._snapshot = True
            self._loop.call_soon(self._end_snapshot)
        return reader.run(function)

    def _end_snapshot(self) -> None:
        self._snapshot = False
        self._reader.undo()

    def submit(self, function: Callable[[Tx], T]) -> asyncio.Future[T]:
        """Queue ``function`` for the next batch."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Job(function, future))
        if not self._at_work:
            self._at_work = True
            self._idle.clear()
            # Not at once, so that all requests that this turn of the loop brings get into the same batch.
            self._loop.call_soon(self._work)
        return future

    async def drain(self) -> None:
        """Wait until everything that was queued is done."""
        await self._idle.wait()

    def close(self) -> None:
        """Wait for the commit under way, then close the connections. Queued work of a loop that is gone is dropped."""
        self._thread.shutdown(wait=True)
        self._writer.close()
        self._reader.close()

    def _work(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(self._batch_limit, len(self._queue)))]
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF in _BUSY:  # another process is writing
                self._thread.submit(self._begin_patiently, batch)
            else:
                self._answer(_all_failed(batch, error))
            return
        self._run(batch)

    def _begin_patiently(self, batch: list[_Job]) -> None:
        """In the thread: wait for the other process's lock."""
        execute = self._writer.execute
        try:
            execute(f"PRAGMA busy_timeout = {engines.LOCK_WAIT_MS}")
            try:
                execute("BEGIN IMMEDIATE")
            finally:
                execute("PRAGMA busy_timeout = 0")
        except sqlite3.Error as error:
            self._back(self._answer, _all_failed(batch, error))
        else:
            self._back(self._run, batch)

    def _run(self, batch: list[_Job]) -> None:
        execute = self._writer.execute
        outcomes = []
        try:
            for job in batch:
                execute("SAVEPOINT job")
                outcome = self._attempt(job)
                if outcome.error is not None:
                    # Fails, and with it the batch, if SQLite has rolled back everything (a full disk, an I/O error).
                    execute("ROLLBACK TO job")
                execute("RELEASE job")
                outcomes.append(outcome)
        except sqlite3.Error as error:
            self._writer.undo()
            self._answer(_all_failed(batch, error))
            return
        self._thread.submit(self._commit, batch, outcomes)

    def _attempt(self, job: _Job) -> _Outcome:
        try:
            return _Outcome(job.waiter, self._writer.run(job.function), None)
        except StopIteration:  # a future refuses it: it would end the generator that awaits
            return _Outcome(job.waiter, None, RuntimeError("the function raised StopIteration"))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the caller, not to the loop
            return _Outcome(job.waiter, None, error)

    def _commit(self, batch: list[_Job], outcomes: list[_Outcome]) -> None:
        """In the thread: the one step that waits for the disk."""
        try:
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            self._writer.undo()
            outcomes = _all_failed(batch, error)
        self._back(self._answer, outcomes)

    def _back(self, step: Callable[..., None], *arguments: Any) -> None:
        """Go on in the loop's thread."""
        try:
            self._loop.call_soon_threadsafe(step, *arguments)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._writer.undo()

    def _answer(self, outcomes: Iterable[_Outcome]) -> None:
        for waiter, result, error in outcomes:
            if waiter.done():  # cancelled: the work is done all the same, only the answer is not wanted
                continue
            if error is None:
                waiter.set_result(result)
            else:
                waiter.set_exception(error)
        if self._queue:
            self._loop.call_soon(self._work)
        else:
            self._at_work = False
            self._idle.set()


def _all_failed(batch: Iterable[_Job], cause: sqlite3.Error) -> list[_Outcome]:
    outcomes = []
    for job in batch:
        error = StoreUnavailable(str(cause))
        error.__cause__ = cause
        outcomes.append(_Outcome(job.waiter, None, error))
    return outcomes
