"""The store on SQLite: one thread writes, one reads, and each commits (or opens a snapshot) for a batch at a time.

SQLite allows one writer, and a durable commit costs a sync of the disk. So requests queue up while a commit is under
way; the writer then takes all that wait, up to a limit, runs each in its own savepoint, commits once, and only then
answers all of them. A request that fails undoes its savepoint; a commit that fails fails its whole batch.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from sqlalchemy import Engine

from acpref_merchant.store.errors import StoreClosed, StoreUnavailable
from acpref_merchant.store.jobs import Job, Outcome, deliver, failed, succeeded
from acpref_merchant.store.statement import Tx

T = TypeVar("T")


class Lane:
    """A thread with a connection of its own that runs jobs batch by batch, in the order of their arrival."""

    def __init__(self, engine: Engine, *, name: str, batch_limit: int, read_only: bool) -> None:
        try:
            self._pooled = engine.raw_connection()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"cannot open {engine.url.database}: {error}") from error
        connection = self._pooled.driver_connection
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101 - the engine was made for this driver
        self._connection = connection
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        self._run_batch = self._read if read_only else self._write
        self._batch_limit = batch_limit
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[Tx], T]) -> asyncio.Future[T]:
        """Queue ``function`` for the running event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(Job(function, future, loop))
        return future

    def submit_sync(self, function: Callable[[Tx], T]) -> concurrent.futures.Future[T]:
        """Queue ``function`` for a waiting thread."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._put(Job(function, future, None))
        return future

    def close(self) -> None:
        """Finish what is queued, then end the thread and its connection. Waits; may be called twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _put(self, job: Job) -> None:
        with self._lock:  # so that nothing is queued behind the end mark, where nobody would answer it
            if self._closed:
                raise StoreClosed("the store is closed")
            self._queue.put(job)

    def _work(self) -> None:
        closing = False
        while not closing:
            batch, closing = self._next_batch()
            if batch:
                deliver(self._run_batch(batch))
            del batch  # keep no request alive while waiting for the next
        self._pooled.close()

    def _next_batch(self) -> tuple[list[Job], bool]:
        """Wait for a job, then take those that have queued up behind it; true when it is the last batch."""
        job = self._queue.get()
        batch: list[Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) >= self._batch_limit:
                return batch, False
            try:
                job = self._queue.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _write(self, batch: list[Job]) -> list[Outcome]:
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            outcomes = []
            for job in batch:
                execute("SAVEPOINT job")
                outcome = self._attempt(job)
                if outcome.error is not None:
                    # Fails, and with it the batch, if SQLite has rolled back everything (a full disk, an I/O error).
                    execute("ROLLBACK TO job")
                execute("RELEASE job")
                outcomes.append(outcome)
            execute("COMMIT")
        except sqlite3.Error as error:
            return self._all_failed(batch, error)
        return outcomes

    def _read(self, batch: list[Job]) -> list[Outcome]:
        try:
            self._connection.execute("BEGIN")
            outcomes = [self._attempt(job) for job in batch]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            return self._all_failed(batch, error)
        return outcomes

    def _attempt(self, job: Job) -> Outcome:
        tx = Tx("sqlite", self._connection.cursor())
        try:
            return succeeded(job, job.function(tx))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the caller, not to this thread
            return failed(job, error)
        finally:
            tx.close()

    def _all_failed(self, batch: list[Job], cause: sqlite3.Error) -> list[Outcome]:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # the next BEGIN would fail, and say so to its own batch
                self._connection.rollback()
        outcomes = []
        for job in batch:
            error = StoreUnavailable(str(cause))
            error.__cause__ = cause
            outcomes.append(failed(job, error))
        return outcomes
