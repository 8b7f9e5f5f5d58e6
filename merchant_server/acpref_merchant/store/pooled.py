"""The store on PostgreSQL: a pool of worker threads, one transaction per function.

A transaction that PostgreSQL undid for the sake of another one (serialization failure, deadlock) is run again, a few
times. So is one whose connection was lost before the commit was sent, because nothing of it can have happened.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
import sqlalchemy.exc
from sqlalchemy import Engine, PoolProxiedConnection

from acpref_merchant.store.engine import is_retriable
from acpref_merchant.store.errors import StoreClosed, StoreUnavailable
from acpref_merchant.store.jobs import Job, deliver, failed, succeeded
from acpref_merchant.store.statement import Tx

T = TypeVar("T")

_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.005


class _LostBeforeCommit(StoreUnavailable):
    """The connection broke while the transaction was open: the server has forgotten all of it."""


class Pool:
    """Worker threads and connections; each call of ``transact`` is one transaction."""

    def __init__(self, engine: Engine, *, size: int) -> None:
        self._engine = engine
        self._workers = concurrent.futures.ThreadPoolExecutor(size, thread_name_prefix="store-worker")
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, function: Callable[[Tx], T], *, read_only: bool) -> asyncio.Future[T]:
        """Run ``function`` on a worker thread for the running event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:  # a closed executor would raise a RuntimeError that says nothing of the store
            self._refuse_if_closed()
            self._workers.submit(self._run, Job(function, future, loop), read_only)
        return future

    def transact(self, function: Callable[[Tx], T], *, read_only: bool) -> T:
        """Run ``function`` in the calling thread; raises what it raises, or StoreUnavailable."""
        self._refuse_if_closed()
        return self._transact(function, read_only=read_only)

    def close(self) -> None:
        """Finish what is queued, then close every connection. Waits; may be called twice."""
        with self._lock:
            self._closed = True
        self._workers.shutdown(wait=True)
        self._engine.dispose()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")

    def _run(self, job: Job, read_only: bool) -> None:
        try:
            outcome = succeeded(job, self._transact(job.function, read_only=read_only))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the caller, not to this thread
            outcome = failed(job, error)
        deliver((outcome,))

    def _transact(self, function: Callable[[Tx], T], *, read_only: bool) -> T:
        attempt = 1
        while True:
            try:
                return self._once(function, read_only)
            except StoreUnavailable as error:
                again = isinstance(error, _LostBeforeCommit) or is_retriable(error.__cause__)
                if not again or attempt == _ATTEMPTS:
                    raise
                time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
                attempt += 1

    def _once(self, function: Callable[[Tx], T], read_only: bool) -> T:
        pooled, connection = self._connect()
        committing = False
        tx: Tx | None = None
        try:
            _set_mode(connection, read_only=read_only)
            tx = Tx("postgresql", connection.cursor())
            result = function(tx)
            committing = True
            connection.commit()
        except BaseException as error:
            if connection.closed:
                pooled.invalidate()
                if committing:
                    raise StoreUnavailable(
                        "the connection was lost during the commit: outcome unknown"
                    ) from error
                raise _LostBeforeCommit(str(error)) from error
            connection.rollback()
            if isinstance(error, psycopg.Error) and committing:
                raise StoreUnavailable(str(error)) from error
            raise
        else:
            return result
        finally:
            if tx is not None:
                tx.close()
            pooled.close()

    def _connect(self) -> tuple[PoolProxiedConnection, psycopg.Connection[Any]]:
        """A connection of the pool. Those that the server has closed meanwhile are thrown away."""
        while True:
            try:
                pooled = self._engine.raw_connection()
            except (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError, psycopg.Error) as error:
                raise StoreUnavailable(f"no connection to PostgreSQL: {error}") from error
            connection = pooled.driver_connection
            assert isinstance(connection, psycopg.Connection)  # noqa: S101 - the engine was made for this driver
            if not _hung_up(connection):
                return pooled, connection
            pooled.invalidate()


def _hung_up(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server has closed an idle connection, as far as this side has heard. Costs no round trip."""
    try:
        connection.pgconn.consume_input()  # its last words
        connection.pgconn.consume_input()  # and the end
    except psycopg.OperationalError:
        return True
    return connection.closed


def _set_mode(connection: psycopg.Connection[Any], *, read_only: bool) -> None:
    """Reads see one snapshot from their first to their last statement, as they do on SQLite. Costs no round trip."""
    if bool(connection.read_only) is not read_only:
        connection.read_only = read_only
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ if read_only else None
